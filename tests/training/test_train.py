"""The whole loop on a tiny random model: it learns, it resumes exactly, and it stops when engine and learner part."""

import json
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from rl.base.errors import RunStopped
from rl.config.recipe import ModelSection, Recipe
from rl.rollout.build import build_engine
from rl.run.evaluations import read_evaluations
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.run.rollouts import read_rollouts
from rl.run.summary import read_summary
from rl.training import launch
from rl.training.launch import run_recipe

STEPS = 5


def recipe(model: Path, folder: Path, /, **sections: dict[str, Any]) -> Recipe:
    """A two-layer random model that is paid for characters below `m`: it can learn that."""
    reward = Path(__file__).parent / "letter_reward.py"
    base: dict[str, dict[str, Any]] = {
        "model": {"name": str(model), "lora_r": 4, "lora_alpha": 8},
        "problems": {"source": "arithmetic", "size": 60, "chat_template": False, "prompt": "{question} ="},
        "rewards": {"functions": {f"{reward}:share_of_low_letters": 1.0}, "correct_above": 0.4},
        "rollout": {"engine": "transformers", "device": "cpu", "num_generations": 4, "max_completion_length": 6},
        "algorithm": {"problems_per_step": 4},
        "difficulty": {},
        "distillation": {},
        "optimizer": {"learning_rate": 0.02, "max_steps": STEPS},
        "evaluation": {"size": 10, "every": 2},
        "run": {"dir": str(folder), "save_steps": 2, "dollars_per_hour": 3.6, "seed": 7},
    }
    for name, values in sections.items():
        base[name] |= values
    return Recipe.model_validate({"name": "test"} | base)


def without_clock(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Metrics but for those that a clock decides."""
    clocked = ("time/", "tokens_per_second", "dollars", "sync/seconds")
    return [{key: value for key, value in line.items() if not key.startswith(clocked)} for line in metrics]


def adapter(folder: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(folder / f"checkpoints/step-{step:06d}/policy/adapter_model.safetensors")


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert run_recipe(recipe(tiny_model, folder)) == (0, folder)
    return folder


def test_run_folder_holds_everything(finished: Path) -> None:
    folder = RunFolder.open(finished)
    metrics = read_metrics(folder)
    assert [line["step"] for line in metrics] == [1, 2, 3, 4, 5]
    asked = {"reward/mean", "loss", "grad_norm", "gap/mean", "completions/mean_length", "time/generate", "time/learn"}
    assert asked <= metrics[0].keys()
    assert max(line["gap/mean"] for line in metrics) < 1e-4
    assert [e["step"] for e in read_evaluations(folder)] == [0, 2, 4, 5]
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == ["best", "step-000004", "step-000005"]
    assert json.loads((folder.checkpoints / "best").read_text())["step"] == 5
    summary = json.loads(folder.summary.read_text())
    assert set(summary["before"]) == {"pass@1", "ci95", "n", "reward", "reward_ci95"} and summary["before"]["n"] == 10
    assert summary["band_met"] is None and summary["tokens"] > 0
    assert summary["dollars"] == pytest.approx(summary["minutes"] / 60 * 3.6)
    manifest = json.loads(folder.manifest.read_text())
    assert manifest["seed"] == 7 and {"model", "data", "versions", "hardware"} <= manifest.keys()
    assert "<svg" in folder.report.read_text()


def test_rollouts_are_tokens_log_probabilities_and_advantages(finished: Path) -> None:
    rows = read_rollouts(RunFolder.open(finished), 3)
    assert len(rows) == 16
    for group in (rows[i : i + 4] for i in range(0, 16, 4)):
        assert len({row.problem_id for row in group}) == 1
        assert sum(row.advantage for row in group) == pytest.approx(0, abs=1e-5)
    for row in rows:
        assert len(row.token_ids) == len(row.logprobs)
        if row.advantage:
            assert row.learner_logprobs == pytest.approx(row.logprobs, abs=1e-4)


def test_policy_learns(tiny_model: Path, tmp_path: Path) -> None:
    run_recipe(recipe(tiny_model, tmp_path / "run", optimizer={"max_steps": 24}, evaluation={"every": 0}))
    rewards = [line["reward/mean"] for line in read_metrics(RunFolder.open(tmp_path / "run"))]
    assert mean(rewards[-6:]) > mean(rewards[:6]) + 0.1  # a batch is small, and its mean moves by half as much


@pytest.mark.parametrize("calls", [1, 2, 4, 6, 8])  # engine calls before the plug is pulled
def test_a_killed_run_resumes_bit_for_bit(
    calls: int, finished: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recipe(tiny_model, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(launch, "build_engine", failing_after(calls))
        with pytest.raises(PowerCut):
            run_recipe(whole)
    assert run_recipe(whole, RunFolder.open(tmp_path / "run"))[0] == 0
    same_run(finished, tmp_path / "run")


def test_in_bfloat16_too_and_the_gap_stays_that_of_equal_weights(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = (
        recipe(tiny_model, tmp_path / name, rollout={"dtype": "bfloat16"}).model_copy(update={"model": model})
        for name in ("whole", "killed")
        for model in [ModelSection(name=str(tiny_model), dtype="bfloat16", lora_r=4, lora_alpha=8)]
    )
    run_recipe(whole)
    with monkeypatch.context() as patch:
        patch.setattr(launch, "build_engine", failing_after(6))
        with pytest.raises(PowerCut):
            run_recipe(killed)
    run_recipe(killed, RunFolder.open(tmp_path / "killed"))
    same_run(tmp_path / "whole", tmp_path / "killed")
    gaps = [line["gap/mean"] for line in read_metrics(RunFolder.open(tmp_path / "whole"))]
    assert gaps[0] > 1e-3 and max(gaps) < 1.5 * gaps[0]
    assert json.loads((tmp_path / "whole/manifest.json").read_text())["weights"] == "shared"


def same_run(one: Path, other: Path) -> None:
    """Assert that two runs have the same metrics, rollouts, evaluations and weights, bit for bit."""
    a, b = RunFolder.open(one), RunFolder.open(other)
    assert without_clock(read_metrics(a)) == without_clock(read_metrics(b))
    assert [read_rollouts(a, step) for step in range(1, STEPS + 1)] == [
        read_rollouts(b, step) for step in range(1, STEPS + 1)
    ]
    keys = ("step", "pass@1", "ci95", "n", "mean_length")
    assert [[e[k] for k in keys] for e in read_evaluations(a)] == [[e[k] for k in keys] for e in read_evaluations(b)]
    ours, theirs = adapter(one, STEPS), adapter(other, STEPS)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


class PowerCut(BaseException):
    """Nothing in Penny may catch this, as nothing can catch a kill."""


def failing_after(calls: int) -> Callable[[Recipe], Any]:
    """A `build_engine` whose engine dies when it is asked for the n-th time, be it to train or to measure."""

    def build(recipe: Recipe) -> Any:
        engine = build_engine(recipe)
        stream, left = engine.stream, iter(range(calls))

        def dying(*args: Any) -> Any:
            if next(left, None) is None:
                raise PowerCut
            return stream(*args)

        engine.stream = dying
        return engine

    return build


def test_no_drift_at_learning_rate_zero(tiny_model: Path, tmp_path: Path) -> None:
    still = recipe(
        tiny_model, tmp_path / "run", optimizer={"learning_rate": 0.0, "max_steps": 10}, evaluation={"every": 0}
    )
    run_recipe(still)
    folder = RunFolder.open(tmp_path / "run")
    gaps = [line["gap/mean"] for line in read_metrics(folder)]
    assert len(gaps) == 10 and max(gaps) < 1e-5
    before, after = read_evaluations(folder)
    assert before["pass@1"] == after["pass@1"]
    start = adapter(tmp_path / "run", 10)
    assert all(not tensor.any() for name, tensor in start.items() if "lora_B" in name)


def test_broken_sync_stops_the_run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deaf(recipe: Recipe) -> Any:
        engine = build_engine(recipe)
        engine.load_weights = lambda weights: None
        return engine

    monkeypatch.setattr(launch, "build_engine", deaf)
    broken = recipe(tiny_model, tmp_path / "run", optimizer={"learning_rate": 0.05, "max_steps": 10})
    with pytest.raises(RunStopped, match="new weights do not reach the engine"):
        run_recipe(broken)
    assert 1 <= len(read_metrics(RunFolder.open(tmp_path / "run"))) < 10


def test_adapter_sync_closes_the_gap_and_leaves_no_old_adapters(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed = list[Path]()

    def watched(recipe: Recipe) -> Any:
        engine = build_engine(recipe)
        load = engine.load_adapter

        def load_adapter(folder: str) -> None:
            load(folder)  # the folder before is there until this has succeeded
            assert Path(folder).is_dir() and not any(earlier.exists() for earlier in handed[:-1])
            handed.append(Path(folder))

        engine.load_adapter = load_adapter
        return engine

    monkeypatch.setattr(launch, "build_engine", watched)
    run_recipe(recipe(tiny_model, tmp_path / "run", rollout={"weight_sync": "adapter"}, optimizer={"max_steps": 3}))
    gaps = [line["gap/mean"] for line in read_metrics(RunFolder.open(tmp_path / "run"))]
    assert len(gaps) == 3 and max(gaps) < 1e-4
    assert len(handed) == 4 and not any(folder.exists() for folder in handed)


def test_ungradable_batch_stops_the_run(tiny_model: Path, tmp_path: Path) -> None:
    reward = Path(__file__).parent / "letter_reward.py"
    lost = recipe(tiny_model, tmp_path / "run", rewards={"functions": {f"{reward}:never_gradable": 1.0}})
    with pytest.raises(RunStopped, match="16 of 16 completions could not be graded"):
        run_recipe(lost)


def test_budget_stops_with_a_checkpoint_and_resumes(tiny_model: Path, tmp_path: Path) -> None:
    poor = recipe(tiny_model, tmp_path / "run", run={"max_dollars": 1e-9})
    assert run_recipe(poor)[0] == 0
    folder = RunFolder.open(tmp_path / "run")
    assert read_summary(folder) is None and read_evaluations(folder)[0]["step"] == 0
    rich = poor.model_copy(update={"run": poor.run.model_copy(update={"max_dollars": None})})
    assert run_recipe(rich, folder)[0] == 0
    assert read_summary(folder) is not None


def test_missed_band_is_exit_code_3(tiny_model: Path, tmp_path: Path) -> None:
    proud = recipe(
        tiny_model, tmp_path / "run", optimizer={"max_steps": 1, "learning_rate": 0.0},
        evaluation={"every": 0, "band": {"min_gain": 0.5}},
    )  # fmt: skip
    assert run_recipe(proud)[0] == 3
    summary = read_summary(RunFolder.open(tmp_path / "run"))
    assert summary and summary["band_met"] is False and "50.0" in summary["band_reason"]
