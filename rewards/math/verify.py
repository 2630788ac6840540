"""The last rung: math-verify, in grader processes that can be killed. Imported by the trainer only for `costly`.

math-verify can hang for ever on a tower of powers, its own limits rest on signals that such a loop never sees, and
those work in the main thread only. So they are switched off, and `rewards.pool` kills from outside instead. What it
calls equal is checked once more at 60 digits, because it compares floats of 15 digits.
"""

import functools
import re
from typing import Any

from rewards.math.symbols import plain

LARGEST_EXPONENT = 10_000
LARGEST_FACTORIAL = 10_000

_TOWER = re.compile(r"(?:\^|\*\*)[\s{(]*+(\d++)[\s)}]*+(?:\^|\*\*)[\s{(]*+(\d++)")
_POWER = re.compile(r"(?:\^|\*\*)[\s{(]*+(\d{5,})")
_FACTORIAL = re.compile(r"(?:\d{5,}|\^\s*+(?:\{\s*+\d++\s*+\}|\d++)\s*+\)?)\s*+\)?\s*+!")
_BINOMIAL = re.compile(r"\\[dt]?binom\s*+\{\s*+(?:10\s*+\^|\d{5,})")
_TERMS = re.compile(r"\\(?:sum|prod)(?:_\{[^{}]*+\}|_\w)?+\s*+\^\s*+\{?\s*+(?:10\s*+\^|\d{6,})")


def costly(text: str) -> bool:
    """Whether a formula is refused unseen: powers, factorials, sums whose size nobody should work out."""
    if "^" not in text and "*" not in text and "!" not in text and "\\" not in text:
        return False
    for match in _TOWER.finditer(text):
        base, exponent = match[1][:6], match[2][:6]
        if int(exponent) * len(base) > 12 or int(base) ** int(exponent) > LARGEST_EXPONENT:
            return True
    return any(pattern.search(text) for pattern in (_POWER, _FACTORIAL, _BINOMIAL, _TERMS))


def judge(gold: str, text: str) -> tuple[bool | None, str]:
    """(correct, reason), in a grader process: it may hang. `correct` is None if the gold answer cannot be read."""
    from math_verify import parse, verify

    expected = parsed_gold(gold)
    if not expected:
        return None, "the gold answer cannot be read"
    found = parse(_in_box(text), parsing_timeout=None)
    if not found:
        return False, "not a formula"
    options = {"timeout_seconds": None, "allow_set_relation_comp": True, "float_rounding": 12}
    if not verify(list(expected), found, **options):
        return False, "different by math-verify"
    if _clearly_apart(expected[0], found[0]):
        return False, "equal in leading digits only"
    return True, "equal by math-verify"


def check_gold(gold: str, text: str = "") -> None:
    """The control job of `judge`: the gold answer alone, which must be readable and easy to compare with a number.

    Raises:
        ValueError: it cannot be read.
    """
    if judge(gold, "1")[0] is None:
        raise ValueError("the gold answer cannot be read")


@functools.lru_cache(maxsize=4096)  # the completions of a group share their gold answer
def parsed_gold(gold: str) -> tuple[Any, ...]:
    """What math-verify reads in a gold answer; empty if that is mere text, or does not equal itself."""
    from math_verify import parse, verify

    parsed = parse(_in_box(gold), parsing_timeout=None)
    if all(isinstance(expression, str) for expression in parsed):
        return ()
    return tuple(parsed) if verify(parsed, parsed, timeout_seconds=None) else ()


def warm_up() -> None:
    """Import math-verify and have it build its regular expressions and parser tables."""
    judge("\\frac{1}{2}", "0.5")


def _in_box(text: str) -> str:
    text = plain(text).replace("$", " ")
    return f"\\boxed{{{text}}}"


def _clearly_apart(expected: Any, found: Any) -> bool:
    """Whether two numbers that passed for equal differ at 60 digits; a float may be off by its rounding."""
    import sympy

    if not all(isinstance(side, sympy.Expr) and not side.free_symbols for side in (expected, found)):
        return False
    try:
        a, b = sympy.N(expected, 60, maxn=400), sympy.N(found, 60, maxn=400)
        off, size = abs(a - b), max(abs(a), abs(b))
        rounded = expected.has(sympy.Float) or found.has(sympy.Float)
        return bool(off > size * sympy.Float("1e-6" if rounded else "1e-50", 60))
    except (TypeError, ValueError, ArithmeticError):  # no plain number: let math-verify's word stand
        return False
