"""Times of day: `4:30 p.m.`, 16:30, 4 PM, noon, half past four, 4:51:06.

What `a:b` is depends on both sides: it is a time where both could be one (two digits of minutes, below 60), and a ratio
where either could not, so 2:15 is not 4:30, but 7:32 is 14:64. Half of the day counts as units do: an answer that
leaves out "p.m." is allowed, another half is wrong, and 16:30 is 4:30 p.m.
"""

import functools
import re
from dataclasses import dataclass

from rewards.math.numerals import read_number

_HALF = r"(?:(?P<half>[ap])\.?\s?m|(?P<words>in the (?:early |late )?(?:morning|afternoon|evening)))"
_BEFORE = r"(?:it is |it's |at )?"
_AFTER = r"(?:\.? \(?[a-z]{1,3}t\)?|\.? on [a-z]{3,6}day|\.? local time)?"  # EST, on Monday
_TIME = re.compile(
    rf"{_BEFORE}(?P<hour>\d{{1,2}})(?:(?P<mark>\s?[:.h]\s?)(?P<minute>[0-5]\d)(?:\s?:\s?(?P<second>[0-5]\d))?)?"
    rf"(?P<clock> o'?\s?clock)?(?:\s?{_HALF})?{_AFTER}"
)
_SPOKEN = re.compile(
    rf"{_BEFORE}(?:(?:(?P<past>half|(?:a )?quarter|[a-z-]+(?: minutes)?) (?P<side>past|after|to|before|till) )?"
    rf"(?P<hour>[a-z]+|\d{{1,2}})(?P<clock> o'?\s?clock)?)(?: {_HALF})?{_AFTER}"
)
_MAYBE = re.compile(r"\d\s?[:h]\s?\d|[ap]\.?\s?m\b|clock|noon|midday|midnight|(?:past|after|to|before|till) |in the ")
_NAMED = re.compile(rf"{_BEFORE}(?:12(?::00)? )?(noon|midday|midnight){_AFTER}")
_FORMULA = re.compile(r"\d++[ap]m")  # may be a product
_PLAIN = re.compile(r"(?:[\d\s.,/*+(){}-]|\\frac)++")
_AM = {"in the morning", "in the early morning", "in the late morning"}
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day. `hour` is as written, `half` is "am", "pm" or empty; `minutes`: whether minutes are written."""

    hour: int
    rest: int  # seconds after the full hour
    half: str = ""
    minutes: bool = True

    def second_of_day(self) -> int | None:
        """Seconds since midnight; None where it may be morning or afternoon."""
        if self.half and self.hour <= 12:
            return (self.hour % 12 + 12 * (self.half == "pm")) * 3600 + self.rest
        return None if 1 <= self.hour <= 12 else self.hour * 3600 % _DAY + self.rest


@functools.lru_cache(maxsize=8192)
def read_time(text: str) -> Time | None:
    """The time of day that a cleaned text is as a whole, or None."""
    if len(text) > 60 or not _MAYBE.search(text.lower()):
        return None
    text = " ".join(text.replace("‹", " ").replace("›", " ").rstrip(" .").lower().split())
    if (named := _NAMED.fullmatch(text)) is not None:
        return Time(12, 0, "am" if named[1] == "midnight" else "pm", minutes=False)
    match = _TIME.fullmatch(text)
    if match is not None:
        return _in_digits(match)
    match = _SPOKEN.fullmatch(text)
    return None if match is None else _spoken(match)


def _half(match: re.Match[str]) -> str:
    if match["half"]:
        return f"{match['half']}m"
    words = match["words"]
    return "" if not words else "am" if words in _AM else "pm"


def _in_digits(match: re.Match[str]) -> Time | None:
    hour, half, marked = int(match["hour"]), _half(match), (match["mark"] or "").strip()
    if not marked and not half and not match["clock"] or marked == "." and not half:
        return None
    return _valid(hour, int(match["minute"] or 0) * 60 + int(match["second"] or 0), half, bool(match["minute"]))


def _spoken(match: re.Match[str]) -> Time | None:
    """Read "half past four", "twenty to five p.m.", "four o'clock"."""
    hour = read_number(match["hour"])
    if hour is None or not (match["past"] or match["clock"] or match["half"] or match["words"]):
        return None
    past = (match["past"] or "zero").removeprefix("a ").removesuffix(" minutes")
    minutes = {"half": 30, "quarter": 15}.get(past) or _whole(past)
    if minutes is None or not 0 <= minutes < 60 or not 1 <= hour.value <= 12 or hour.value.denominator != 1:
        return None
    before = match["side"] in ("to", "before", "till")
    full = int(hour.value) - (before and minutes > 0)
    return _valid(full or 12, (60 - minutes if before else minutes) % 60 * 60, _half(match), bool(match["past"]))


def _whole(text: str) -> int | None:
    number = read_number(text)
    return None if number is None or number.value.denominator != 1 else int(number.value)


def _valid(hour: int, rest: int, half: str, minutes: bool) -> Time | None:
    if hour > 24 or hour == 24 and rest or half and hour == 0 and half == "pm" or half == "am" and hour > 12:
        return None
    return Time(hour, rest, half, minutes)


def is_clock(text: str) -> bool:
    """Whether a text is a time in digits alone, which may be a ratio as well."""
    return ":" in text and (time := read_time(text)) is not None and not time.half


def ratio(text: str) -> tuple[str, ...]:
    """The parts of the ratio that a time without half of the day would be; nothing if it must be a time: 4:05."""
    parts = tuple(part.strip() for part in text.split(":"))
    return () if any(part.startswith("0") for part in parts) else parts


def is_plain(text: str) -> bool:
    """Whether a text has only signs of arithmetic: it may be a number, and no other way to write a time."""
    return _PLAIN.fullmatch(text) is not None


def compare_times(gold: str, answer: str) -> tuple[bool | None, str] | None:
    """The decision where the gold answer or the answer is a time; None where that does not decide."""
    wanted, given = read_time(gold), read_time(answer)
    if wanted is None and given is None:
        return None
    if wanted is not None and given is not None:
        equal = _same(wanted, given)
        return equal, "the same time" if equal else "another time"
    if wanted is not None and wanted.half and not _FORMULA.fullmatch(gold):
        number = read_number(answer)
        hour = wanted.hour % 12 if not wanted.minutes else None
        equal = number is not None and hour is not None and number.value in (hour, hour or 12)
        return equal, "the hour without a.m. or p.m." if equal else "no time"
    for text, other in ((gold, answer), (answer, gold)):
        if is_clock(text) and not ratio(text) and is_plain(other):
            return False, "a time and a number"
    number = read_number(gold)
    if given is None or not given.half or number is None:
        return None
    equal = not given.minutes and number.value == given.hour
    return equal, "the same hour" if equal else "a time for a number"


def _same(wanted: Time, given: Time) -> bool:
    """Sides that do not say which half of the day they mean are equal to both, but 4:30 is not 16:30."""
    a, b = wanted.second_of_day(), given.second_of_day()
    if a is not None and b is not None:
        return a == b
    if any(time.hour > 12 or time.hour == 0 for time in (wanted, given)):
        return False
    return (wanted.hour % 12, wanted.rest) == (given.hour % 12, given.rest)
