"""Reward functions that can tell, before training, which problems they could never pay for.

A gold answer that does not verify against itself makes every completion wrong or ungradable, and a run on such problems
learns from noise.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from rewards.pool import GraderPool

BadGolds = Callable[[Mapping[str, Sequence[Any]], GraderPool, Mapping[str, Any]], list[str | None]]
Function = TypeVar("Function", bound=Callable[..., Any])


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
