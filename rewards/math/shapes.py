"""The outer form of a cleaned answer: list, tuple, set, interval, union, matrix, relation, or scalar."""

import functools
import itertools
import re
from dataclasses import dataclass, replace

from rewards.math.bases import read_numeral
from rewards.math.clean import unbraced
from rewards.math.numerals import read_number
from rewards.math.times import read_time

MOST_ITEMS = 200
DEEPEST = 6

_OPEN, _CLOSE = "([{«", ")]}»"
_RELATION = re.compile(r"\\(?:le|ge|ne|in|notin)(?![A-Za-z])|[=<>]")
_MATRIX = re.compile(
    r"^[(\[|{\s]*+\\begin\s?\{(?P<kind>[pbBvV]?matrix|smallmatrix|array)\}(?:\s*+\{[^{}]*+\})?+(?P<body>.*)\\end\s?\{(?P=kind)\}[)\]|}\s]*+$",
    re.DOTALL,
)
_UNION = re.compile(r"\\cup(?![A-Za-z])")
_FRENCH = re.compile(  # ]a;b[ for (a,b)
    r"(^|\\(?:in|cup|cap|setminus)(?![A-Za-z])|[|:])\s*+([\[\]])([^\[\](),;]{1,200}[,;][^\[\](),;]{1,200})([\[\]])"
    r"(?=\s*+(?:$|\\(?:cup|cap|setminus)))"
)
_HALF_OPEN = re.compile(r"([A-Za-z])\s?(\([^()\[\],]{1,80},[^()\[\],]{1,80}\]|\[[^()\[\],]{1,80},[^()\[\],]{1,80}\))")
_PLUS_MINUS = re.compile(r"\\(pm|mp)(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value, formula or text."""

    text: str


@dataclass(frozen=True, slots=True)
class Group:
    """Several answers. `kind`: `list` (bare), `tuple` (brackets `()` or `[]`), `set`, `ratio`, `row` or `matrix`.

    `brackets`: of a tuple, where `][` is an open interval and no point; of a list the sign `∨` or `∧` of the word "or"
    or "and" that joins it.
    """

    kind: str
    items: tuple["Shape", ...]
    brackets: str = ""


@dataclass(frozen=True, slots=True)
class Union:
    """A union of intervals and sets."""

    parts: tuple["Shape", ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain such as `0 < x <= 1`: its sides, and the signs between them.

    A sign is one of `=`, `<`, `>`, `le`, `ge`, `ne`, `in`, `notin`.
    """

    sides: tuple[str, ...]
    signs: tuple[str, ...]


Shape = Scalar | Group | Union | Relation


@functools.lru_cache(maxsize=8192)
def shape(text: str) -> Shape:
    """The outer form of a cleaned text. Linear in its length up to a fixed depth; never raises."""
    return _shape(text, 0)


def _shape(text: str, depth: int) -> Shape:
    text = _bare(text)
    if depth > DEEPEST or not text or text.isalnum():
        return Scalar(text)
    matrix = _MATRIX.match(text)
    if matrix is not None:
        return _matrix(matrix, depth)
    if "\\begin" in text or ("∧" in text and read_number(text) is not None):
        return Scalar(text)
    if ("[" in text or "]" in text) and (text[0] == "]" or text[-1] == "[" or "\\in" in text or "\\cup" in text):
        is_open = text[0] + text[-1] == "]["
        text = _FRENCH.sub(_unfrench, text)
        if is_open and text[0] == "(" and closing(text, 0) == len(text) - 1:
            interval = _bracketed(text, depth)
            return replace(interval, brackets="][") if isinstance(interval, Group) else interval
    for separators in (";", "∨", "∧", ","):
        parts = split(text, separators)
        if len(parts) > 1:
            parts = [part for part in parts if part.strip(" ‹›")]
            if not parts:
                return Scalar("")
            if len(parts) == 1:
                return _shape(parts[0], depth + 1)
            return Group(
                "list",
                tuple(itertools.chain.from_iterable(_items(part, separators, depth) for part in parts[:MOST_ITEMS])),
                separators if separators in "∨∧" else "",
            )
    found = _relation(text) or _named_interval(text)
    if found is not None:
        return found
    return _single(text, depth)


def _unfrench(match: re.Match[str]) -> str:
    return f"{match[1]}{'[('[match[2] == ']']}{match[3]}{'])'[match[4] == '[']}"


def _items(part: str, separators: str, depth: int) -> tuple[Shape, ...]:
    """One part of a list. Of `p=5, q=2; p=7, q=2` each is a tuple; of `1, 2 and 3` or `±5` each item counts."""
    found = _shape(part, depth + 1)
    if isinstance(found, Group) and found.kind == "list" and not any(map(_is_condition, found.items)):
        pair = separators == ";" or all(isinstance(item, Relation) and item.signs == ("=",) for item in found.items)
        return (
            (Group("tuple", found.items, "()"),)
            if depth == 0 and "," in part and separators != "," and pair
            else found.items
        )
    return (found,)


def _is_condition(found: Shape) -> bool:
    return isinstance(found, Relation) and found.signs != ("=",)


def _single(text: str, depth: int) -> Shape:
    if _UNION.search(text):
        parts = split_at(text, _UNION)
        if len(parts) > 1:
            return Union(tuple(_shape(part, depth + 1) for part in parts))
    if text[0] in _OPEN and text[-1] in _CLOSE and closing(text, 0) == len(text) - 1:
        return _bracketed(text, depth)
    if _PLUS_MINUS.search(text):
        return Group("list", tuple(Scalar(item) for item in _signs(text)))
    if ":" in text and not read_time(text) and not read_numeral(text):
        parts = split(text, ":")
        if len(parts) > 1 and all(part.strip() for part in parts):
            return Group("ratio", tuple(Scalar(part.strip()) for part in parts))
    return Scalar(text)


def _bracketed(text: str, depth: int) -> Shape:
    inside, brackets = text[1:-1], text[0] + text[-1]
    if brackets == "«»" and not inside.strip():
        return Scalar("\\emptyset")
    parts = split(inside, ",") if not split(inside, ";")[1:] else split(inside, ";")
    parts = [part.strip() for part in parts if part.strip()]
    if brackets == "«»":
        if "|" in inside or ":" in inside:
            return Scalar(text)
        items = (_shape(part, depth + 1) for part in parts[:MOST_ITEMS])
        return Group(
            "set",
            tuple(
                itertools.chain.from_iterable(
                    i.items if isinstance(i, Group) and i.kind == "list" else (i,) for i in items
                )
            ),
        )
    if len(parts) < 2:
        return Scalar(text)
    return Group("tuple", tuple(_shape(part, depth + 1) for part in parts[:MOST_ITEMS]), brackets)


def _matrix(match: re.Match[str], depth: int) -> Shape:
    if match["kind"].lower() == "vmatrix":
        return Scalar(match[0])
    body = match["body"]
    if "\\begin" in body or "\\hline" in body:
        return Scalar(match[0])
    rows = [row for row in body.replace("\\cr", "¦").split("¦") if row.strip()]
    cells = [
        Group("row", tuple(_shape(cell, depth + 1) for cell in row.split("&")[:MOST_ITEMS]))
        for row in rows[:MOST_ITEMS]
    ]
    return Group("matrix", tuple(cells))


def _relation(text: str) -> Relation | None:
    if not _RELATION.search(text):
        return None
    sides, signs, start = [], [], 0
    for match in _RELATION.finditer(text):
        if depth_at(text, match.start()) == 0:
            sides.append(_bare(text[start : match.start()]))
            signs.append(match[0].lstrip("\\"))
            start = match.end()
            if len(signs) > 20:
                return None
    sides.append(_bare(text[start:]))
    if not signs or not all(sides[1:]):
        return None
    if not sides[0] and signs[0] == "=":
        sides, signs = sides[1:], signs[1:]
    return Relation(tuple(sides), tuple(signs))


def _named_interval(text: str) -> Relation | None:
    """`t(0,4]`, where "in" was left out; with two brackets of a kind it would be the value of a function."""
    match = _HALF_OPEN.fullmatch(text)
    return Relation((match[1], match[2]), ("in",)) if match is not None else None


def _bare(text: str) -> str:
    """Without spaces, a sentence's punctuation, and braces around all of it."""
    text = text.strip().strip(",;").strip()
    if text.endswith(".") and not text.endswith(".."):
        text = text[:-1].rstrip()
    if text.startswith("{") and text.endswith("}") and closing(text, 0) == len(text) - 1:
        inner = unbraced(text)
        return text[1:-1].strip() if text.startswith("{(") or inner == text else _bare(inner)  # "{(1,2]}" stays so
    return text


def closing(text: str, start: int) -> int:
    """Where the bracket at `start` is closed, any kind of bracket closing any other; -1 if nowhere."""
    depth = 0
    for position in range(start, len(text)):
        character = text[position]
        if character in _OPEN:
            depth += 1
        elif character in _CLOSE:
            depth -= 1
            if depth == 0:
                return position
    return -1


@functools.lru_cache(maxsize=512)
def _depths(text: str) -> tuple[int, ...]:
    depths, depth = [], 0
    for character in text:
        if character in _OPEN:
            depth += 1
        elif character in _CLOSE and depth:
            depth -= 1
        depths.append(depth)
    return tuple(depths)


def depth_at(text: str, position: int) -> int:
    """How many brackets are open at a position."""
    return _depths(text)[position]


def split(text: str, separators: str) -> list[str]:
    """The parts between separators that are in no bracket."""
    if not any(separator in text for separator in separators):
        return [text]
    parts, start = [], 0
    for position, (character, depth) in enumerate(zip(text, _depths(text), strict=True)):
        if depth == 0 and character in separators:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return parts


def split_at(text: str, pattern: re.Pattern[str]) -> list[str]:
    """The parts between matches of a pattern that are in no bracket."""
    parts, start = [], 0
    for match in pattern.finditer(text):
        if depth_at(text, match.start()) == 0:
            parts.append(text[start : match.start()])
            start = match.end()
    parts.append(text[start:])
    return parts


def _signs(text: str) -> tuple[str, ...]:
    """The values of a text with `±` and `∓`: signs that go together if there is a `∓`, else independent ones."""
    marks = list(_PLUS_MINUS.finditer(text))
    if len(marks) > 4:
        return (text,)
    together = any(mark[1] == "mp" for mark in marks)
    values = []
    for choice in (
        ((1,) * len(marks), (-1,) * len(marks)) if together else itertools.product((1, -1), repeat=len(marks))
    ):
        parts, start = [], 0
        for mark, sign in zip(marks, choice, strict=True):
            parts += [text[start : mark.start()], "+" if (sign > 0) == (mark[1] == "pm") else "-"]
            start = mark.end()
        values.append("".join([*parts, text[start:]]).strip().removeprefix("+").strip())
    return tuple(dict.fromkeys(values))
