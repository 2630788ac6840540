"""What generating takes, counted by hand; and rates that are found again from the times that they make."""

import numpy as np
import pytest

from rl.planner.gpus import Gpu
from rl.planner.lengths import geometric_survival
from rl.planner.rates import DecodeRates, Rates, cpu_rates, fit_decode, fit_learner, gpu_rates, scaled
from rl.planner.rollouts import Demand, RolloutCounts, expect_rollouts, prefill_tokens, seen_rollouts
from rl.planner.shapes import Shape

SHAPE = Shape(
    layers=2,
    hidden=8,
    feed_forward=16,
    query=8,
    key_value=4,
    vocabulary=10,
    matrices=1000,
    head=100,
    parameters=1200,
    trainable=50,
    adapter=50,
    exported=1000,
)


def test_prompts_share_whole_blocks_on_vllm_and_everything_on_transformers() -> None:
    demand = Demand(problems=3, group=4, prompt=70, shared=40)
    # blocks of 32: the first is common to all, the second to a group, and 6 tokens are each completion's own
    assert prefill_tokens(demand, "vllm", "cpu") == 32 + 3 * 32 + 12 * 6
    # blocks of 16: two common, two a group's, 6 tokens each
    assert prefill_tokens(demand, "vllm", "cuda") == 32 + 3 * 32 + 12 * 6
    assert prefill_tokens(demand, "transformers", "cpu") == 3 * 70
    # the last token is computed for each, even where the prompt is a whole number of blocks
    assert prefill_tokens(Demand(1, 4, 64, 0), "vllm", "cpu") == 32 + 4 * 32


def test_counts_of_a_batch_that_was_seen() -> None:
    counts = seen_rollouts(Demand(1, 3, 10, 0), [1, 4, 2], "transformers", "cpu")
    # looked back at: 10; 10 + 11 + 12 + 13; 10 + 11
    assert counts == RolloutCounts(steps=4, tokens=7, contexts=10 + 46 + 21, prefill=10)


@pytest.mark.parametrize(("engine", "steps"), [("vllm", 3 * 5), ("transformers", 3 * 5)])
def test_equal_lengths_in_three_waves(engine: str, steps: int) -> None:
    counts = expect_rollouts(Demand(6, 2, 10, 0), geometric_survival(5, 5), 4, engine, "cpu")
    assert counts.steps == pytest.approx(steps) and counts.tokens == pytest.approx(60)


def test_vllm_fills_up_where_transformers_waits_for_the_longest() -> None:
    survival = geometric_survival(10, 40)
    together = [
        expect_rollouts(Demand(8, 8, 10, 0), survival, 16, name, "cpu").steps for name in ("vllm", "transformers")
    ]
    assert together[0] < 0.7 * together[1]
    alone = [expect_rollouts(Demand(8, 8, 10, 0), survival, 64, name, "cpu").steps for name in ("vllm", "transformers")]
    assert alone[0] == pytest.approx(alone[1])


def test_rates_are_found_again_from_the_times_that_they_make() -> None:
    rates = DecodeRates(step=0.02, token=0.003, context=1e-6, prefill=5e-4)
    shapes = [(8, 512, 4000, 30), (8, 128, 1000, 30), (64, 64, 4000, 900), (64, 1, 64, 900)]
    counts = [RolloutCounts(steps, tokens, tokens * 100.0, prefill) for _, steps, tokens, prefill in shapes]
    found = fit_decode(counts, [rates.seconds(count) for count in counts])
    for count in counts:
        assert found.seconds(count) == pytest.approx(rates.seconds(count), rel=1e-6)
    more = RolloutCounts(100, 20000, 2e6, 2000)
    assert found.seconds(more) == pytest.approx(rates.seconds(more), rel=1e-3)


def test_no_rate_is_negative() -> None:
    counts = [RolloutCounts(10, 100, 1000, 50), RolloutCounts(20, 150, 4000, 50), RolloutCounts(1, 10, 0, 50)]
    found = fit_decode(counts, [1.0, 0.9, 0.5])
    assert min(found.step, found.token, found.context, found.prefill) >= 0


def test_fixed_part_and_slope_of_the_learner() -> None:
    assert fit_learner([1e9, 4e9], [0.3, 0.9]) == pytest.approx((0.1, 2e-10))
    assert fit_learner([1e9, 4e9], [0.1, 0.9]) == pytest.approx((0.0, (1e-10 + 2.25e-10) / 2))  # no negative fixed part
    assert fit_learner([2e9], [0.4]) == pytest.approx((0.0, 2e-10))


def test_a_gpu_decodes_by_its_bandwidth() -> None:
    gpu = Gpu("made-up", teraflops=100, memory_mib=24576, bandwidth=1000, dollars_per_hour=1, source="none")
    rates = gpu_rates(gpu, SHAPE, eager=True)
    # 1100 weights of 2 bytes at 60 % of 1e12 bytes a second, and 15 ms; 2 x 1100 operations at 40 % of 1e14 a second
    assert rates.decode.step == pytest.approx(2200 / 6e11 + 0.015)
    assert rates.decode.token == pytest.approx(2200 / 4e13)
    assert rates.decode.context == pytest.approx(2 * 2 * 4 * 2 / 6e11)  # 2 layers, keys and values, 4 wide, 2 bytes
    assert rates.learn_flop == pytest.approx(1 / 3e13)


def test_rates_of_another_model_grow_with_its_operations() -> None:
    rates: Rates = cpu_rates(1e11, SHAPE)
    twice = Shape(**vars(SHAPE) | {"layers": 4, "matrices": 2000, "head": 200, "trainable": 100, "exported": 2000})
    larger = scaled(rates, SHAPE, twice)
    assert larger.learn_flop == rates.learn_flop and larger.books == rates.books
    names = ("step", "token", "context", "prefill")
    assert np.array([getattr(larger.decode, n) / getattr(rates.decode, n) for n in names]) == pytest.approx(2.0)
    assert (larger.learn_pass, larger.update, larger.sync) == pytest.approx(
        (2 * rates.learn_pass, 2 * rates.update, 2 * rates.sync)
    )
