"""Reading sets of real numbers: intervals, their unions, inequalities in one unknown, lists of solutions.

`x > 2 and x < 5`, `(2, 5)`, `|2x - 7| < 3` and `{x : 2 < x < 5}` are one set; `2, 5`, `x = 2 or x = 5` and `{2, 5}`
another. "and" joins conditions and "or" alternatives. A comma joins conditions that can hold together (`x > 2, x < 5`),
and lists alternatives otherwise (`x < 2, x > 5`). Solutions and intervals are listed by any of the three.
"""

import functools
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from rewards.math.clean import spaceless, unbraced
from rewards.math.exact import NotRational, TooLarge, rational
from rewards.math.macros import Tree
from rewards.math.regions import (
    ABOVE_ZERO,
    EMPTY,
    HIGHEST,
    LOWEST,
    REALS,
    Cut,
    Region,
    between,
    complement,
    intersection,
    point,
    size,
    solved,
    union,
)
from rewards.math.shapes import Group, Relation, Scalar, Shape, Union, shape, split_at
from rewards.math.tree import names, parse, replaced

RealSet = tuple[str, Region]  # the unknown it is about or "", and the numbers

BOUNDS = {"<", ">", "le", "ge"}
_CONDITIONS = BOUNDS | {"ne", "in", "notin"}
_FLIPPED = {"<": ">", ">": "<", "le": "ge", "ge": "le", "ne": "ne", "=": "="}
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
_SIGNED = re.compile(r"(?:\\mathbb\{?|\\mathbf\{|\\)R\}?[\^_]\{?(?:([+-])|(>|<|\\ge|\\le)\s?0)\}?")
_UNKNOWN = re.compile(r"^\\?[A-Za-z]+(?:_\w|_\{\w+\})?'*(?:\([^()]*\))?$")
_REAL_NUMBER = re.compile(r"[xyt]")  # of |x| = 1; |z| = 1 is a modulus, |A| = 1 a number of elements
_WITHOUT = re.compile(r"\\setminus|\\backslash|(?<=[\])}»R])\s*+-?\s*+(?=«)")
_MARKED = re.compile(r"\\setminus|\\cap|\\emptyset|«|R")
_CAP = re.compile(r"\\cap(?![A-Za-z])")


@functools.lru_cache(maxsize=8192)
def real_set(found: Shape) -> RealSet | None:
    """The set of real numbers that an answer describes, in whatever form; None if it describes none."""
    if isinstance(found, Scalar):
        return _scalar(found.text)
    if isinstance(found, Union):
        return _joined([real_set(part) for part in found.parts], union)
    if isinstance(found, Group):
        return _group(found)
    return _relation(found)


def is_region(found: Shape) -> bool:
    """Whether an answer is written as a set of real numbers and as nothing else, unlike `(1, 2)`, `1, 2`, `x = 1`."""
    if isinstance(found, Scalar):
        return not found.text.isalnum() and _MARKED.search(found.text) is not None and _scalar(found.text) is not None
    if isinstance(found, Relation):
        return any(sign in _CONDITIONS for sign in found.signs) or _is_absolute(found)
    if isinstance(found, Union):
        return True
    if found.kind == "tuple" and len(found.items) == 2:
        ends = [item.text for item in found.items if isinstance(item, Scalar)]
        return found.brackets in ("[)", "(]", "][") or any(map(_INFINITY.match, ends))
    return found.kind in ("list", "set") and any(map(is_region, found.items))


def is_finite(found: Shape) -> bool:
    """Whether an answer lists values, with or without the name of an unknown."""
    if isinstance(found, Scalar):
        return parse(found.text) is not None
    if isinstance(found, Relation):
        return set(found.signs) == {"="}
    return isinstance(found, Group) and found.kind in ("list", "set") and all(map(is_finite, found.items))


def may_be_interval(found: Group) -> bool:
    """Whether a pair in parentheses is an interval as well as a point: its first number is below its second."""
    if found.kind != "tuple" or len(found.items) != 2:
        return False
    low, high = (size(item.text) if isinstance(item, Scalar) else None for item in found.items)
    return low is not None and high is not None and low < high


def _joined(parts: Sequence[RealSet | None], join: Callable[[Sequence[Region]], Region]) -> RealSet | None:
    """The sets joined; None if one is unknown, or if they are about two unknowns."""
    known = [part for part in parts if part is not None]
    unknowns = {name for name, _ in known if name}
    if len(known) != len(parts) or len(unknowns) > 1:
        return None
    return next(iter(unknowns), ""), join([region for _, region in known])


def _scalar(text: str) -> RealSet | None:
    inner = unbraced(text)
    if inner != text:
        return real_set(shape(inner))
    plain = spaceless(text)
    if plain == "\\emptyset":
        return "", EMPTY
    if plain in _REALS:
        return "", REALS
    if (signed := _SIGNED.fullmatch(text)) is not None:
        sign = "ge" if signed[2] == "\\ge" else "le" if signed[2] == "\\le" else signed[2] or "<>"[signed[1] == "+"]
        half = _half_line(sign, "0")
        return None if half is None else ("", half)
    if text.startswith("«") and text.endswith("»"):
        return _built(text[1:-1])
    if len(parts := split_at(text, _CAP)) > 1:
        return _joined([real_set(shape(part)) for part in parts], intersection)
    if len(parts := split_at(text, _WITHOUT)) == 2:
        return _joined(
            [real_set(shape(part)) for part in parts], lambda sets: intersection([sets[0], complement(sets[1])])
        )
    found = point(text)
    return None if found is None else ("", found)


def _built(inside: str) -> RealSet | None:
    """The set of `x | x > 1` and `x \\in R : x > 1`."""
    bar = min((place for sign in "|:" if (place := inside.find(sign)) >= 0), default=-1)
    if bar < 0:
        return None
    head, condition = shape(inside[:bar]), real_set(shape(inside[bar + 1 :]))
    if isinstance(head, Scalar):
        return condition if condition is not None and spaceless(head.text) == condition[0] else None
    return _joined([real_set(head), condition], intersection) if isinstance(head, Relation) else None


def _group(group: Group) -> RealSet | None:
    if group.kind == "tuple":
        interval = _interval(group)
        return None if interval is None else ("", interval)
    if group.kind == "set":
        return _joined([real_set(item) for item in group.items], union)
    return _list(group) if group.kind == "list" else None


def _interval(group: Group) -> Region | None:
    texts = [item.text for item in group.items if isinstance(item, Scalar)]
    if len(texts) != 2 or len(group.items) != 2:
        return None
    low, high = _cut(texts[0], group.brackets[0] != "["), _cut(texts[1], group.brackets[1] == "]")
    return (low, high) if low is not None and high is not None and low.place < high.place else None


def _list(group: Group) -> RealSet | None:
    """Conditions or alternatives, by the word or comma between them and by whether they can hold together."""
    items = group.items
    related = [
        item
        for item in items
        if not isinstance(item, Scalar) and not (isinstance(item, Group) and item.kind == "tuple")
    ]
    parts = [real_set(item) for item in items]
    if len(related) < len(items) and any(_is_condition(item) for item in related):
        return _without_points(items)
    if not any(_is_condition(item) for item in related) or group.brackets == "∨":
        return _joined(parts, union)
    if group.brackets == "∧":
        return _joined(parts, intersection)
    both = _joined(parts, intersection) if all(_is_condition(item) for item in items) else None
    return both if both is not None and both[1] else _joined(parts, union)


def _is_condition(found: Shape) -> bool:
    if isinstance(found, Group):
        return any(map(_is_condition, found.items))
    return isinstance(found, Relation) and any(sign in _CONDITIONS for sign in found.signs)


def _without_points(items: Sequence[Shape]) -> RealSet | None:
    """The set of `x \\ne 1, 2`; None of other conditions with bare values behind them."""
    first, rest = items[0], items[1:]
    if not isinstance(first, Relation) or first.signs != ("ne",) or not all(isinstance(item, Scalar) for item in rest):
        return None
    return _joined(
        [real_set(first), *(real_set(item) for item in rest)],
        lambda sets: intersection([sets[0], *map(complement, sets[1:])]),
    )


def _relation(found: Relation) -> RealSet | None:
    sides, signs = found.sides, found.signs
    if len(sides) == 2 and signs[0] in ("in", "notin"):
        inside = real_set(shape(sides[1]))
        if inside is None or inside[0]:
            return None
        return spaceless(sides[0]), inside[1] if signs[0] == "in" else complement(inside[1])
    if any(sign not in _FLIPPED for sign in signs) or len(sides) > 4:
        return None
    return _joined([_pair(*pair) for pair in zip(sides, signs, sides[1:], strict=False)], intersection)


def _pair(left: str, sign: str, right: str) -> RealSet | None:
    """One equation or inequality between a constant and an expression in one unknown."""
    constants = _is_constant(left), _is_constant(right)
    if constants == (True, False):
        left, sign, right = right, _FLIPPED[sign], left
    elif constants != (False, True):
        return None
    if sign in ("=", "ne"):
        values = real_set(shape(right))
        region = None if values is None else values[1] if sign == "=" else complement(values[1])
    else:
        region = _half_line(sign, right)
    return None if region is None else _pulled_back(left, region)


def _pulled_back(text: str, region: Region) -> RealSet | None:
    """The values of the unknown for which an expression is in a region: `x`, `2x + 1` or `|2x + 1|`."""
    read = parse(text)
    if read is not None and read[0][0] == "abs":
        above = intersection([region, ABOVE_ZERO])
        region, linear = union([above, solved(above, Fraction(-1), Fraction(0))]), _linear(read[0][1])
        return None if linear is None else (linear[0], solved(region, *linear[1:]))
    linear = None if read is None else _linear(read[0])
    if linear is not None:
        return linear[0], solved(region, *linear[1:])
    return (spaceless(text), region) if _UNKNOWN.match(text.replace(" ", "")) is not None else None


def _half_line(sign: str, bound: str) -> Region | None:
    cut = _cut(bound, sign in (">", "le"))
    if cut is None:
        return None
    return between(cut, HIGHEST) if sign in (">", "ge") else between(LOWEST, cut)


def _cut(text: str, after: bool) -> Cut | None:
    infinite = _INFINITY.match(text.strip())
    if infinite is not None:
        return LOWEST if infinite[1] == "-" else HIGHEST
    value = size(text)
    return None if value is None else Cut(value, after, text)


def _is_constant(text: str) -> bool:
    if "\\pm" in text or "\\mp" in text or "," in text:
        found = shape(text)
        return isinstance(found, Group) and found.kind in ("list", "set") and real_set(found) is not None
    return size(text) is not None or _INFINITY.match(text.strip()) is not None


def _is_absolute(found: Relation) -> bool:
    """Whether an equation is one for the absolute value of an unknown real number, and so has two solutions."""
    read = parse(found.sides[0]) if found.signs == ("=",) else None
    if read is None or read[0][0] != "abs" or _linear(read[0][1]) is None:
        return False
    return read[0][1][0] != "sym" or _REAL_NUMBER.fullmatch(read[0][1][1]) is not None


def _linear(tree: Tree) -> tuple[str, Fraction, Fraction] | None:
    """(name, a, b) of a x + b with rational a, b; None for everything else."""
    try:
        letters = names(tree)
        if len(letters) != 1:
            return None
        (name,) = letters
        values = [rational(replaced(tree, name, ("num", Fraction(x)))) for x in (0, 1, 3, -2)]
    except (NotRational, TooLarge):
        return None
    slope = values[1] - values[0]
    return (name, slope, values[0]) if slope and values[2:] == [values[0] + 3 * slope, values[0] - 2 * slope] else None
