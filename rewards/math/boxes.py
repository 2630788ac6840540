"""Boxes: `\\boxed{5}`, `\\fbox{5}`, and what is no answer although it looks like one.

A box that is never closed, or is empty, holds nothing. A box that is only mentioned ("put it in \\boxed{}", "\\boxed
as you asked", `\\boxed{...}`) says nothing, wherever it stands. Of nested boxes the innermost one counts.
"""

import re
from dataclasses import dataclass

from rewards.math.phrases import ALTERNATIVES, is_placeholder

_BOX = re.compile(r"\\(?:boxed|fbox|framebox)(?![A-Za-z])\s*+(\{)?")
_SIMPLE = re.compile(r"\\boxed\{([-+.$]*+\d[\d.,/]*+)\}")
_BARE = re.compile(r"[-+]?\d++(?:,\d{3})*+(?:\.\d++)?+|(?!a\b|I\b)[^\W_](?!\w)")  # after \boxed without a brace
_BRACES = re.compile(r"\\[{}\\]|[{}]")
_NOTHING = re.compile(r"(?:\\(?:boxed|fbox|text(?:bf|rm|it)?|mathrm|quad|[,;:! ])|[\s{}$~])*+")
_INTRODUCED = re.compile(
    r"\b(?:in|inside|into|within|with|using|use|by|the)\s*+(?:an?\s++|empty\s++)*+[`'\"$(]*+$", re.IGNORECASE
)
_QUOTES = "`'\""
_VALUES = re.compile(r"[\d,;()+*/^|<>-]")
_LONGEST_CHECKED = 200  # characters of a box that may be empty, or no more than a frame of another box

_GLUE = re.compile(r"\\[()\[\]]|\$|\\q?quad\b|\\[,;:! ]|\\text\{|[{}~*\s]")
_AGAIN = re.compile(
    r"\b(?:no|not|wait|actually|sorry|instead|rather|but|correction|mistake|wrong|so|thus|hence|therefore|which|"
    r"then|since|because|check|equals?|simplif\w{0,5}|final|total|sum)\b",
    re.IGNORECASE,
)
_JOINING = re.compile(r"[,;&،、]|\b(?:and|or|und|et|y)\b|和|与|及|或|و", re.IGNORECASE)
_LONGEST_GAP = 80  # characters between two boxes of one statement


@dataclass(frozen=True, slots=True)
class Boxes:
    """The boxes of a text.

    Attributes:
        answers: the insides of the last box and of those that belong to the same statement, in order; none if no box
            holds anything, or if the last one takes the answer back.
        fault: why the last box holds nothing; empty if it does, or if there is no box.
        taken_back: an empty or unclosed box follows one that holds something.
        rest: the text without the boxes that hold nothing.
        span: where the first of the answers begins and the last one ends.
    """

    answers: tuple[str, ...]
    fault: str
    taken_back: bool
    rest: str
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class _Box:
    start: int
    end: int
    inside: str
    fault: str = ""


def boxes(text: str, closed: bool) -> Boxes:
    """What the boxes of a text hold. Linear in its length.

    Args:
        text: what is searched.
        closed: the end of the text closes a box that is open there, for a closing tag follows it.
    """
    if "box" not in text:
        return Boxes((), "", False, text)
    simple = _SIMPLE.search(text) if text.count("box") == 1 else None
    if simple is not None:  # as nearly always
        return Boxes((simple[1],), "", False, text, simple.span())
    found = _found(text, closed)
    good = [box for box in found if not box.fault]
    bad = [box for box in found if box.fault]
    if good and (not bad or bad[-1].start < good[-1].start):
        joined = _joined(text, good)
        return Boxes(tuple(box.inside for box in joined), "", False, text, (joined[0].start, joined[-1].end))
    return Boxes((), bad[-1].fault if bad else "", bool(good), _without(text, bad))


def _found(text: str, closed: bool) -> list[_Box]:
    """All boxes but those that are only mentioned; of nested ones the innermost, if the others only enclose it."""
    marks = list(_BOX.finditer(text))
    partners = _partners(text, marks[0].start()) if marks else {}
    last_line = text.rfind("\n", 0, len(text.rstrip()))
    found: list[_Box] = []
    for mark in marks:
        if mark[1] is None:
            bare = _BARE.match(text, mark.end())
            if bare is not None:
                found.append(_Box(mark.start(), bare.end(), bare[0]))
            continue
        stop = partners.get(mark.end() - 1)
        if stop is not None:
            _add(found, _closed_box(text, mark, stop, stop + 1))
        elif closed and mark is marks[-1]:
            _add(found, _closed_box(text, mark, len(text), len(text)))
        else:
            end = mark.end() if last_line >= mark.end() else len(text)  # what was cut off in the last line is lost
            found.append(_Box(mark.start(), end, "", "the last box is not closed"))
    return found


def _closed_box(text: str, mark: re.Match[str], stop: int, end: int) -> _Box | None:
    """A box whose inside ends at `stop`; None if it is only mentioned."""
    inside = text[mark.end() : stop].strip()
    if len(inside) <= _LONGEST_CHECKED:
        if is_placeholder(inside):
            return None
        if _NOTHING.fullmatch(inside):
            fault = "the last box is empty"
            return None if _is_mentioned(text, mark.start(), end) else _Box(mark.start(), end, "", fault)
    return _Box(mark.start(), end, inside)


def _add(found: list[_Box], box: _Box | None) -> None:
    """Add a box, unless the one before encloses it and holds more; in the place of that one if it holds no more."""
    if box is None:
        return
    outer = found[-1] if found and not found[-1].fault and found[-1].end >= box.end else None
    if outer is not None:
        if len(outer.inside) > _LONGEST_CHECKED or box.fault:
            return
        before, _, after = outer.inside.partition(box.inside)
        if _VALUES.search(before + after):
            return
        found.pop()
    found.append(box)


def _without(text: str, bad: list[_Box]) -> str:
    """A text without these boxes."""
    kept, position = [], 0
    for box in bad:
        if box.start >= position:
            kept.append(text[position : box.start])
            position = box.end
    return " ".join([*kept, text[position:]])


def _is_mentioned(text: str, start: int, end: int) -> bool:
    """Whether an empty box is spoken of: "put it in \\boxed{}", `\\boxed{}`."""
    before = text[max(0, start - 40) : start]
    quoted = before[-1:] in _QUOTES and bool(before) and text[end : end + 1] == before[-1]
    return quoted or _INTRODUCED.search(before) is not None


def _partners(text: str, start: int) -> dict[int, int]:
    """Where each brace that is opened at `start` or later is closed."""
    opened: list[int] = []
    found: dict[int, int] = {}
    for mark in _BRACES.finditer(text, start):
        if mark[0] == "{":
            opened.append(mark.start())
        elif mark[0] == "}" and opened:
            found[opened.pop()] = mark.start()
    return found


def _joined(text: str, good: list[_Box]) -> list[_Box]:
    """The last box and of those before it that belong to the same statement, in order.

    "\\boxed{1} and \\boxed{2}" is one answer, "\\boxed{1}. Wait, it is \\boxed{2}" is a correction, "\\boxed{1} or
    perhaps \\boxed{2}" are alternatives, which are kept together so that they do not pay.
    """
    last = [good[-1]]
    for box in reversed(good[:-1]):
        if not _belong(text[box.end : last[-1].start]):
            break
        last.append(box)
    return last[::-1]


def _belong(gap: str) -> bool:
    if len(gap) > _LONGEST_GAP:
        return False
    bare = _GLUE.sub(" ", gap).strip()
    if ALTERNATIVES.search(bare):
        return True
    if not bare:
        return "\n\n" not in gap
    if _AGAIN.search(bare) or re.search(r"[.!?:](?:\s|$)|\n[ \t\r]*+\n", bare):
        return False
    return _JOINING.search(bare) is not None and len(bare.split()) <= 7
