"""Sets of real numbers: intervals, their unions, and inequalities in one unknown, in one form for comparison."""

import re
from dataclasses import dataclass
from fractions import Fraction

from rewards.math.clean import spaceless
from rewards.math.exact import NotRational, TooLarge, rational
from rewards.math.macros import Tree
from rewards.math.numeric import real_value
from rewards.math.scalars import Decision, compare_scalars
from rewards.math.shapes import Group, Relation, Scalar, Shape, Union, shape, split
from rewards.math.tree import parse

_INFINITY = re.compile(r"^([+-]?)\s*+(?:\\infty|infinity|inf|oo|‹infinity›)$")
_REALS = {
    "\\mathbb{R}",
    "\\mathbbR",
    "\\R",
    "\\Reals",
    "R",
    "allrealnumbers",
    "allreals",
    "allrealx",
    "\\mathbf{R}",
    "realnumbers",
}
_FLIPPED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "ne": "ne", "=": "="}
_UNKNOWN = re.compile(r"^\\?[A-Za-z]+(?:_\w|_\{\w+\})?'*(?:\([^()]*\))?$")
_WITHOUT = re.compile(r"\\setminus|\\backslash")
_LOW, _HIGH = float("-inf"), float("inf")


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds as text, None for infinity, and whether they belong to the set. A single point has both bounds equal."""

    low: str | None
    high: str | None
    low_closed: bool
    high_closed: bool


def real_set(found: Shape) -> tuple[str, list[Interval]] | None:
    """(the unknown it is about or "", intervals in order) of a set, interval or inequality; None if it is none."""
    if isinstance(found, Scalar):
        return _named_set(found.text)
    if isinstance(found, Union):
        parts = [real_set(part) for part in found.parts]
        intervals: list[Interval] = []
        for part in parts:
            if part is None:
                return None
            intervals += part[1]
        return (next((part[0] for part in parts if part and part[0]), ""), _ordered(intervals) or intervals)
    if isinstance(found, Group):
        return _group(found)
    return _inequality(found)


def compare_sets(gold: list[Interval], answer: list[Interval]) -> Decision:
    """Whether two sets are the same."""
    if len(gold) != len(answer):
        return False, "different sets"
    decided: bool | None = True
    for a, b in zip(gold, answer, strict=True):
        equal = _same_interval(a, b)
        if equal is False:
            return False, "different sets"
        decided = None if equal is None else decided
    return decided, "the same set" if decided else "not decided as sets"


def _same_interval(a: Interval, b: Interval) -> bool | None:
    if (a.low_closed, a.high_closed) != (b.low_closed, b.high_closed):
        return False
    decided: bool | None = True
    for x, y in ((a.low, b.low), (a.high, b.high)):
        if (x is None) != (y is None):
            return False
        if x is not None and y is not None:
            equal = compare_scalars(x, y)[0]
            if equal is False:
                return False
            decided = None if equal is None else decided
    return decided


def _named_set(text: str) -> tuple[str, list[Interval]] | None:
    parts = _WITHOUT.split(text)
    if spaceless(parts[0]) in _REALS:
        if len(parts) == 1:
            return "", [Interval(None, None, False, False)]
        removed = shape(parts[1]) if len(parts) == 2 else None
        if (
            isinstance(removed, Group)
            and removed.kind == "set"
            and all(isinstance(item, Scalar) for item in removed.items)
        ):
            points = [item.text for item in removed.items if isinstance(item, Scalar)]
            return _without(points)
    if text.startswith("«") and text.endswith("»"):
        inside = text[1:-1]
        parts = split(inside, "|") if "|" in inside else split(inside, ":")
        found = shape(parts[1]) if len(parts) == 2 else None
        return _inequality(found) if isinstance(found, Relation) else None
    return None


def _without(points: list[str]) -> tuple[str, list[Interval]] | None:
    valued = sorted((value, point) for point in points if (value := _size(point)) is not None)
    if len(valued) != len(points):
        return None
    bounds = [None, *(point for _, point in valued), None]
    return "", [Interval(low, high, False, False) for low, high in zip(bounds, bounds[1:], strict=False)]


def _group(group: Group) -> tuple[str, list[Interval]] | None:
    if group.kind == "tuple" and len(group.items) == 2 and all(isinstance(item, Scalar) for item in group.items):
        low, high = (item.text for item in group.items if isinstance(item, Scalar))
        ends = _bound(low), _bound(high)
        closed = group.brackets[0] == "[", group.brackets[1] == "]"
        return "", [Interval(*ends, closed[0] and ends[0] is not None, closed[1] and ends[1] is not None)]
    if group.kind == "set" and all(isinstance(item, Scalar) for item in group.items):
        points = [Interval(item.text, item.text, True, True) for item in group.items if isinstance(item, Scalar)]
        return "", _ordered(points) or points
    if group.kind == "list" and len(group.items) <= 8 and any(_is_inequality(item) for item in group.items):
        found = [real_set(item) for item in group.items]
        both = _intersection([sets[1][0] for sets in found if sets is not None and len(sets[1]) == 1])
        if group.brackets != "∨" and both is not None and len(found) == 2:
            return next((sets[0] for sets in found if sets is not None), ""), [both]
        return real_set(Union(group.items))
    return None


def _intersection(intervals: list[Interval]) -> Interval | None:
    """What a lower and an upper bound enclose, as in `x > -2 and x < 5`; None if these are not two such bounds."""
    if len(intervals) != 2:
        return None
    lower = [interval for interval in intervals if interval.low is not None and interval.high is None]
    upper = [interval for interval in intervals if interval.high is not None and interval.low is None]
    low, high = (_size(side[0].low if side is lower else side[0].high) if side else None for side in (lower, upper))
    if low is None or high is None or low >= high:
        return None
    return Interval(lower[0].low, upper[0].high, lower[0].low_closed, upper[0].high_closed)


def _is_inequality(found: Shape) -> bool:
    return isinstance(found, Relation) and any(sign in ("<", ">", "le", "ge", "ne", "in") for sign in found.signs)


def _bound(text: str) -> str | None:
    return None if _INFINITY.match(text.strip()) else text


def _inequality(found: Relation) -> tuple[str, list[Interval]] | None:
    sides, signs = found.sides, found.signs
    if len(sides) == 2 and signs[0] == "in":
        inside = real_set(shape(sides[1]))
        return (spaceless(sides[0]), inside[1]) if inside is not None else None
    if any(sign not in _FLIPPED for sign in signs) or not 2 <= len(sides) <= 3:
        return None
    if len(sides) == 3:
        return _between(found)
    if signs[0] == "=":
        return None
    constant = [_is_constant(side) for side in sides]
    if constant == [True, False]:
        sides, signs = (sides[1], sides[0]), (_FLIPPED[signs[0]],)
    elif constant != [False, True]:
        return None
    return _one_sided(sides[0], signs[0], sides[1])


def _one_sided(unknown: str, sign: str, bound: str) -> tuple[str, list[Interval]] | None:
    linear = _linear(unknown)
    if linear is None and not _UNKNOWN.match(unknown.replace(" ", "")):
        return None
    if linear is not None:
        name, factor, shift = linear
        if (factor, shift) != (1, 0):
            bound = f"(({bound})-({shift}))*({1 / factor})"
            sign = sign if factor > 0 else _FLIPPED[sign]
        unknown = name
    if sign == "ne":
        return unknown, [Interval(None, bound, False, False), Interval(bound, None, False, False)]
    end = _bound(bound)
    if end is None:
        return unknown, [Interval(None, None, False, False)]
    closed = sign in ("le", "ge")
    low = sign in (">", "ge")
    return unknown, [Interval(end, None, closed, False) if low else Interval(None, end, False, closed)]


def _between(found: Relation) -> tuple[str, list[Interval]] | None:
    (low, middle, high), signs = found.sides, found.signs
    if (
        not (_is_constant(low) or _bound(low) is None)
        or not (_is_constant(high) or _bound(high) is None)
        or _is_constant(middle)
    ):
        return None
    if all(sign in (">", "ge") for sign in signs):
        low, high, signs = high, low, (_FLIPPED[signs[1]], _FLIPPED[signs[0]])
    if not _UNKNOWN.match(middle.replace(" ", "")):
        return None
    if not all(sign in ("<", "le") for sign in signs) or _linear(middle) not in (
        None,
        (spaceless(middle), Fraction(1), Fraction(0)),
    ):
        return None
    ends = _bound(low), _bound(high)
    closed = signs[0] == "le" and ends[0] is not None, signs[1] == "le" and ends[1] is not None
    return spaceless(middle), [Interval(*ends, *closed)]


def _is_constant(text: str) -> bool:
    read = parse(text)
    return read is not None and real_value(read[0]) is not None or _bound(text) is None


def _linear(text: str) -> tuple[str, Fraction, Fraction] | None:
    """(name, a, b) of a x + b with rational a, b; None for everything else."""
    read = parse(text)
    if read is None:
        return None
    try:
        names = _names(read[0])
        if len(names) != 1:
            return None
        (name,) = names
        values = [rational(_with(read[0], name, x)) for x in (0, 1, 3, -2)]
    except (NotRational, TooLarge):
        return None
    slope = values[1] - values[0]
    return (name, slope, values[0]) if slope and values[2:] == [values[0] + 3 * slope, values[0] - 2 * slope] else None


def _names(tree: Tree) -> set[str]:
    if tree[0] == "sym":
        return {tree[1]}
    return set() if tree[0] == "num" else set().union(*(_names(part) for part in tree[1:]))


def _with(tree: Tree, name: str, value: int) -> Tree:
    if tree[0] == "sym":
        return ("num", Fraction(value)) if tree[1] == name else tree
    return tree if tree[0] == "num" else (tree[0], *(_with(part, name, value) for part in tree[1:]))


def _size(text: str | None) -> float | None:
    read = parse(text) if text else None
    return None if read is None else real_value(read[0])


def _ordered(intervals: list[Interval]) -> list[Interval] | None:
    """In order of their bounds, those that touch or overlap made one; None if a bound has no known size."""
    sized = []
    for interval in intervals:
        low = _LOW if interval.low is None else _size(interval.low)
        high = _HIGH if interval.high is None else _size(interval.high)
        if low is None or high is None:
            return None
        sized.append((low, not interval.low_closed, high, interval))
    sized.sort(key=lambda item: item[:3])
    merged: list[tuple[float, Interval]] = []
    for low, _, high, interval in sized:
        if merged and _touch(merged[-1][0], merged[-1][1], low, interval):
            end, last = merged[-1]
            if high > end:
                last, end = Interval(last.low, interval.high, last.low_closed, interval.high_closed), high
            elif high == end and interval.high_closed:
                last = Interval(last.low, last.high, last.low_closed, True)
            merged[-1] = (end, last)
        else:
            merged.append((high, interval))
    return [interval for _, interval in merged]


def _touch(end: float, last: Interval, low: float, interval: Interval) -> bool:
    return low < end or (low == end and (last.high_closed or interval.low_closed))
