"""Whether a program's results are those expected. All is data here: nothing of a program's making is executed."""

import math
import re
import reprlib
from collections import Counter, deque
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

TOLERANCE = 1e-9  # relative to the expected number
NEAR_ZERO = 1e-12  # how far a number may be from an expected zero: what rounding leaves of a sum
LARGEST_PAIRING = 300  # elements of a set of which each is compared with each, where they are not exactly equal
FEW = 6  # items that are shown of each part of a value
LONGEST_REASON = 200  # characters
LONGEST_NUMBER = 400  # characters of a number in a line of output
SEQUENCES = (list, tuple, deque)
SETS = (set, frozenset)
NUMBERS = (int, float)
NUMBER = re.compile(r"-?(?:(?:0|[1-9][0-9]*+)(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?")
FLOAT = re.compile(r"-?[0-9]*+(?:\.[0-9]*+(?:[eE][+-]?[0-9]++)?|[eE][+-][0-9]++)")
INTEGER = re.compile(r"-?[0-9]++")
_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def equal(value: Any, expected: Any, unordered: bool = False) -> bool:
    """Whether a value is the one expected, which was read from JSON.

    Lists and tuples are the same. An expected integer is matched by the same number alone, and an expected float by
    numbers that differ from it by at most `TOLERANCE` of it. A boolean is no number, and not-a-number equals
    not-a-number only. Keys of a dictionary are compared as JSON writes them.

    Args:
        value: what a program returned.
        expected: what it should have returned.
        unordered: a list is expected whose order does not matter: a list, tuple or set of the same elements equals it.
    """
    kind, other = type(value), type(expected)
    if unordered and kind in (*SEQUENCES, *SETS) and other in SEQUENCES:
        return _equal_bags(value, expected)
    if kind in NUMBERS and other in NUMBERS:
        return _equal_numbers(value, expected)
    if kind in SEQUENCES and other in SEQUENCES:
        return len(value) == len(expected) and all(map(equal, value, expected))
    if kind in SETS and other in SETS:
        return _equal_bags(value, expected)
    if isinstance(value, dict) and isinstance(expected, dict):
        return _equal_dicts(value, expected)
    if kind is not other and not (kind in (Decimal, Fraction, complex) and other in NUMBERS):
        return False
    try:
        return bool(value == expected)
    except ArithmeticError:  # a signaling not-a-number
        return False


def _equal_numbers(value: float, expected: float) -> bool:
    if type(expected) is int:
        return value == expected
    if value != value or expected != expected:
        return value != value and expected != expected
    if math.isinf(expected):
        return value == expected
    try:
        return abs(value - expected) <= max(TOLERANCE * abs(expected), 0.0 if expected else NEAR_ZERO)
    except OverflowError:  # an integer beyond all floats
        return False


def _equal_bags(value: Any, expected: Any) -> bool:
    """Whether two collections have the same elements, each as often."""
    if len(value) != len(expected):
        return False
    if len(value) > LARGEST_PAIRING:
        return _equal_counts(value, expected)
    left = list(expected)
    for item in value:
        place = next((number for number, wanted in enumerate(left) if equal(item, wanted)), None)
        if place is None:
            return False
        del left[place]
    return True


def _equal_counts(value: Any, expected: Any) -> bool:
    """The same in linear time, for elements that are exactly equal."""
    try:
        return Counter((type(item), item) for item in value) == Counter((type(item), item) for item in expected)
    except TypeError:  # elements that are lists: in one order, at least
        return all(map(equal, value, expected))


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
    they have equally many words, each of them equal: as text, or within `TOLERANCE` where the expected word is a float.
    The white space before and within a line matters where it draws something (see `_is_drawn`).
    """
    given, wanted = _lines(output.decode("utf-8", "replace")), _lines(expected)
    if len(given) != len(wanted):
        return False
    return given == wanted or (all(map(_equal_lines, given, wanted)) and _equal_drawings(given, wanted))


def _lines(text: str) -> list[str]:
    """The lines of a text without empty ones before and after, and without white space at their ends."""
    lines = [line.rstrip() for line in text.strip("\r\n").split("\n")]
    first = next((number for number, line in enumerate(lines) if line), len(lines) - 1)
    last = next((number for number, line in enumerate(reversed(lines)) if line), 0)
    return lines[first : len(lines) - last]


def _equal_lines(given: str, wanted: str) -> bool:
    if given == wanted:
        return True
    words, others = given.split(), wanted.split()
    return len(words) == len(others) and all(map(_equal_words, words, others))


def _equal_words(word: str, wanted: str) -> bool:
    if word == wanted:
        return True
    number, other = _number(word), _number(wanted)
    if number is None or other is None:
        return False
    if INTEGER.fullmatch(wanted):  # 3.0 is 3, and 3e0 is no way to write it
        return number == other and "e" not in word.lower()
    if not FLOAT.fullmatch(wanted):  # 1e10 without a sign or a point may be a hexadecimal text
        return False
    return abs(number - other) <= (Decimal(TOLERANCE) * abs(other) if other else Decimal(NEAR_ZERO))


def _number(word: str) -> Decimal | None:
    """The number that a word is, written as programs write numbers; None if it is none."""
    if len(word) > LONGEST_NUMBER or NUMBER.fullmatch(word) is None:
        return None
    number = Decimal(word)
    return number if abs(number.adjusted()) < LONGEST_NUMBER else None


def _equal_drawings(given: list[str], wanted: list[str]) -> bool:
    """Whether the white space of two outputs is the same where it is drawn with."""
    drawn = list(map(_is_drawn, wanted))
    indents = {_indent(line) for line in wanted if line}
    if len(indents - {0}) > 1:  # a pyramid of numbers, an indented text: not a space that stands before each number
        drawn = [bool(line) for line in wanted]
    if not any(drawn):
        return True
    ours, theirs = (min((_indent(line) for line in lines if line), default=0) for lines in (given, wanted))
    return all(
        _indent(line) - ours == _indent(other) - theirs and (not _is_drawn(other) or line.lstrip() == other.lstrip())
        for line, other, matters in zip(given, wanted, drawn, strict=True)
        if matters
    )


def _is_drawn(line: str) -> bool:
    """Whether a line has neither letters nor digits."""
    return bool(line) and not any(map(str.isalnum, line))


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


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
