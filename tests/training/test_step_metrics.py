"""The numbers of a step that come from its rollouts."""

import pytest

from rewards.grading import Grade
from rl.base import ranks
from rl.grading.answers import Answer
from rl.problems.problem import Problem, Prompt
from rl.rollout.engine import Completion
from rl.training.batch import Batch, SamplingCounts
from rl.training.metrics import logged_metrics, sampling_metrics


def test_what_rewards_logged_is_a_metric_of_the_step() -> None:
    assert logged_metrics({"math/wrong": 0.25, "a": 2.0}) == {"rewards/a": 2.0, "rewards/math/wrong": 0.25}
    assert logged_metrics({}) == {}


def test_of_several_ranks_it_is_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "gather", lambda items: [*items, {"math/wrong": 0.75, "other": 1.0}])
    assert logged_metrics({"math/wrong": 0.25}) == {"rewards/math/wrong": 0.5, "rewards/other": 1.0}


def test_dynamic_sampling_counts_what_was_tried_over_all_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Answer(
        Prompt(Problem("p"), (1,), ""), 0, Completion((1, 2, 3), (0.0,) * 3, "stop"), "", Grade(1, {}, True)
    )
    tried = SamplingCounts(groups=3, useful=1, completions=6, ungradable=1, solved=2, tokens=20)
    batch = Batch(1, 0, 3, (0,), (answer, answer), {}, tried)
    monkeypatch.setattr(ranks, "gather", lambda items: items * 2)
    assert sampling_metrics(batch) == {
        "sampling/groups_tried": 6,
        "sampling/groups_kept": 2,
        "sampling/tokens_wasted": 2 * (20 - 6),
        "sampling/pass_rate": 4 / 10,
    }
