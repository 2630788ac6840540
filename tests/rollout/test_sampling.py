import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from rl.rollout.sampling import draw, process_logits


def probabilities(
    *p: float, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> list[float]:
    """What `process_logits` makes of a distribution given by its probabilities."""
    return process_logits(torch.tensor([p]).log(), temperature, top_k, top_p, min_p)[0].exp().tolist()


def generators(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_temperature_raises_probabilities_to_its_inverse() -> None:
    assert probabilities(0.5, 0.3, 0.2) == pytest.approx([0.5, 0.3, 0.2])
    assert probabilities(0.5, 0.3, 0.2, temperature=0.5) == pytest.approx([25 / 38, 9 / 38, 4 / 38])


def test_greedy_has_the_models_own_distribution() -> None:
    assert probabilities(0.5, 0.3, 0.2, temperature=0, top_k=1, top_p=0.1, min_p=0.9) == pytest.approx([0.5, 0.3, 0.2])


def test_min_p_is_relative_to_the_likeliest() -> None:
    assert probabilities(0.2, 0.5, 0.3, min_p=0.5) == pytest.approx([0, 0.625, 0.375])


def test_top_k_keeps_ties_with_the_last() -> None:
    assert probabilities(0.2, 0.5, 0.3, top_k=2) == pytest.approx([0, 0.625, 0.375])
    assert probabilities(0.3, 0.4, 0.3, top_k=2) == pytest.approx([0.3, 0.4, 0.3])
    assert probabilities(0.3, 0.4, 0.3, top_k=9) == pytest.approx([0.3, 0.4, 0.3])


def test_top_p_keeps_the_token_that_reaches_the_mass() -> None:
    assert probabilities(0.2, 0.5, 0.3, top_p=0.4) == pytest.approx([0, 1, 0])
    assert probabilities(0.2, 0.5, 0.3, top_p=0.7) == pytest.approx([0, 0.625, 0.375])
    assert probabilities(0.2, 0.5, 0.3, top_p=0.9) == pytest.approx([0.2, 0.5, 0.3])


def test_top_p_counts_the_mass_that_the_others_left() -> None:
    # Of the whole, 0.4 falls short of 0.55 and two tokens stay; of 0.4 + 0.3, the first alone has 0.57.
    assert probabilities(0.4, 0.3, 0.2, 0.1, top_p=0.55) == pytest.approx([4 / 7, 3 / 7, 0, 0])
    assert probabilities(0.4, 0.3, 0.2, 0.1, top_p=0.55, min_p=0.6) == pytest.approx([1, 0, 0, 0])
    assert probabilities(0.4, 0.3, 0.2, 0.1, top_p=0.55, top_k=2) == pytest.approx([1, 0, 0, 0])


def test_truncation_comes_after_temperature() -> None:
    # Squared and renormalised the first has 25/38 = 0.66, enough for top_p by itself.
    assert probabilities(0.5, 0.3, 0.2, temperature=0.5, top_p=0.6) == pytest.approx([1, 0, 0])


@settings(deadline=None)
@given(
    logits=st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30),
    temperature=st.floats(0.1, 5),
    top_k=st.integers(0, 10),
    top_p=st.floats(0.01, 1),
    min_p=st.floats(0, 0.99),
)
def test_kept_support_is_a_renormalised_upper_set(
    logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float
) -> None:
    row = torch.tensor(logits)
    logprobs = process_logits(row[None], temperature, top_k, top_p, min_p)[0]
    kept = logprobs > -math.inf
    assert kept[row.argmax()] or row[kept].max() == row.max()
    assert logprobs.exp().sum().item() == pytest.approx(1, abs=1e-5)
    if not kept.all():
        assert row[kept].min() >= row[~kept].max()
    # Truncation does not change how the kept tokens compare with one another.
    shift = logprobs[kept] - row[kept] / temperature
    assert (shift - shift[0]).abs().max() < 1e-3


def test_draws_follow_the_distribution_across_generators() -> None:
    p = np.array([0.4, 0.05, 0.25, 0.3])
    rows = 5000
    ids = draw(torch.tensor(np.log(p)).float().expand(rows, -1), generators(*range(rows)))
    assert chisquare(ids.bincount(minlength=4), p * rows).pvalue > 0.001


def test_draws_follow_the_distribution_along_one_generator() -> None:
    p = np.array([0.4, 0.05, 0.25, 0.3])
    [generator] = generators(7)
    logprobs = torch.tensor(np.log(p)).float()[None]
    ids = torch.cat([draw(logprobs, [generator]) for _ in range(5000)])
    assert chisquare(ids.bincount(minlength=4), p * 5000).pvalue > 0.001


def test_never_draws_outside_the_support() -> None:
    logprobs = torch.full((200, 1000), -math.inf)
    logprobs[:, 123] = 0
    assert draw(logprobs, generators(*range(200))).unique().tolist() == [123]


def test_a_row_does_not_depend_on_the_others() -> None:
    logprobs = torch.randn(6, 500, generator=generators(0)[0]).log_softmax(-1)
    together = draw(logprobs, generators(*range(6)))
    alone = [draw(logprobs[i : i + 1], generators(i)).item() for i in range(6)]
    assert together.tolist() == alone
    assert len(set(alone)) > 1


def test_one_generator_a_row_is_asked_for() -> None:
    with pytest.raises(ValueError):
        draw(torch.zeros(2, 3), generators(0))


@pytest.mark.vllm
@pytest.mark.slow
def test_same_support_and_same_draws_as_vllm() -> None:
    ops = pytest.importorskip("vllm.v1.sample.ops.topk_topp_sampler")
    logits = torch.randn(16, 1000, generator=generators(0)[0]) * 3
    kept = ops.apply_top_k_top_p_pytorch(logits.clone(), torch.full((16,), 50), torch.full((16,), 0.8))
    ours = process_logits(logits, 1.0, top_k=50, top_p=0.8)
    torch.testing.assert_close(ours, kept.log_softmax(-1))
    theirs = ops.random_sample(kept.softmax(-1), dict(enumerate(generators(*range(16)))))
    assert draw(ours, generators(*range(16))).tolist() == theirs.tolist()
