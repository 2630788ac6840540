"""Importance weights by hand (tests/learner/test_losses_trl.py compares them with TRL's own code)."""

import math
from typing import Any

import pytest
import torch

from rewards.errors import BadInput
from rl.learner.correction import importance_weights

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
    ],
)
def test_hand_worked(mode: Any, counted: list[float], capped: int) -> None:
    cap = 1.8 if mode.startswith("sequence") else 2.0
    weights, stats = importance_weights(OLD, ENGINE, SEQUENCE, MASK, mode, cap)
    assert weights[MASK].tolist() == pytest.approx(counted)
    assert stats["correction"].item() == pytest.approx(sum(counted))
    assert (stats["correction_capped"].item(), stats["tokens"].item()) == (capped, 5)


@pytest.mark.parametrize("mode", ["token_truncate", "token_mask", "sequence_truncate", "sequence_mask"])
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
