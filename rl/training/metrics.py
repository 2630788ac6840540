"""The numbers of a step that come from its rollouts."""

from collections.abc import Mapping, Sequence

import numpy as np

from rl.base import ranks
from rl.grading.answers import Answer
from rl.learner.packing import Sample
from rl.run.rollouts import RolloutRow
from rl.training.batch import Batch, count_tokens


def to_rows(
    answers: Sequence[Answer], samples: Sequence[Sample], learner_logps: Mapping[int, Sequence[float]]
) -> list[RolloutRow]:
    """Everything known about each completion; `learner_logps` by its place."""
    return [
        RolloutRow(
            problem_id=answer.prompt.problem.id,
            sample=answer.sample,
            prompt=answer.prompt.text,
            completion=answer.text,
            prompt_token_ids=answer.prompt.token_ids,
            token_ids=answer.completion.token_ids,
            logprobs=answer.completion.logprobs,
            finish_reason=answer.completion.finish_reason,
            reward=answer.graded.reward,
            solved=answer.graded.solved,
            advantage=sample.advantage if sample.counted else None,
            learner_logprobs=learner_logps.get(place),
            parts=answer.graded.parts,
            extra=answer.graded.extra,
        )
        for place, (answer, sample) in enumerate(zip(answers, samples, strict=True))
    ]


def rollout_metrics(rows: Sequence[RolloutRow], group: int) -> dict[str, float]:
    """Rewards, pass rate and lengths of a batch, whose rows come in groups of `group` completions of one problem."""
    graded = [row for row in rows if row.reward is not None]
    rewards = np.array([row.reward for row in graded] or [0.0])
    lengths = np.array([len(row.token_ids) for row in rows])
    groups = [rows[i : i + group] for i in range(0, len(rows), group)]
    parts = {name for row in graded for name in row.parts}
    return {
        "reward/mean": float(rewards.mean()),
        "reward/std": float(rewards.std()),
        **{f"reward/{name}": mean_part(graded, name) for name in sorted(parts)},
        "pass_rate": float(np.mean([bool(row.solved) for row in graded] or [False])),
        "completions/mean_length": float(lengths.mean()),
        "completions/max_length": float(lengths.max()),
        "completions/truncated": float(np.mean([row.finish_reason == "length" for row in rows])),
        "groups/no_signal": float(np.mean([all(not row.advantage for row in members) for members in groups])),
        "ungradable": 1 - len(graded) / len(rows),
        "tokens": int(lengths.sum()),
    }


def sampling_metrics(batch: Batch) -> dict[str, float]:
    """What dynamic sampling did in a step, over all ranks.

    Groups tried and kept (those with signal), tokens of tried groups that are not in the batch, and the share of right
    completions in all that was tried: `pass_rate` is of the batch, from which the easy and the hard ones are gone.
    """
    parts = ranks.gather([(batch.tried, count_tokens(batch.answers))])
    return {
        "sampling/groups_tried": sum(tried.groups for tried, _ in parts),
        "sampling/groups_kept": sum(tried.useful for tried, _ in parts),
        "sampling/tokens_wasted": sum(tried.tokens - tokens for tried, tokens in parts),
        "sampling/pass_rate": sum(t.solved for t, _ in parts)
        / max(sum(t.completions - t.ungradable for t, _ in parts), 1),
    }


def logged_metrics(mine: Mapping[str, float]) -> dict[str, float]:
    """What the reward functions of all ranks logged of a step, `rewards/` before each name; the mean over the ranks.

    `mine` is this rank's `Batch.logged`; of the built-in rewards it has the rate of each verdict, as `math/wrong`.
    """
    values: dict[str, list[float]] = {}
    for metrics in ranks.gather([mine]):
        for name, value in metrics.items():
            values.setdefault(f"rewards/{name}", []).append(value)
    return {name: float(np.mean(values[name])) for name in sorted(values)}


def mean_part(rows: Sequence[RolloutRow], name: str) -> float:
    """Mean of one part of the reward, over the completions that it graded."""
    values = [value for row in rows if (value := row.parts.get(name)) is not None]
    return float(np.mean(values or [0.0]))
