import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from rl.rollout.sampling import BLOCK, draw, invert, process_logits


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
    with pytest.raises(ValueError, match="2 rows, but 1 generators"):
        draw(torch.zeros(2, 3), generators(0))


@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_draws_follow_the_distribution_whatever_the_size_of_the_vocabulary(size: int) -> None:
    rows = 20_000
    weights = torch.rand(size, generator=generators(1)[0]).double() ** 3 + 0.05
    p = weights / weights.sum()
    ids = draw(p.log().float().expand(rows, -1), generators(*range(rows)))
    assert size == 1 or chisquare(ids.bincount(minlength=size), p * rows).pvalue > 0.001
    assert ids.max() < size


@settings(deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.0, 1e-30, 1e-3, 1.0]), min_size=1, max_size=20).filter(any),
    repeats=st.integers(1, 40),  # so that some vocabularies have several blocks
    seed=st.integers(0, 2**63),
)
def test_a_token_without_probability_is_never_drawn(weights: list[float], repeats: int, seed: int) -> None:
    p = torch.tensor(weights).repeat_interleave(repeats)
    [token] = draw((p / p.sum()).log()[None], generators(seed)).tolist()
    assert p[token] > 0


LARGEST_U = 1 - 2**-53  # that `torch.rand` gives in float64


@pytest.mark.parametrize(
    ("mass", "u", "place"),
    [
        ([0.0, 0.0, 1.0, 1.0, 0.0], 0.0, 2),
        ([0.0, 0.0, 1.0, 1.0, 0.0], 0.499999, 2),
        ([0.0, 0.0, 1.0, 1.0, 0.0], 0.5, 3),
        ([0.0, 0.0, 1.0, 1.0, 0.0], LARGEST_U, 3),
        ([0.3, 0.3, 0.3, 0.0, 0.0], LARGEST_U, 2),
        ([1e-38, 0.0], LARGEST_U, 0),
        ([1.0, 1e-38, 0.0], LARGEST_U, 0),  # too little to move the sum, and too little to be missed
        ([7.0], 0.0, 0),
        ([7.0], LARGEST_U, 0),
    ],
)
def test_inverse_at_the_ends(mass: list[float], u: float, place: int) -> None:
    assert invert(torch.tensor([mass]), torch.tensor([u], dtype=torch.float64)).tolist() == [place]


@given(
    mass=st.lists(st.floats(0, 1, width=32, allow_subnormal=False), min_size=1, max_size=30).filter(
        lambda mass: sum(mass) > 1e-6
    )
)
@settings(deadline=None)
def test_inverse_shares_the_interval_out_by_mass(mass: list[float]) -> None:
    steps = 2000
    u = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    counts = invert(torch.tensor(mass).expand(steps, -1), u).bincount(minlength=len(mass))
    expected = np.array(mass) / sum(mass) * steps
    assert np.abs(counts.numpy() - expected).max() <= 1.001  # a grid point more or less at either end


def test_a_row_that_is_not_a_number_gives_an_id_of_the_vocabulary() -> None:
    [token] = draw(torch.full((1, 300), math.nan), generators(0)).tolist()
    assert 0 <= token < 300


def test_float_noise_changes_few_draws() -> None:
    rows, size = 512, 16_384
    logits = 3 * torch.randn(rows, size, generator=generators(0)[0])
    noisy = logits + 1e-4 * torch.randn(rows, size, generator=generators(1)[0])
    seeds = range(rows)
    one, other = (draw(scores.log_softmax(-1), generators(*seeds)) for scores in (logits, noisy))
    u = torch.cat([torch.rand(1, generator=g, dtype=torch.float64) for g in generators(*seeds)])
    naive, naive_noisy = (invert(scores.softmax(-1), u) for scores in (logits, noisy))  # over the whole vocabulary
    assert (one != other).sum() <= 2
    assert (naive != naive_noisy).sum() > 10 * (one != other).sum()
