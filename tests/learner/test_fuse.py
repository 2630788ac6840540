"""The fuse on recorded runs: it lets healthy ones be, and stops those whose engine has other weights within two steps.

Recorded on a CPU with bfloat16 units: the packaged SmolLM2 in the quickstart, seed 0, vLLM. A step is its mean |d|, and
the error of a logit with the number of tokens that it was measured on.
"""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.learner.fuse import FLOOR, LogitError, absolute_limit, is_reference, logit_error, relative_limit

Series = list[tuple[float, float, int]]
F32, F16, B16 = torch.float32, torch.float16, torch.bfloat16

HEALTHY: dict[str, Series] = {
    "bfloat16": [
        (0.0355, 0.112, 259), (0.0288, 0.115, 219), (0.0326, 0.16, 236), (0.0325, 0.137, 144), (0.0253, 0.161, 153),
        (0.0261, 0.153, 229), (0.0315, 0.167, 163), (0.0152, 0.142, 87), (0.0153, 0.106, 114), (0.0138, 0.139, 74),
        (0.0205, 0.14, 137), (0.012, 0.102, 125), (0.0272, 0.144, 114), (0.016, 0.132, 205), (0.0212, 0.135, 215),
        (0.0182, 0.151, 32), (0.0139, 0.0913, 164), (0.0269, 0.162, 165), (0.00829, 0.0697, 74), (0.0229, 0.141, 118),
        (0.0178, 0.131, 72), (0.0237, 0.176, 90), (0.0222, 0.112, 117), (0.0264, 0.148, 151), (0.014, 0.108, 127),
        (0.0134, 0.0793, 55), (0.0354, 0.177, 134), (0.0135, 0.104, 143), (0.031, 0.166, 143), (0.00839, 0.137, 52),
    ],
    "bfloat16, the adapter handed over": [
        (0.0355, 0.112, 259), (0.0328, 0.145, 212), (0.0267, 0.139, 223), (0.0245, 0.15, 128), (0.0253, 0.136, 163),
        (0.0128, 0.0865, 126), (0.0264, 0.159, 195), (0.0269, 0.166, 227),
    ],
    "float32": [
        (1.4e-05, 6.24e-05, 227), (1.25e-05, 8.13e-05, 234), (1.12e-05, 0.000129, 212), (9.26e-06, 0.000108, 139),
        (9.34e-06, 0.000151, 152), (9.38e-06, 0.000122, 178), (9.39e-06, 0.000146, 133), (8.01e-06, 0.000185, 188),
        (9.54e-06, 0.000171, 131), (7.56e-06, 0.000177, 158), (7.17e-06, 0.000194, 94), (8.09e-06, 0.000181, 103),
    ],
}  # fmt: skip
# With the step from which on the engine has other weights.
BROKEN: dict[str, tuple[int, Series]] = {
    "bfloat16, nothing is handed over": (
        2, [(0.0355, 0.112, 259), (0.296, 0.753, 247), (0.527, 1.2, 351), (0.797, 1.71, 340), (0.799, 1.77, 259)],
    ),
    "bfloat16, weights come a step late": (
        2, [(0.0355, 0.112, 259), (0.296, 0.753, 247), (0.186, 0.648, 340), (0.0863, 0.347, 220)],
    ),
    "bfloat16, nothing is handed over after step 5": (
        7, [(0.0355, 0.112, 259), (0.0288, 0.115, 219), (0.018, 0.11, 249), (0.0217, 0.126, 151),
            (0.0262, 0.136, 186), (0.0185, 0.112, 161), (0.0957, 0.421, 174), (0.126, 0.533, 210)],
    ),
    "float32, nothing is handed over": (2, [(1.4e-05, 6.24e-05, 227), (0.499, 1.19, 217), (0.673, 1.48, 351)]),
    "float32, weights come a step late": (2, [(1.4e-05, 6.24e-05, 227), (0.499, 1.19, 217), (0.172, 0.625, 292)]),
}  # fmt: skip


def stops(series: Series) -> list[int]:
    """The steps that the fuse would stop, from 1."""
    first = LogitError(*series[0][1:])
    assert is_reference(first)
    limits = [relative_limit(mean, LogitError(error, n), first, 0.1) for mean, error, n in series]
    return [step for step, ((mean, _, _), limit) in enumerate(zip(series, limits, strict=True), 1) if mean > limit]


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_let_be(name: str) -> None:
    assert stops(HEALTHY[name]) == []
    assert stops([(2 * mean, error, n) for mean, error, n in HEALTHY[name]]) == []  # a policy that is less sure


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_run_is_stopped_within_two_steps(name: str) -> None:
    since, series = BROKEN[name]
    assert since <= min(stops(series)) <= since + 1


@pytest.mark.parametrize("factor", [2.0, 4.0, 8.0])
def test_more_tokens_make_the_fuse_stricter(factor: float) -> None:
    many = [LogitError(factor * 0.1, n) for n in (1, 16, 64, 256, 10**5)]
    limits = [relative_limit(0.03 * factor, error, LogitError(0.1, 300), 0.1) for error in many]
    assert all(one > other for one, other in pairwise(limits))
    assert (limits[-1] < 0.03 * factor) == (factor > 3)  # 2.5 times, and 3 / sqrt(300) of that


def test_hand_worked() -> None:
    engine = torch.tensor([0.5, 0.9, 0.99, 0.2]).log()
    learner = torch.tensor([0.4, 0.95, 0.985, 0.2]).log()
    found = logit_error(learner, engine, 2.0)
    # 1 - p of the less sure side: 0.6, 0.1; the third is left out, as both are sure; 0.8 without a difference
    assert found.tokens == 3
    assert found.mean == pytest.approx(2 * (math.log(0.5 / 0.4) / 0.6 + math.log(0.95 / 0.9) / 0.1 + 0) / 3)
    assert relative_limit(0.4, LogitError(0.5, 100), LogitError(0.1, 100), 0.1) == pytest.approx(
        0.4 / 0.5 * 0.1 * 2.5 * (1 + 3 * math.sqrt(0.02))
    )


@pytest.mark.parametrize("temperature", [0.4, 0.7, 1.0, 1.5])
def test_rounding_of_logits_is_seen_as_large_as_it_is_at_any_temperature(temperature: float) -> None:
    """Noise of the sampled token's logit alone: the error is its mean size, whatever the policy is sure of."""
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(4000, 50))
    chosen = (logits / temperature + rng.gumbel(size=logits.shape)).argmax(-1)  # a sample of the softmax
    noisy = logits.copy()
    noisy[np.arange(4000), chosen] += rng.normal(0, 0.02, 4000)
    both = [torch.tensor(x / temperature).log_softmax(-1)[range(4000), chosen] for x in (noisy, logits)]
    assert logit_error(both[0], both[1], temperature).mean == pytest.approx(0.02 * math.sqrt(2 / math.pi), rel=0.05)


def test_a_gap_below_the_floor_is_healthy_whatever_the_first_was() -> None:
    assert relative_limit(0.9 * FLOOR, LogitError(0.05, 10**6), LogitError(1e-7, 10**6), 0.1) == FLOOR


def test_where_nothing_can_be_compared_the_absolute_limit_holds() -> None:
    first = LogitError(0.1, 100)
    assert relative_limit(math.inf, LogitError(0.1, 5), first, 0.07) == 0.07
    sure = logit_error(torch.tensor([-0.001, -0.002]), torch.tensor([-0.002, -0.003]), 1.0)
    assert sure == LogitError(0.0, 0)
    assert relative_limit(0.001, sure, first, 0.07) == 0.07
    assert not is_reference(LogitError(0.1, 63)) and not is_reference(LogitError(math.nan, 100))


@pytest.mark.parametrize(
    ("learner", "engine", "apart", "stale", "limit"),
    [
        (F32, F32, False, False, 0.02), (F16, F16, False, False, 0.05), (B16, B16, False, False, 0.1),
        (F32, B16, False, False, 0.1), (F16, F32, False, False, 0.05), (F32, F32, True, False, 0.1),
        (B16, B16, True, False, 0.1), (F32, F32, False, True, 1.0), (B16, B16, True, True, 1.0),
    ],
)  # fmt: skip
def test_absolute_limits(learner: torch.dtype, engine: torch.dtype, apart: bool, stale: bool, limit: float) -> None:
    assert absolute_limit(learner, engine, apart, stale) == limit


@given(st.floats(1e-6, 10), st.floats(1e-6, 10), st.integers(1, 10**6), st.floats(1e-6, 10), st.integers(64, 10**6))
def test_a_run_stops_if_its_error_and_not_its_certainty_is_more_than_the_firsts(
    mean: float, error: float, tokens: int, first: float, tokens_first: int
) -> None:
    limit = relative_limit(mean, LogitError(error, tokens), LogitError(first, tokens_first), 0.1)
    allowed = 2.5 * first * (1 + 3 * math.sqrt(1 / tokens + 1 / tokens_first))
    if abs(error / allowed - 1) > 1e-9:
        assert (mean > limit) == (error > allowed and mean > FLOOR)
