"""Importance weights by hand (tests/learner/test_losses_trl.py compares them with TRL's own code)."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from rewards.errors import BadInput
from rl.learner.correction import CORRECTIONS, importance_weights

# Sequence 0: ratios 3, 1/2, 1; sequence 1: ratios 1/2, 4 and an uncounted token of ratio 100.
RATIOS = torch.tensor([3.0, 0.5, 1.0, 0.5, 4.0, 100.0], dtype=torch.float64)
SEQUENCE = torch.tensor([0, 0, 0, 1, 1, 1])
MASK = torch.tensor([True, True, True, True, True, False])
ENGINE = torch.full((6,), -2.0, dtype=torch.float64)
OLD = ENGINE + RATIOS.log()


@pytest.mark.parametrize(
    ("mode", "counted", "capped"),
    [
        ("none", [1, 1, 1, 1, 1], 0),
        ("token_truncate", [2, 0.5, 1, 0.5, 2], 2),
        ("token_mask", [0, 0.5, 1, 0.5, 0], 2),
        # products: 3/2 and 2; cap 2 leaves both, cap 1.8 cuts the second
        ("sequence_truncate", [1.5, 1.5, 1.5, 1.8, 1.8], 2),
        ("sequence_mask", [1.5, 1.5, 1.5, 0, 0], 2),
        # geometric means: the cube root of 3/2 = 1.1447 and the square root of 2 = 1.4142; cap 1.2 cuts the second
        ("geometric_truncate", [1.5 ** (1 / 3)] * 3 + [1.2] * 2, 2),
        ("geometric_mask", [1.5 ** (1 / 3)] * 3 + [0] * 2, 2),
    ],
)
def test_hand_worked(mode: Any, counted: list[float], capped: int) -> None:
    cap = {"sequence": 1.8, "geometric": 1.2}.get(mode.split("_")[0], 2.0)
    weights, stats = importance_weights(OLD, ENGINE, SEQUENCE, MASK, mode, cap)
    assert weights[MASK].tolist() == pytest.approx(counted)
    assert stats["correction"].item() == pytest.approx(sum(counted))
    assert (stats["correction_capped"].item(), stats["tokens"].item()) == (capped, 5)


@pytest.mark.parametrize(
    ("mode", "floor", "cap", "counted", "floored", "capped"),
    [
        ("token_mask", 0.6, 3.5, [3, 0, 1, 0, 0], 2, 1),  # IcePop
        ("token_truncate", 0.6, 3.5, [3, 0.6, 1, 0.6, 3.5], 2, 1),
        ("token_mask", 0.6, None, [3, 0, 1, 0, 4], 2, 0),
        ("token_truncate", None, None, [3, 0.5, 1, 0.5, 4], 0, 0),
        ("sequence_mask", 1.6, 9.0, [0, 0, 0, 2, 2], 3, 0),
        ("geometric_mask", 1.2, 1.3, [0, 0, 0, 0, 0], 3, 2),
        ("none", 0.6, 3.5, [1, 1, 1, 1, 1], 0, 0),
    ],
)
def test_two_bounds(
    mode: Any, floor: float | None, cap: float | None, counted: list[float], floored: int, capped: int
) -> None:
    weights, stats = importance_weights(OLD, ENGINE, SEQUENCE, MASK, mode, cap, floor)
    assert weights[MASK].tolist() == pytest.approx(counted)
    assert (stats["correction_floored"].item(), stats["correction_capped"].item()) == (floored, capped)


@pytest.mark.parametrize("level", ["token", "sequence", "geometric"])
@pytest.mark.parametrize("ends", ["truncate", "mask"])
@pytest.mark.parametrize(("floor", "cap"), [(None, 1.3), (0.8, 1.3), (0.9, None)])
def test_weights_equal_numpy(level: str, ends: str, floor: float | None, cap: float | None) -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 9, 40)
    sequence = np.repeat(np.arange(40), lengths)
    old, engine = rng.normal(-2, 0.3, len(sequence)), rng.normal(-2, 0.3, len(sequence))
    mask = rng.random(len(sequence)) < 0.8
    low, high = floor or 0, cap or math.inf
    expected = np.ones(len(sequence))
    for s in range(40):
        d = [old[t] - engine[t] for t in range(len(sequence)) if sequence[t] == s and mask[t]]
        for t in np.flatnonzero(sequence == s):
            alone = old[t] - engine[t] if mask[t] else 0
            exponent = {"token": alone, "sequence": sum(d), "geometric": sum(d) / max(len(d), 1)}[level]
            ratio = math.exp(exponent)
            expected[t] = min(max(ratio, low), high) if ends == "truncate" else ratio * (low <= ratio <= high)
    mode: Any = f"{level}_{ends}"
    weights, stats = importance_weights(
        torch.tensor(old), torch.tensor(engine), torch.tensor(sequence), torch.tensor(mask), mode, cap, floor
    )
    np.testing.assert_allclose(weights.numpy(), expected)
    assert stats["correction"].item() == pytest.approx(expected[mask].sum())


def test_a_long_sound_sequence_keeps_its_weight_in_the_geometric_mean_alone() -> None:
    """1,000 tokens, each 1 % less probable to the learner."""
    old, engine = torch.full((1000,), -1.01), torch.full((1000,), -1.0)
    arguments = torch.zeros(1000, dtype=torch.long), torch.ones(1000, dtype=torch.bool)
    product = importance_weights(old, engine, *arguments, "sequence_truncate", 2.0)[0]
    mean = importance_weights(old, engine, *arguments, "geometric_truncate", 2.0)[0]
    assert product[0].item() == pytest.approx(math.exp(-10), rel=1e-3)
    assert mean[0].item() == pytest.approx(math.exp(-0.01), rel=1e-5)


def test_enormous_ratios_stay_finite() -> None:
    old, engine = torch.full((4,), -1.0), torch.full((4,), -400.0)
    arguments = torch.zeros(4, dtype=torch.long), torch.ones(4, dtype=torch.bool)
    assert importance_weights(old, engine, *arguments, "sequence_truncate", None, 0.5)[0].isfinite().all()


@pytest.mark.parametrize("mode", [mode for mode in CORRECTIONS if mode != "none"])
def test_equal_log_probabilities_weigh_one(mode: Any) -> None:
    weights, stats = importance_weights(OLD, OLD, SEQUENCE, MASK, mode, 2.0)
    assert weights.tolist() == [1] * 6
    assert stats["correction_capped"] == 0


def test_unknown_log_probability_is_not_corrected() -> None:
    engine = ENGINE.clone()
    engine[0] = math.nan
    assert importance_weights(OLD, engine, SEQUENCE, MASK, "token_truncate", 2.0)[0][0] == 1
    assert importance_weights(OLD, engine, SEQUENCE, MASK, "sequence_truncate", 9.0)[0][0].item() == pytest.approx(0.5)


def test_weights_carry_no_gradient() -> None:
    assert not importance_weights(OLD.clone().requires_grad_(), ENGINE, SEQUENCE, MASK, "token_mask", 2.0)[
        0
    ].requires_grad


def test_no_tokens() -> None:
    none = torch.zeros(0)
    empty = torch.zeros(0, dtype=torch.long)
    weights, stats = importance_weights(none, none, empty, empty.bool(), "sequence_mask", 2.0)
    assert len(weights) == 0
    assert stats["tokens"] == 0


def test_unknown_mode_is_named() -> None:
    with pytest.raises(BadInput, match="importance_sampling_correction 'token'"):
        importance_weights(OLD, ENGINE, SEQUENCE, MASK, "token", 2.0)
