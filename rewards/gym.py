"""reasoning-gym's own scorers, in the sandbox.

Most of them run `eval` or sympy's `parse_expr` on the model's answer: in all of 8 data sets tried, an answer could run
a command. Here each scoring is a process of its own in the sandbox (`rewards.sandbox`), behind a second fence
(`rewards.gym_scorer`), and a grader process stands between that and the trainer.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from rewards.completions import texts
from rewards.fairness import LONGEST
from rewards.format import answer_part, last_tagged
from rewards.gold import kind_of, takes
from rewards.pool import GraderPool, Result, shared
from rewards.sandbox import Limits, Mode, Sandbox
from rewards.sandbox.errand import ErrandFailed, run_errand
from rewards.sandbox.warm import check_isolation, with_sandbox
from rewards.verdict import LogExtra, LogMetric, Verdict, log_verdicts

SCORER = "rewards.gym_scorer"
START_SECONDS = 60.0


def _task_fault(task: Any) -> str | None:
    return None if isinstance(task, str) else f"it is {kind_of(task)}, not the name of a task"


def _entry_fault(entry: Any) -> str | None:
    if not isinstance(entry, Mapping):
        return f"it is {kind_of(entry)}, not an entry of reasoning-gym"
    missing = [name for name in ("question", "answer", "metadata") if name not in entry]
    return f"it has no {missing[0]}" if missing else None


@takes(task=_task_fault, entry=_entry_fault)
def reasoning_gym(
    completions: Sequence[Any],
    task: Sequence[str],
    task_config: Sequence[Mapping[str, Any] | None],
    entry: Sequence[Mapping[str, Any]],
    grader_pool: GraderPool | None = None,
    sandbox: Mode = "auto",
    log_extra: LogExtra | None = None,
    log_metric: LogMetric | None = None,
    **columns: Any,
) -> list[float | None]:
    """What the task's own `score_answer` gives, in [0, 1].

    None if the scorer fails on the gold answer too, or no sandbox or grader process could do it; 0 if only this
    completion makes it crash or hang. Columns: name of the task, its options, and the entry (`question`, `answer`,
    `metadata`; JSON-like). The answer is the inside of the last `<answer>`, else all that follows the last `</think>`.

    Raises:
        BadInput: the machine offers no isolation of the kind that the option `sandbox` names.
    """
    check_isolation(sandbox)
    pool = grader_pool or shared()
    answers = [answer_text(completion) for completion in texts(completions)]
    jobs = [
        (name, json.dumps(config or {}, sort_keys=True), row, answer, sandbox, pool.timeout)
        for name, config, row, answer in zip(task, task_config, entry, answers, strict=True)
    ]
    results = pool.map(f"{__name__}:judge", jobs, seconds=2 * LONGEST * pool.timeout + START_SECONDS)
    verdicts = [_verdict(result) for result in results]
    log_verdicts("reasoning_gym", verdicts, log_extra, log_metric, answers=[answer or None for answer in answers])
    return [verdict.partial_reward for verdict in verdicts]


def answer_text(completion: str) -> str:
    """The answer that a completion gives; empty if its thinking never ends and no `<answer>` stands in it."""
    tagged = last_tagged(completion)
    return (answer_part(completion) or "").strip() if tagged is None else tagged


def judge(
    task: str, config: str, entry: dict[str, Any], answer: str, mode: Mode, seconds: float
) -> tuple[float | None, str]:
    """In a grader process: the score of an answer, and a word on it; None: it cannot be scored, answer or no answer."""
    return with_sandbox(mode, (SCORER,), lambda sandbox: _judge(sandbox, task, config, entry, answer, seconds))


def _judge(
    sandbox: Sandbox, task: str, config: str, entry: dict[str, Any], answer: str, seconds: float
) -> tuple[float | None, str]:
    sandbox.prepare(f"{SCORER}:dataset", [task, config])

    def score(text: str | None) -> float:
        request = [task, config, entry, text]
        return float(run_errand(sandbox, f"{SCORER}:serve", request, Limits(seconds=seconds)))

    try:
        value = score(answer)
    except ErrandFailed as failed:
        try:
            own = score(entry["answer"])
        except ErrandFailed as again:
            return None, f"the scorer fails on the gold answer too: {again}"
        if own < 1 and entry["answer"] is not None:
            return None, f"the gold answer scores {own:g}"
        return 0.0, f"the scorer failed: {failed}"
    return value, f"scored {value:g}"


def _verdict(result: Result) -> Verdict:
    if result.kind != "value":  # not the answer's doing: that is dealt with in the grader process
        return Verdict("ungradable", f"{result.kind}: {result.reason}", result.seconds)
    value, reason = result.value
    if value is None:
        return Verdict("ungradable", reason, result.seconds)
    return Verdict("correct" if value >= 1 else "wrong", reason, result.seconds, share=value)
