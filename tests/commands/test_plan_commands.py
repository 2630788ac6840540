"""`penny plan`: on this machine with a real engine and learner, on GPUs by name, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rl.cli import app

RECIPE = """
name: mine
model: {{name: {model}}}
problems: {{source: arithmetic, size: 40, max_prompt_length: 200}}
rewards: {{functions: {{exact_number: 1}}}}
rollout: {{engine: transformers, device: cpu, num_generations: 4, max_completion_length: 8}}
algorithm: {{problems_per_step: 2}}
evaluation: {{size: 4}}
run: {{dollars_per_hour: 0.1}}
"""


@pytest.fixture
def recipe_path(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENNY_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "mine.yaml"
    path.write_text(RECIPE.format(model=tiny_model))
    return path


def plan(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["plan", *(str(argument) for argument in arguments)])


def forbid_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("transformers.PreTrainedModel.from_pretrained", refuse)


def test_this_machine_is_calibrated_once_and_then_remembered(
    recipe_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = plan(recipe_path, "--json")
    assert result.exit_code == 0, result.output
    [machine] = json.loads(result.stdout)["machines"]
    prediction, choice = machine["prediction"], machine["choice"]
    assert machine["measured"] and machine["machine"] == "this machine"
    assert set(prediction["seconds"]) == {"generate", "learn", "sync", "rest"}
    assert (
        prediction["step_seconds"] == pytest.approx(sum(prediction["seconds"].values())) and prediction["dollars"] > 0
    )
    assert 1 <= prediction["mean_length"] <= 8 and 0 <= prediction["signal_share"] <= 1
    assert choice["fits"] and choice["micro_batch_tokens"] > 0 and choice["gpu_memory_utilization"] is None
    assert not list(recipe_path.parent.glob("runs/*"))
    forbid_models(monkeypatch)
    again = plan(recipe_path)
    assert again.exit_code == 0 and "calibrated by running it" in again.stdout
    assert f"{prediction['step_seconds']:.1f} s: generate" in again.stdout
    # what was observed here goes into a named GPU, which would else assume the longest completions
    assert "max_completion_length" not in plan(recipe_path, "--gpu", "l4").stdout


def test_without_calibration_only_matrix_products_are_measured(
    recipe_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_models(monkeypatch)
    result = plan(recipe_path, "--no-calibrate", "optimizer.max_steps=7")
    assert result.exit_code == 0
    assert "mine: 7 steps of 2 problems x 4 completions" in result.stdout
    assert "not measured" in result.stdout and "GFLOP/s of matrix products" in result.stdout
    assert "answers    8 tokens on average, 100% cut off" in result.stdout
    assert not (recipe_path.parent / "cache" / "calibrations").exists()


def test_named_gpus_side_by_side(recipe_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_models(monkeypatch)
    result = plan(recipe_path, "rollout.engine=vllm", "--gpu", "l4,h100", "--mean-length", 6)
    assert result.exit_code == 0, result.output
    assert "assumed, not measured" in result.stdout and "NVIDIA L4 data sheet" in result.stdout
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.startswith(("l4 ", "h100 "))}
    assert rows["l4"][-1] == rows["h100"][-1] == "yes"
    tree = json.loads(plan(recipe_path, "--gpu", "l4", "--dollars-per-hour", 36, "--json").stdout)
    [machine] = tree["machines"]
    assert machine["prediction"]["dollars"] == pytest.approx(36 * machine["prediction"]["hours"])
    assert not any("$" in text for text in machine["prediction"]["assumptions"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--gpu", "l5"], "There is no GPU 'l5' in the planner's table: use l4, a10g, rtx4090"),
        (["--mean-length", "9"], "--mean-length 9 is not between 1 and rollout.max_completion_length = 8"),
        (["--dollars-per-hour", "-1"], "--dollars-per-hour -1 is no price"),
        (["rollout.num_generation=3"], "did you mean rollout.num_generations?"),
        (["--gpu", "l4", "rollout.num_generations=1"], "rollout.num_generations is 1"),
        (["--gpu", "h100", "rollout.tensor_parallel_size=2"], "the engine in Penny's own process uses one GPU"),
    ],
)
def test_bad_input_is_refused_before_a_model_loads(
    recipe_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    forbid_models(monkeypatch)
    result = plan(recipe_path, *arguments)
    *before, error = result.stderr.splitlines()
    assert result.exit_code == 2 and sentence in error and before in ([], ["loading libraries, usually 10 s"])
