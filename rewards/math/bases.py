"""Numerals with a base: `52_8`, `52_{\\text{eight}}`, "52 base 8", "52 (base eight)", "octal 52", `0x2A`."""

import functools
import re
from dataclasses import dataclass
from fractions import Fraction

from rewards.math.clean import spaceless
from rewards.math.numerals import read_number

_NAMES = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10, "eleven": 11,
    "twelve": 12, "thirteen": 13, "fourteen": 14, "fifteen": 15, "sixteen": 16, "twenty": 20, "thirty-six": 36,
    "binary": 2, "ternary": 3, "quaternary": 4, "octal": 8, "decimal": 10, "duodecimal": 12, "hexadecimal": 16,
    "hex": 16,
}  # fmt: skip
_NUMBERED = "|".join(sorted((name for name in _NAMES), key=len, reverse=True))
_SYSTEM = r"(?P<system>binary|ternary|quaternary|octal|decimal|duodecimal|hexadecimal|hex)"
_DIGITS = r"\(?\s*+(?P<digits>-?\s?[0-9A-Za-z]++(?:\.[0-9A-Za-z]++)?+)\s*+\)?"
_BASE = rf"base[\s-]*+(?P<base>\d++|{_NUMBERED})"
_SUBSCRIPT = re.compile(rf"{_DIGITS}\s*+_\s*+[{{(]*+\s*+(?:base[\s-]*+)?+(?P<base>\d++|{_NUMBERED})\s*+[}})]*+", re.I)
_AFTER = re.compile(
    rf"{_DIGITS}[\s,(]*+(?:in\s++)?+(?:{_BASE}|{_SYSTEM})(?:\s++(?:notation|system|form))?+\s*+\)?", re.I
)
_BEFORE = re.compile(rf"(?:in\s++)?+(?:{_BASE}|{_SYSTEM})\s*+[:,]?\s*+(?:it is\s++)?+{_DIGITS}", re.I)
_LITERAL = re.compile(r"(-?)0([xXbBoO])([0-9A-Fa-f]++)")
_LITERALS = {"x": 16, "b": 2, "o": 8}
_MAYBE = re.compile(rf"_|\b0[xXbBoO]|base|binary|ternary|octal|decimal|{_SYSTEM[11:-1]}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Numeral:
    """Digits in upper case without leading zeros, and their base. `literal`: written as in a program, as 0x2A."""

    digits: str
    base: int
    literal: bool = False


@functools.lru_cache(maxsize=8192)
def read_numeral(text: str) -> Numeral | None:
    """The numeral that a cleaned text is as a whole, if it states a base; else None."""
    if len(text) > 200 or not _MAYBE.search(text):
        return None
    text = " ".join(text.replace("‹", " ").replace("›", " ").split())
    literal = _LITERAL.fullmatch(text)
    if literal is not None:
        return _numeral(literal[1] + literal[3], _LITERALS[literal[2].lower()], literal=True)
    match = _SUBSCRIPT.fullmatch(text) or _AFTER.fullmatch(text) or _BEFORE.fullmatch(text)
    if match is None:
        return None
    named = (match.groupdict().get("base") or match.groupdict().get("system") or "").lower()
    return _numeral(match["digits"], int(named[:4]) if named.isdecimal() else _NAMES[named])


def _numeral(written: str, base: int, literal: bool = False) -> Numeral | None:
    sign, digits = ("-", written[1:].strip()) if written.startswith("-") else ("", written)
    try:
        if not 2 <= base <= 36 or max(int(digit, 36) for digit in digits if digit != ".") >= base:
            return None
    except ValueError:  # a character that is a digit in no base
        return None
    return Numeral(sign + (digits.upper().lstrip("0") or "0"), base, literal)


def compare_numerals(gold: str, answer: str) -> tuple[bool | None, str] | None:
    """The decision where the gold answer or the answer states a base: digits and base must be the same. Digits alone
    are paid, as numbers without their unit are. None where neither states a base.
    """
    wanted, given = read_numeral(gold), read_numeral(answer)
    if wanted is not None and given is not None:
        equal = (wanted.digits, wanted.base) == (given.digits, given.base)
        return equal, "the same numeral" if equal else "different numerals"
    if wanted is not None:
        return _without_base(wanted, answer)
    if given is None:
        return None
    number = read_number(gold)
    if number is None:
        return None
    if given.literal or given.base == 10:
        equal = _value(given) == number.value
        return equal, "the same value" if equal else "different numbers"
    return False, "numerals in different bases"


def _value(numeral: Numeral) -> Fraction | None:
    if numeral.base == 10:
        return Fraction(numeral.digits)
    return Fraction(int(numeral.digits, numeral.base)) if "." not in numeral.digits else None


def _without_base(wanted: Numeral, answer: str) -> tuple[bool | None, str] | None:
    if spaceless(answer).upper().lstrip("0") == wanted.digits:
        return True, "the numeral without its base"
    if wanted.base == 10 or read_number(answer) is None:
        return None
    return False, "numerals in different bases"
