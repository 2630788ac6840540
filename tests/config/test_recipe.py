"""Recipes: every mistake is one sentence that names the key, where it stands and what is meant."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.config.recipe_file import RECIPES, dump_recipe, find_recipe, list_recipes, load_recipe
from rl.config.yaml_text import dump_yaml, parse_yaml
from rl.config.yaml_tree import known_keys
from rl.grading.answers import build_grader

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))
MINIMAL = """
name: mine
model: {name: tiny}
problems: {source: jsonl, path: rows.jsonl}
rewards: {functions: {exact_number: 1}}
"""


@pytest.fixture
def recipe_path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(MINIMAL)
    return path


def refusal(name_or_path: object, *overrides: str, smoke: bool = False) -> str:
    with pytest.raises(BadInput) as failure:
        load_recipe(str(name_or_path), overrides, smoke)
    message = str(failure.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("smoke", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_of_the_house_loads_and_survives_writing(name: str, smoke: bool, tmp_path: Path) -> None:
    recipe = load_recipe(name, smoke=smoke)
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(str(tmp_path / "again.yaml")) == recipe
    assert recipe.name == name


def test_list_recipes_gives_them_by_name() -> None:
    assert [recipe.name for recipe in list_recipes()] == NAMES
    assert {"quickstart", "countdown", "gsm8k", "gsm8k-1.5b", "math"} <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "quickstart"])
def test_gpu_recipes_say_what_they_need_and_smoke_needs_nothing(name: str) -> None:
    recipe, smoke = load_recipe(name), load_recipe(name, smoke=True)
    assert recipe.run.min_gpu_memory_gib and recipe.run.dollars_per_hour and recipe.rollout.max_model_length
    assert recipe.model.revision and recipe.problems.revision
    assert smoke.run.min_gpu_memory_gib is None and smoke.run.dollars_per_hour == 0
    assert smoke.model.name in ("tiny", "tiny-moe", "smollm2") and smoke.problems.source != "hub"
    assert smoke.evaluation.problems.get("source", "jsonl") != "hub" and smoke.optimizer.max_steps <= 2


def test_overrides_are_yaml_and_the_last_wins(recipe_path: Path) -> None:
    recipe = load_recipe(
        str(recipe_path),
        [
            "optimizer.learning_rate=1e-5",
            "rollout.stop=[a, b]",
            "run.seed=1",
            "run.seed=2",
            "evaluation.band.min_gain=.1",
        ],
    )
    assert recipe.optimizer.learning_rate == 1e-5
    assert recipe.rollout.stop == ["a", "b"]
    assert recipe.run.seed == 2
    assert recipe.evaluation.band is not None and recipe.evaluation.band.min_gain == 0.1


def test_text_options_take_text_that_yaml_would_read_otherwise(recipe_path: Path) -> None:
    recipe = load_recipe(
        str(recipe_path),
        ["problems.prompt={question}", "model.revision=12e5", 'problems.prefill="<think>\\n"', "problems.answer="],
    )
    assert recipe.problems.prompt == "{question}"
    assert recipe.model.revision == "12e5"
    assert recipe.problems.prefill == "<think>\n"
    assert recipe.problems.answer is None


def test_numbers_in_a_file_may_be_written_with_an_exponent(recipe_path: Path) -> None:
    recipe_path.write_text(MINIMAL + "optimizer: {learning_rate: 3e-4}\n")
    assert load_recipe(str(recipe_path)).optimizer.learning_rate == 3e-4


def test_smoke_is_two_steps_of_a_tiny_model_whatever_the_recipe_says(recipe_path: Path) -> None:
    recipe_path.write_text(
        """
name: heavy
model: {name: Qwen/Qwen2.5-7B, revision: abc, dtype: bfloat16, lora_r: 64,
        lora_target_parameters: [mlp.experts.down_proj], train_router: true, router_aux_loss_coef: 0.1,
        gradient_checkpointing: true, torch_compile: true, use_liger_kernel: true}
problems: {source: hub, name: org/data, size: 50000, max_prompt_length: 3000, decontaminate: [gsm8k]}
difficulty: {min_pass_rate: 0.2, order: easy_first}
rewards: {functions: {math: 1, length: 0.5}, workers: 32, accuracy: math}
rollout: {engine: server, server_url: "http://node:8000/v1", device: cuda, dtype: bfloat16, num_generations: 64,
          max_completion_length: 30000, max_model_length: 32768, enable_sleep_mode: true, tensor_parallel_size: 8,
          enforce_eager: false, kv_cache_gib: 40, schedule: [{from_step: 10, max_completion_length: 60000}]}
algorithm: {problems_per_step: 512, dynamic_sampling: true, dynamic_sampling_max_tokens: 1000000}
optimizer: {name: adamw_8bit, max_steps: 10000, warmup_steps: 100, learning_rate: 1e-6}
evaluation: {problems: {split: test, size: 5000}, size: 5000, every: 10, num_samples: 64,
             max_completion_length: 40000,
             band: {min_gain: 0.2}}
run: {dir: runs/real, num_processes: 64, min_gpu_memory_gib: 80, max_hours: 100, dollars_per_hour: 200,
      report_to: [wandb]}
"""
    )
    smoke = load_recipe(str(recipe_path), smoke=True)
    assert (smoke.model.name, smoke.model.revision, smoke.model.dtype, smoke.model.lora_r) == (
        "tiny",
        None,
        "float32",
        4,
    )
    assert not (smoke.model.gradient_checkpointing or smoke.model.torch_compile or smoke.model.train_router)
    assert (smoke.model.router_aux_loss_coef, smoke.model.lora_target_parameters) == (0, [])
    assert (smoke.problems.source, smoke.problems.name, smoke.problems.size) == ("hub", "org/data", 64)
    assert smoke.problems.max_prompt_length == 4096 and smoke.problems.decontaminate == []
    assert not smoke.difficulty.has_band and smoke.difficulty.order == "random"
    rollout = smoke.rollout
    assert (rollout.engine, rollout.device, rollout.server_url, rollout.enforce_eager) == ("auto", "auto", None, True)
    assert (rollout.num_generations, rollout.longest_completion, rollout.max_model_length) == (2, 16, None)
    assert (rollout.tensor_parallel_size, rollout.enable_sleep_mode) == (1, False)
    assert (smoke.algorithm.problems_per_step, smoke.algorithm.dynamic_sampling) == (2, True)
    assert (smoke.optimizer.name, smoke.optimizer.max_steps, smoke.optimizer.learning_rate) == ("adamw", 2, 1e-6)
    evaluation = smoke.evaluation
    assert (evaluation.size, evaluation.every, evaluation.num_samples, evaluation.band) == (2, 0, 1, None)
    assert evaluation.problems == {"split": "test", "size": 64} and evaluation.max_completion_length is None
    assert (smoke.run.dir, smoke.run.min_gpu_memory_gib, smoke.run.report_to) == (None, None, [])
    assert smoke.rewards.functions == {"math": 1, "length": 0.5} and smoke.rewards.accuracy == "math"


@pytest.mark.parametrize(("asked", "taken"), [("vllm", "auto"), ("server", "auto"), ("transformers", "transformers")])
def test_smoke_takes_an_engine_that_is_there(asked: str, taken: str, recipe_path: Path) -> None:
    recipe_path.write_text(MINIMAL + f"rollout: {{engine: {asked}}}\n")
    assert load_recipe(str(recipe_path), smoke=True).rollout.engine == taken


def test_smoke_never_asks_for_more_problems_than_the_recipe_and_has_a_teacher_of_its_own(recipe_path: Path) -> None:
    recipe_path.write_text(MINIMAL + "distillation: {teacher: big/model, revision: abc}\n")
    tree = load_recipe(str(recipe_path), ["problems.size=10"], smoke=True)
    assert (tree.problems.size, tree.distillation.teacher, tree.distillation.revision) == (10, "tiny", None)
    recipe_path.write_text(MINIMAL.replace("rows.jsonl}", "rows.jsonl, size: 7}"))
    assert load_recipe(str(recipe_path), smoke=True).problems.size == 7
    assert load_recipe(str(recipe_path), smoke=True).distillation.teacher is None


def test_smoke_goes_before_the_command_line_and_replaces_whole_keys(recipe_path: Path) -> None:
    recipe_path.write_text(
        MINIMAL
        + "optimizer: {max_steps: 50, learning_rate: 1}\n"
        + "smoke: {optimizer: {max_steps: 2}, rewards: {functions: {countdown: 1}}}\n"
    )
    assert load_recipe(str(recipe_path)).optimizer.max_steps == 50
    smoke = load_recipe(str(recipe_path), smoke=True)
    assert (smoke.optimizer.max_steps, smoke.optimizer.learning_rate) == (2, 1)
    assert smoke.rewards.functions == {"countdown": 1}
    assert load_recipe(str(recipe_path), ["optimizer.max_steps=3"], smoke=True).optimizer.max_steps == 3


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("optimizer.learning_rat=1", "optimizer.learning_rat: unknown key; did you mean optimizer.learning_rate?"),
        ("learning_rate=1", "learning_rate: unknown key; did you mean optimizer.learning_rate?"),
        ("optimizer.num_generations=4", "unknown key; did you mean rollout.num_generations?"),
        ("rollot.seed=1", "rollot: unknown key; did you mean rollout?"),
        (
            "evaluation.band={min_gan: 1}",
            "evaluation.band.min_gan: unknown key; did you mean evaluation.band.min_gain?",
        ),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate must be greater than or equal to 0, not -1"),
        ("optimizer.learning_rate=.nan", "optimizer.learning_rate must be a finite number, not nan"),
        ("optimizer.max_steps=1.5", "optimizer.max_steps must be a valid integer, not 1.5"),
        ("rollout.num_generations=yes", "rollout.num_generations must be a valid integer, not True"),
        ("algorithm.loss_type=ppo", "must be 'grpo', 'bnpo', 'dr_grpo', 'dapo' or 'cispo', not 'ppo'"),
        ("run.report_to=[mlflow]", "run.report_to.0 must be 'tensorboard', 'wandb' or 'trackio', not 'mlflow'"),
        ("rewards.functions.exact_number=high", "rewards.functions.exact_number must be a valid number, not 'high'"),
        ("problems.few_shot=[[a, 1]]", "problems.few_shot.0.1 must be a valid string, not 1"),
        ("model=tiny", "model must be a section of keys, not 'tiny'; write model.name=tiny."),
        ("rewards.functions=math", "rewards.functions must be keys with values, like {name: 1.0}, not 'math'."),
        ("optimizer.lr=1e-5", "optimizer.lr: unknown key; did you mean optimizer.learning_rate?"),
        ("rollout.n=4", "rollout.n: unknown key; did you mean rollout.num_generations?"),
        ("rollout.zzz=4", "rollout.zzz: unknown key; known here: rollout.engine, "),
    ],
)
def test_a_wrong_override_is_one_sentence(recipe_path: Path, override: str, expected: str) -> None:
    message = refusal(recipe_path, override)
    assert expected in message
    assert message.endswith("(command line)")


def test_a_mistake_in_the_file_names_the_file_and_one_in_smoke_says_so(recipe_path: Path) -> None:
    recipe_path.write_text(MINIMAL + "optimizer: {learning_rat: 1}\n")
    assert refusal(recipe_path, "run.seed=1").endswith(f"({recipe_path})")
    recipe_path.write_text(MINIMAL + "smoke: {rollout: {temprature: 1}}\n")
    message = refusal(recipe_path, smoke=True)
    assert "rollout.temprature: unknown key; did you mean rollout.temperature?" in message
    assert message.endswith(f"({recipe_path}, smoke)")


def test_a_missing_key_is_named(recipe_path: Path) -> None:
    recipe_path.write_text("name: mine\nproblems: {source: jsonl}\nrewards: {functions: {}}\nmodel: {}\n")
    assert "model.name is missing" in refusal(recipe_path)


def test_a_missing_recipe_names_the_nearest() -> None:
    assert "did you mean gsm8k" in refusal("gsm8")
    assert "did you mean gsm8k" in refusal("GSM8K.yml")
    assert "known recipes: code" in refusal("zzz/qqq.yaml")
    assert refusal("r1-mini") == "r1-mini is a pipeline, not a recipe: `penny run r1-mini`."
    assert refusal("r1-minni") == (
        "No recipe 'r1-minni'; did you mean the pipeline r1-mini, as in `penny run r1-mini`?"
    )


def test_a_folder_or_another_file_in_the_place_of_a_recipe(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal("mime.yaml") == "The recipe file mime.yaml does not exist; the nearest is mine.yaml."
    Path("line.yaml").write_text("name: line\nstages: {a: {kind: grpo}}\n")
    assert refusal("line.yaml") == "line.yaml is a pipeline of stages, not a recipe: `penny run line.yaml`."
    for folder, file, expected in (
        ("runs/a", "recipe.yaml", "runs/a is the folder of a run: go on with it by `penny train --resume runs/a`."),
        ("runs/b", "pipeline.yaml", "go on with it by `penny run runs/b/pipeline.yaml --dir runs/b`."),
        ("c", "x", "c is a folder: give the name or the file of a recipe."),
    ):
        Path(folder).mkdir(parents=True)
        Path(folder, file).touch()
        assert refusal(folder).endswith(expected)


@pytest.mark.parametrize("override", ["optimizer.learning_rate", "=3", "optimizer.betas=[1"])
def test_an_override_that_is_none(recipe_path: Path, override: str) -> None:
    assert refusal(recipe_path, override)


def test_bad_yaml_names_the_line(recipe_path: Path) -> None:
    recipe_path.write_text("name: mine\nmodel: [1\nproblems: {}\n")
    assert f"{recipe_path}, line 3" in refusal(recipe_path)
    recipe_path.write_text("name: mine\nmodel: {name: tiny}\nname: again\n")
    message = refusal(recipe_path)
    assert "key 'name' is given twice" in message and "line 3" in message
    recipe_path.write_bytes(b"\xff\xfe\x00")
    assert "Not a YAML text file" in refusal(recipe_path)
    recipe_path.write_text("- a list\n")
    assert "mapping of sections" in refusal(recipe_path)


def test_problem_files_are_found_from_the_working_folder_and_from_the_recipe(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    assert load_recipe(str(recipe_path)).problems.path == "rows.jsonl"  # nowhere: the loader of problems will say so
    (tmp_path / "rows.jsonl").touch()
    recipe = load_recipe(str(recipe_path), ["evaluation.problems={path: rows.jsonl}"])
    assert recipe.problems.path == recipe.evaluation.problems["path"] == str(tmp_path / "rows.jsonl")
    (work / "rows.jsonl").touch()
    assert load_recipe(str(recipe_path)).problems.path == str(work / "rows.jsonl")


def test_files_of_rewards_are_found_from_the_working_folder_and_from_the_recipe(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "sub").mkdir()
    monkeypatch.chdir(work)
    assert load_recipe(str(recipe_path)).rewards.folder is None  # no file is named
    (tmp_path / "mine.py").write_text("def beside(completion): return 1.0\n")
    recipe_path.write_text(MINIMAL.replace("exact_number: 1", "mine.py:beside: 1"))
    recipe = load_recipe(str(recipe_path))
    assert (recipe.rewards.folder, list(recipe.rewards.functions)) == (str(tmp_path), ["mine.py:beside"])
    (work / "run.yaml").write_text(dump_recipe(recipe))
    monkeypatch.chdir(work / "sub")  # as a resumed run, from another folder
    again = load_recipe("../run.yaml")
    assert again == recipe
    with build_grader(again.rewards) as grader:
        assert grader.grade(["a"], ["q"], {})[0].reward == 1.0
    monkeypatch.chdir(work)
    (work / "mine.py").write_text("def beside(completion): return 2.0\n")
    assert load_recipe(str(recipe_path)).rewards.folder == str(work)
    assert load_recipe("run.yaml").rewards.folder == str(tmp_path)  # what the run used


def test_a_model_in_a_folder_is_found_from_the_recipe(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "models" / "m").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    for name, expected in (("models/m", str(tmp_path / "models" / "m")), ("tiny", "tiny"), ("an/id", "an/id")):
        recipe = load_recipe(str(recipe_path), [f"model.name={name}", f"distillation.teacher={name}"])
        assert (recipe.model.name, recipe.distillation.teacher) == (expected, expected)


def test_a_path_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_recipe("gsm8k") == RECIPES / "gsm8k.yaml"
    Path("other.yaml").write_text(MINIMAL)
    assert load_recipe("other.yaml").name == "mine"


def test_known_keys_reach_into_optional_sections() -> None:
    assert {"optimizer.learning_rate", "evaluation.band.min_gain", "model"} <= set(known_keys(Recipe))


TEXT = st.text(max_size=30)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=50)
@given(st.dictionaries(TEXT, PLAIN, max_size=4))
def test_what_is_written_as_yaml_is_read_back(value: dict[str, object]) -> None:
    assert parse_yaml(dump_yaml(value)) == value


@pytest.mark.parametrize(
    "text", ["1e-5", "12E+3", "yes", "null", "a\nb\n", "\n<think>\n", " x ", "1_000", "0x1f", "=", "é"]
)
def test_text_that_looks_like_something_else_stays_text(text: str) -> None:
    assert parse_yaml(dump_yaml({"key": text})) == {"key": text}


def test_a_recipe_built_in_python_survives_writing(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "mine",
            "model": {"name": "tiny"},
            "problems": {"source": "arithmetic", "few_shot": [("1e-5", "yes\n")], "options": {"a": "1e5", "b": 1e5}},
            "rewards": {"functions": {"exact_number": 1.0}},
        }
    )
    (tmp_path / "mine.yaml").write_text(dump_recipe(recipe))
    assert load_recipe(str(tmp_path / "mine.yaml")) == recipe


def test_files_of_losses_and_the_like_are_found_beside_the_recipe(
    recipe_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "parts.py").touch()
    (work / "here.py").touch()
    monkeypatch.chdir(work)
    recipe_path.write_text(
        MINIMAL + "algorithm: {loss_type: 'parts.py:mine', advantage_estimator: 'here.py:f', "
        "importance_sampling_correction: 'package.module:g'}\n"
    )
    algorithm = load_recipe(str(recipe_path)).algorithm
    assert algorithm.plug_ins == {
        "loss_type": f"{tmp_path}/parts.py:mine",
        "advantage_estimator": f"{work}/here.py:f",
        "importance_sampling_correction": "package.module:g",
    }
    changed = load_recipe(str(recipe_path), ["algorithm.loss_type=gone.py:mine", "algorithm.advantage_estimator=rloo"])
    assert changed.algorithm.loss_type == "gone.py:mine"  # for whoever loads it to refuse
    assert (changed.algorithm.advantage_estimator, "advantage_estimator" in changed.algorithm.plug_ins) == (
        "rloo",
        False,
    )


@pytest.mark.parametrize("key", ["advantage_estimator", "importance_sampling_correction"])
def test_what_is_neither_built_in_nor_a_function_is_refused(recipe_path: Path, key: str) -> None:
    message = refusal(recipe_path, f"algorithm.{key}=gro")
    assert message.startswith(f"algorithm.{key} is no path/to/file.py:function, so it must be '")
    assert message.endswith(", not 'gro'. (command line)")
