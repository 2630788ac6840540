"""Estimators against published values, statsmodels, and counting over every subset."""

import time
from itertools import combinations
from math import comb, prod, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from rl.evaluation.statistics.estimators import (
    bootstrap_interval,
    bootstrap_mean,
    maj_at_k,
    pass_at_k,
    standard_error,
    tango,
    wilson,
)

COUNTS = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n)))
# Votes by class, which classes are right, samples without a vote.
BALLOTS = st.tuples(
    st.lists(st.integers(0, 4), min_size=1, max_size=4), st.sets(st.integers(0, 3)), st.integers(0, 2)
).filter(lambda ballot: 1 <= sum(ballot[0]) + ballot[2] <= 9)


def elections(votes: list[int], right: set[int], k: int, silent: int) -> float:
    """maj@k by holding an election in every subset."""
    samples = [j for j, size in enumerate(votes) for _ in range(size)] + [None] * silent
    outcomes = []
    for chosen in combinations(samples, k):
        tally = {j: chosen.count(j) for j in chosen if j is not None}
        first = [j for j, count in tally.items() if count == max(tally.values())]
        outcomes.append(sum(j in right for j in first) / len(first) if first else 0.0)
    return sum(outcomes) / len(outcomes)


def test_pass_at_k_by_hand() -> None:
    # 2 of 4 right: of the 6 pairs one has neither. 1 of 5 right: the 3 of a triple have it with chance 3/5.
    assert pass_at_k(4, 2, 2) == 5 / 6
    assert pass_at_k(5, 1, 3) == 3 / 5


@given(COUNTS)
def test_pass_at_k_is_the_product_of_the_paper(counts: tuple[int, int, int]) -> None:
    n, c, k = counts
    # Chen et al. 2021 give this form for numerical stability.
    expected = 1.0 if n - c < k else 1 - prod(1 - k / i for i in range(n - c + 1, n + 1))
    assert pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


@given(COUNTS)
@settings(deadline=None)
def test_pass_at_k_grows_from_the_rate_to_whether_any_is_right(counts: tuple[int, int, int]) -> None:
    n, c, _ = counts
    curve = [pass_at_k(n, c, k) for k in range(1, n + 1)]
    assert curve == sorted(curve)
    assert curve[0] == c / n
    assert curve[-1] == (c > 0)


def test_pass_at_k_keeps_its_digits_where_it_is_tiny_and_where_numbers_are_huge() -> None:
    assert pass_at_k(10**6, 1, 1) == 1e-6
    assert pass_at_k(5000, 1, 2500) == 0.5


@pytest.mark.parametrize(("n", "c", "k"), [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses_what_means_nothing(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="k must be in 1..n and c in 0..n"):
        pass_at_k(n, c, k)


def test_maj_at_k_by_hand() -> None:
    # Right, right, wrong: all three elect right; of the pairs one is right-right and two are ties.
    assert maj_at_k([2, 1], {0}, 3) == pytest.approx(1.0)
    assert maj_at_k([2, 1], {0}, 2) == pytest.approx((1 + 0.5 + 0.5) / 3)
    # A silent sample does not win: right alone beats it, and nobody voting is wrong.
    assert maj_at_k([1], {0}, 2, silent=1) == pytest.approx(1.0)
    assert maj_at_k([1], {0}, 1, silent=1) == pytest.approx(0.5)
    assert maj_at_k([], set(), 2, silent=3) == 0.0
    # Two right classes of three that tie in front.
    assert maj_at_k([3, 3, 3, 1], {0, 2}, 10) == pytest.approx(2 / 3)


@given(BALLOTS, st.data())
@settings(deadline=None)
def test_maj_at_k_is_the_mean_over_every_subset(ballot: tuple[list[int], set[int], int], data: st.DataObject) -> None:
    votes, right, silent = ballot
    k = data.draw(st.integers(1, sum(votes) + silent))
    assert maj_at_k(votes, right, k, silent) == pytest.approx(elections(votes, right, k, silent), abs=1e-12)


@given(BALLOTS)
def test_maj_at_1_is_pass_at_1(ballot: tuple[list[int], set[int], int]) -> None:
    votes, right, silent = ballot
    n, c = sum(votes) + silent, sum(size for j, size in enumerate(votes) if j in right)
    assert maj_at_k(votes, right, 1, silent) == pytest.approx(pass_at_k(n, c, 1), abs=1e-12)


@given(st.permutations(range(6)), st.integers(1, 24))
def test_maj_at_k_does_not_know_the_order_of_classes(order: list[int], k: int) -> None:
    votes = [7, 6, 4, 4, 2, 1]
    shuffled = {place for place, j in enumerate(order) if j in {1, 3}}
    assert maj_at_k([votes[j] for j in order], shuffled, k) == pytest.approx(maj_at_k(votes, {1, 3}, k), abs=1e-12)


def test_maj_at_k_of_many_samples_is_what_drawing_gives() -> None:
    votes, right, k, draws = [14, 11, 9, 8, *[1] * 16], {1, 3, 5}, 24, 40_000
    drawn = np.random.default_rng(5).multivariate_hypergeometric([*votes, 6], k, size=draws)[:, :-1]
    is_first = drawn == drawn.max(axis=1, keepdims=True)
    won = is_first[:, sorted(right)].sum(axis=1) / is_first.sum(axis=1)
    exact = maj_at_k(votes, right, k, silent=6)
    assert exact == pytest.approx(won.mean(), abs=4 * won.std() / sqrt(draws))


def test_maj_at_k_neither_overflows_nor_takes_long() -> None:
    began = time.process_time()
    assert maj_at_k([3, 2, 2, *[1] * 57], {0}, 64) == pytest.approx(1.0)
    assert time.process_time() - began < 0.05
    # Two classes of 1500 that only their names tell apart: C(3000, 1500) has 902 digits.
    assert comb(3000, 1500) > 10**900
    assert maj_at_k([1500, 1500], {0}, 20) == pytest.approx(0.5)


@pytest.mark.parametrize("k", [0, 5])
def test_maj_at_k_refuses_more_samples_than_there_are(k: int) -> None:
    with pytest.raises(ValueError, match="k must be in 1..n"):
        maj_at_k([2, 1], {0}, k, silent=1)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
def test_wilson_is_that_of_statsmodels(counts: tuple[int, int], level: float) -> None:
    solved, n = counts
    low, high = wilson(solved, n, level)
    assert (low, high) == pytest.approx(proportion_confint(solved, n, alpha=1 - level, method="wilson"), abs=1e-12)
    assert 0 <= low <= solved / n <= high <= 1


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_wilson_refuses_what_is_no_proportion(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="Wilson's interval"):
        wilson(successes, n)


@pytest.mark.parametrize(
    ("won", "lost", "n", "level", "expected"),
    [
        # Cavo et al. 2012 in Fagerland, Lydersen & Laake, Statistical Analysis of Contingency Tables, chapter 8.
        (6, 16, 161, 0.95, (-0.1240, -0.0054)),
        # PropCIs 0.3 in R: scoreci.mp(25, 28, 618, 0.90).
        (28, 25, 618, 0.90, (-0.0148, 0.0247)),
    ],
)
def test_tango_has_the_published_values(
    won: int, lost: int, n: int, level: float, expected: tuple[float, float]
) -> None:
    assert tuple(round(end, 4) for end in tango(won, lost, n, level)) == expected


def test_tango_where_nothing_differs_or_everything() -> None:
    # The score equation solved by hand: z^2 / (n + z^2), and (n - z^2) / (n + z^2) if all are won.
    z2 = 1.959963984540054**2
    assert tango(0, 0, 30) == pytest.approx((-z2 / (30 + z2), z2 / (30 + z2)))
    assert tango(30, 0, 30) == pytest.approx(((30 - z2) / (30 + z2), 1.0))


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.integers(0, n), st.just(n))))
def test_tango_contains_the_estimate_and_mirrors(counts: tuple[int, int, int]) -> None:
    won, lost, n = counts[0], min(counts[1], counts[2] - counts[0]), counts[2]
    low, high = tango(won, lost, n)
    assert -1 <= low <= (won - lost) / n <= high <= 1
    assert tango(lost, won, n) == pytest.approx((-high, -low), abs=1e-9)
    # The interval leaves out what McNemar's score test refuses.
    assert (low > 0 or high < 0) == (won + lost > 0 and (won - lost) ** 2 / (won + lost) > 1.959963984540054**2)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
@settings(max_examples=40, deadline=None)
def test_the_bootstrap_lies_in_0_to_1_around_the_mean(solved: list[int]) -> None:
    rates = [c / 4 for c in solved]
    low, high = bootstrap_mean(rates, resamples=1000)
    assert 0 <= low <= np.mean(rates) + 1e-12
    assert np.mean(rates) - 1e-12 <= high <= 1
    assert low < high


def test_the_bootstrap_draws_problems() -> None:
    rates = np.random.default_rng(3).integers(0, 5, size=60) / 4
    drawn = np.random.default_rng(8).choice(rates, size=(20_000, 60)).mean(axis=1)
    assert bootstrap_mean(rates.tolist()) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])), abs=0.006)
    assert bootstrap_mean(rates.tolist()) == bootstrap_mean(rates.tolist())
    assert bootstrap_mean(rates.tolist(), seed=1) != bootstrap_mean(rates.tolist())


def test_the_bootstrap_of_a_negated_sample_is_mirrored() -> None:
    values = [0.5, -0.25, 0.0, 1.0, -0.75, 0.25, 0.25]
    low, high = bootstrap_interval(values, 0.95, 2000, 0)
    assert bootstrap_interval([-value for value in values], 0.95, 2000, 0) == pytest.approx((-high, -low))


def test_equal_rates_get_wilsons_interval() -> None:
    assert bootstrap_mean([1.0] * 30) == wilson(30, 30)
    assert bootstrap_mean([0.25] * 8) == wilson(2, 8)
    # 0.9 of one problem: a count rounded down to 0 would give an interval that ends below 0.9.
    low, high = bootstrap_mean([0.9])
    assert wilson(0, 1)[1] < 0.9 < high
    assert low < 0.9


def test_the_bootstrap_of_a_large_benchmark_is_fast() -> None:
    rates = (np.random.default_rng(0).integers(0, 9, size=1319) / 8).tolist()
    began = time.process_time()
    bootstrap_mean(rates)
    assert time.process_time() - began < 1


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    chances = rng.beta(0.6, 0.9, size=(300, 80))  # problems of mean 0.4, very unlike each other
    rates = rng.binomial(4, chances) / 4
    intervals = [bootstrap_mean(row.tolist(), resamples=1000, seed=i) for i, row in enumerate(rates)]
    assert 0.92 <= np.mean([low <= 0.4 <= high for low, high in intervals]) <= 0.98


def test_standard_error_by_hand() -> None:
    # 0, 0, 1, 1: s^2 = 4 * 0.25 / 3, over 4 problems.
    assert standard_error([0.0, 0.0, 1.0, 1.0]) == pytest.approx(sqrt(1 / 3 / 4))
    assert standard_error([0.5, 0.5]) == 0.0
    assert standard_error([0.5]) is None
    assert standard_error([]) is None
