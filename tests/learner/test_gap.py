"""The gap by hand and against NumPy."""

import math

import numpy as np
import pytest
import torch

from rl.learner.gap import gap_stats


def test_hand_worked() -> None:
    stats = gap_stats(torch.tensor([-1.0, -2.0, -3.0]), torch.tensor([-1.5, -2.0, -2.0]))
    assert stats["gap/mean"] == pytest.approx(0.5)  # |0.5|, 0, |-1|
    assert stats["gap/max"] == pytest.approx(1.0)
    assert stats["gap/k3"] == pytest.approx(((math.exp(0.5) - 1.5) + 0 + math.exp(-1)) / 3)
    assert stats["gap/ratio_p50"] == pytest.approx(1.0)
    assert (stats["gap/ratio_p01"], stats["gap/ratio_p99"]) == pytest.approx((math.exp(-1), math.exp(0.5)))


def test_percentiles_equal_numpy() -> None:
    rng = np.random.default_rng(0)
    learner, engine = rng.normal(-2, 1, 1001), rng.normal(-2, 1, 1001)
    stats = gap_stats(torch.tensor(learner), torch.tensor(engine))
    expected = np.percentile(np.exp(learner - engine), [1, 50, 99], method="nearest")
    assert [stats[f"gap/ratio_p{p}"] for p in ("01", "50", "99")] == pytest.approx(list(expected))


def test_k3_estimates_the_divergence_of_engine_from_learner() -> None:
    engine, learner = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.3, 0.2])
    tokens = torch.tensor([0] * 7 + [1] * 2 + [2])  # in exactly the engine's proportions
    stats = gap_stats(learner.log()[tokens], engine.log()[tokens])
    assert stats["gap/k3"] == pytest.approx((engine * (engine / learner).log()).sum().item(), rel=1e-5)


def test_no_difference() -> None:
    logps = torch.tensor([-0.5, -3.0])
    assert gap_stats(logps, logps) == {
        "gap/mean": 0,
        "gap/max": 0,
        "gap/k3": 0,
        "gap/ratio_p01": 1,
        "gap/ratio_p50": 1,
        "gap/ratio_p99": 1,
    }


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_cannot_be_measured_is_infinite(bad: float) -> None:
    good = torch.tensor([-1.0, -1.0])
    assert gap_stats(torch.tensor([-1.0, bad]), good)["gap/mean"] == math.inf
    assert gap_stats(good, torch.tensor([bad, -1.0]))["gap/mean"] == math.inf
    assert gap_stats(torch.tensor([-1.0, bad]), torch.tensor([-1.0, bad]))["gap/mean"] == math.inf
    assert gap_stats(torch.zeros(0), torch.zeros(0))["gap/mean"] == math.inf
