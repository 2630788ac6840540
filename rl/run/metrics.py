"""The curve of a run: one JSON line a step in `metrics.jsonl`."""

from collections.abc import Mapping
from typing import Any

from rl.base import jsonl
from rl.run.folder import RunFolder

NEEDS = {"step": int}


class MetricsLog:
    """Appends steps to `metrics.jsonl`; each line is on the disk before `append` returns."""

    def __init__(self, folder: RunFolder) -> None:
        self._path = folder.metrics
        jsonl.mend(self._path)

    def append(self, metrics: Mapping[str, Any]) -> None:
        """Add the line of one step; `metrics` holds `step`. NaN becomes null, other floats round-trip exactly."""
        jsonl.append(self._path, {"step": metrics["step"], **metrics})

    def truncate_after(self, step: int) -> None:
        """Drop the lines of later steps, which a resumed run will write again."""
        records = jsonl.read(self._path, NEEDS)
        kept = [record for record in records if record["step"] <= step]
        if len(kept) < len(records):
            jsonl.rewrite(self._path, kept)


def read_metrics(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the lines of `metrics.jsonl` in order; a half-written last line does not count."""
    return jsonl.read(folder.metrics, NEEDS)
