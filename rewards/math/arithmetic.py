"""The value of a formula at a point, in floats or to many digits. Every function refuses what has no sure value."""

import cmath
import functools
import math
import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath

from rewards.math.macros import Tree

CONSTANTS = ("pi", "e", "i")


class Unsure(Exception):
    """The formula has no value there, or none that may be relied on."""


def value_at(tree: Tree, points: Mapping[str, Fraction], m: Any) -> Any:
    """The value in the arithmetic `m`: floats, or a context of mpmath.

    Raises:
        Unsure, OverflowError, ValueError, ZeroDivisionError: there is none.
    """
    operator = tree[0]
    if operator == "num":
        return m.number(tree[1])
    if operator == "sym":
        name = tree[1]
        if name in CONSTANTS:
            return m.constants[name]
        if name not in points or name == "infty":
            raise Unsure("a letter without a value, or infinity")
        return m.number(points[name])
    parts = [value_at(part, points, m) for part in tree[1:]]
    rule = _RULES.get(operator)
    if rule is None:
        raise Unsure(operator)
    return rule(m, *parts)


class _Arithmetic:
    """The functions that formulae use, over floats or over an mpmath context."""

    def __init__(
        self, source: Any, number: Callable[[Fraction], Any], gamma: Callable[[Any], Any], e: Any, pi: Any
    ) -> None:
        self.source, self.number, self.gamma = source, number, gamma
        self.real_only = False
        self.constants = {"pi": pi, "e": e, "i": 1j if source is cmath else source.mpc(0, 1)}

    def real(self, value: Any) -> Any:
        imaginary = getattr(value, "imag", 0)
        if imaginary != 0:
            raise Unsure("a complex value")
        return getattr(value, "real", value)


@functools.cache
def real_floats() -> _Arithmetic:
    """As `floats`, but square roots of negative numbers have no value."""
    found = _Arithmetic(cmath, float, math.gamma, math.e, math.pi)
    found.real_only = True
    return found


@functools.cache
def floats() -> _Arithmetic:
    """Return the arithmetic of Python's complex floats."""
    return _Arithmetic(cmath, float, math.gamma, math.e, math.pi)


_local = threading.local()  # mpmath contexts change while they work


def context(digits: int) -> _Arithmetic:
    """Return mpmath's arithmetic with so many digits."""
    found: _Arithmetic | None = getattr(_local, f"digits{digits}", None)
    if found is None:
        source = mpmath.ctx_mp.MPContext()
        source.dps = digits
        found = _Arithmetic(
            source, lambda x: source.mpf(x.numerator) / x.denominator, source.gamma, +source.e, +source.pi
        )
        setattr(_local, f"digits{digits}", found)
    return found


def _power(m: _Arithmetic, base: Any, exponent: Any) -> Any:
    if base == 0:
        if getattr(exponent, "imag", 0) == 0 and getattr(exponent, "real", exponent) > 0:
            return base
        raise Unsure("zero to a power that is not positive")
    plain = getattr(exponent, "imag", 0) == 0
    whole = plain and getattr(exponent, "real", exponent) == int(getattr(exponent, "real", exponent))
    if not whole and getattr(base, "imag", 0) == 0 and getattr(base, "real", base) < 0:
        raise Unsure("a power of a negative number")
    if abs(exponent) > 1e6:
        raise Unsure("a large exponent")
    value = (
        m.source.exp(exponent * m.source.log(base)) if not whole else base ** int(getattr(exponent, "real", exponent))
    )
    if value == 0:
        raise Unsure("underflow")
    return value


def _log(m: _Arithmetic, value: Any) -> Any:
    if getattr(value, "imag", 0) == 0 and getattr(value, "real", value) <= 0:
        raise Unsure("the logarithm of a number that is not positive")
    return m.source.log(value)


def _root(m: _Arithmetic, value: Any, index: Any) -> Any:
    degree = m.real(index)
    if degree == 0:
        raise Unsure("a root of degree 0")
    real = getattr(value, "imag", 0) == 0
    if real and getattr(value, "real", value) < 0 and degree % 2 == 1:
        return -_power(m, -value, 1 / degree)
    if degree == 2:
        return m.source.sqrt(value)
    return _power(m, value, 1 / degree)


def _sqrt(m: _Arithmetic, value: Any) -> Any:
    if m.real_only and getattr(value, "imag", 0) == 0 and getattr(value, "real", value) < 0:
        raise Unsure("the root of a negative number")
    return m.source.sqrt(value)


def _gamma(m: _Arithmetic, value: Any) -> Any:
    value = m.real(value)
    if not -20 < value < 100:
        raise Unsure("a factorial out of range")
    return m.gamma(value + 1)


def _arc(name: str) -> Callable[..., Any]:
    def rule(m: _Arithmetic, value: Any) -> Any:
        value = m.real(value)
        if name != "atan" and abs(value) > 1:
            raise Unsure("out of the domain")
        return getattr(m.source, name)(value)

    return rule


def _exp(m: _Arithmetic, value: Any) -> Any:
    result = m.source.exp(value)
    if result == 0:
        raise Unsure("underflow")
    return result


_RULES: dict[str, Callable[..., Any]] = {
    "add": lambda m, *terms: sum(terms),
    "mul": lambda m, a, b: a * b,
    "div": lambda m, a, b: a / b,
    "neg": lambda m, a: -a,
    "pow": _power,
    "sqrt": _sqrt,
    "root": _root,
    "fact": _gamma,
    "binom": lambda m, n, k: _gamma(m, n) / (_gamma(m, k) * _gamma(m, n - k)),
    "abs": lambda m, a: abs(a),
    "floor": lambda m, a: m.number(Fraction(math.floor(m.real(a)))),
    "ceil": lambda m, a: m.number(Fraction(math.ceil(m.real(a)))),
    "sin": lambda m, a: m.source.sin(a),
    "cos": lambda m, a: m.source.cos(a),
    "tan": lambda m, a: m.source.tan(a),
    "cot": lambda m, a: 1 / m.source.tan(a),
    "sec": lambda m, a: 1 / m.source.cos(a),
    "csc": lambda m, a: 1 / m.source.sin(a),
    "sinh": lambda m, a: m.source.sinh(a),
    "cosh": lambda m, a: m.source.cosh(a),
    "tanh": lambda m, a: m.source.tanh(a),
    "arcsin": _arc("asin"),
    "arccos": _arc("acos"),
    "arctan": _arc("atan"),
    "exp": _exp,
    "ln": _log,
    "log": _log,
    "log10": lambda m, a: _log(m, a) / m.source.log(10),
}
