"""Every completion that was trained on: one parquet file a step.

In a run of many ranks only rank 0 writes; it gathers the rows first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import pyarrow as pa

from rl.run import tables
from rl.run.folder import RunFolder

PART = "reward/"  # each part of the reward has a column of its own, named after its function


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
PLAIN = [item.name for item in fields(RolloutRow) if item.name != "parts"]


def write_rollouts(folder: RunFolder, step: int, rows: Sequence[RolloutRow]) -> Path:
    """Write the completions of one step to `rollouts/step-000012.parquet`, in place of earlier ones of that step."""
    parts = sorted({name for row in rows for name in row.parts})
    schema = pa.schema(COLUMNS | {PART + name: pa.float64() for name in parts})
    path = _path(folder, step)
    tables.write_rows(path, schema, [_to_columns(step, row) for row in rows])
    return path


def read_rollouts(folder: RunFolder, step: int) -> list[RolloutRow]:
    """Return the completions of one step, exactly as written; raises FileNotFoundError if it has none."""
    return [_from_columns(columns) for columns in tables.read_rows(_path(folder, step))]


def rollout_steps(folder: RunFolder) -> list[int]:
    """Return the steps whose completions are stored, in order."""
    return sorted(tables.step_of(path) for path in folder.rollouts.glob("step-*.parquet"))


def _path(folder: RunFolder, step: int) -> Path:
    return folder.rollouts / f"step-{step:06d}.parquet"


def _to_columns(step: int, row: RolloutRow) -> dict[str, object]:
    parts = {PART + name: value for name, value in row.parts.items()}
    return {"step": step} | {name: getattr(row, name) for name in PLAIN} | parts


def _from_columns(columns: dict) -> RolloutRow:
    parts = {name.removeprefix(PART): value for name, value in columns.items() if name.startswith(PART)}
    return RolloutRow(**{name: columns[name] for name in PLAIN}, parts=parts)
