"""The numbers of a step that come from its rollouts."""

import pytest

from rl import ranks
from rl.metrics import logged_metrics


def test_what_rewards_logged_is_a_metric_of_the_step() -> None:
    assert logged_metrics({"math/wrong": 0.25, "a": 2.0}) == {"rewards/a": 2.0, "rewards/math/wrong": 0.25}
    assert logged_metrics({}) == {}


def test_of_several_ranks_it_is_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "gather", lambda items: [*items, {"math/wrong": 0.75, "other": 1.0}])
    assert logged_metrics({"math/wrong": 0.25}) == {"rewards/math/wrong": 0.5, "rewards/other": 1.0}
