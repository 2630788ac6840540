"""Near enough: two real scalars within an absolute or relative difference, for the few benchmarks judged so.

Everywhere else answers are exact. What is usual for Minerva's OCWCourses (arXiv 2206.14858), whose gold answers are
rounded: a relative difference of 1e-4, as in `evaluation/grader.py` of QwenLM/Qwen2.5-Math; the
`evaluation/eval/ocwcourses_eval_utils.py` of DeepSeek-Math is tighter, with the 1e-5 of numpy's `isclose`.
Deviation from Qwen's: an answer that is a hundred times too large or small is accepted only where one side has a
percent sign, and units that contradict each other are wrong.
"""

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from rewards.math.choices import choice_letter
from rewards.math.compare import cleaned
from rewards.math.exact import NotRational, TooLarge, rational
from rewards.math.numeric import real_value
from rewards.math.relations import named_value
from rewards.math.scalars import quantity
from rewards.math.shapes import Relation, Scalar, shape
from rewards.math.tree import parse
from rewards.math.units import conversion


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Differences that are allowed: `absolute` in the gold answer's unit, `relative` to the gold answer."""

    absolute: Fraction = Fraction(0)
    relative: Fraction = Fraction(0)


EXACT = Tolerance()


def read_difference(value: Any) -> Fraction | None:
    """The difference that a number or a text such as `1e-1` allows, 0 for None, NaN and empty text; None if it is
    negative or no finite number.
    """
    if value is None or isinstance(value, bool):
        return Fraction(0) if value is None else None
    text = str(value).strip()
    try:
        number = float(text or 0)
    except ValueError:
        return None
    if math.isnan(number):  # what data frames make of None
        return Fraction(0)
    return Fraction(str(number)) if math.isfinite(number) and number >= 0 else None


def bad_difference(value: Any) -> str | None:
    """What is wrong with an allowed difference; None if nothing is."""
    if read_difference(value) is not None:
        return None
    return f"its tolerance is {str(value)[:40]!r}, not a number of 0 or more"


def is_near(gold: str, answer: str, allowed: Tolerance) -> bool:
    """Whether both are real scalars, with or without a unit, that differ by no more than is allowed. Never raises."""
    if allowed == EXACT:
        return False
    wanted, given = _scalar(gold), _scalar(answer)
    if wanted is None or given is None or (wanted.name and given.name and wanted.name != given.name):
        return False
    factor = conversion(wanted.unit, given.unit)
    if factor is None:
        return False
    values = {given.value * factor}
    if wanted.percent != given.percent:
        values.add(given.value * 100 if wanted.percent else given.value / 100)
    room = max(allowed.absolute, allowed.relative * abs(wanted.value))
    return any(abs(value - wanted.value) <= room for value in values)


@dataclass(frozen=True, slots=True)
class _Scalar:
    name: str
    value: Fraction
    unit: str
    percent: bool


@functools.lru_cache(maxsize=8192)
def _scalar(text: str) -> _Scalar | None:
    """The real value that an answer gives, by itself or to a name; None if it gives something else."""
    found, name = shape(cleaned(text)), ""
    named = named_value(found) if isinstance(found, Relation) else None
    if named is not None:
        name, found = named[0], shape(named[1])
    if not isinstance(found, Scalar) or choice_letter(found.text) is not None:
        return None
    body, number, unit, percent = quantity(found.text)
    value = _real(body) if number is None else number.value
    return None if value is None else _Scalar(name, value, unit, percent)


def _real(text: str) -> Fraction | None:
    """The value of a formula without letters: exact where it is rational, else that of a float."""
    read = parse(text)
    if read is None or read[1]:  # it could be read in two ways
        return None
    try:
        return rational(read[0])
    except TooLarge:
        return None
    except NotRational:
        value = real_value(read[0])
        return Fraction(value) if value is not None and math.isfinite(value) else None
