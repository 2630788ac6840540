"""Reading one number exactly, however it is written: 1,234.5, 3/4, 7 3/4, 2.5e3, 0.1(6), 5 million."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

LONGEST_NUMBER = 1_000  # characters; Python refuses to read integers of more than 4,300 digits
LARGEST_EXPONENT = 10_000
_FEWEST_DIGITS = 6  # significant digits from which on a decimal counts as the value that it rounds
_FEWEST_OF_TWO = 12  # where both are decimals
_FEWEST_FOR_EXACT = 10  # of an answer where the gold answer is exact: 0.333333 is no third
_MOST_DIGITS = 15  # what a float prints after these is noise

_DIGITS = r"(?:(?!0++,)\d{1,3}(?:,\d{3})++(?![\d])|\d{1,3}(?: \d{3})++(?!\s?\d)|\d++)"
_UNSIGNED = re.compile(
    rf"(?P<whole>{_DIGITS})?(?P<decimals>\.\d*+)?"
    r"(?:(?:\\overline|\\dot)\{?(?P<over>\d++)\}?|\((?P<parens>\d++)\)|(?P<dots>\.\.\.?|\\ldots)(?:\d{0,3}))?+"
    r"(?:\s*+(?:[eE](?P<e>[-+]?\d{1,6})|\*\s*+10\s*+\^\s*+(?:\{\s*+(?P<p>[-+]?\s?\d{1,6})\s*+\}|(?P<q>[-+]?\d{1,6}))))?"
)
_FRACTION = re.compile(r"\\frac\s*+(?:\{\s*+(-?\s?[\d,.]++)\s*+\}|(\d))\s*+(?:\{\s*+(-?\s?[\d,.]++)\s*+\}|(\d))")
_SLASH = re.compile(rf"({_DIGITS}(?:\.\d++)?)\s*+\.?/\s*+({_DIGITS}(?:\.\d++)?)")
_MIXED = re.compile(r"(\d++)(?:\s++(\d++)\s*+/\s*+(\d++)|\s*+\\frac\s*+(?:\{(\d++)\}|(\d))\s*+(?:\{(\d++)\}|(\d)))")
SCALES = {
    "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "lakh": 5, "crore": 7, "dozen": None,
    "百": 2, "千": 3, "万": 4, "亿": 8, "億": 8, "ألف": 3, "مليون": 6, "مليار": 9,
    "هزار": 3, "میلیون": 6, "میلیارد": 9, "ہزار": 3, "لاکھ": 5, "کروڑ": 7, "লাখ": 5, "লক্ষ": 5, "ล้าน": 6,
    "тысяч": 3, "млн": 6, "млрд": 9,
}  # fmt: skip
SCALE_WORD = "(?:hundred|thousand|million|billion|trillion|dozen)s?"  # those that English puts behind a number
_SCALED = re.compile(rf"(.*?[\d}}])\s*+(?:‹\s*+)?({'|'.join(SCALES)})s?+(?:\s*+›)?", re.DOTALL | re.IGNORECASE)
_ONES = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_SMALL = {name: value for value, name in enumerate(_ONES)}
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_PARTS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "eighth": 8,
    "ninth": 9, "tenth": 10,
}  # fmt: skip


_ROMAN = re.compile(r"M{0,3}(?:CM|CD|D?C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_ROMAN_DIGITS = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@dataclass(frozen=True, slots=True)
class Number:
    """One number. `digits`: significant digits of a decimal, None for integers, fractions and what is exact else.
    `ulp`: the worth of a decimal's last digit.
    """

    value: Fraction
    digits: int | None = None
    ulp: Fraction = Fraction(0)


def read_number(text: str) -> Number | None:
    """The number that a cleaned text is as a whole, or None. Linear in its length; never raises."""
    text = text.strip()
    if len(text) > LONGEST_NUMBER or not text:
        return None
    if text.isdecimal():
        return Number(Fraction(int(text)))
    sign, body = _sign(text)
    try:
        number = _unsigned(body)
    except (ZeroDivisionError, InvalidOperation, ValueError):
        return None
    if number is None or sign > 0:
        return number
    return Number(-number.value, number.digits, number.ulp)


def same_number(gold: Number, answer: Number) -> bool:
    """Equality of numbers. A decimal equals what it rounds or truncates: a gold answer of six or more significant
    digits, an answer of ten or more. What a computer prints of a gold decimal with 17 digits equals it.
    """
    if gold.value == answer.value or _is_printed(gold, answer):
        return True
    rough, other = (gold, answer) if (gold.digits or 10**6) <= (answer.digits or 10**6) else (answer, gold)
    if rough.digits is None:
        return False
    fewest = _FEWEST_DIGITS if rough is gold else _FEWEST_FOR_EXACT
    if rough.digits < (fewest if other.digits is None else _FEWEST_OF_TWO):
        return False
    if other.digits is None and other.value.denominator == 1:
        return False  # an integer is written as one
    return close_decimal(rough, other.value)


def _is_printed(gold: Number, answer: Number) -> bool:
    """Whether an answer is the binary float of a decimal gold answer with 17 digits: 0.10000000000000001 for 0.1."""
    if gold.digits is None or answer.digits is None or not 16 <= answer.digits <= 17 or gold.digits > _MOST_DIGITS:
        return False
    try:
        return Fraction(f"{float(gold.value):.17g}") == answer.value
    except OverflowError:
        return False


def close_decimal(decimal: Number, value: Fraction) -> bool:
    """Whether a decimal is `value` rounded or truncated to the decimal's last digit, or to 15 significant digits."""
    if decimal.digits is None or decimal.digits < _FEWEST_DIGITS:
        return False
    off = abs(decimal.value - value)
    ulp = decimal.ulp * 10 ** max(0, decimal.digits - _MOST_DIGITS)
    return off * 2 <= ulp or (off < ulp and abs(decimal.value) < abs(value))


def _sign(text: str) -> tuple[int, str]:
    sign = 1
    for _ in range(2):
        if text[:1] in ("-", "+") and text[:1]:
            sign = -sign if text[0] == "-" else sign
            text = text[1:].lstrip()
    return sign, text


def _unsigned(text: str) -> Number | None:
    match = _UNSIGNED.fullmatch(text)
    if match is not None:
        return _positional(match)
    match = _FRACTION.fullmatch(text)
    if match is not None:
        over, under = match[1] or match[2], match[3] or match[4]
        return Number(_plain(over) / _plain(under))
    match = _SLASH.fullmatch(text)
    if match is not None:
        return Number(_plain(match[1]) / _plain(match[2]))
    match = _MIXED.fullmatch(text)
    if match is not None:
        return _mixed(match)
    match = _SCALED.fullmatch(text) if text[-1:].isalpha() or text.endswith("›") else None
    if match is not None:
        return _scaled(match)
    return _in_words(text)


def _plain(text: str) -> Fraction:
    return Fraction(Decimal(text.replace(",", "").replace(" ", "")))


def _positional(match: re.Match[str]) -> Number | None:
    whole, decimals = (match["whole"] or "").replace(",", "").replace(" ", ""), (match["decimals"] or "")[1:]
    exponent = int((match["e"] or match["p"] or match["q"] or "0").replace(" ", ""))
    if not whole and not decimals or abs(exponent) > LARGEST_EXPONENT:
        return None
    repeated = match["over"] or match["parens"]
    if match["dots"]:
        repeated, decimals = _repetend(decimals)
        if not repeated:
            digits = len((whole + decimals).lstrip("0"))
            scale = Fraction(10) ** (exponent - len(decimals))
            return Number(int(whole + decimals) * scale, max(digits, 1), scale)
    if repeated:
        if match["decimals"] is None:
            return None
        nines = (10 ** len(repeated) - 1) * 10 ** len(decimals)
        value = Fraction(int(whole + decimals or "0"), 10 ** len(decimals)) + Fraction(int(repeated), nines)
        return Number(value * Fraction(10) ** exponent)
    scale = Fraction(10) ** (exponent - len(decimals))
    value = int(whole + decimals) * scale
    if match["decimals"] is None and exponent >= 0 or not decimals.strip("0"):
        return Number(value)
    return Number(value, len((whole + decimals).lstrip("0")) or 1, scale)


def _repetend(decimals: str) -> tuple[str, str]:
    """The digits that repeat in "333..." or "1666...", and those before them; an empty string if none do."""
    for period in range(1, 7):
        tail = decimals[-period:]
        times = 3 if period == 1 else 2
        if len(decimals) >= period * times and decimals.endswith(tail * times):
            return tail, decimals[: len(decimals) - period * times]
    return "", decimals


def _mixed(match: re.Match[str]) -> Number | None:
    over, under = int(match[2] or match[4] or match[5]), int(match[3] or match[6] or match[7])
    return Number(int(match[1]) + Fraction(over, under)) if over < under else None


def _scaled(match: re.Match[str]) -> Number | None:
    power = SCALES.get(match[2].lower())
    number = _unsigned(match[1].strip())
    if number is None:
        return None
    return Number(number.value * (12 if power is None else 10**power))


def roman(text: str) -> int | None:
    """The value of a Roman numeral of two or more letters, as in XLII; None for every other text."""
    if len(text) < 2 or not _ROMAN.fullmatch(text):
        return None
    values = [_ROMAN_DIGITS[letter] for letter in text]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))


def _in_words(text: str) -> Number | None:
    """English number words up to the billions: "forty-two", "one hundred and five", "two-thirds", "two and a half"."""
    if len(text) > 120 or not text[:1].isalpha():
        return None
    said = text.lower().replace("-", " ").replace("‹", " ").replace("›", " ").replace("∧", " and ").split()
    parts = _PARTS.get(said[-1]) or _PARTS.get(said[-1].removesuffix("s")) if len(said) > 1 else None
    if parts is None:
        return _whole_in_words(said)
    if len(said) > 3 and said[-3:-1] in (["and", "a"], ["and", "one"]):
        whole = _whole_in_words(said[:-3])
        return None if whole is None else Number(whole.value + Fraction(1, parts))
    count = _SMALL.get(said[0]) if len(said) == 2 else None
    return None if count is None else Number(Fraction(count, parts))


def _whole_in_words(said: Sequence[str]) -> Number | None:
    total, group, seen = 0, 0, False
    for word in said:
        if word in _SMALL or word in _TENS:
            group, seen = group + _SMALL.get(word, 0) + _TENS.get(word, 0), True
        elif word == "hundred" and seen:
            group *= 100
        elif word in ("thousand", "million", "billion") and seen:
            total, group = total + group * 10 ** SCALES[word], 0  # type: ignore[operator]  # an integer power of ten is one
        elif word != "and":
            return None
    return Number(Fraction(total + group)) if seen else None
