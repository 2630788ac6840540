"""Paired comparisons against statsmodels, scipy, counting over every choice of signs, and simulated benchmarks."""

from itertools import product
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as mcnemar_of_statsmodels

from rewards.errors import BadInput
from rl.evaluation.statistics.comparison import (
    Comparison,
    compare,
    detectable,
    mcnemar,
    paired_bootstrap,
    resolution,
    sign_flip,
)
from rl.evaluation.statistics.estimators import tango

Solved = dict[str, list[bool]]


def table(both: int, lost: int, won: int, neither: int) -> tuple[Solved, Solved]:
    """One sample a problem on both sides, with so many problems of each kind."""
    pairs = [(True, True)] * both + [(True, False)] * lost + [(False, True)] * won + [(False, False)] * neither
    a, b = ({str(i): [pair[side]] for i, pair in enumerate(pairs)} for side in (0, 1))
    return a, b


def sampled(rates: list[tuple[int, int]], samples: int = 4) -> tuple[Solved, Solved]:
    """So many of `samples` solved on both sides, problem by problem."""
    a, b = ({str(i): [g < pair[side] for g in range(samples)] for i, pair in enumerate(rates)} for side in (0, 1))
    return a, b


def test_a_published_table() -> None:
    # Cavo et al. 2012 in Fagerland, Lydersen & Laake, chapter 8: Tango's interval and McNemar's exact p-value.
    result = compare(*table(both=59, lost=16, won=6, neither=80))
    assert (result.n, result.won, result.lost, result.tied, result.test) == (161, 6, 16, 139, "mcnemar exact")
    assert (result.pass_a, result.pass_b) == (75 / 161, 65 / 161)
    assert result.difference == pytest.approx(-10 / 161)
    assert tuple(round(end, 4) for end in result.ci95) == (-0.1240, -0.0054)
    assert round(result.p_value, 6) == 0.052479


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_that_of_statsmodels_and_a_sign_test(both: int, lost: int, won: int, neither: int) -> None:
    theirs = mcnemar_of_statsmodels([[both, lost], [won, neither]], exact=True).pvalue
    assert mcnemar(won, lost) == pytest.approx(min(theirs, 1.0))
    if won + lost:
        assert mcnemar(won, lost) == pytest.approx(binomtest(won, won + lost, 0.5).pvalue)


def test_what_the_exact_test_shows_the_interval_shows() -> None:
    shown = [(won, lost) for won in range(36) for lost in range(36 - won) if mcnemar(won, lost) < 0.05]
    assert len(shown) > 250
    for won, lost in shown:
        low, high = tango(won, lost, 40)
        assert low > 0 or high < 0


def test_only_common_problems_count() -> None:
    a: Solved = {"x": [True], "y": [False], "p": [True], "q": [True], "empty": [True]}
    b: Solved = {"y": [True], "x": [True], "z": [False], "empty": []}
    result = compare(a, b)
    assert (result.n, result.only_a, result.only_b) == (2, 3, 1)
    assert (result.pass_a, result.pass_b, result.won, result.tied) == (0.5, 1.0, 1, 1)


@pytest.mark.parametrize(("a", "b"), [({"x": [True]}, {"y": [True]}), ({"x": [True]}, {"x": []}), ({}, {})])
def test_nothing_in_common_is_refused(a: Solved, b: Solved) -> None:
    with pytest.raises(BadInput, match="no graded problem in common: compare two on the same benchmark"):
        compare(a, b)


def test_several_samples_on_one_side_are_enough_for_the_bootstrap() -> None:
    a, b = table(both=5, lost=2, won=3, neither=5)
    b["0"] = [True, False]
    result = compare(a, b)
    assert (result.test, result.won, result.lost, result.tied) == ("sign-flip permutation", 3, 3, 9)
    assert result.difference == pytest.approx((3 - 2 - 0.5) / 15)


@given(st.lists(st.sampled_from([-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=9))
def test_few_sign_flips_are_all_tried(differences: list[float]) -> None:
    every = [sum(flipped) for flipped in product(*((d, -d) for d in differences))]
    expected = np.mean([abs(total) >= abs(sum(differences)) for total in every])  # quarters: no rounding
    assert sign_flip(np.array(differences)) == pytest.approx(expected)


def test_many_sign_flips_are_drawn_and_near_the_exact_number() -> None:
    # 20 differences that are +-1: the sum of random signs is a binomial. 15 won and 5 lost: p = 0.0414.
    differences = np.array([1.0] * 15 + [-1.0] * 5 + [0.0] * 10)
    exact = binomtest(15, 20).pvalue
    assert round(exact, 4) == 0.0414
    assert sign_flip(differences) == pytest.approx(exact, abs=4 * sqrt(exact / 10_000))
    assert sign_flip(differences) == sign_flip(differences)
    # Unequal sizes, against numbers drawn sign by sign.
    differences = np.random.default_rng(2).integers(-3, 5, size=60) / 4
    signs = np.random.default_rng(3).choice([-1.0, 1.0], size=(20_000, 60))
    drawn = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    assert 0.002 < drawn < 0.2
    assert sign_flip(differences) == pytest.approx(drawn, abs=5 * sqrt(drawn / 10_000))


def test_sign_flips_are_never_impossible() -> None:
    assert sign_flip(np.ones(500)) == pytest.approx(1 / 10_001)
    assert sign_flip(np.zeros(500)) == 1.0


def test_sign_flips_refuse_equal_sides_at_their_level() -> None:
    rng = np.random.default_rng(21)
    chances = rng.beta(0.7, 0.7, size=(200, 1, 40))
    solved = rng.binomial(4, np.repeat(chances, 2, axis=1)) / 4
    refused = np.mean([sign_flip(b - a) < 0.05 for a, b in solved])
    assert refused <= 0.05 + 3 * sqrt(0.05 * 0.95 / 200)


def test_the_paired_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(12)
    chances = rng.uniform(0, 0.8, size=(120, 60))
    differences = rng.binomial(4, chances + 0.1) / 4 - rng.binomial(4, chances) / 4
    intervals = [paired_bootstrap(row) for row in differences]
    assert 0.9 <= np.mean([low <= 0.1 <= high for low, high in intervals]) <= 0.985


def test_pairing_is_much_narrower_than_two_runs_alone() -> None:
    # 200 problems, half solved by both, at four B is better.
    result = compare(*table(both=96, lost=0, won=8, neither=96))
    rates = [1.0] * 96 + [0.0] * 104
    assert result.detectable < resolution(rates, 200) / 2


def test_equal_differences_are_not_certainty() -> None:
    same = compare(*sampled([(2, 2)] * 30))
    assert same.ci95 == pytest.approx(tango(0, 0, 30))
    assert (same.p_value, same.tied) == (1.0, 30)
    shifted = compare(*sampled([(1, 2)] * 30))
    assert shifted.ci95 == pytest.approx(tango(7.5, 0, 30))
    assert shifted.ci95[0] < 0.25 < shifted.ci95[1]


PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=25)


@given(PAIRS, st.sampled_from([1, 4]))
@settings(max_examples=40, deadline=None)
def test_swapping_the_sides_changes_the_sign_alone(pairs: list[tuple[int, int]], samples: int) -> None:
    a, b = sampled(pairs, samples)
    there, back = compare(a, b), compare(b, a)
    low, high = there.ci95
    assert (back.difference, back.ci95) == (pytest.approx(-there.difference), pytest.approx((-high, -low), abs=1e-9))
    assert (back.won, back.lost, back.tied) == (there.lost, there.won, there.tied)
    assert (back.p_value, back.detectable) == pytest.approx((there.p_value, there.detectable))
    assert low - 1e-9 <= there.difference <= high + 1e-9
    assert -1 <= low <= high <= 1
    assert there.won + there.lost + there.tied == there.n == len(pairs)
    turned = back.verdict.replace("A is", "_ is").replace("B is", "A is").replace("_ is", "B is")
    assert there.verdict == turned


def test_thirty_problems_show_only_what_is_large() -> None:
    # Even if the sides differed at no problem by chance, 26 points; if they differ at 12 of 30, 32 points.
    assert compare(*table(both=15, lost=0, won=0, neither=15)).detectable == pytest.approx(0.2616, abs=1e-4)
    assert compare(*table(both=9, lost=6, won=6, neither=9)).detectable == pytest.approx(2.8016 * sqrt(0.4 / 30), 1e-4)
    assert compare(*table(both=2, lost=0, won=0, neither=3)).detectable == 1.0
    # A thousand: 2.8016 * sqrt(0.1 / 1000).
    assert compare(*table(both=500, lost=50, won=50, neither=400)).detectable == pytest.approx(0.0280, abs=1e-4)


@pytest.mark.parametrize(("n", "differ"), [(30, 0.0), (30, 0.4), (164, 0.2), (500, 0.1)])
def test_what_is_detectable_is_detected_in_about_80_percent(n: int, differ: float) -> None:
    signs = np.resize([1.0, -1.0], round(n * differ))
    size = detectable(np.concatenate([signs, np.zeros(n - len(signs))]), is_single=True)
    share = max(differ, size)  # of problems at which the sides differ
    kinds = [(share + size) / 2, (share - size) / 2, 1 - share]
    drawn = np.random.default_rng(4).multinomial(n, kinds, size=1500)
    counted, times = np.unique(drawn[:, :2], axis=0, return_counts=True)
    shown = sum(count for (won, lost), count in zip(counted, times, strict=True) if mcnemar(won, lost) < 0.05)
    assert shown / 1500 == pytest.approx(0.8, abs=0.06)


def test_what_is_detectable_with_several_samples_is_detected_in_about_80_percent() -> None:
    rng = np.random.default_rng(6)
    chances = rng.uniform(0.1, 0.7, size=(150, 60))
    before = rng.binomial(8, chances)
    size = np.mean([detectable(row, is_single=False) for row in (rng.binomial(8, chances) - before) / 8])
    shown = [sign_flip(row) < 0.05 for row in (rng.binomial(8, chances + size) - before) / 8]
    assert np.mean(shown) == pytest.approx(0.8, abs=0.08)


def test_five_problems_show_nothing_however_many_samples() -> None:
    # All signs alike: p = 2 / 32.
    result = compare(*sampled([(1, 2), (0, 1), (2, 3), (0, 2), (3, 4)]))
    assert result.p_value == 0.0625
    assert result.detectable == 1.0
    assert result.verdict == "no difference shown: with 5 problems none is detectable"
    assert compare(*sampled([(1, 2), (0, 1), (2, 3), (0, 2), (3, 4), (1, 2)])).p_value == 0.03125


def test_resolution_by_hand() -> None:
    # 15 of 30 solved, and one of two added: variance 0.25. 1.96 + 0.84 = 2.8016.
    assert resolution([1.0] * 15 + [0.0] * 15, 30) == pytest.approx(2.801585 * 0.5 * sqrt(2 / 30), rel=1e-5)
    # All 98 solved: 99 of 100.
    assert resolution([1.0] * 98, 98) == pytest.approx(2.801585 * sqrt(0.99 * 0.01) * sqrt(2 / 98), rel=1e-5)
    assert resolution([], 0) == resolution([1.0, 0.0], 2) == 1.0


def test_a_difference_of_two_runs_apart_is_shown_in_about_80_percent_at_the_resolution() -> None:
    size = resolution([1.0] * 120 + [0.0] * 180, 300)
    rng = np.random.default_rng(7)
    a, b = rng.binomial(300, 0.4 - size / 2, 4000), rng.binomial(300, 0.4 + size / 2, 4000)
    pooled = (a + b) / 600
    shown = np.abs(b - a) / 300 > 1.96 * np.sqrt(pooled * (1 - pooled) * 2 / 300)
    assert np.mean(shown) == pytest.approx(0.8, abs=0.03)


def test_verdicts_in_plain_words() -> None:
    result = compare(*table(both=400, lost=20, won=50, neither=530))
    low, high = result.ci95
    expected = f"B is better by 3.0 points ({100 * low:.1f} to {100 * high:.1f}), p < 0.001"
    assert result.verdict == expected
    a, b = table(both=60, lost=17, won=5, neither=80)
    assert compare(a, b).verdict.startswith("A is better by 7.4 points (1.")
    assert compare(a, b).verdict.endswith("), p = 0.017")
    small = compare(*table(both=10, lost=3, won=4, neither=13))
    assert small.verdict == "no difference shown: detectable are 26.2 points and more"
    assert compare(*table(both=2, lost=0, won=3, neither=0)).verdict == (
        "no difference shown: with 5 problems none is detectable"
    )


def test_the_json_form() -> None:
    result = compare(*table(both=2, lost=1, won=3, neither=0))
    stored = result.as_dict()
    assert set(stored) == {*Comparison.__dataclass_fields__, "verdict"}
    assert stored["ci95"] == list(result.ci95)
    assert stored["verdict"] == result.verdict
