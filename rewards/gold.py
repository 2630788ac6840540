"""What gold answers may be, and reward functions that can tell, before training, which problems they never pay for.

A gold answer that does not verify against itself makes every completion wrong or ungradable, and a run on such problems
learns from noise.
"""

import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from rewards.pool import GraderPool

BadGolds = Callable[[Mapping[str, Sequence[Any]], GraderPool, Mapping[str, Any]], list[str | None]]
TypeFault = Callable[[Any], str | None]
Function = TypeVar("Function", bound=Callable[..., Any])
LONGEST_BITS = 13_300  # of a whole number; Python writes no more than 4,300 digits


def type_fault(gold: Any) -> str | None:
    """Say why a gold answer is of no type that can be compared, in a few words; None for text and finite numbers.

    Lists are refused too: nobody says whether all of a list is the answer, or any of its items is.
    """
    if isinstance(gold, str):
        return None
    if isinstance(gold, bool) or not isinstance(gold, numbers.Real | Decimal):
        return f"it is {kind_of(gold)}, neither text nor a number"
    if isinstance(gold, numbers.Rational):
        long = max(int(gold.numerator).bit_length(), int(gold.denominator).bit_length()) > LONGEST_BITS
        return "it is a number of more than 4,000 digits" if long else None
    return None if math.isfinite(gold) else f"it is {gold}, no finite number"


def whole_fault(number: Any) -> str | None:
    """Say why something is no whole number, in a few words; 24.0, as tables write it, is one."""
    if isinstance(number, str):
        return "it is a text, no whole number"
    fault = type_fault(number)
    return f"it is {number}, no whole number" if fault is None and number != int(number) else fault


def kind_of(value: Any) -> str:
    """Name the type of a value as JSON does, for people."""
    if value is None:
        return "null"
    names = {
        bool: "a truth value",
        list: "a list",
        dict: "an object",
        str: "a text",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), f"of the type {type(value).__name__}")


def takes(**faults: TypeFault) -> Callable[[Function], Function]:
    """Decorate a reward function with what its columns may hold.

    Args:
        faults: by column, a function that says of a value in a few words why it cannot be graded; None: it can.
    """

    def mark(function: Function) -> Function:
        function.column_faults = faults  # type: ignore[attr-defined]  # functions take attributes
        return function

    return mark


def column_faults(function: Callable[..., Any]) -> Mapping[str, TypeFault]:
    """Return what `takes` says of a reward function, itself or under an adapter; nothing if it is not decorated."""
    marked = inspect.unwrap(function, stop=lambda wrapper: hasattr(wrapper, "column_faults"))
    faults: Mapping[str, TypeFault] = getattr(marked, "column_faults", {})
    return faults


def checks_gold(bad_golds: BadGolds) -> Callable[[Function], Function]:
    """Decorate a reward function with the check of its gold answers.

    Args:
        bad_golds: takes the problems' columns (one item a problem each), a pool of grader processes, and the options
            that the function will be called with, `sandbox` among them; returns one item a problem: None where its gold
            answer is fine, else why it is not, in a few words.
    """

    def mark(function: Function) -> Function:
        function.bad_golds = bad_golds  # type: ignore[attr-defined]  # functions take attributes
        return function

    return mark


def gold_check(function: Callable[..., Any]) -> BadGolds | None:
    """The check that a reward function carries, if it carries one, itself or under an adapter."""
    marked = inspect.unwrap(function, stop=lambda wrapper: hasattr(wrapper, "bad_golds"))
    return getattr(marked, "bad_golds", None)
