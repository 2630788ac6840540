"""Times of day: what is the same time, what is another, and what is a ratio."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.math.compare import compare
from rewards.math.grade import readable
from rewards.math.times import Time, read_time

AFTERNOON = ["4:30 \\text{ p.m.}", "4:30 p.m.", "4:30 PM", "4:30pm", "16:30"]


@pytest.mark.parametrize("gold", AFTERNOON)
@pytest.mark.parametrize(
    "answer",
    [
        *AFTERNOON,
        "4:30~\\mathrm{p.m.}",
        "\\text{4:30 PM}",
        "4\\!:\\!30 \\text{ p.m.}",
        "4{:}30 P.M.",
        "4.30 pm",
        "04:30 PM",
        "4:30:00 PM",
        "16h30",
        "t = 4:30 p.m.",
        "It is 4:30 p.m. on Tuesday",
        "4:30 p.m. EST",
        "4:30 in the afternoon",
        "half past four in the afternoon",
    ],
)
def test_the_same_time(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is True


@pytest.mark.parametrize("gold", AFTERNOON)
@pytest.mark.parametrize(
    "answer",
    [
        "4:30 \\text{ a.m.}",
        "2:15 \\text{ p.m.}",
        "2:15",
        "14:15",
        "4:31 p.m.",
        "4.5",
        "4",
        "\\frac{4}{30}",
        "noon",
        "half past three",
        "4:30 p.m. or 5:30 p.m.",
    ],
)
def test_another_time(gold: str, answer: str) -> None:
    assert compare(gold, answer)[0] is False


@pytest.mark.parametrize(
    ("gold", "answer", "same"),
    [
        # Half of the day may be missing on one side, as a unit may; 24 hours say it.
        ("4:30 p.m.", "4:30", True),
        ("4:30", "4:30 p.m.", True),
        ("4:30", "16:30", False),
        ("16:30", "4:30", False),
        # Hours alone.
        ("3 \\text{ p.m.}", "3 \\text{ a.m.}", False),
        ("3 p.m.", "3:00 PM", True),
        ("3 p.m.", "15:00", True),
        ("3 p.m.", "3 o'clock", True),
        ("3 p.m.", "3", True),
        ("3 p.m.", "15", False),
        ("3", "3 p.m.", True),
        ("15", "3 p.m.", False),
        ("3:00 p.m.", "3", False),
        # Noon, midnight, words.
        ("12:00 p.m.", "\\text{noon}", True),
        ("\\text{midnight}", "0:00", True),
        ("12:00 a.m.", "24:00", True),
        ("\\text{noon}", "12:00 a.m.", False),
        ("4:45 p.m.", "a quarter to five in the afternoon", True),
        ("11:45 a.m.", "quarter to twelve in the morning", True),
        ("4:40", "twenty to five", True),
        # Seconds; durations.
        ("4\\!:\\!51\\!:\\!06 \\text{ p.m.}", "16:51:06", True),
        ("4:51:06 p.m.", "4:51:07 p.m.", False),
        ("1:30:00", "01:30:00", True),
        ("1:30:00", "3:00:00", False),
        ("1:30:00", "2:60:00", False),
        # Several times.
        ("4:30 p.m., 5:30 p.m.", "5:30 PM, 4:30 PM", True),
        ("4:30 p.m., 5:30 p.m.", "5:30 AM, 4:30 PM", False),
        ("20\\!:\\!34, 8\\!:\\!34 \\text{ p.m.}", "8:34 p.m.", True),
        # Ratios.
        ("4:30", "2:15", False),
        ("12:00", "1:00", False),
        ("2:4", "1:2", True),
        ("7:32", "14:64", True),
        ("7:32", "\\frac{7}{32}", True),
        ("3:10", "0.3", True),
        ("1:2:3", "2:4:6", True),
        ("1:2:3", "1:4:9", False),
        ("10:20:30", "1:2:3", True),
        ("4:05", "4:5", False),
        ("4:05", "\\frac{4}{5}", False),
        ("12:00", "12", False),
        # No times.
        ("2am", "2ma", True),
        ("5 cm", "5 pm", False),
        ("\\text{Tuesday}", "4:30 p.m.", False),
    ],
)
def test_times_numbers_and_ratios(gold: str, answer: str, same: bool) -> None:
    assert compare(gold, answer)[0] is same


def test_what_is_read() -> None:
    assert read_time("4:30 ‹p.m›") == Time(4, 1800, "pm")
    assert (
        read_time("14:64") is read_time("25:00") is read_time("0:30 pm") is read_time("4.30") is read_time("7") is None
    )


@pytest.mark.parametrize(
    "gold", ["4:30 p.m.", "4:30 PM", "3 p.m.", "16:30", "\\text{noon}", "52 base 8", "octal 52", "(52)_8", "0x1A"]
)
def test_golds_that_are_times_or_numerals_are_readable(gold: str) -> None:
    assert readable(gold)


def written(hour: int, minute: int) -> list[str]:
    """Ways to write a time, all of which say which half of the day it is."""
    half, short = ("am", "pm")[hour >= 12], hour % 12 or 12
    ways = [
        f"{short}:{minute:02d} {half}",
        f"{short}:{minute:02d} \\text{{ {half[0]}.m.}}",
        f"{short}.{minute:02d}{half}",
    ]
    ways += [f"\\text{{{short}:{minute:02d} {half.upper()}}}", f"{short:02d}:{minute:02d}:00 {half.upper()}"]
    if hour > 12 or hour == 0:
        ways += [f"{hour}:{minute:02d}", f"{hour:02d}:{minute:02d}:00"]
    if not minute:
        ways += [f"{short} {half[0]}.m.", f"{short} {half.upper()}"]
    return ways


@given(st.integers(0, 23), st.integers(0, 59), st.integers(1, 1439), st.data())
def test_a_time_equals_its_spellings_and_no_other_time(hour: int, minute: int, later: int, data: st.DataObject) -> None:
    gold = data.draw(st.sampled_from(written(hour, minute)))
    assert compare(gold, data.draw(st.sampled_from(written(hour, minute))))[0] is True
    other = (hour * 60 + minute + later) % 1440
    assert compare(gold, data.draw(st.sampled_from(written(*divmod(other, 60)))))[0] is False
