"""Pipelines as files: what is filled in, and what is refused in one sentence."""

import copy
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.yaml_text import dump_yaml
from rl.pipelines.pipeline_file import PIPELINES, dump_pipeline, load_pipeline
from rl.pipelines.schema import GrpoStage, Pipeline, SftStage, models_before

Tree = dict[str, Any]


def load(tree: Tree, folder: Path, *overrides: str, smoke: bool = False) -> Pipeline:
    path = folder / "p.yaml"
    path.write_text(dump_yaml(tree))
    return load_pipeline(str(path), overrides, smoke)


def refusal(tree: Tree, folder: Path, *overrides: str) -> str:
    with pytest.raises(BadInput) as failure:
        load(tree, folder, *overrides)
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_defaults_reach_the_stages_that_know_them(pipeline_tree: Tree, tmp_path: Path) -> None:
    pipeline = load(pipeline_tree, tmp_path)
    reinforce, cold = pipeline.stages["reinforce"], pipeline.stages["cold-start"]
    assert isinstance(reinforce, GrpoStage) and isinstance(cold, SftStage)
    assert reinforce.rollout.max_completion_length == 6 and reinforce.algorithm.problems_per_step == 2
    assert cold.problems == reinforce.problems and cold.model.lora_r == 4


def test_a_stages_own_key_goes_before_the_default_and_leaves_its_neighbors(pipeline_tree: Tree, tmp_path: Path) -> None:
    pipeline_tree["stages"]["reinforce"]["rollout"] = {"num_generations": 4}
    stage = load(pipeline_tree, tmp_path).stages["reinforce"]
    assert isinstance(stage, GrpoStage)
    assert (stage.rollout.num_generations, stage.rollout.max_completion_length) == (4, 6)


def test_overrides_of_a_stage_and_of_all(pipeline_tree: Tree, tmp_path: Path) -> None:
    changes = ("reinforce.optimizer.learning_rate=1e-5", "defaults.model.lora_r=8", "worked.problems.prompt={question}")
    pipeline = load(pipeline_tree, tmp_path, *changes)
    reinforce = pipeline.stages["reinforce"]
    assert isinstance(reinforce, GrpoStage)
    assert reinforce.optimizer.learning_rate == 1e-5
    assert [stage.model.lora_r for stage in pipeline.stages.values()] == [8] * 7
    assert pipeline.stages["worked"].problems.prompt == "{question}"  # type: ignore[union-attr]


def test_a_path_is_looked_for_beside_the_file(pipeline_tree: Tree, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"question": "1 + 1", "answer": "2"}\n')
    pipeline_tree["stages"]["cold-start"]["data"] = {"source": "jsonl", "path": "rows.jsonl"}
    pipeline_tree["stages"]["reinforce"]["problems"] = {"source": "jsonl", "path": "nowhere.jsonl"}
    pipeline = load(pipeline_tree, tmp_path)
    assert pipeline.stages["cold-start"].data.path == str(tmp_path / "rows.jsonl")  # type: ignore[union-attr]
    assert pipeline.stages["reinforce"].problems.path == "nowhere.jsonl"  # type: ignore[union-attr]


def test_recipes_rewards_and_benchmarks_are_looked_for_beside_the_file(
    pipeline_tree: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for file in ("mine.py", "own.jsonl"):
        (tmp_path / file).touch()
    (tmp_path / "inner" / "r.yaml").write_text(
        "name: r\nmodel: {name: tiny}\nproblems: {source: arithmetic, size: 60}\n"
        "rewards: {functions: {inner.py:f: 1}}\n"
    )
    (tmp_path / "inner" / "inner.py").touch()
    pipeline_tree["defaults"].pop("rewards")
    pipeline_tree["stages"] = {
        "first": {"kind": "grpo", "recipe": "inner/r.yaml"},
        "second": {"kind": "grpo", "recipe": "inner/r.yaml", "rewards": {"functions": {"mine.py:f": 1.0}}},
        "third": {
            "kind": "evaluate",
            "rewards": {"functions": {"mine.py:f": 1.0}},
            "benchmarks": ["own.jsonl", "gsm8k", "gone.jsonl"],
        },
    }
    stages = load(pipeline_tree, tmp_path).stages
    assert [stage.rewards.folder for stage in stages.values()] == [  # type: ignore[union-attr]
        str(tmp_path / "inner"), str(tmp_path), str(tmp_path),
    ]  # fmt: skip
    assert stages["third"].benchmarks == [str(tmp_path / "own.jsonl"), "gsm8k", "gone.jsonl"]  # type: ignore[union-attr]


def test_smoke_changes_single_keys(pipeline_tree: Tree, tmp_path: Path) -> None:
    pipeline_tree["smoke"] = {
        "defaults": {"model": {"lora_r": 2}},
        "stages": {"reinforce": {"rollout": {"top_p": 0.5}}},
    }
    pipeline_tree["bands"] = [{"stage": "reinforce", "over": "base", "min_gain": 0.5}]
    pipeline = load(pipeline_tree, tmp_path, smoke=True)
    assert pipeline.name == "ladder-smoke" and pipeline.bands == []
    reinforce = pipeline.stages["reinforce"]
    assert isinstance(reinforce, GrpoStage)
    assert (reinforce.rollout.top_p, reinforce.rollout.num_generations, reinforce.model.lora_r) == (0.5, 2, 2)


def test_smoke_makes_every_stage_small_whatever_the_pipeline_says(pipeline_tree: Tree, tmp_path: Path) -> None:
    stages = pipeline_tree["stages"]
    pipeline_tree["defaults"]["model"] = {"name": "big/model", "revision": "abc"}
    stages["worked"]["teacher"] = {"source": "endpoint", "name": "huge", "url": "https://api.x.com", "max_dollars": 9.0}
    stages["cold-start"]["sft"] = {"num_train_epochs": 3, "max_length": 16384, "per_device_train_batch_size": 16}
    stages["reinforce"]["optimizer"] = {"max_steps": 400}
    stages["reject"]["keep"] = {"limit": 3, "min_pass_rate": 0.5}
    stages["measure"] |= {"benchmarks": ["math500"]}
    stages["hand-on"]["export"] = {"formats": ["merged", "gguf"], "push_to_hub": "me/model"}
    del stages["worked"]["keep"]
    found = load(pipeline_tree, tmp_path, smoke=True).stages
    assert {stage.model.name for stage in found.values()} == {"tiny"}
    dumped = {name: stage.model_dump() for name, stage in found.items()}
    teacher = dumped["worked"]["teacher"]
    assert (teacher["source"], teacher["name"], teacher["url"], teacher["max_dollars"]) == ("model", "tiny", None, None)
    assert (dumped["worked"]["keep"]["limit"], dumped["worked"]["keep"]["verified"]) == (8, False)
    sft = dumped["cold-start"]["sft"]
    assert (sft["max_steps"], sft["max_length"], sft["per_device_train_batch_size"]) == (2, 2048, 2)
    assert dumped["reinforce"]["optimizer"]["max_steps"] == 2
    assert (dumped["reject"]["keep"]["limit"], dumped["reject"]["keep"]["min_pass_rate"]) == (3, 0.0)
    assert dumped["measure"]["benchmarks"] == [] and dumped["measure"]["evaluation"]["size"] == 2
    assert (dumped["hand-on"]["export"]["formats"], dumped["hand-on"]["export"]["push_to_hub"]) == (["merged"], None)


def test_the_command_line_goes_before_smoke(pipeline_tree: Tree, tmp_path: Path) -> None:
    found = load(pipeline_tree, tmp_path, "reinforce.optimizer.max_steps=5", "defaults.rollout.top_k=7", smoke=True)
    reinforce = found.stages["reinforce"]
    assert isinstance(reinforce, GrpoStage)
    assert (reinforce.optimizer.max_steps, reinforce.rollout.top_k) == (5, 7)


def test_what_is_written_reads_back(pipeline_yaml: Path, tmp_path: Path) -> None:
    pipeline = load_pipeline(str(pipeline_yaml))
    path = tmp_path / "again.yaml"
    path.write_text(dump_pipeline(pipeline))
    assert load_pipeline(str(path)) == pipeline


def test_models_before_a_stage_are_those_of_stages_that_train(pipeline_yaml: Path) -> None:
    pipeline = load_pipeline(str(pipeline_yaml))
    assert models_before(pipeline, "reject") == ["base", "cold-start", "reinforce"]


def change(tree: Tree, dotted: str, value: Any) -> None:
    *parts, last = dotted.split("/")
    for part in parts:
        tree = tree[part]
    if value is None:
        del tree[last]
    else:
        tree[last] = value


def test_a_recipe_in_the_place_of_a_pipeline_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"^quickstart is a recipe, not a pipeline: `penny train quickstart`\.$"):
        load_pipeline("quickstart")
    (tmp_path / "one.yaml").write_text("name: one\nproblems: {source: arithmetic}\n")
    with pytest.raises(BadInput, match=r"one.yaml is a recipe, not a pipeline of stages: `penny train "):
        load_pipeline(str(tmp_path / "one.yaml"))


def test_an_override_without_its_stage_is_told(pipeline_yaml: Path) -> None:
    with pytest.raises(BadInput, match=r"for all stages write defaults\.run\.seed=\.\.\."):
        load_pipeline(str(pipeline_yaml), ["run.seed=1"])
    with pytest.raises(BadInput, match=r"did you mean reinforce\.run\.seed=1\?"):
        load_pipeline(str(pipeline_yaml), ["reinforc.run.seed=1"])


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("stages", {}, "this one has none"),
        ("stage", {}, "stage: unknown key"),
        ("stages/reinforce/kind", "ppo", "stages.reinforce.kind is ppo: use one of distill, reject, sft"),
        ("stages/cold-start/sft/lerning_rate", 1, "did you mean sft.learning_rate? (stage cold-start"),
        ("stages/cold-start/rollout", {}, "rollout: unknown key"),
        ("stages/cold-start/model_from", "reinforce", "no stage before it makes a model of that name"),
        ("stages/reinforce/teacher_from", "fine-tune", "reinforce.teacher_from is 'fine-tune', and no stage before it"),
        ("stages/fine-tune/data_from", ["reinforce"], "names 'reinforce', and no stage before it makes that data"),
        ("stages/worked/teacher", None, "worked.teacher is missing"),
        ("stages/reject/teacher", {"source": "column"}, "make it distill"),
        ("stages/worked/keep/per_problem", 0, "keep.per_problem must be greater than or equal to 1"),
        ("bands", [{"stage": "reject", "over": "base", "min_gain": 0.1}], "bands names 'reject'"),
    ],
)
def test_what_does_not_fit_is_refused(pipeline_tree: Tree, tmp_path: Path, key: str, value: Any, says: str) -> None:
    tree = copy.deepcopy(pipeline_tree)
    change(tree, key, value)
    assert says in refusal(tree, tmp_path)


def test_a_stage_that_learns_needs_something_to_learn_from(pipeline_tree: Tree, tmp_path: Path) -> None:
    del pipeline_tree["stages"]["worked"]
    assert "cold-start has nothing to learn from" in refusal(pipeline_tree, tmp_path)


def test_an_override_of_no_stage_names_the_nearest(pipeline_tree: Tree, tmp_path: Path) -> None:
    assert "did you mean reinforce.optimizer.max_steps=3?" in refusal(
        pipeline_tree, tmp_path, "reinforc.optimizer.max_steps=3"
    )


def test_no_such_pipeline() -> None:
    with pytest.raises(BadInput, match="did you mean r1-mini?"):
        load_pipeline("r1-min")


@pytest.mark.parametrize("smoke", [False, True])
@pytest.mark.parametrize("name", sorted(path.stem for path in PIPELINES.glob("*.yaml")))
def test_every_pipeline_that_comes_with_penny_is_whole(name: str, smoke: bool) -> None:
    assert load_pipeline(name, smoke=smoke).name == name + ("-smoke" if smoke else "")
