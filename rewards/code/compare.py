"""Whether a program's results are those expected. All is data here: nothing of a program's making is executed."""

import math
import reprlib
from collections import deque
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from itertools import islice
from typing import Any

TOLERANCE = 1e-9  # relative or absolute
EXACT_ABOVE = 1 << 53  # an expected integer above this is not rounded to a float
LARGEST_PAIRING = 300  # elements of a set of which each is compared with each, where they are not exactly equal
FEW = 6  # items that are shown of each part of a value
LONGEST_REASON = 200  # characters
LONGEST_NUMBER = 400  # characters of a number in a line of output
SEQUENCES = (list, tuple, deque)
SETS = (set, frozenset)
NUMBERS = (int, float)
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def equal(value: Any, expected: Any) -> bool:
    """Whether a value is the one expected, which was read from JSON.

    Lists and tuples are the same. Numbers may differ by `TOLERANCE` if one is a float; a boolean is no number, and
    not-a-number equals not-a-number only. Keys of a dictionary are compared as JSON writes them. A set equals a list of
    the same elements in any order, each once.
    """
    kind, other = type(value), type(expected)
    if kind in NUMBERS and other in NUMBERS:
        return _equal_numbers(value, expected)
    if kind in SEQUENCES and other in SEQUENCES:
        return len(value) == len(expected) and all(map(equal, value, expected))
    if kind in SETS and other in (*SETS, list, tuple):
        return _equal_sets(value, expected)
    if isinstance(value, dict) and isinstance(expected, dict):
        return _equal_dicts(value, expected)
    if kind is not other and not (kind in (Decimal, Fraction, complex) and other in NUMBERS):
        return False
    try:
        return bool(value == expected)
    except ArithmeticError:  # a signaling not-a-number
        return False


def _equal_numbers(value: float, expected: float) -> bool:
    if type(value) is int and type(expected) is int:
        return value == expected
    if value != value or expected != expected:
        return value != value and expected != expected
    if type(expected) is int and abs(expected) > EXACT_ABOVE:
        return value == expected
    try:
        return math.isclose(value, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:  # an integer beyond all floats
        return False


def _equal_sets(value: Any, expected: Any) -> bool:
    if len(value) != len(expected):
        return False
    if len(value) > LARGEST_PAIRING:
        try:
            return {(type(item), item) for item in value} == {(type(item), item) for item in expected}
        except TypeError:  # expected elements that are lists
            return False
    left = list(expected)
    for item in value:
        place = next((number for number, wanted in enumerate(left) if equal(item, wanted)), None)
        if place is None:
            return False
        del left[place]
    return True


def _equal_dicts(value: dict[Any, Any], expected: dict[Any, Any]) -> bool:
    if len(value) != len(expected):
        return False
    wanted = {_key(key): item for key, item in expected.items()}
    given = {_key(key): item for key, item in value.items()}
    return wanted.keys() == given.keys() and all(equal(given[key], wanted[key]) for key in wanted)


def _key(key: Any) -> Any:
    """A key as JSON writes it; itself if JSON has none such."""
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    if isinstance(key, int):
        return str(key) if key.bit_length() < 10_000 else key  # Python refuses to print longer ones
    return repr(key) if isinstance(key, float) else key


def same_output(output: bytes, expected: str) -> bool:
    """Whether what a program wrote is what was expected.

    White space at the ends of lines and empty lines before and after the output do not matter. Two lines are equal if
    their texts are, or if they have equally many words, each equal or, as a number, within `TOLERANCE`.
    """
    given, wanted = _lines(output.decode("utf-8", "replace")), _lines(expected)
    return len(given) == len(wanted) and all(map(_equal_lines, given, wanted))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().split("\n")]


def _equal_lines(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    words, others = given.split(), wanted.split()
    return len(words) == len(others) and all(map(_equal_words, words, others))


def _equal_words(word: str, wanted: str) -> bool:
    if word == wanted:
        return True
    number, other = _decimal(word), _decimal(wanted)
    if number is None or other is None:
        return False
    if not ({".", "e", "E"} & {*word, *wanted}):
        return number == other
    return abs(number - other) <= Decimal(TOLERANCE) * max(abs(number), abs(other), Decimal(1))


def _decimal(word: str) -> Decimal | None:
    """The number that a word is, written in plain digits with or without point and exponent."""
    if len(word) > LONGEST_NUMBER or not word.isascii() or "_" in word:
        return None
    try:
        number = Decimal(word)
    except InvalidOperation:
        return None
    return number if number.is_finite() and abs(number.adjusted()) < LONGEST_NUMBER else None


def shown(value: Any) -> str:
    """A value in a few words."""
    try:
        return _short.repr(_few(value, _short.maxlevel + 1))
    except ValueError:  # an integer of more digits than Python prints
        return f"a large {type(value).__name__}"


def _few(value: Any, level: int) -> Any:
    """The first items of a value, down to a level, and one more: to put all in order, as is usual, can take long."""
    kind = type(value)
    if kind not in (*SEQUENCES, *SETS) and not isinstance(value, dict):
        return value
    if level == 0:
        return None
    if isinstance(value, dict):
        return {_few(key, level - 1): _few(item, level - 1) for key, item in islice(value.items(), FEW + 1)}
    return kind(_few(item, level - 1) for item in islice(value, FEW + 1))


def printable(text: str) -> str:
    """A text that is safe to log: short, in one line, control characters and lone surrogates escaped."""
    start = text[: 2 * LONGEST_REASON]
    said = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in start)
    return said if len(said) <= LONGEST_REASON else said[: LONGEST_REASON - 3] + "..."
