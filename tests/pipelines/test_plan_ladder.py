"""What a pipeline will take, worked out by hand from made-up rates."""

import copy
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.config.yaml_text import dump_yaml
from rl.pipelines.pipeline_file import load_pipeline
from rl.pipelines.schema import GrpoStage, Pipeline, SftSection, TracesStage, as_recipe
from rl.planner.flops import TreeCounts, update_flops
from rl.planner.ladder import (
    LadderRequest,
    Machine,
    climbed,
    forecast_ladder,
    grpo_taken,
    learned_rows,
    sft_steps,
    traces_taken,
)
from rl.planner.predict import Calibration, Observation, predict
from rl.planner.rates import DecodeRates, Rates
from rl.planner.shapes import load_shape
from rl.planner.show import ladder_text

Tree = dict[str, Any]
RATES = Rates(
    decode=DecodeRates(step=0.1, token=0.01, context=0.0, prefill=0.001),
    learn_pass=0.5,
    learn_flop=1e-9,
    update=0.25,
    sync=2.0,
    grade=0.01,
    books=0.125,
    start=30.0,
)


def calibration(recipe: Recipe) -> Calibration:
    return Calibration(load_shape(recipe.model), RATES, Observation(prompt=6, shared=0), "cpu", memory_gib=8)


MACHINE = Machine("here", None, calibration)


@pytest.fixture
def pipeline(pipeline_tree: Tree, tmp_path: Path) -> Pipeline:
    return load(pipeline_tree, tmp_path)


def load(tree: Tree, folder: Path) -> Pipeline:
    path = folder / "p.yaml"
    path.write_text(dump_yaml(tree))
    return load_pipeline(str(path))


def test_every_stage_worked_out_by_hand(pipeline: Pipeline) -> None:
    reinforce = pipeline.stages["reinforce"]
    assert isinstance(reinforce, GrpoStage)
    recipe = as_recipe("reinforce", reinforce)
    request = LadderRequest(pipeline, mean_trace=20)
    seen = {rung.stage: rung for rung in climbed(request, MACHINE, recipe).rungs}
    assert (seen["worked"].hours, seen["worked"].dollars, seen["hand-on"].hours) == (0, 0, 0)
    # 3 steps of 8 rows of 20 tokens: 480 tokens, each looking at 10.5 on average
    shape = load_shape(recipe.model)
    flops = update_flops(shape, TreeCounts(480, 480, 480 * 10.5), checkpointing=False)
    assert seen["cold-start"].hours * 3600 == pytest.approx(30 + 3 * (0.5 + 0.25) + flops * 1e-9)
    assert seen["reinforce"].hours == pytest.approx(predict(recipe, shape, calibration(recipe)).hours)
    # 5 problems, 2 answers of 6 tokens each: 6 steps, 60 tokens, 30 prompt tokens, 10 verdicts
    assert seen["reject"].hours * 3600 == pytest.approx(30 + 0.6 + 0.6 + 0.03 + 0.1)
    # base and three that were trained: each 4 answers
    assert seen["measure"].hours * 3600 == pytest.approx(4 * (30 + 0.6 + 0.24 + 0.024 + 0.04))
    assert all(rung.dollars == pytest.approx(rung.hours * 3.6) for rung in seen.values())


def test_totals_are_sums_and_a_missing_price_is_no_price(pipeline: Pipeline) -> None:
    recipe = as_recipe("reinforce", pipeline.stages["reinforce"])  # type: ignore[arg-type]
    whole = climbed(LadderRequest(pipeline), MACHINE, recipe)
    assert whole.hours == pytest.approx(sum(rung.hours for rung in whole.rungs))
    assert whole.dollars == pytest.approx(whole.hours * 3.6)
    assert climbed(LadderRequest(pipeline), Machine("here", 0.0, calibration), recipe).dollars is None
    text = ladder_text("p", [whole])
    assert "neither" not in text and f"{whole.dollars:.2f}" in text and "as many as the limit" in text


@pytest.mark.parametrize(
    "rows, keys, length, steps, tokens",
    [
        # 5000 rows of 4096 twice, packed into rows of 8192, 8 a step
        (5000, {"num_train_epochs": 2, "packing": True, "max_length": 8192}, 4096, 625, 625 * 8 * 8192),
        (5000, {"num_train_epochs": 2, "max_length": 8192}, 4096, 1250, 1250 * 8 * 4096),
        (17, {"max_length": 64}, 10, 3, 3 * 8 * 10),
        (None, {"max_steps": 7, "packing": True, "max_length": 64}, 10, 7, 7 * 8 * 64),
    ],
)
def test_steps_and_tokens_of_fine_tuning(rows: int | None, keys: Tree, length: int, steps: int, tokens: int) -> None:
    section = SftSection(per_device_train_batch_size=2, gradient_accumulation_steps=4, **keys)
    assert sft_steps(section, rows, length) == (steps, tokens)


def test_a_data_set_of_unknown_size_needs_its_steps(pipeline: Pipeline) -> None:
    with pytest.raises(BadInput, match="set sft.max_steps"):
        sft_steps(SftSection(), None, 10)


def rows_of(tree: Tree, folder: Path, name: str) -> tuple[float | None, float]:
    return learned_rows(name, LadderRequest(load(tree, folder), mean_length=4, mean_trace=40), prompt=6)


def test_rows_are_those_of_the_stages_before_and_a_share_of_others(pipeline_tree: Tree, tmp_path: Path) -> None:
    assert rows_of(pipeline_tree, tmp_path, "cold-start") == (12, 40)
    assert rows_of(pipeline_tree, tmp_path, "fine-tune") == (5, 6 + 4)  # its own answers
    changed = copy.deepcopy(pipeline_tree)
    changed["stages"]["fine-tune"] |= {"data_from": ["worked", "reject"], "data": {"source": "hub", "share": 0.5}}
    changed["stages"]["worked"]["keep"]["max_traces"] = 9
    del changed["stages"]["reject"]["keep"]["limit"]  # all 56 that are not held out, two each
    changed["stages"]["reject"]["keep"]["per_problem"] = 2
    rows, length = rows_of(changed, tmp_path, "fine-tune")
    assert rows == 1.5 * (9 + 112) and length == pytest.approx((9 * 40 + 112 * 10 + 60.5 * 40) / rows)
    changed["stages"]["cold-start"]["data"] = {"source": "hub"}
    del changed["stages"]["worked"], changed["stages"]["fine-tune"], changed["stages"]["measure"]
    assert rows_of(changed, tmp_path, "cold-start") == (None, 40)


def test_a_server_costs_its_tokens_and_takes_the_time_of_its_rate(pipeline_tree: Tree, tmp_path: Path) -> None:
    teacher = {"source": "endpoint", "name": "big", "url": "http://127.0.0.1:1/v1", "requests_per_minute": 48}
    stage = pipeline_tree["stages"]["worked"] | {"teacher": teacher | {"dollars_per_million": [1.0, 100.0]}}
    pipeline_tree["stages"]["worked"] = stage
    worked = load(pipeline_tree, tmp_path).stages["worked"]
    assert isinstance(worked, TracesStage)
    taken = traces_taken("worked", worked, MACHINE, mean=3)
    assert taken.dollars == pytest.approx(24 * (6 * 1.0 + 3 * 100.0) / 1e6) and taken.seconds == pytest.approx(30)
    stage["teacher"] |= {"max_dollars": 0.001, "dollars_per_million": [1.0, 100.0]}
    worked = load(pipeline_tree, tmp_path).stages["worked"]
    assert isinstance(worked, TracesStage) and traces_taken("worked", worked, MACHINE, 3).dollars == 0.001


def test_a_teacher_scores_every_token(pipeline: Pipeline) -> None:
    stage = pipeline.stages["reinforce"]
    assert isinstance(stage, GrpoStage)
    alone = grpo_taken("reinforce", stage, MACHINE, None).seconds
    taught = grpo_taken("reinforce", stage.model_copy(update={"teacher_from": "base"}), MACHINE, None).seconds
    recipe = as_recipe("reinforce", stage)
    shape = load_shape(recipe.model)
    seen = predict(recipe, shape, calibration(recipe))
    whole = predict(recipe, shape, calibration(recipe), teacher=shape)
    assert taught - alone == pytest.approx(2 * (whole.learner_flops - seen.learner_flops) * 1e-9) and taught > alone
    assert whole.memory_gib["learner: teacher"] == pytest.approx(shape.parameters * 4 / 2**30)


def test_a_pipeline_without_a_recipe_in_it_is_refused(pipeline_tree: Tree, tmp_path: Path) -> None:
    pipeline_tree["stages"] = {"worked": pipeline_tree["stages"]["worked"]}
    with pytest.raises(BadInput, match="no stage of the kinds grpo and evaluate"):
        forecast_ladder(LadderRequest(load(pipeline_tree, tmp_path), gpus="l4"), print)


@pytest.mark.parametrize(
    "asked, why",
    [
        ({"mean_length": 7}, "--mean-length 7 is not between 1 and rollout.max_completion_length = 6"),
        ({"mean_trace": 0}, "--mean-trace 0 is less than a token"),
        ({"dollars_per_hour": -1}, "--dollars-per-hour -1 is no price"),
        ({"gpus": "h1000"}, "h1000"),
    ],
)
def test_what_cannot_be_is_refused(pipeline: Pipeline, asked: Tree, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        forecast_ladder(LadderRequest(pipeline, **{"gpus": "l4", "measure": False} | asked), print)


def test_a_named_gpu_is_asked_stage_by_stage(pipeline: Pipeline) -> None:
    [whole] = forecast_ladder(LadderRequest(pipeline, gpus="l4", measure=False), print)
    assert whole.machine == "l4" and [rung.stage for rung in whole.rungs] == list(pipeline.stages)
    assert whole.dollars == pytest.approx(whole.hours * 0.80)
    assert any("NVIDIA L4 data sheet" in text for text in whole.assumptions)
