"""What was measured before, during and after training: a summary and every answer, per evaluation."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from rl.run import atomic, tables
from rl.run.folder import RunFolder
from rl.run.rollouts import extra_columns, extra_schema, read_extra

SCHEMA = pa.schema(
    {
        "problem_id": pa.string(),
        "sample": pa.int64(),
        "prompt": pa.string(),
        "completion": pa.string(),
        "finish_reason": pa.string(),
        "reward": pa.float64(),
        "solved": pa.bool_(),
        "token_ids": tables.TOKENS,
        "logprobs": tables.LOGPROBS,
    }
)


@dataclass(frozen=True)
class EvaluationRow:
    """One answer to one held-out problem; `reward` and `solved` are None if it was ungradable.

    `extra` is what the reward functions logged of it; read back, all values are text or None.
    """

    problem_id: str
    sample: int
    prompt: str
    completion: str
    finish_reason: str
    reward: float | None
    solved: bool | None
    token_ids: Sequence[int]
    logprobs: Sequence[float]
    extra: Mapping[str, Any] = field(default_factory=dict)


def write_evaluation(folder: RunFolder, step: int, summary: Mapping[str, Any], rows: Sequence[EvaluationRow]) -> Path:
    """Write `evaluations/step-000010.json` and, before it, the answers beside it; step 0 is before training.

    `summary` holds `pass@1`, `ci95`, `n`, `mean_length` (tokens), `truncated` (share) and `seconds`.
    """
    path = folder.evaluations / f"step-{step:06d}.json"
    write_answers(path.with_suffix(".parquet"), rows)
    atomic.write_json(path, {"step": step, **summary})
    return path


def write_answers(path: Path, rows: Sequence[EvaluationRow]) -> None:
    """Write answers as a parquet file, one column for each thing that was logged of them: `extra/<name>`."""
    schema = pa.schema([*SCHEMA, *pa.schema(extra_schema([row.extra for row in rows]))])
    tables.write_rows(path, schema, [asdict(row) | extra_columns(row.extra) for row in rows])


def read_evaluations(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the summaries of all finished evaluations, by step."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.evaluations.glob("step-*.json"))]


def read_evaluation_rows(folder: RunFolder, step: int) -> list[EvaluationRow]:
    """Return every answer of one evaluation; raises FileNotFoundError if there was none at `step`."""
    path = folder.evaluations / f"step-{step:06d}.parquet"
    return [
        EvaluationRow(**{name: columns[name] for name in SCHEMA.names}, extra=read_extra(columns))
        for columns in tables.read_rows(path)
    ]
