"""Reward functions that can tell, before training, which problems they could never pay for.

A gold answer that does not verify against itself makes every completion wrong or ungradable, and a run on such problems
learns from noise.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rewards.pool import GraderPool

BadGolds = Callable[[Mapping[str, Sequence[Any]], GraderPool, Mapping[str, Any]], list[str | None]]
Function = TypeVar("Function", bound=Callable[..., Any])


def type_fault(gold: Any) -> str | None:
    """Say why a gold answer is of no type that can be compared, in a few words; None for text and finite numbers.

    Lists are refused too: nobody says whether all of a list is the answer, or any of its items is.
    """
    if isinstance(gold, str) or (isinstance(gold, int) and not isinstance(gold, bool)):
        return None
    if isinstance(gold, float):
        return None if math.isfinite(gold) else f"it is {gold}, no finite number"
    return f"it is {kind_of(gold)}, neither text nor a number"


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
