"""Every completion that was trained on: one parquet file a step.

Each part of the reward has a column of its own, `reward/<function>`, and so has what the functions logged of a
completion, `extra/<name>`, as text: `extra/math/verdict`, `extra/math/reason`.

In a run of many ranks only rank 0 writes; it gathers the rows first.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from rl.base import tables
from rl.run.folder import RunFolder

PART = "reward/"
EXTRA = "extra/"


@dataclass(frozen=True)
class RolloutRow:
    """One completion, its verdict, and what it did to the policy.

    Attributes:
        problem_id: `Problem.id`.
        sample: place in its group, from 0.
        prompt, completion: text, for graders and people.
        prompt_token_ids, token_ids: what the engine was given and what it sampled (length T).
        logprobs: the engine's, natural, length T.
        learner_logprobs: the learner's of the same tokens, length T; None if it never looked at them.
        finish_reason: `stop` or `length`.
        reward: weighted sum of the parts; None if ungradable.
        parts: what each reward function returned; None if that one could not grade.
        solved: None if ungradable.
        advantage: None if the completion was left out of the loss.
        extra: what the reward functions logged of it; read back, all values are text or None.
    """

    problem_id: str
    sample: int
    prompt: str
    completion: str
    prompt_token_ids: Sequence[int]
    token_ids: Sequence[int]
    logprobs: Sequence[float]
    finish_reason: str
    reward: float | None
    solved: bool | None
    advantage: float | None
    learner_logprobs: Sequence[float] | None = None
    parts: Mapping[str, float | None] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


COLUMNS = {
    "step": pa.int64(),
    "problem_id": pa.string(),
    "sample": pa.int64(),
    "prompt": pa.string(),
    "completion": pa.string(),
    "prompt_token_ids": tables.TOKENS,
    "token_ids": tables.TOKENS,
    "logprobs": tables.LOGPROBS,
    "learner_logprobs": tables.LOGPROBS,
    "finish_reason": pa.string(),
    "reward": pa.float64(),
    "solved": pa.bool_(),
    "advantage": pa.float64(),
}
PLAIN = [item.name for item in fields(RolloutRow) if item.name not in ("parts", "extra")]


def write_rollouts(folder: RunFolder, step: int, rows: Sequence[RolloutRow]) -> Path:
    """Write the completions of one step to `rollouts/step-000012.parquet`, in place of earlier ones of that step."""
    return write_step(folder.rollouts, step, rows)


def write_step(parent: Path, step: int, rows: Sequence[RolloutRow]) -> Path:
    """Write the completions of one step to `step-000012.parquet` in any folder."""
    parts = sorted({name for row in rows for name in row.parts})
    schema = pa.schema(
        COLUMNS | {PART + name: pa.float64() for name in parts} | extra_schema([row.extra for row in rows])
    )
    path = parent / f"step-{step:06d}.parquet"
    tables.write_rows(path, schema, [_to_columns(step, row) for row in rows])
    return path


def read_rollouts(folder: RunFolder, step: int) -> list[RolloutRow]:
    """Return the completions of one step, exactly as written; raises FileNotFoundError if it has none."""
    return [_from_columns(columns) for columns in tables.read_rows(_path(folder, step), pa.schema(COLUMNS))]


def rollout_steps(folder: RunFolder) -> list[int]:
    """Return the steps whose completions are stored, in order."""
    return list(tables.step_paths(folder.rollouts, ".parquet"))


def _path(folder: RunFolder, step: int) -> Path:
    return folder.rollouts / f"step-{step:06d}.parquet"


def _to_columns(step: int, row: RolloutRow) -> dict[str, object]:
    parts = {PART + name: value for name, value in row.parts.items()}
    return {"step": step} | {name: getattr(row, name) for name in PLAIN} | parts | extra_columns(row.extra)


def _from_columns(columns: dict) -> RolloutRow:
    parts = {name.removeprefix(PART): value for name, value in columns.items() if name.startswith(PART)}
    return RolloutRow(**{name: columns[name] for name in PLAIN}, parts=parts, extra=read_extra(columns))


def extra_schema(extras: Iterable[Mapping[str, Any]]) -> dict[str, pa.DataType]:
    """The columns that hold what was logged of completions."""
    return {EXTRA + name: pa.string() for name in sorted({name for extra in extras for name in extra})}


def extra_columns(extra: Mapping[str, Any]) -> dict[str, str | None]:
    """What was logged of one completion, as text: texts as they are, other values as JSON."""
    return {EXTRA + name: _to_text(value) for name, value in extra.items()}


def read_extra(columns: Mapping[str, Any]) -> dict[str, str | None]:
    """What was logged of one completion, out of all its columns."""
    return {name.removeprefix(EXTRA): value for name, value in columns.items() if name.startswith(EXTRA)}


def _to_text(value: Any) -> str | None:
    if value is None:
        return None
    try:
        text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, or a value that holds itself
        text = repr(value)
    return text.encode("utf-8", "replace").decode()  # lone surrogates are no UTF-8, which parquet wants
