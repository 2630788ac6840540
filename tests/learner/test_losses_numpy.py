"""Losses and KL estimates against loops in NumPy, hand-worked gradients, and the laws they must obey."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.learner.kl import kl_per_token
from rl.learner.losses import Totals, policy_loss

LOSSES = ["grpo", "bnpo", "dr_grpo", "dapo", "cispo"]
LEVELS = ["token", "sequence"]
OPTIONS = {"epsilon": 0.2, "epsilon_high": 0.3, "beta": 0.1, "entropy_coef": 0.05}


def ragged(seed: int, sequences: int = 5) -> dict[str, torch.Tensor]:
    """A batch of ragged sequences of random numbers; some tokens, and the whole of sequence 2, do not count."""
    rng = np.random.default_rng(seed)
    sequence = np.repeat(np.arange(sequences), rng.integers(1, 7, sequences))
    count = len(sequence)
    logps = rng.normal(-2, 1, count)
    noise = rng.normal(0, 0.4, (3, count))
    mask = (rng.random(count) > 0.2) & (sequence != 2)
    return {
        "logps": torch.tensor(logps),
        "old_logps": torch.tensor(logps + noise[0]),
        "ref_logps": torch.tensor(logps + noise[1]),
        "advantages": torch.tensor(rng.normal(0, 1, sequences)),
        "sequence": torch.tensor(sequence),
        "mask": torch.tensor(mask),
        "correction": torch.tensor(np.exp(noise[2])),
        "entropy": torch.tensor(rng.uniform(0, 3, count)),
    }


def totals_of(batch: dict[str, torch.Tensor]) -> Totals:
    return Totals(len(batch["advantages"]), int(batch["mask"].sum()), max_completion_length=9)


def loss_of(
    batch: dict[str, torch.Tensor], totals: Totals, **options: Any
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
    """The loss, its sums and its gradient with respect to the log-probabilities."""
    logps = batch["logps"].clone().requires_grad_()
    kl = kl_per_token(logps, batch["ref_logps"], "k3")
    loss, stats = policy_loss(
        logps,
        batch["old_logps"],
        batch["advantages"],
        batch["sequence"],
        batch["mask"],
        totals,
        correction=batch["correction"],
        kl=kl,
        entropy=batch["entropy"],
        **{**OPTIONS, **options},
    )
    return loss.detach(), stats, torch.autograd.grad(loss, logps)[0]


def loss_by_loop(batch: dict[str, torch.Tensor], totals: Totals, loss_type: str, level: str) -> float:
    b = {name: x.numpy() for name, x in batch.items()}
    loss = 0.0
    for n in np.nonzero(b["mask"])[0]:
        mine = b["mask"] & (b["sequence"] == b["sequence"][n])
        log_ratio = b["logps"] - b["old_logps"]
        ratio = math.exp(log_ratio[n] if level == "token" else log_ratio[mine].mean())
        advantage = b["advantages"][b["sequence"][n]]
        if loss_type == "cispo":
            term = -min(ratio, 0.3) * advantage * b["logps"][n]
        else:
            term = -min(ratio * advantage, min(max(ratio, 0.8), 1.3) * advantage)
        difference = b["ref_logps"][n] - b["logps"][n]
        term = term * b["correction"][n] + 0.1 * (math.exp(difference) - difference - 1)
        if loss_type == "grpo":
            loss += term / mine.sum() / totals.sequences
        elif loss_type == "dr_grpo":
            loss += term / (totals.sequences * 9)
        else:
            loss += term / totals.tokens
        loss -= 0.05 * b["entropy"][n] / totals.tokens
    return loss


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("loss_type", LOSSES)
def test_loss_equals_the_loop(loss_type: Any, level: Any) -> None:
    batch = ragged(3)
    loss, stats, _ = loss_of(batch, totals_of(batch), loss_type=loss_type, importance_sampling_level=level)
    assert loss.item() == pytest.approx(loss_by_loop(batch, totals_of(batch), loss_type, level), abs=1e-12)
    assert stats["entropy"].item() == pytest.approx(batch["entropy"][batch["mask"]].sum().item())
    assert stats["tokens"] == batch["mask"].sum()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(LOSSES), st.sampled_from(LEVELS), st.lists(st.integers(1, 4)))
def test_any_split_into_micro_batches_adds_up(seed: int, loss_type: Any, level: Any, cuts: list[int]) -> None:
    batch = ragged(seed)
    totals = totals_of(batch)
    whole, whole_stats, whole_grad = loss_of(batch, totals, loss_type=loss_type, importance_sampling_level=level)
    edges = [0, *sorted(set(cuts)), 5]
    losses, grads, sums = [], [], []
    for first, last in zip(edges, edges[1:], strict=False):
        tokens = (batch["sequence"] >= first) & (batch["sequence"] < last)
        part = {name: x[tokens] for name, x in batch.items() if name != "advantages"}
        part["sequence"] = part["sequence"] - first
        part["advantages"] = batch["advantages"][first:last]
        loss, stats, grad = loss_of(part, totals, loss_type=loss_type, importance_sampling_level=level)
        losses.append(loss)
        grads.append(grad)
        sums.append(stats)
    torch.testing.assert_close(sum(losses), whole)
    torch.testing.assert_close(torch.cat(grads), whole_grad)
    for name, total in whole_stats.items():
        torch.testing.assert_close(sum(stats[name] for stats in sums), total)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(LOSSES), st.sampled_from(LEVELS), st.permutations(range(5)))
def test_the_order_of_sequences_and_tokens_does_not_matter(
    seed: int, loss_type: Any, level: Any, order: list[int]
) -> None:
    batch = ragged(seed)
    whole, _, whole_grad = loss_of(batch, totals_of(batch), loss_type=loss_type, importance_sampling_level=level)
    place = torch.tensor(order).argsort()  # new index of each sequence
    tokens = torch.randperm(len(batch["logps"]), generator=torch.Generator().manual_seed(seed))
    mixed = {name: x[tokens] for name, x in batch.items() if name != "advantages"}
    mixed["sequence"] = place[mixed["sequence"]]
    mixed["advantages"] = batch["advantages"][torch.tensor(order)]
    loss, _, grad = loss_of(mixed, totals_of(batch), loss_type=loss_type, importance_sampling_level=level)
    torch.testing.assert_close(loss, whole)
    torch.testing.assert_close(grad, whole_grad[tokens])


@pytest.mark.parametrize("loss_type", LOSSES)
def test_uncounted_tokens_have_no_gradient_whatever_they_hold(loss_type: Any) -> None:
    batch = ragged(7)
    clean, _, clean_grad = loss_of(batch, totals_of(batch), loss_type=loss_type, importance_sampling_level="sequence")
    for name in ("old_logps", "correction", "entropy"):
        batch[name] = torch.where(batch["mask"], batch[name], torch.nan)
    loss, _, grad = loss_of(batch, totals_of(batch), loss_type=loss_type, importance_sampling_level="sequence")
    assert (clean_grad[~batch["mask"]] == 0).all()
    torch.testing.assert_close((loss, grad), (clean, clean_grad))


def test_nothing_counted_is_a_zero_that_can_be_differentiated() -> None:
    batch = ragged(1)
    batch["mask"] = torch.zeros_like(batch["mask"])
    loss, stats, grad = loss_of(batch, totals_of(batch), loss_type="dapo")
    assert loss == 0
    assert stats["tokens"] == 0
    assert (grad == 0).all()


def test_first_update_is_the_plain_policy_gradient() -> None:
    # One sequence of 2 tokens with advantage 3, one of 1 token with advantage -1, limit 4, `old_logps` the same tensor.
    logps = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    advantages, sequence = torch.tensor([3.0, -1.0]), torch.tensor([0, 0, 1])
    mask = torch.ones(3, dtype=torch.bool)
    expected = {
        "grpo": [-3 / 4, -3 / 4, 1 / 2],
        "dr_grpo": [-3 / 8, -3 / 8, 1 / 8],
        "dapo": [-1, -1, 1 / 3],
        "bnpo": [-1, -1, 1 / 3],
        "cispo": [-1, -1, 1 / 3],
    }
    for loss_type, gradient in expected.items():
        loss, stats = policy_loss(
            logps,
            logps,
            advantages,
            sequence,
            mask,
            Totals(2, 3, 4),
            loss_type=loss_type,
            epsilon=0.2,
            epsilon_high=5.0 if loss_type == "cispo" else 0.2,
        )
        assert torch.autograd.grad(loss, logps)[0].tolist() == pytest.approx(gradient)
        assert (stats["ratio"], stats["clip_low"], stats["clip_high"]) == (3, 0, 0)


def test_clipping_stops_the_gradient_only_on_its_side() -> None:
    # Ratios 2 and 1/2, each with both signs of the advantage.
    ratio = torch.tensor([2.0, 2.0, 0.5, 0.5])
    logps = torch.zeros(4, requires_grad=True)
    loss, stats = policy_loss(
        logps,
        -ratio.log(),
        torch.tensor([1.0, -1.0, 1.0, -1.0]),
        torch.arange(4),
        torch.ones(4, dtype=torch.bool),
        Totals(4, 4, 1),
        loss_type="dapo",
        epsilon=0.2,
        epsilon_high=0.3,
    )
    assert loss.item() == pytest.approx((-1.3 + 2 - 0.5 + 0.8) / 4)
    assert torch.autograd.grad(loss, logps)[0].tolist() == pytest.approx([0, 2 / 4, -0.5 / 4, 0])
    assert (stats["clip_low"], stats["clip_high"]) == (1, 1)


def test_kl_values() -> None:
    logps, ref = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.0])
    assert kl_per_token(logps, ref, "k1").tolist() == pytest.approx([0.5, -1])
    assert kl_per_token(logps, ref, "k2").tolist() == pytest.approx([0.125, 0.5])
    assert kl_per_token(logps, ref, "k3").tolist() == pytest.approx([math.exp(-0.5) - 0.5, math.exp(1) - 2])


def test_kl_gradients_point_where_the_docstring_says() -> None:
    """Expectations are exact: the mean over all four tokens, weighted by the policy's probabilities."""
    logits = torch.tensor([0.3, -0.2, 1.0, 0.1], dtype=torch.float64, requires_grad=True)
    ref = torch.tensor([0.0, 0.5, -0.4, 0.2], dtype=torch.float64).log_softmax(0)
    logps = logits.log_softmax(0)
    p, q = logps.exp().detach(), ref.exp()
    reverse = torch.autograd.grad((logps.exp() * (logps - ref)).sum(), logits, retain_graph=True)[0]
    forward = torch.autograd.grad((q * (ref - logps)).sum(), logits, retain_graph=True)[0]
    expected = {"k1": torch.zeros(4, dtype=torch.float64), "k2": reverse, "k3": forward}
    for estimator, gradient in expected.items():
        penalty = (p * kl_per_token(logps, ref, estimator)).sum()
        found = torch.autograd.grad(penalty, logits, retain_graph=True)[0]
        torch.testing.assert_close(found, gradient, atol=1e-12, rtol=1e-9)
    divergence = (p * (logps - ref)).sum().item()
    for unbiased in ("k1", "k3"):
        assert (p * kl_per_token(logps, ref, unbiased)).sum().item() == pytest.approx(divergence)


def test_unknown_names_are_named() -> None:
    batch = ragged(0)
    with pytest.raises(BadInput, match="loss_type 'ppo'"):
        loss_of(batch, totals_of(batch), loss_type="ppo")
    with pytest.raises(BadInput, match="importance_sampling_level 'group'"):
        loss_of(batch, totals_of(batch), loss_type="grpo", importance_sampling_level="group")
    with pytest.raises(BadInput, match="kl_estimator 'k4'"):
        kl_per_token(batch["logps"], batch["logps"], "k4")
