"""The command line: exit codes, one-sentence errors, JSON, and what it hands to the trainer."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rl.base.errors import RunStopped
from rl.cli import app
from rl.config.recipe import Recipe
from rl.config.recipe_file import dump_recipe, load_recipe
from rl.run.folder import RunFolder
from rl.run.rollouts import RolloutRow, write_rollouts
from rl.training.resume import latest_unfinished, resumed_recipe

ROOT = Path(__file__).parents[2]
RECIPE = """
name: mine
model: {{name: {model}}}
problems: {{source: arithmetic, size: 40, max_prompt_length: 200}}
rewards: {{functions: {{exact_number: 1}}}}
rollout: {{engine: transformers, device: cpu, max_completion_length: 8}}
evaluation: {{size: 4}}
"""


@pytest.fixture
def recipe_path(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE.format(model=tiny_model))
    return path


class Trainer:
    """Stands in for `rl.training.launch.run_recipe` and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Recipe, Path | None]] = []
        self.accepted = False
        self.raises: BaseException | None = None
        self.code = 0

    def __call__(
        self,
        recipe: Recipe,
        folder: RunFolder | None = None,
        *,
        as_json: bool = False,
        began: float = 0.0,
        accept_changed_data: bool = False,
    ) -> tuple[int, Path]:
        self.asked.append((recipe, folder.path if folder else None))
        self.accepted = accept_changed_data
        if self.raises:
            raise self.raises
        return self.code, Path("runs/somewhere")


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    fake = Trainer()
    monkeypatch.setattr("rl.training.launch.run_recipe", fake)
    return fake


def penny(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def make_run(recipe: Recipe, path: Path) -> RunFolder:
    return RunFolder.create(path, recipe)


def test_train_hands_over_the_recipe_with_its_overrides(recipe_path: Path, trainer: Trainer) -> None:
    assert penny("train", recipe_path, "optimizer.max_steps=3", "run.seed=5").exit_code == 0
    [(recipe, folder)] = trainer.asked
    assert (recipe.optimizer.max_steps, recipe.run.seed, folder) == (3, 5, None)


def test_the_exit_code_is_the_trainers(recipe_path: Path, trainer: Trainer) -> None:
    trainer.code = 3
    result = penny("train", recipe_path, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout) == {"run": "runs/somewhere", "exit_code": 3}


def test_bad_input_is_one_sentence_and_exit_code_2(recipe_path: Path, trainer: Trainer) -> None:
    result = penny("train", recipe_path, "optimizer.learning_rat=1")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: optimizer.learning_rat: unknown key; did you mean optimizer.learning_rate? (command line)\n"
    )
    assert penny("train", recipe_path, "rollout.num_generations=1").exit_code == 2
    assert not trainer.asked


def test_bad_input_as_json_goes_to_standard_output(recipe_path: Path) -> None:
    result = penny("train", recipe_path, "--json", "rollout.top_k=5")
    assert result.exit_code == 2
    assert "rollout.top_k" in json.loads(result.stdout)["error"]


def test_a_run_that_had_to_stop_is_exit_code_1(recipe_path: Path, trainer: Trainer) -> None:
    trainer.raises = RunStopped("the gap is too large")
    result = penny("train", recipe_path)
    assert (result.exit_code, result.stderr.splitlines()[1:]) == (1, ["error: the gap is too large"])


def test_commands_say_that_libraries_load_before_they_load_any(tmp_path: Path) -> None:
    """So something is seen at once, and not after ten blank seconds."""
    code = """
import sys
from rl.cli import app
from rl.run import loading

def said(what):
    heavy = {"torch", "transformers", "vllm"} & set(sys.modules)
    print(what, heavy or "nothing heavy")
    raise SystemExit(7)

loading._say = said
for command in (["train", "quickstart"], ["plan", "quickstart"], ["run", "r1-mini"], ["chat", "tiny", "hello"],
                ["eval", "--model", "tiny", "--benchmark", "quickstart"], ["difficulty", "quickstart"]):
    try:
        app(command)
    except SystemExit as left:
        print(command[0], left.code)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    expected = [f"{name} 7" for name in ("train", "plan", "run", "chat", "eval", "difficulty")]
    assert done.stdout.splitlines()[1::2] == expected, done.stderr
    assert set(done.stdout.splitlines()[::2]) == {"loading libraries, usually 10 s nothing heavy"}


def test_ctrl_c_says_how_to_go_on(recipe_path: Path, trainer: Trainer) -> None:
    trainer.raises = KeyboardInterrupt()
    assert "nothing was begun yet" in penny("train", recipe_path).stderr
    make_run(load_recipe(str(recipe_path)), Path("runs/mine-20260101-000000"))
    result = penny("train", recipe_path)
    assert result.exit_code == 130
    assert "penny train --resume runs/mine-20260101-000000" in result.stderr


def test_ctrl_c_before_a_run_begins_names_no_earlier_run(
    recipe_path: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(recipe: Recipe) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("rl.training.checks.check_recipe", interrupted)
    make_run(load_recipe(str(recipe_path)), Path("runs/mine-20260101-000000"))
    result = penny("train", recipe_path)
    assert result.exit_code == 130
    assert result.stderr.endswith("\nstopped; nothing was begun yet; start again\n") and "--resume" not in result.stderr
    assert not trainer.asked


def test_a_thread_that_hangs_does_not_hold_up_ctrl_c(tmp_path: Path) -> None:
    code = (
        "import threading, time; from rl import cli\n"
        "def app(arguments, prog_name):\n"
        "    with cli.loading('libraries'): pass\n"
        "    threading.Thread(target=time.sleep, args=[60]).start(); print('all is saved'); raise SystemExit(130)\n"
        "cli.app = app; cli.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=50,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert (done.returncode, done.stdout) == (130, "all is saved\n")
    assert not list(tmp_path.iterdir())  # nor a log that nobody asked for


def test_resume_takes_the_runs_own_recipe(recipe_path: Path, trainer: Trainer) -> None:
    run = make_run(load_recipe(str(recipe_path), ["run.seed=9"]), Path("runs/mine-1"))
    assert penny("train", "--resume", run.path).exit_code == 0
    [(recipe, folder)] = trainer.asked
    assert (recipe.run.seed, recipe.run.dir, folder) == (9, "runs/mine-1", run.path)
    assert not trainer.accepted
    assert "does not exist" in penny("train", "--resume", "runs/mine-7").stderr


def test_a_resumed_run_takes_what_may_change(recipe_path: Path, trainer: Trainer) -> None:
    run = make_run(load_recipe(str(recipe_path)), Path("runs/mine-1"))
    changes = ("optimizer.max_steps=160", "run.save_steps=3", "run.max_dollars=2", "evaluation.every=5")
    assert penny("train", "--resume", run.path, *changes, "--accept-changed-data").exit_code == 0
    [(recipe, folder)] = trainer.asked
    assert (recipe.optimizer.max_steps, recipe.run.save_steps, recipe.evaluation.every) == (160, 3, 5)
    assert (recipe.run.max_dollars, recipe.run.dir, folder, trainer.accepted) == (2.0, "runs/mine-1", run.path, True)
    assert load_recipe(str(run.recipe)).optimizer.max_steps == 100  # rewritten by the run itself, under its lock


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("run.seed=3", "run.seed = 0, not 3"),
        ("optimizer.learning_rate=1", "optimizer.learning_rate = 1e-05, not 1.0"),
        ("rewards.functions={math: 1}", "rewards.functions.exact_number = 1.0, not None (and 1 more keys)"),
        ("evaluation.size=5", "evaluation.size = 4, not 5"),
        ("run.dir=elsewhere", "leave it out"),
        ("mine.yaml", "give SECTION.KEY=VALUE"),
        ("optimizer.max_step=3", "did you mean optimizer.max_steps?"),
        ("optimizer.max_steps=6", "has learned for 7 steps, more than optimizer.max_steps = 6: give 7 or more"),
        ("--smoke", "without --smoke"),
    ],
)
def test_what_a_resumed_run_keeps_is_refused(recipe_path: Path, trainer: Trainer, change: str, said: str) -> None:
    run = make_run(load_recipe(str(recipe_path)), Path("runs/mine-1"))
    (run.checkpoints / "step-000007").mkdir()
    result = penny("train", "--resume", run.path, change)
    assert result.exit_code == 2 and said in result.stderr and result.stderr.count("\n") == 1
    if " = " in said and "learned" not in said:
        assert "only these may change: optimizer.max_steps, evaluation.every" in result.stderr
    assert not trainer.asked


def test_continue_takes_the_latest_unfinished_run_of_the_same_recipe(recipe_path: Path, trainer: Trainer) -> None:
    recipe = load_recipe(str(recipe_path))
    penny("train", recipe_path, "--continue")
    for name in ("mine-20260101-000000", "mine-20260102-000000", "mine-20260103-000000", "mine-20260104-000000"):
        make_run(recipe, Path("runs") / name)
    RunFolder(Path("runs/mine-20260103-000000")).summary.write_text("{}")
    make_run(load_recipe(str(recipe_path), ["run.seed=1"]), Path("runs/mine-20260105-000000"))
    Path("runs/mine-20260104-000000/recipe.yaml").write_text("of: another version\n")
    penny("train", recipe_path, "--continue")
    penny("train", recipe_path)
    expected = Path("runs/mine-20260102-000000")
    assert [folder for _, folder in trainer.asked] == [None, expected, None]
    assert latest_unfinished(load_recipe(str(recipe_path), ["run.seed=2"])) is None


def test_a_named_run_folder_is_the_one_that_is_continued(recipe_path: Path) -> None:
    recipe = load_recipe(str(recipe_path), ["run.dir=here"])
    assert latest_unfinished(recipe) is None
    make_run(recipe, Path("here"))
    assert latest_unfinished(recipe) == Path("here")
    assert resumed_recipe(Path("here")) == recipe


def test_dry_run_shows_the_plan_and_loads_no_model(
    recipe_path: Path, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", refuse)
    result = penny("train", recipe_path, "--dry-run")
    assert result.exit_code == 0
    assert "36 to train on, 4 held out" in result.stdout and "<|im_start|>user" in result.stdout
    plan = json.loads(penny("train", recipe_path, "--dry-run", "--json").stdout)
    assert plan["steps"] == 100 and plan["warnings"] == []
    assert not trainer.asked and not Path("runs").exists()


def test_train_wants_a_recipe() -> None:
    result = penny("train")
    assert result.exit_code == 2 and "penny recipes" in result.stderr


def test_version_and_short_help() -> None:
    assert penny("--version").stdout == f"penny {version('penny-rl')}\n"
    for words in ((), ("train",), ("reward", "test")):
        shown = penny(*words, "-h")
        assert shown.exit_code == 0 and shown.stdout == penny(*words, "--help").stdout
    assert "--install-completion" in penny("-h").stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["reward", "tset"], "Did you mean 'test'?"),
        (["eval", "runs/one"], "penny eval --model runs/one --benchmark NAME."),
        (["eval", "runs/one", "--benchmark", "gsm8k"], "penny eval --model runs/one --benchmark gsm8k."),
        (["eval", "--model", "tiny", "gsm8k"], "penny eval --model tiny --benchmark gsm8k."),
        (["eval", "--model", "tiny", "--benchmark", "gsm8k", "code"], "'code' stands alone"),
        (["eval", "--model", "tiny"], "Say on what to measure: --benchmark NAME"),
        (["eval", "--model", "runs/one"], "or recipe:runs/one/recipe.yaml for the run's own problems"),
        (["eval", "--model", "tiny", "--benchmark", "gsm8"], "did you mean gsm8k?"),
        (["eval", "--model", "tiny", "--benchmark", "runs/one"], "runs/one is a run: give it as --model"),
        (["eval", "--model", "tiny", "--benchmark", "r1-mini"], "r1-mini is a pipeline"),
        (["eval", "--model", "runs/onne", "--benchmark", "gsm8k"], "runs/onne does not exist; the nearest is runs/one"),
        (["chat", "runs/onne"], "The model runs/onne does not exist; the nearest is runs/one."),
        (["serve", "runs/onne"], "The model runs/onne does not exist; the nearest is runs/one."),
        (["price", "runs/onne", "--dollars-per-hour", "1"], "runs/onne does not exist; the nearest is runs/one."),
        (["export", "runs/onne", "-o", "out"], "The model runs/onne does not exist; the nearest is runs/one."),
        (["samples", "runs/onne"], "The run runs/onne does not exist; the nearest is runs/one."),
        (["report", "runs/onne"], "runs/onne does not exist; the nearest is runs/one."),
        (["report", "evals/onne"], "evals/onne does not exist; the nearest is evals/one."),
        (["regrade", "runs/onne"], "runs/onne does not exist; the nearest is runs/one."),
        (["results", "evals/onne"], "evals/onne does not exist; the nearest is evals/one"),
        (["train", "--resume", "runs/onne"], "runs/onne does not exist; the nearest is runs/one."),
        (["train", "r1-mini"], "r1-mini is a pipeline, not a recipe: `penny run r1-mini`."),
        (["run", "quickstart"], "quickstart is a recipe, not a pipeline: `penny train quickstart`."),
        (["run", "runs/p"], "go on with it by `penny run runs/p/pipeline.yaml --dir runs/p`."),
        (["run", "quickstrt"], "did you mean the recipe quickstart, as in `penny train quickstart`?"),
        (["plan", "quickstrt"], "did you mean quickstart?"),
        (["plan", "r1-min"], "did you mean the pipeline r1-mini"),
        (["difficulty", "r1-mini"], "r1-mini is a pipeline, not a recipe"),
        (["train", "quickstart", "--dry-run", "model.name=runs/onne"], "The model runs/onne does not exist"),
        (["train", "quickstart", "--dry-run", "model.name=runs/one"], "runs/one -o DIR`, and give DIR/merged."),
        (["train", "quickstart", "--dry-run", "rewards.functions={exact_numbr: 1}"], "did you mean 'exact_number'?"),
        (
            ["train", "quickstart", "--dry-run", "rewards.functions={zzz: 1}"],
            "named 'zzz'; there are answer_format, code",
        ),
    ],
)
def test_a_slip_is_answered_at_once_with_what_is_meant(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("runs/one/recipe.yaml", "runs/p/pipeline.yaml", "evals/one/results.json"):
        Path(name).parent.mkdir(parents=True)
        Path(name).touch()
    monkeypatch.setattr("rl.models.hub.why_hub_is_silent", lambda: pytest.fail("the hub was asked"))
    result = penny(*words)
    assert result.exit_code == 2 and "Traceback" not in result.stderr
    assert expected in " ".join(result.stderr.split())


def test_recipes_lists_all() -> None:
    rows = json.loads(penny("recipes", "--json").stdout)
    alone = [row["name"] for row in rows if not row["stages"]]
    assert alone == ["code", "countdown", "gsm8k", "gsm8k-1.5b", "math", "moe", "quickstart"]
    stages = {row["name"]: row["stages"] for row in rows if row["stages"]}
    assert list(stages) == ["distill", "distill-mini", "r1", "r1-mini", "r1-zero", "tinyzero"]
    assert stages["r1-zero"] == ["reinforce", "measure"]
    _, *lines = penny("recipes").stdout.splitlines()
    assert len(lines) == 13 and "GPU, 22 GiB" in lines[2] and "not yet run (GPU)" in lines[2] and "CPU" in lines[6]


def row(number: int) -> RolloutRow:
    return RolloutRow(
        problem_id=f"train/{number}",
        sample=0,
        prompt="1 + 1 =",
        completion=f" {number}",
        prompt_token_ids=[1],
        token_ids=[2],
        logprobs=[-0.5],
        finish_reason="stop",
        reward=float(number == 2),
        solved=number == 2,
        advantage=0.0,
        extra={"math/reason": f"{number} is no 2"} if number == 1 else {},
    )


def test_samples_shows_completions_of_the_last_or_the_asked_step(recipe_path: Path) -> None:
    run = make_run(load_recipe(str(recipe_path)), Path("runs/mine-1"))
    assert "no completions yet" in penny("samples", run.path).stderr
    write_rollouts(run, 1, [row(1)])
    write_rollouts(run, 2, [row(2), row(3)])
    assert "1 + 1 =[completion] 2" in penny("samples", run.path).stdout
    assert [item["step"] for item in json.loads(penny("samples", run.path, "--json").stdout)] == [2, 2]
    first = penny("samples", run.path, "--step", 1, "-n", 1).stdout
    assert "step 1, train/1, sample 0: not solved, reward 0.0" in first
    assert first.endswith("[completion] 1\n[math/reason] 1 is no 2\n\n")
    [item] = json.loads(penny("samples", run.path, "--step", 1, "--json").stdout)
    assert item["extra"] == {"math/reason": "1 is no 2"}
    assert "steps 1 to 2" in penny("samples", run.path, "--step", 5).stderr


def test_report_names_the_page_it_wrote(recipe_path: Path) -> None:
    run = make_run(load_recipe(str(recipe_path)), Path("runs/mine-1"))
    result = penny("report", run.path)
    assert result.exit_code == 0 and Path(result.stdout.strip()).is_file()
    assert penny("report", "runs/none").exit_code == 2


def test_a_dumped_recipe_is_the_one_that_is_resumed(recipe_path: Path) -> None:
    recipe = load_recipe(str(recipe_path), ["run.dir=here"])
    Path("here").mkdir()
    Path("here/recipe.yaml").write_text(dump_recipe(recipe))
    assert resumed_recipe(Path("here")) == recipe
