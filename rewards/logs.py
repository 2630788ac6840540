"""What reward functions log of a batch by TRL's callbacks `log_extra` and `log_metric`."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from rewards.errors import BadInput


class BatchLogs:
    """Collects extra columns and metrics of one batch.

    Args:
        count: number of completions.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._columns: dict[str, list[Any]] = {}
        self._values: dict[str, list[float]] = {}

    def extra(self, column: str, values: list[Any]) -> None:
        """Take a column of one value a completion; of two of the same name the later counts. Raises BadInput."""
        if len(values) != self.count:
            raise BadInput(
                f"a reward logged {len(values)} values in the column {column!r} for {self.count} completions; "
                "give log_extra one for each"
            )
        self._columns[_name(column)] = list(values)

    def metric(self, name: str, value: float) -> None:
        """Take one value of a metric. Raises BadInput if it is no finite number."""
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise BadInput(f"a reward logged the metric {name!r} as {str(value)[:50]!r}; give log_metric a number")
        self._values.setdefault(_name(name), []).append(number)

    def row(self, place: int) -> dict[str, Any]:
        """What was logged of one completion."""
        return {column: values[place] for column, values in self._columns.items()}

    def logged(self) -> tuple[dict[str, list[Any]], dict[str, list[float]]]:
        """Columns, and the values of metrics: what `add` takes."""
        return self._columns, self._values

    def add(self, columns: Mapping[str, list[Any]], values: Mapping[str, list[float]]) -> None:
        """Take what other logs hold. Raises BadInput as `extra` and `metric` do."""
        for column, items in columns.items():
            self.extra(column, items)
        for name, numbers in values.items():
            for number in numbers:
                self.metric(name, number)

    def metrics(self) -> dict[str, float]:
        """The mean of each metric's values."""
        return {name: sum(values) / len(values) for name, values in self._values.items()}


def _name(given: Any) -> str:
    return str(given).encode("utf-8", "replace").decode()  # half a character cannot be written to a file


class SampleLogs:
    """Collects what a function that grades one completion at a time logs, and hands it on as columns of the batch.

    Args:
        count: number of completions.
        log_extra: takes a column, one value a completion.
    """

    def __init__(self, count: int, log_extra: Callable[[str, list[Any]], None]) -> None:
        self._count = count
        self._log_extra = log_extra
        self._columns: dict[str, list[Any]] = {}

    def of(self, place: int) -> Callable[[str, Any], None]:
        """The `log_extra` of one completion: it takes one value, or, as of a batch, a list of one."""

        def log_extra(column: str, value: Any) -> None:
            values = self._columns.setdefault(str(column), [None] * self._count)
            values[place] = value[0] if isinstance(value, list) and len(value) == 1 else value

        return log_extra

    def hand_on(self) -> None:
        """Log every column; a completion that logged nothing has None there."""
        for column, values in self._columns.items():
            self._log_extra(column, values)
