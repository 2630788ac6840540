"""Where the answer of a completion is. There are two ways to read it, named as lm-evaluation-harness names them.

*strict*: the answer is marked, or the completion is nothing but the answer. *flexible*: what strict finds; without a
mark, plain prose is read, see `rewards.math.last_number`.

What follows the last `</think>` is read (nothing, if a think block never ends), and of that the last `<answer>` alone,
if it holds something. The first kind of mark that holds something decides:

1. the last `\\boxed{}`, together with boxes that belong to the same statement;
2. what follows the last `####`;
3. the inside of `<answer>`;
4. what follows the last phrase such as "the answer is" in one of several languages, or the `A:` of a last line;
5. a text of at most 200 characters as a whole, or a formula in `$...$` that ends a short last sentence.

A mark that is empty, broken or only mentioned holds nothing and hides no other mark. One exception: an empty or
unclosed box after a good one takes the answer back ("To be exact, \\boxed{"). Programs are never read, other blocks of
code only where the answer is marked. A solution with GSM8K's calculator marks `<<2*3=6>>` has its answer in a line of
its own: without one it was cut off, and its last number is not read. Every scan is linear in the length of the text.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from rewards.errors import BadInput
from rewards.format import answer_part
from rewards.math.boxes import boxes
from rewards.math.corrections import begins_with_value, corrected
from rewards.math.last_number import last_number
from rewards.math.markers import announced, answer_line, without_calculations
from rewards.math.prose import (
    LONGEST_TAIL,
    announced_answer,
    last_formula,
    only_number,
    sentence,
    whole,
    without_hope,
)
from rewards.math.sentences import is_name, signed
from rewards.math.tags import after_hashes, tagged, without_code, without_tags
from rewards.turns import this_turn

Extraction = Literal["strict", "flexible"]
EXTRACTIONS: tuple[Extraction, ...] = get_args(Extraction)
LONGEST_ANSWER = 2_000  # characters
CONTEXT = 80  # characters around a box that may deny it
LONGEST_COMPLETION = 100_000  # of a longer one only the end is read
READ_END = 20_000
IN_TEXT = "in the text"  # where an answer without a mark is, or one that a phrase announces


@dataclass(frozen=True, slots=True)
class Answer:
    """What a completion gives as its answer.

    Attributes:
        readings: the answer's text, in one or more readings of the same statement ("The area is 5", "5"); none if there
            is no answer.
        note: where it was found, or why there is none.
        boxes: how many boxes it was put together from.
        line: the whole line if it begins with `A:`, which may also mean the first of several choices.
        in_words: the number in words that prose ends with, if it comes after the number in `readings`. It is the
            answer where the gold answer is a small whole number.
        said: the statement that holds the answer; empty if that is the first of the readings.
        before, after: what stands around a box; before what a phrase announces, with the phrase.
    """

    readings: tuple[str, ...]
    note: str
    boxes: int = 0
    line: str = ""
    in_words: str = ""
    said: str = ""
    before: str = ""
    after: str = ""


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
    answering = answer_part(this_turn(completion))
    if answering is None:
        return Answer((), "the thinking never ends")
    text, prose = without_code(signed(answering))
    found = _in_tag(text)
    if found is not None:
        return found
    bare, calculates = without_calculations(without_tags(text))
    found, left, fault = _marked(bare, closed=False)
    if found is not None:
        return found
    said, is_answer = announced_answer(without_hope(left))
    found = _announced(left, said if is_answer else ())
    if found is None and not calculates:
        if prose is not text:
            prose = _marked(without_tags(prose), closed=False)[1]
        found = _unmarked(left, left if prose is text else prose, said, extraction)
    return found or Answer((), fault or "no answer found")


def _in_tag(text: str) -> Answer | None:
    """The answer in the last `<answer>` that holds something."""
    tag = tagged(text)
    if tag is None:
        return None
    inside, closed = tag
    found, left, _ = _marked(without_calculations(inside)[0], closed)
    if found is not None:
        return found
    if " " not in left.strip():
        return _answer((left,), "in <answer>")
    found = _answer((*_said(left), left, *sentence(left)), "in <answer>")
    return _as_corrected(found, left)


def _marked(text: str, closed: bool) -> tuple[Answer | None, str, str]:
    """The answer in a box or after `####`, the text without boxes that hold nothing, and why the last one does not."""
    held = boxes(text, closed)
    if held.taken_back:
        return Answer((), held.fault), held.rest, held.fault
    if held.answers:
        together = ", ".join(held.answers)
        note = "two different boxed answers" if len(set(held.answers)) > 1 else "boxed"
        start, end = held.span
        before, after = text[max(0, start - CONTEXT) : start], text[end : end + CONTEXT]
        answer = Answer((together, *only_number(together)), note, len(held.answers), before=before, after=after)
        return _as_corrected(_after_line_mark(answer), text[end:], in_a_mark=True), held.rest, held.fault
    hashes = after_hashes(held.rest) or ""
    found = _answer((*_said(hashes), hashes), "after ####")
    return _as_corrected(found, held.rest.rpartition("####")[2]), held.rest, held.fault


def _as_corrected(answer: Answer | None, rest: str, in_a_mark: bool = False) -> Answer | None:
    """An answer, or what a correction in the text that begins with it or follows it says in its place."""
    said = corrected(rest, in_a_mark) if answer is not None and len(rest) > 2 else None
    if said is None:
        return answer
    if not said:
        return Answer((), "the answer is taken back")
    return Answer((said, *sentence(said)), "in a correction")


def _said(text: str) -> tuple[str, ...]:
    """The answer that a phrase in a marked text announces."""
    said, is_answer = announced_answer(text) if " " in text else ((), False)
    return said if is_answer else ()


def _announced(text: str, said: tuple[str, ...]) -> Answer | None:
    """The answer after a phrase, or after the `A:` of a later line."""
    line = answer_line(text)
    start = max(announced(text), default=0) if line is not None or said else 0
    if line is not None and start <= line[0]:
        return _answer((line[1],), "after A:")
    answer = _answer(said, IN_TEXT, line_mark=False)
    if answer is not None and start:
        answer = replace(answer, before=text[max(0, start - CONTEXT) : start])
    return _as_corrected(answer, text[start:])


def _unmarked(text: str, prose: str, said: tuple[str, ...], extraction: Extraction) -> Answer | None:
    """The answer of a text without a mark. `said`: what a phrase says of an answer without giving one."""
    text = without_hope(text)
    formula = last_formula(text)
    number, in_words, stated = "", "", ""
    if begins_with_value(text) and (correction := corrected(text)):
        return Answer((correction,), "in a correction")
    if extraction == "flexible" and (formula is None or is_name(formula)):
        number, in_words, stated = last_number(without_hope(prose)[-LONGEST_TAIL:])
    found = _answer((*whole(text), number or formula or in_words, *said), IN_TEXT, line_mark=False)
    return found if found is None or not stated else replace(found, in_words=in_words, said=stated)


def _answer(readings: tuple[str, ...], note: str, line_mark: bool = True) -> Answer | None:
    """An answer with those readings that say something; None if none does."""
    readings = tuple(dict.fromkeys(reading.strip() for reading in readings if reading.strip()))
    if not readings:
        return None
    answer = Answer(readings, note)
    return _after_line_mark(answer) if line_mark else answer


def _after_line_mark(answer: Answer) -> Answer:
    """An answer that is a line `A: ...` as what follows the marker."""
    line = answer_line(answer.readings[0]) if ":" in answer.readings[0].replace("：", ":") else None
    if line is None or "\n" in answer.readings[0]:
        return answer
    readings = dict.fromkeys((line[2], *sentence(line[2])))
    return replace(answer, readings=tuple(readings), line=line[1])
