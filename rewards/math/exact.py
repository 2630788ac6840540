"""The exact rational value of a formula, within bounds: no integer of more than 2^16 bits is ever made."""

import math
from collections.abc import Callable
from fractions import Fraction

from rewards.math.macros import Tree

MOST_BITS = 1 << 16
LARGEST_FACTORIAL = 5_000


class NotRational(Exception):
    """The formula has letters, or a value that is not known to be rational."""


class TooLarge(Exception):
    """The value, or one on the way to it, has too many digits to be worked out."""


def rational(tree: Tree) -> Fraction:
    """The exact value of a formula.

    Raises:
        NotRational: it has letters or irrational parts, or divides by zero.
        TooLarge: it cannot be worked out within the bounds; such an answer is not paid for.
    """
    operator = tree[0]
    if operator == "num":
        return tree[1]
    if operator == "sym":
        raise NotRational(tree[1])
    values, irrational = [], False
    for part in tree[1:]:
        try:
            values.append(rational(part))
        except NotRational:  # go on: another part may be too large
            irrational = True
    rule = _RULES.get(operator)
    if irrational or rule is None:
        raise NotRational(operator)
    try:
        value = rule(*values)
    except (ZeroDivisionError, ValueError) as error:
        raise NotRational(operator) from error
    return _bounded(value)


def _bounded(value: Fraction) -> Fraction:
    if value.numerator.bit_length() > MOST_BITS or value.denominator.bit_length() > MOST_BITS:
        raise TooLarge
    return value


def _sum(*terms: Fraction) -> Fraction:
    total = Fraction(0)
    for term in terms:
        total = _bounded(total + term)
    return total


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        return _root_power(base, exponent)
    if base in (0, 1, -1):
        return base ** (int(exponent) if base == 0 else int(exponent) % 2)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if exponent.numerator.bit_length() > 32 or bits * abs(exponent) > 2 * MOST_BITS:
        raise TooLarge
    return base ** int(exponent)


def _root_power(base: Fraction, exponent: Fraction) -> Fraction:
    if base < 0:
        raise NotRational("a power of a negative number")
    return _power(_root(base, Fraction(exponent.denominator)), Fraction(exponent.numerator))


def _root(value: Fraction, index: Fraction = Fraction(2)) -> Fraction:
    """The rational root, if it is one."""
    if index.denominator != 1 or not 2 <= index <= 64:
        raise NotRational("a root")
    degree, sign = int(index), 1
    if value < 0:
        if degree % 2 == 0:
            raise NotRational("the root of a negative number")
        value, sign = -value, -1
    return sign * Fraction(_whole_root(value.numerator, degree), _whole_root(value.denominator, degree))


def _whole_root(value: int, degree: int) -> int:
    if degree == 2:
        root = math.isqrt(value)
    else:
        if value.bit_length() > 1_000:
            raise NotRational("a root")
        root = round(value ** (1 / degree))
    if root**degree != value:
        raise NotRational("a root")
    return root


def _factorial(value: Fraction) -> Fraction:
    if value.denominator != 1 or value < 0:
        raise NotRational("a factorial")
    if value > LARGEST_FACTORIAL:
        raise TooLarge
    return Fraction(math.factorial(int(value)))


def _binomial(over: Fraction, under: Fraction) -> Fraction:
    if over.denominator != 1 or under.denominator != 1 or over < 0 or under < 0:
        raise NotRational("a binomial coefficient")
    if over > LARGEST_FACTORIAL:
        raise TooLarge
    return Fraction(math.comb(int(over), int(under)))


def _whole(rule: Callable[..., int], *values: Fraction) -> Fraction:
    if any(value.denominator != 1 for value in values):
        raise NotRational("of whole numbers only")
    return Fraction(rule(*map(int, values)))


_RULES: dict[str, Callable[..., Fraction]] = {
    "add": _sum,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "neg": lambda a: -a,
    "pow": _power,
    "sqrt": _root,
    "root": _root,
    "fact": _factorial,
    "binom": _binomial,
    "abs": abs,
    "gcd": lambda *a: _whole(math.gcd, *a),
    "lcm": lambda *a: _whole(math.lcm, *a),
    "max": max,
    "min": min,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
}
