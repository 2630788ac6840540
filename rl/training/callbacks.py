"""Functions of a Python program that are called after each step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Callback = Callable[[Mapping[str, Any]], bool | None]  # gets the metrics of the step; True ends the run, saved


def wants_end(callbacks: Sequence[Callback], metrics: Mapping[str, Any]) -> str:
    """Call all callbacks; return why the run is to end, or an empty text."""
    wanting = [callback for callback in callbacks if callback(metrics) is True]
    return f"a callback, {getattr(wanting[0], '__name__', 'without a name')}" if wanting else ""
