"""Advantages against loops in NumPy and hand-worked values."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.learner.advantages import (
    compute_advantages,
    group_advantages,
    reinforce_plus_plus_baseline_advantages,
    rloo_advantages,
)

NAN = float("nan")
# Three groups: a common one, one with an ungradable completion, one with a single gradable completion.
REWARDS = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.5, NAN, 2.0, -1.0], [NAN, NAN, 3.0, NAN]], dtype=torch.float64)
VALID = REWARDS.isfinite()


def graded(row: np.ndarray) -> np.ndarray:
    return row[np.isfinite(row)]


def by_hand(kind: str) -> np.ndarray:
    """The same estimators as loops over completions."""
    rewards = REWARDS.numpy()
    batch_std = np.std(graded(rewards), ddof=1)
    centered = np.zeros_like(rewards)
    for p, g in zip(*np.nonzero(np.isfinite(rewards)), strict=True):
        group = graded(rewards[p])
        if len(group) < 2:
            continue
        centered[p, g] = rewards[p, g] - group.mean()
        if kind == "group":
            centered[p, g] /= np.std(group, ddof=1) + 1e-4
        elif kind == "batch":
            centered[p, g] /= batch_std + 1e-4
        elif kind == "rloo":
            centered[p, g] = rewards[p, g] - (group.sum() - rewards[p, g]) / (len(group) - 1)
    if kind == "reinforce++":
        return centered / (np.std(centered[np.isfinite(rewards)], ddof=1) + 1e-4)
    return centered


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_group_advantages_equal_the_loop(scale: Any) -> None:
    np.testing.assert_allclose(group_advantages(REWARDS, VALID, scale), by_hand(scale), atol=1e-12)


def test_rloo_equals_the_loop() -> None:
    np.testing.assert_allclose(rloo_advantages(REWARDS, VALID), by_hand("rloo"), atol=1e-12)


def test_reinforce_plus_plus_equals_the_loop() -> None:
    np.testing.assert_allclose(
        reinforce_plus_plus_baseline_advantages(REWARDS, VALID), by_hand("reinforce++"), atol=1e-12
    )


def test_hand_worked_values() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    valid = torch.ones(1, 4, dtype=torch.bool)
    # mean 1/4, unbiased std sqrt((9/16 + 3/16) / 3) = 1/2
    assert group_advantages(rewards, valid, "none").tolist() == [[0.75, -0.25, -0.25, -0.25]]
    assert group_advantages(rewards, valid, "group")[0, 0].item() == pytest.approx(0.75 / 0.5001)
    assert rloo_advantages(rewards, valid)[0].tolist() == pytest.approx([1, -1 / 3, -1 / 3, -1 / 3])


@pytest.mark.parametrize("estimator", ["grpo", "rloo", "reinforce_plus_plus_baseline"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_no_signal_is_exactly_zero(estimator: Any, scale: Any) -> None:
    rewards = torch.tensor(
        [
            [1.0, 0.0, 0.5, 0.5],  # gives the batch a deviation
            [0.1 + 0.2, 0.3, 0.3, 0.3],  # equal but for rounding
            [1000.0, 1000.0001, 1000.0, 1000.0],  # equal but for float32's rounding at this size
            [0.7, NAN, NAN, NAN],  # no baseline
            [NAN, NAN, NAN, NAN],
        ],
        dtype=torch.float64,
    )
    advantages = compute_advantages(estimator, scale, rewards, rewards.isfinite())
    assert (advantages[0, :2] != 0).all()
    assert (advantages[1:] == 0).all()


def test_a_small_but_real_difference_is_kept() -> None:
    rewards = torch.tensor([[1.0, 1.001, 1.0, 1.0]])
    assert (group_advantages(rewards, torch.ones(1, 4, dtype=torch.bool), "none") != 0).all()


@given(st.lists(st.floats(-100, 100, width=32), min_size=4, max_size=4), st.floats(-1e6, 1e6))
def test_what_an_ungraded_completion_holds_does_not_matter(group: list[float], garbage: float) -> None:
    rewards = torch.tensor([[*group, garbage]], dtype=torch.float64)
    valid = torch.tensor([[True] * 4 + [False]])
    for estimator in ("grpo", "rloo", "reinforce_plus_plus_baseline"):
        advantages = compute_advantages(estimator, "group", rewards, valid)
        alone = compute_advantages(estimator, "group", rewards[:, :4], valid[:, :4])
        assert advantages[0, 4] == 0
        torch.testing.assert_close(advantages[:, :4], alone)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=3), st.floats(-50, 50))
def test_a_constant_added_to_a_group_changes_nothing(group: list[float], constant: float) -> None:
    rewards = torch.tensor([group, [0.0, 1.0, 0.0]], dtype=torch.float64)
    valid = torch.ones(2, 3, dtype=torch.bool)
    shifted = rewards + torch.tensor([[constant], [0.0]], dtype=torch.float64)
    assume(not 1e-7 < rewards[0].max() - rewards[0].min() < 1e-4)  # the tolerance for equal rewards grows with size
    for estimator in ("rloo", "reinforce_plus_plus_baseline"):
        torch.testing.assert_close(
            compute_advantages(estimator, "none", rewards, valid),
            compute_advantages(estimator, "none", shifted, valid),
            atol=1e-6,
            rtol=1e-6,
        )


def test_bad_input_is_named() -> None:
    valid = torch.ones(1, 2, dtype=torch.bool)
    with pytest.raises(BadInput, match="infinite"):
        compute_advantages("grpo", "group", torch.tensor([[1.0, float("inf")]]), valid)
    with pytest.raises(BadInput, match="advantage_estimator 'ppo'"):
        compute_advantages("ppo", "group", torch.zeros(1, 2), valid)
    with pytest.raises(BadInput, match="scale_rewards 'max'"):
        compute_advantages("grpo", "max", torch.zeros(1, 2), valid)
