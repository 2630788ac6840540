"""reasoning-gym's own scorers, in grader processes.

Most of them run `eval` or sympy's `parse_expr` on the model's answer, so they must never run in the trainer's process.
A grader process can be killed and has no environment, but is no sandbox: an answer made to do harm can still write
files or signal the trainer (see `rewards.worker`). Train on tasks whose answers are evaluated with that in mind.
"""

import functools
import importlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rewards.format import answer_part, last_tagged
from rewards.pool import GraderPool, shared

GRID_TASKS = ("arc_agi", "rearc")  # their scorers compare tuples with the entry's grid, whose rows JSON made lists


def reasoning_gym(
    completions: Sequence[str],
    task: Sequence[str],
    task_config: Sequence[Mapping[str, Any] | None],
    entry: Sequence[Mapping[str, Any]],
    grader_pool: GraderPool | None = None,
    **columns: Any,
) -> list[float | None]:
    """What the task's own `score_answer` gives, in [0, 1].

    None if the scorer fails on the gold answer too, or a grader process failed; 0 if only this completion makes it
    crash or hang. Columns: name of the task, its options, and the entry (`question`, `answer`, `metadata`; JSON-like).
    The answer is the inside of the last `<answer>`, else all that follows the last `</think>`.
    """
    jobs = [
        (name, json.dumps(config or {}, sort_keys=True), row, answer_text(completion))
        for name, config, row, completion in zip(task, task_config, entry, completions, strict=True)
    ]
    results = (grader_pool or shared()).map("rewards.gym:score", jobs, control="rewards.gym:check_gold")
    on_failure: dict[str, float | None] = {"timed_out": 0.0, "crashed": 0.0, "ungradable": None}
    return [result.value if result.kind == "value" else on_failure[result.kind] for result in results]


def answer_text(completion: str) -> str:
    """The answer that a completion gives; empty if its thinking never ends and no `<answer>` stands in it."""
    tagged = last_tagged(completion)
    return (answer_part(completion) or "").strip() if tagged is None else tagged


def score(task: str, config: str, entry: dict[str, Any], answer: str | None) -> float:
    """The task's score of an answer. Only in a grader process: it may execute what the answer says."""
    if task in GRID_TASKS:
        entry = entry | {"metadata": entry["metadata"] | {"output": _tuples(entry["metadata"]["output"])}}
    value = float(_dataset(task, config).score_answer(answer, entry))
    if not math.isfinite(value):
        raise ValueError(f"{task} scored {value}")
    return value


def check_gold(task: str, config: str, entry: dict[str, Any], answer: str | None) -> None:
    """The control job of `score`: the entry's own answer must score 1. Where it has none, the scorer must only run."""
    value = score(task, config, entry, entry["answer"])
    if value < 1 and entry["answer"] is not None:
        raise ValueError(f"the gold answer of {task} scores {value}")


def _tuples(grid: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(row) for row in grid)


@functools.lru_cache(maxsize=64)
def _dataset(task: str, config: str) -> Any:
    import reasoning_gym

    return reasoning_gym.create_dataset(task, **json.loads(config))


def warm_up() -> None:
    """Import reasoning-gym, which takes seconds."""
    importlib.import_module("reasoning_gym")
