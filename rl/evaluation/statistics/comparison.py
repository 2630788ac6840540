"""Two evaluations on the same problems, paired by problem: the difference, its interval, a test, and what was missed.

One sample a problem on both sides: Tango's interval and McNemar's exact test. Several on a side: a bootstrap over
problems and a sign-flip test. The test decides the verdict. It is the stricter one of the exact pair, so an interval
may leave 0 out by a little where no difference is called shown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from scipy.stats import binomtest

from rewards.errors import BadInput
from rl.evaluation.statistics.estimators import Interval, bootstrap_interval, tango

SIGNIFICANCE, POWER = 0.05, 0.8
RESAMPLES, SEED = 10_000, 0
# Distance, in standard errors, of a difference that a two-sided test at 5 % shows with 80 % power: 1.96 + 0.84.
DISTANCE = NormalDist().inv_cdf(1 - SIGNIFICANCE / 2) + NormalDist().inv_cdf(POWER)
# Of five problems that all go one way, two-sided p is 2 / 2**5 = 0.0625.
FEWEST = 6


@dataclass(frozen=True)
class Comparison:
    """B against A over the problems that both answered.

    Attributes:
        n: problems in common; only_a, only_b: problems that one side alone has, left out.
        pass_a, pass_b: pass@1 over the common problems.
        difference: pass_b - pass_a; ci95: its interval.
        test: what `p_value` comes from.
        p_value: two-sided, of no difference.
        won, lost, tied: problems at which B has the higher, the lower, the same rate.
        detectable: the smallest true difference that such a comparison shows with 80 % power at 5 %.
    """

    n: int
    only_a: int
    only_b: int
    pass_a: float
    pass_b: float
    difference: float
    ci95: Interval
    test: Literal["mcnemar exact", "sign-flip permutation"]
    p_value: float
    won: int
    lost: int
    tied: int
    detectable: float

    @property
    def verdict(self) -> str:
        """The result in plain words, in points (hundredths)."""
        if self.p_value < SIGNIFICANCE:
            name, sign = ("B", 1) if self.difference > 0 else ("A", -1)
            low, high = sorted(100 * sign * end for end in self.ci95)
            p_value = f"p = {self.p_value:.2g}" if self.p_value >= 0.001 else "p < 0.001"
            return f"{name} is better by {100 * abs(self.difference):.1f} points ({low:.1f} to {high:.1f}), {p_value}"
        if self.detectable >= 1:
            return f"no difference shown: with {self.n} problems none is detectable"
        return f"no difference shown: detectable are {100 * self.detectable:.1f} points and more"

    def as_dict(self) -> dict[str, Any]:
        """The JSON form: the attributes and `verdict`."""
        return {**asdict(self), "ci95": list(self.ci95), "verdict": self.verdict}


def compare(a: Mapping[str, Sequence[bool]], b: Mapping[str, Sequence[bool]]) -> Comparison:
    """Compare whether graded samples solved their problems, by problem id, as `by_problem` gives them.

    Raises:
        BadInput: no problem has a graded sample on both sides.
    """
    rates_a, rates_b = _rates(a), _rates(b)
    common = sorted(rates_a.keys() & rates_b.keys())
    if not common:
        raise BadInput("The two evaluations have no graded problem in common: compare two on the same benchmark.")
    differences = np.array([rates_b[name] - rates_a[name] for name in common])  # [P]
    won, lost = int((differences > 0).sum()), int((differences < 0).sum())
    is_single = all(len(side[name]) == 1 for side in (a, b) for name in common)
    return Comparison(
        n=len(common),
        only_a=len(rates_a) - len(common),
        only_b=len(rates_b) - len(common),
        pass_a=float(np.mean([rates_a[name] for name in common])),
        pass_b=float(np.mean([rates_b[name] for name in common])),
        difference=float(differences.mean()),
        ci95=tango(won, lost, len(common)) if is_single else paired_bootstrap(differences),
        test="mcnemar exact" if is_single else "sign-flip permutation",
        p_value=mcnemar(won, lost) if is_single else sign_flip(differences),
        won=won,
        lost=lost,
        tied=len(common) - won - lost,
        detectable=detectable(differences, is_single),
    )


def _rates(solved: Mapping[str, Sequence[bool]]) -> dict[str, float]:
    return {name: sum(group) / len(group) for name, group in solved.items() if group}


def mcnemar(won: int, lost: int) -> float:
    """Two-sided exact p-value: of the problems that one side alone solves, each side has half (McNemar 1947)."""
    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def paired_bootstrap(differences_P: np.ndarray) -> Interval:
    """95 % percentile bootstrap over problems of their mean difference.

    Equal differences leave nothing to resample: then it is Tango's interval, as if that share of the problems (a count
    that need not be whole) had been won or lost.
    """
    n, first = len(differences_P), float(differences_P[0])
    if (differences_P == first).all():
        return tango(n * max(first, 0.0), n * max(-first, 0.0), n)
    return bootstrap_interval(differences_P.tolist(), 0.95, RESAMPLES, SEED)


def sign_flip(differences_P: np.ndarray) -> float:
    """Two-sided p-value of a mean difference of 0: how often random signs make a sum as far from 0 as the one seen.

    Fisher's randomization test for pairs (1935, The Design of Experiments, section 21). Exact over all signs where
    they are at most 10,000, else from 10,000 seeded draws, the one seen counted among them (Phipson & Smyth 2010). If
    the sides have different numbers of samples, the differences are not quite symmetric: it holds for many problems.
    """
    sizes = np.abs(differences_P[differences_P != 0])
    if 2 ** len(sizes) <= RESAMPLES:
        signs = 1 - 2 * ((np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes))) & 1)  # [2^P, P]
        return float(_is_as_far(signs @ sizes, differences_P).mean())
    # How many of the equal sizes get a plus is binomial: the same as a sign for each problem, and faster.
    distinct, counts = np.unique(sizes, return_counts=True)
    plus = np.random.default_rng(SEED).binomial(counts, 0.5, size=(RESAMPLES, len(counts)))
    return float((1 + _is_as_far((2 * plus - counts) @ distinct, differences_P).sum()) / (1 + RESAMPLES))


def _is_as_far(sums: np.ndarray, differences_P: np.ndarray) -> np.ndarray:
    """Which sums are as far from 0 as that of the differences; those that differ only by rounding are."""
    return np.abs(sums) >= abs(differences_P.sum()) - 1e-9


def detectable(differences_P: np.ndarray, is_single: bool) -> float:
    """The smallest true difference that a comparison of such problems shows with 80 % power at 5 % two-sided.

    (1.96 + 0.84) s / sqrt(n), where s^2 is the mean squared difference: the variance if nothing differs. For one sample
    a problem s^2 is the share of problems at which the sides differ, and a difference d takes a share of d at least:
    s^2 = max(share, d), so that the result is never below 7.85 / n (compare Connor 1987, Biometrics 43:207). That floor
    also stands in where all differences are equal. 1.0: none can be shown.
    """
    n = len(differences_P)
    if n < FEWEST:
        return 1.0
    needed = DISTANCE * math.sqrt(float(np.mean(differences_P**2)) / n)
    has_floor = is_single or bool((differences_P == differences_P[0]).all())
    return min(max(needed, DISTANCE**2 / n) if has_floor else needed, 1.0)


def resolution(rates: Sequence[float], n: int) -> float:
    """The smallest true difference to a run on n other problems that would be shown with 80 % power at 5 % two-sided.

    For one run alone: (1.96 + 0.84) s sqrt(2 / n), where s^2 is the variance of the problems' rates (each in 0..1) with
    a solved and an unsolved one added (as Agresti & Caffo 2000 do), or a run that solves all would claim to see
    everything. A comparison by `compare` on the same problems mostly sees less than that. 1.0: none can be shown.
    """
    return min(DISTANCE * float(np.std([*rates, 0.0, 1.0])) * math.sqrt(2 / n), 1.0) if n else 1.0
