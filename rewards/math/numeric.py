"""Equality of two formulae by their values: exactly where they are rational, else at points, to a hundred digits.

Two formulae that differ clearly at a point are different. Two that agree at several points, first as floats and then
to 50 and to 100 digits, are equal: a false coincidence would have to be built for points that are odd fractions. A
difference that is tiny but does not vanish as the digits grow is a difference.
"""

import functools
import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import mpmath

from rewards.math.arithmetic import CONSTANTS, Unsure, context, floats, real_floats, value_at
from rewards.math.exact import NotRational, rational
from rewards.math.macros import Tree
from rewards.math.numerals import Number, close_decimal

_OVERS, _UNDERS = (17, 43, 67, 29, 89, 53, 97, 71, 37, 107, 83, 59), (29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73)
_POINTS = tuple(Fraction(over, under) for over, under in zip(_OVERS, _UNDERS, strict=True))
_SETS = ((0, 1), (5, 4), (3, -1))  # offset into the points, factor
_SURELY = 1e-6  # relative difference of floats that rounding does not explain
_MAYBE = 1e-9
_LARGEST = 1e200  # magnitude of a float beyond which nothing is concluded


def same_value(gold: Tree, answer: Tree) -> bool | None:
    """Whether two formulae are equal for all values of their letters; None if that cannot be told here.

    Raises:
        TooLarge: the answer cannot be worked out within the bounds.
    """
    try:
        value = rational(answer)
    except NotRational:
        value = None
    try:
        wanted = rational(gold)
    except NotRational:
        wanted = None
    if value is not None and wanted is not None:
        return value == wanted
    letters = sorted(_letters(gold) | _letters(answer))
    if len(letters) > len(_POINTS):
        return None
    return _compare(gold, answer, letters)


def approximates(decimal: Number, tree: Tree) -> bool | None:
    """Whether a decimal is the formula's value, rounded or truncated to at least six significant digits."""
    if _letters(tree):
        return False
    try:
        exact = rational(tree)
    except NotRational:
        try:
            value = value_at(tree, {}, floats())
            if abs(complex(value).imag) > 1e-12 * abs(complex(value)):
                return False
            if abs(complex(value).real - float(decimal.value)) > 1e-4 * abs(complex(value)):
                return False
            precise = value_at(tree, {}, context(50))
            exact = Fraction(str(mpmath.nstr(getattr(precise, "real", precise), 40)))
        except (Unsure, OverflowError, ValueError, ZeroDivisionError):
            return None
    return close_decimal(decimal, exact)


def proportional(gold: Tree, answer: Tree) -> float | None:
    """The constant factor from the answer to the gold formula; 0 if there is none; None if that cannot be told here."""
    letters = sorted(_letters(gold) | _letters(answer))
    if not letters or len(letters) > len(_POINTS):
        return None
    ratios = []
    try:
        for offset, sign in _SETS:
            points = {name: sign * _POINTS[(offset + k) % len(_POINTS)] for k, name in enumerate(letters)}
            a, b = (complex(value_at(tree, points, floats())) for tree in (gold, answer))
            if abs(b) < 1e-9 or abs(a) < 1e-9 or a.imag or b.imag:
                return None
            ratios.append(a.real / b.real)
    except (Unsure, OverflowError, ValueError, ZeroDivisionError):
        return None
    if max(ratios) - min(ratios) > _SURELY * max(map(abs, ratios)):
        return 0.0
    multiple = ("mul", ("num", Fraction(ratios[0]).limit_denominator(10**6)), answer)
    return ratios[0] if _compare(gold, multiple, letters) else None


def real_value(tree: Tree) -> float | None:
    """The value of a formula without letters as a float, or None."""
    try:
        value = complex(value_at(tree, {}, floats()))
    except (Unsure, OverflowError, ValueError, ZeroDivisionError):
        return None
    return value.real if abs(value.imag) < 1e-12 else None


def _compare(gold: Tree, answer: Tree, letters: list[str]) -> bool | None:
    agreed = 0
    for offset, sign in _SETS if letters else _SETS[:1]:
        points = {name: sign * _POINTS[(offset + k) % len(_POINTS)] for k, name in enumerate(letters)}
        try:
            if sign < 0 and "'i'" not in str((gold, answer)):  # where a root has no real value, they need not agree
                value_at(gold, points, real_floats())
                value_at(answer, points, real_floats())
            alike = _alike_at(gold, answer, points)
        except (Unsure, OverflowError, ValueError, ZeroDivisionError, ArithmeticError):
            continue
        if alike is None:
            return None
        if not alike:
            return False if sign > 0 else None  # at negative values it may be the domain that differs
        agreed += 1
    return True if agreed else None


def _alike_at(gold: Tree, answer: Tree, points: Mapping[str, Fraction]) -> bool | None:
    a, b = (complex(value_at(tree, points, floats())) for tree in (gold, answer))
    size = max(abs(a), abs(b))
    if not math.isfinite(size) or size > _LARGEST:
        raise Unsure("out of range")
    if abs(a - b) > _SURELY * size and abs(a - b) > _MAYBE:
        return False
    rough, fine = (_difference(gold, answer, points, context(digits)) for digits in (50, 100))
    if rough <= 1e-40 * max(size, 1e-30) and (fine == 0 or fine <= rough * 1e-25 or fine <= 1e-85 * size):
        return True
    finest = _difference(gold, answer, points, context(200))
    return False if fine > 0 and finest > 0 and 0.5 < fine / finest < 2 else None


def _difference(gold: Tree, answer: Tree, points: Mapping[str, Fraction], at: Any) -> Any:
    return abs(value_at(gold, points, at) - value_at(answer, points, at))


@functools.lru_cache(maxsize=8192)
def _letters(tree: Tree) -> frozenset[str]:
    if tree[0] == "sym":
        return frozenset() if tree[1] in CONSTANTS else frozenset((tree[1],))
    if tree[0] == "num":
        return frozenset()
    return frozenset().union(*(_letters(part) for part in tree[1:]))
