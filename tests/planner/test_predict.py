"""Predictions from made-up rates, worked out by hand; how they grow; and a calibration that is read back as written."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.config.recipe import Recipe
from rl.planner.predict import Calibration, Observation, predict
from rl.planner.rates import DecodeRates, Rates
from rl.planner.shapes import Shape
from rl.planner.store import read_calibration, write_calibration

SHAPE = Shape(
    layers=2,
    hidden=8,
    feed_forward=16,
    query=8,
    key_value=4,
    vocabulary=10,
    matrices=1152,
    head=80,
    parameters=1272,
    trainable=512,
    adapter=512,
    exported=1152,
)
RATES = Rates(
    decode=DecodeRates(step=0.1, token=0.01, context=0.0, prefill=0.001),
    learn_pass=0.5,
    learn_flop=1e-6,
    update=0.25,
    sync=2.0,
    grade=0.01,
    books=0.125,
    start=30.0,
)
CALIBRATION = Calibration(SHAPE, RATES, Observation(prompt=6, shared=0), "cpu", memory_gib=8, base_gib=0.5)


def recipe(**sections: Any) -> Recipe:
    tree: dict[str, Any] = {
        "name": "r",
        "model": {"name": "any"},
        "problems": {"source": "arithmetic", "max_prompt_length": 10},
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {"engine": "transformers", "device": "cpu", "max_completion_length": 5, "num_generations": 4},
        "algorithm": {"problems_per_step": 3},
        "optimizer": {"max_steps": 10},
        "evaluation": {"size": 20},
        "run": {"dollars_per_hour": 3.6},
    }
    return Recipe.model_validate({**tree, **{key: {**tree.get(key, {}), **values} for key, values in sections.items()}})


def test_a_whole_prediction_worked_out_by_hand() -> None:
    """3 problems of 6 tokens, 4 completions of 5 tokens each: 12 completions, 60 tokens, 18 prompt tokens, 5 steps."""
    seen = predict(recipe(), SHAPE, CALIBRATION)
    assert seen.seconds["generate"] == pytest.approx(5 * 0.1 + 60 * 0.01 + 18 * 0.001)
    # packed: 3 x (6 + 4 x 4) = 66 tokens; 3 x (1 + 16) = 51 of them predict; a prompt has 21 pairs, and the nodes of a
    # completion look at 7, 8, 9 and 10 tokens: 3 x (21 + 4 x 34) = 471 pairs
    forward = 2 * (1152 + 512) * 66 + 4 * 2 * 8 * 471 + 2 * 80 * 51
    backward = (2 * 1152 + 4 * 512) * 66 + 8 * 2 * 8 * 471 + 2 * 80 * 51
    assert (seen.packed_tokens, seen.passes) == (pytest.approx(66), 1)
    assert seen.learner_flops == pytest.approx(forward + backward)
    assert seen.seconds["learn"] == pytest.approx(0.5 + 0.25 + (forward + backward) * 1e-6)
    assert seen.seconds["sync"] == 2.0
    assert seen.seconds["rest"] == pytest.approx(0.125 + 12 * 0.01)
    assert seen.step_seconds == pytest.approx(sum(seen.seconds.values()))
    # 20 problems once: 5 steps, 100 tokens, 120 prompt tokens, 20 verdicts
    assert seen.evaluation_seconds == pytest.approx(0.5 + 1.0 + 0.12 + 0.2)
    assert seen.hours * 3600 == pytest.approx(30 + 10 * seen.step_seconds + 2 * seen.evaluation_seconds)
    assert seen.dollars == pytest.approx(seen.hours * 3.6)
    assert (seen.mean_length, seen.cut_share, seen.signal_share) == (pytest.approx(5), 1, 1)
    assert seen.sync_bytes == 1152 * 4
    assert len(seen.assumptions) == 2  # lengths and signal were not observed
    assert predict(recipe(), SHAPE, CALIBRATION, dollars_per_hour=7.2).dollars == pytest.approx(2 * seen.dollars)


def test_groups_without_signal_cost_the_learner_nothing_and_dynamic_sampling_replaces_them() -> None:
    graded = replace(CALIBRATION, observed=replace(CALIBRATION.observed, rewards=((1.0, 0.0) * 2, (0.0,) * 4)))
    whole, half = predict(recipe(), SHAPE, CALIBRATION), predict(recipe(), SHAPE, graded)
    assert half.packed_tokens == pytest.approx(whole.packed_tokens / 2)
    assert half.generated_tokens == whole.generated_tokens
    refilled = predict(recipe(algorithm={"dynamic_sampling": True}), SHAPE, graded)
    assert refilled.generated_tokens == pytest.approx(2 * whole.generated_tokens)
    assert refilled.packed_tokens == pytest.approx(whole.packed_tokens)
    least = recipe(algorithm={"dynamic_sampling": True, "dynamic_sampling_max_tokens": 90})
    assert predict(least, SHAPE, graded).generated_tokens == pytest.approx(90)  # the budget ends it
    assert predict(recipe(algorithm={"beta": 0.1}), SHAPE, graded).packed_tokens == pytest.approx(whole.packed_tokens)


def test_a_mean_length_stands_in_for_observed_ones() -> None:
    observed = Observation(6, 0, lengths=(2, 4), ended=(True, True))
    calibration = replace(CALIBRATION, observed=observed)
    assert predict(recipe(), SHAPE, calibration).mean_length == pytest.approx(3)
    assert predict(recipe(), SHAPE, calibration, mean_length=4.5).mean_length == pytest.approx(4.5)


def test_a_rank_has_its_share() -> None:
    shared = predict(recipe(algorithm={"problems_per_step": 6}, run={"num_processes": 2}), SHAPE, CALIBRATION)
    assert shared.packed_tokens == pytest.approx(predict(recipe(), SHAPE, CALIBRATION).packed_tokens)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 32), st.integers(1, 64), st.integers(1, 512), st.sampled_from(["group", "problems", "length"]))
def test_more_of_anything_takes_longer(group: int, problems: int, length: int, what: str) -> None:
    def seconds(factor: int) -> float:
        sizes = {"group": group, "problems": problems, "length": length}
        sizes[what] *= factor
        asked = recipe(
            rollout={"num_generations": sizes["group"], "max_completion_length": sizes["length"]},
            algorithm={"problems_per_step": sizes["problems"]},
        )
        return predict(asked, SHAPE, CALIBRATION).step_seconds

    assert seconds(1) < seconds(2) < 4.5 * seconds(1)


def test_another_model_is_scaled() -> None:
    larger = replace(SHAPE, layers=4, matrices=2304, head=160, adapter=1024, trainable=1024, exported=2304)
    small, large = predict(recipe(), SHAPE, CALIBRATION), predict(recipe(), larger, CALIBRATION)
    assert large.learner_flops == pytest.approx(2 * small.learner_flops)
    assert large.seconds["generate"] == pytest.approx(2 * small.seconds["generate"])
    assert large.seconds["rest"] == small.seconds["rest"]


def test_a_calibration_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    observed = Observation(6.5, 2, (3, 5), (True, False), 0.9, ((1.0, 0.0), (0.5, 0.5)))
    calibration = replace(CALIBRATION, observed=observed, assumptions=("one", "two"))
    write_calibration(tmp_path / "deep" / "c.json", calibration)
    assert read_calibration(tmp_path / "deep" / "c.json") == calibration
    assert read_calibration(tmp_path / "none.json") is None
