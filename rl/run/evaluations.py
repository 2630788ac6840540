"""Answers to problems, as rows: what was measured before, during and after training, and what `penny eval` measured."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from rewards.verdict import Outcome
from rl.base import atomic, tables
from rl.base.stored import NUMBER, damaged, read_object
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
        "prompt_token_ids": tables.TOKENS,
        "num_tokens": pa.int64(),
        "gold": pa.string(),
        "answer": pa.string(),
        "answer_class": pa.int64(),
        "verdict": pa.string(),
        "reason": pa.string(),
        "verdict_strict": pa.string(),
        "verdict_flexible": pa.string(),
    }
)
BY_TOKEN = ("token_ids", "logprobs", "prompt_token_ids")


@dataclass(frozen=True)
class EvaluationRow:
    """One answer to one problem.

    Attributes:
        problem_id: the problem's id; rows of several evaluations are paired by it.
        sample: which of the problem's answers, from 0.
        prompt: what was sent, as text.
        completion: what came back, as text, with the prefill before it.
        finish_reason: `stop`, `length` (cut off), or None where nobody knows (stored outputs).
        reward: weighted sum of the rewards; None: ungradable.
        solved: what the accuracy function says; None: ungradable.
        token_ids, logprobs: of the completion, length T; empty where unknown.
        extra: what all reward functions logged of it; read back, all values are text or None.
        prompt_token_ids: what was sent; empty where unknown.
        num_tokens: length of the completion in tokens; None where unknown.
        gold: the answer that counts as right, as text; empty for programs and puzzles with many.
        answer: what the grader took for the answer; None: it found none, or tells nobody.
        answer_class: answers to a problem that are equal have the same number; None: has no vote in a majority.
        verdict, reason: what the accuracy function said, and why.
        verdict_strict, verdict_flexible: what it says where answers are read strictly or flexibly (`rewards.math`); one
            of them is `verdict`. None where it reads in one way only, and in evaluations during training.
    """

    problem_id: str
    sample: int
    prompt: str
    completion: str
    finish_reason: str | None
    reward: float | None
    solved: bool | None
    token_ids: Sequence[int]
    logprobs: Sequence[float]
    extra: Mapping[str, Any] = field(default_factory=dict)
    prompt_token_ids: Sequence[int] = field(default_factory=list)
    num_tokens: int | None = None
    gold: str = ""
    answer: str | None = None
    answer_class: int | None = None
    verdict: Outcome = "ungradable"
    reason: str = ""
    verdict_strict: Outcome | None = None
    verdict_flexible: Outcome | None = None


OPTIONAL = (*BY_TOKEN, *(item.name for item in fields(EvaluationRow) if item.default is not MISSING))


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


def read_answers(path: Path, tokens: bool = True) -> list[EvaluationRow]:
    """Read what `write_answers` wrote; columns that an older file lacks have their defaults.

    Without `tokens` the lists by token, most of the file, are left empty.
    """
    rows = tables.read_rows(path, SCHEMA, () if tokens else BY_TOKEN, may_lack=OPTIONAL)
    return [_from_columns(columns) for columns in rows]


def _from_columns(columns: dict[str, Any]) -> EvaluationRow:
    present = {name: columns[name] for name in SCHEMA.names if name in columns}
    return EvaluationRow(**{"token_ids": [], "logprobs": [], **present}, extra=read_extra(columns))


def read_evaluations(folder: RunFolder) -> list[dict[str, Any]]:
    """Return the summaries of all finished evaluations, by step. Raises BadInput if one is damaged."""
    return [read_evaluation(path) for path in tables.step_paths(folder.evaluations, ".json").values()]


def read_evaluation(path: Path) -> dict[str, Any]:
    """Return the summary of one evaluation. Raises BadInput if it is damaged."""
    cure = "bring it back from a copy, or go on with the run, which puts it back or measures again"
    found = read_object(path, cure, {"step": int, "pass@1": NUMBER, "ci95": list, "n": int})
    if path.name != f"step-{found['step']:06d}.json":
        raise damaged(path, f"it is of step {found['step']}", cure)
    if len(found["ci95"]) != 2 or not all(isinstance(end, int | float) for end in found["ci95"]):
        raise damaged(path, "its ci95 is no interval", cure)
    return found


def read_evaluation_rows(folder: RunFolder, step: int, tokens: bool = True) -> list[EvaluationRow]:
    """Return every answer of one evaluation, as `read_answers` does; FileNotFoundError if there was none at `step`."""
    return read_answers(folder.evaluations / f"step-{step:06d}.parquet", tokens)
