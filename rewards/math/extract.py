"""Where the answer of a completion is: tags, boxes, `####`, "the answer is", or the end of plain prose.

The order: what follows the last `</think>` (nothing, if a think block never ends); in it the last `<answer>`; in that
the last `\\boxed{}`, together with boxes that belong to the same statement; then what follows the last `####`; then
what follows the last phrase such as "the answer is" in one of several languages, or the `A:` of a last line; then the
end of the last sentence that states something. A solution with GSM8K's calculator marks `<<2*3=6>>` has its answer in a
line of its own: without one it was cut off, and the number it happens to end in is not read. Every scan is linear in
the length of the text.
"""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from rewards.errors import BadInput
from rewards.format import answer_part
from rewards.math.markers import announced, answer_line, without_calculations
from rewards.math.prose import last_statement, sentence
from rewards.turns import this_turn

Extraction = Literal["strict", "flexible"]
EXTRACTIONS: tuple[Extraction, ...] = get_args(Extraction)
LONGEST_ANSWER = 2_000  # characters
LONGEST_COMPLETION = 100_000  # of a longer one only the end is read
READ_END = 20_000

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*+(\{)?")
_HASHES = re.compile(r"####(?!#)")
_GLUE = re.compile(r"\\[()\[\]]|\$|\\q?quad\b|\\[,;:! ]|\\text\{|[{}~*\s]")
_ALTERNATIVE = re.compile(r"\b(?:or|alternatively|maybe|perhaps|possibly|either|ou|oder|или)\b|或|أو", re.IGNORECASE)
_AGAIN = re.compile(
    r"\b(?:no|not|wait|actually|sorry|instead|rather|but|correction|mistake|wrong|so|thus|hence|therefore|which|"
    r"then|since|because|check|equals?|simplif\w{0,5}|final|total|sum)\b",
    re.IGNORECASE,
)
_JOINING = re.compile(r"[,;&،、]|\b(?:and|or|und|et|y)\b|和|与|及|或|و", re.IGNORECASE)
_LONGEST_GAP = 80  # characters between two boxes of one statement


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completion gives as its answer.

    Attributes:
        readings: the answer's text, in one or more readings of the same statement ("The area is 5", "5"); none if there
            is no answer.
        note: where it was found, or why there is none.
        boxes: how many boxes it was put together from.
        line: the whole line if it begins with `A:`, which may also mean the first of several choices.
    """

    readings: tuple[str, ...]
    note: str
    boxes: int = 0
    line: str = ""


def checked_extraction(extraction: Any, where: str) -> Extraction:
    """One of `EXTRACTIONS`. Raises BadInput, which says `where`, for anything else."""
    for known in EXTRACTIONS:
        if extraction == known:
            return known
    raise BadInput(f"extraction={extraction!r} of {where} is no way to read an answer; write strict or flexible")


def find_answer(completion: str, extraction: Extraction = "strict") -> Answer:
    """The answer of a completion. Linear in its length; never raises."""
    if len(completion) > LONGEST_COMPLETION:
        completion = completion[-READ_END:]
    text = answer_part(this_turn(completion))
    if text is None:
        return Answer((), "the thinking never ends")
    tagged = _tagged(text)
    text = text if tagged is None else tagged
    text, calculates = without_calculations(text)
    if not text.strip():
        return Answer((), "no answer found")
    boxed = _boxed(text)
    if boxed is not None:
        return _unmarked(boxed)
    hashes = [mark.end() for mark in _HASHES.finditer(text)]
    if hashes:
        return _unmarked(_as_answer((text[hashes[-1] :].strip().partition("\n")[0],), "after ####"))
    if tagged is not None:
        return _unmarked(_as_answer((text, *sentence(text)), "in <answer>"))
    line = answer_line(text)
    if line is not None and (announced(text) or 0) <= line[0]:
        return _unmarked(_as_answer((line[1],), "after A:"))
    return _as_answer(last_statement(text, calculates, extraction == "flexible"), "in the text")


def _unmarked(answer: Answer) -> Answer:
    """An answer that is a line `A: ...` as what follows the marker."""
    line = answer_line(answer.readings[0]) if answer.readings and ":" in answer.readings[0].replace("：", ":") else None
    if line is None or "\n" in answer.readings[0]:
        return answer
    readings = dict.fromkeys((line[2], *sentence(line[2])))
    return replace(answer, readings=tuple(readings), line=line[1])


def _as_answer(readings: tuple[str, ...], note: str) -> Answer:
    readings = tuple(dict.fromkeys(reading.strip() for reading in readings if reading.strip()))
    return Answer(readings, note) if readings else Answer((), "no answer found")


def _tagged(text: str) -> str | None:
    """The inside of the last `<answer>`, closed or not (a stop string may have eaten its end); None without one."""
    before, closed, after = text.rpartition("</answer>")
    if "<answer>" in after:
        return after.rpartition("<answer>")[2]
    if closed and "<answer>" in before:
        return before.rpartition("<answer>")[2]
    return None


def _boxed(text: str) -> Answer | None:
    """The last box and those joined to it. None without a box; an answer without text if the last box is not closed."""
    if "box" not in text:
        return None
    boxes: list[tuple[int, int, str]] = []  # start, end, inside
    position = 0
    while (mark := _BOX.search(text, position)) is not None:
        start = mark.start() - (text[mark.start() - 1 : mark.start()] == "\\")
        if mark[1] is None:
            inside = re.match(r"\s*+(\d++(?:\.\d++)?+|\w)", text[mark.end() :][:60])
            if inside is None:
                return Answer((), "the last box is empty")
            end = mark.end() + inside.end()
            boxes.append((start, end, inside[1]))
        else:
            end = _closing(text, mark.end())
            if end < 0:
                return Answer((), "the last box is not closed")
            boxes.append((start, end + 1, text[mark.end() : end]))
        position = end
    if not boxes:
        return None
    joined = _joined(text, boxes)
    together = ", ".join(joined).strip()
    if not together:
        return Answer((), "the last box is empty")
    return Answer((together,), "two different boxed answers" if len(set(joined)) > 1 else "boxed", len(joined))


def _closing(text: str, position: int) -> int:
    """Where the brace that was opened just before `position` is closed; -1 if nowhere."""
    depth = 1
    for mark in _BRACES.finditer(text, position):
        character = mark[0]
        if len(character) == 1:
            depth += 1 if character == "{" else -1
            if depth == 0:
                return mark.start()
    return -1


_BRACES = re.compile(r"\\[{}\\]|[{}]")


def _joined(text: str, boxes: list[tuple[int, int, str]]) -> list[str]:
    """The insides of the last box and of those before it that belong to the same statement, in order.

    "\\boxed{1} and \\boxed{2}" is one answer, "\\boxed{1}. Wait, it is \\boxed{2}" is a correction, "\\boxed{1} or
    perhaps \\boxed{2}" are alternatives, which are kept together so that they do not pay.
    """
    last = [boxes[-1]]
    for box in reversed(boxes[:-1]):
        if not _belong(text[box[1] : last[-1][0]]):
            break
        last.append(box)
    return [inside.strip() for _, _, inside in reversed(last)]


def _belong(gap: str) -> bool:
    if len(gap) > _LONGEST_GAP:
        return False
    bare = _GLUE.sub(" ", gap).strip()
    if _ALTERNATIVE.search(bare):
        return True
    if not bare:
        return "\n\n" not in gap
    if _AGAIN.search(bare) or re.search(r"[.!?:](?:\s|$)|\n[ \t\r]*+\n", bare):
        return False
    return _JOINING.search(bare) is not None and len(bare.split()) <= 7
