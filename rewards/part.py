"""What one reward function says of a batch: it is called, and what it returns is checked."""

import math
from collections.abc import Mapping, Set
from typing import Any

from rewards.errors import BadInput
from rewards.failures import failure_of, is_failure
from rewards.logs import BatchLogs
from rewards.shapes import RewardFunction
from rewards.verdict import Verdict, log_verdicts

LARGEST = 1e30  # of a grade: means and squares of larger ones are infinite


def part_of(
    name: str, function: RewardFunction, given: Mapping[str, Any], options: Mapping[str, Any], logs: BatchLogs
) -> list[float | None]:
    """Call a function, log the verdicts that it returns, and return one grade a completion.

    `given` has one item a completion in each column, and what a trainer offers.

    Raises:
        BadInput: as the function does, or because it did not return one number, verdict or None for each completion.
        RewardFailed: the function raised anything else.
    """
    try:
        returned = function(**given, **options)
    except BadInput:
        raise
    except BaseException as error:  # the author's own code ran: it may raise anything, SystemExit among it
        if not is_failure(error):
            raise
        raise failure_of(name, error, given) from error
    if _is_verdicts(returned):
        log_verdicts(name, returned, logs.extra, logs.metric)
    return _checked_grades(name, returned, logs.count)


def _is_verdicts(returned: Any) -> bool:
    return isinstance(returned, list) and bool(returned) and all(isinstance(grade, Verdict) for grade in returned)


def _checked_grades(name: str, returned: Any, count: int) -> list[float | None]:
    """Return the list that a function returned as floats and Nones, or BadInput."""
    listed = hasattr(returned, "__len__") and hasattr(returned, "__iter__") and not isinstance(returned, Mapping | Set)
    if not listed or len(returned) != count:
        length = f"{len(returned)} items" if listed else f"a {type(returned).__name__}"
        raise BadInput(f"the reward {name!r} returned {length} for {count} completions; return one number for each")
    return [_number(name, grade) for grade in returned]


def _number(name: str, grade: Any) -> float | None:
    """Return a verdict, a number or truth value of Python's, numpy's or torch's, or None, as a float or None."""
    if isinstance(grade, Verdict):
        return grade.reward
    if grade is None:
        return None
    try:
        number = math.nan if isinstance(grade, str | bytes) else float(grade)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not abs(number) <= LARGEST:  # nor is NaN
        raise BadInput(f"the reward {name!r} returned {str(grade)[:50]!r}; return a finite number or None for each")
    return number
