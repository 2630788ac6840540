"""Whole runs of a tiny random model whose engine does not get the new weights: they stop themselves, saved."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rl.base.errors import RunStopped
from rl.config.recipe import Recipe
from rl.config.recipe_file import load_recipe
from rl.learner.step import LearnerSettings
from rl.run.checkpoints import latest_checkpoint
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.training import loop as train
from rl.training.launch import run_recipe
from rl.training.sync import WeightSync
from tests.training.test_train import recipe

SYNC = WeightSync.hand_over
NOTHING = {"sync/seconds": 0.0, "sync/bytes": 0.0}


class FirstSync:
    """Hands over the weights of the first sync only."""

    def __init__(self) -> None:
        self.done = False

    def __call__(self, sync: WeightSync) -> dict[str, float]:
        done, self.done = self.done, True
        return NOTHING if done else SYNC(sync)


class LateSync:
    """Hands over the weights that the policy had a step before."""

    def __init__(self) -> None:
        self.before: list[tuple[str, torch.Tensor]] = []

    def __call__(self, sync: WeightSync) -> dict[str, float]:
        now = [(name, tensor.clone()) for name, tensor in sync.policy.export()]
        sync.engine.load_weights(iter(self.before or now))
        self.before = now
        return NOTHING


def tiny(model: Path, folder: Path, dtype: str, steps: int = 5, **rollout: Any) -> Recipe:
    """A run whose first step has the tokens that a gap needs to be compared with."""
    made = recipe(
        model,
        folder,
        rollout={"num_generations": 8} | rollout,
        optimizer={"max_steps": steps},
        evaluation={"every": 0, "size": 2},
        run={"save_steps": 1},
    )
    return made.model_copy(update={"model": made.model.model_copy(update={"dtype": dtype})})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_healthy_run_ends_with_a_limit_of_its_own(tiny_model: Path, tmp_path: Path, dtype: str) -> None:
    assert run_recipe(tiny(tiny_model, tmp_path, dtype))[0] == 0
    lines = read_metrics(RunFolder.open(tmp_path))
    assert lines[0]["gap/limit"] == {"float32": 0.02, "bfloat16": 0.1}[dtype]
    assert all(line["gap/mean"] < line["gap/limit"] < 0.1 for line in lines[1:])
    state = torch.load(latest_checkpoint(RunFolder.open(tmp_path)) / "state.pt", weights_only=True)
    assert state["first_gap"][0] == lines[0]["gap/logit"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("late", [False, True])
def test_a_broken_sync_stops_the_run_within_two_steps(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, late: bool
) -> None:
    broken = LateSync() if late else FirstSync()
    monkeypatch.setattr(WeightSync, "hand_over", lambda sync: broken(sync))
    with pytest.raises(RunStopped, match=r"of rollout\.max_gap \(a logit's error is .* in the first step, before any"):
        run_recipe(tiny(tiny_model, tmp_path, dtype))
    assert len(read_metrics(RunFolder.open(tmp_path))) in (1, 2)


def test_a_resumed_run_compares_with_the_gap_of_its_first_step(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its engine gets the right weights at the start, and the same ones ever after."""
    run_recipe(tiny(tiny_model, tmp_path, "bfloat16", steps=2))
    broken = FirstSync()
    monkeypatch.setattr(WeightSync, "hand_over", lambda sync: broken(sync))
    with pytest.raises(RunStopped, match="in the first step, before any"):
        run_recipe(tiny(tiny_model, tmp_path, "bfloat16"), RunFolder.open(tmp_path))
    assert len(read_metrics(RunFolder.open(tmp_path))) in (3, 4)


def test_an_update_between_the_weights_of_both_is_no_fault(tiny_model: Path, tmp_path: Path) -> None:
    assert run_recipe(tiny(tiny_model, tmp_path, "float32", max_staleness=1))[0] == 0
    lines = read_metrics(RunFolder.open(tmp_path))
    assert [line["gap/limit"] for line in lines] == [0.02, 1, 1, 1, 1]
    assert max(line["gap/mean"] for line in lines) > 0.02  # which would stop a run that does not sample ahead


def test_a_number_is_the_limit_of_every_step(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = FirstSync()
    monkeypatch.setattr(WeightSync, "hand_over", lambda sync: broken(sync))
    assert run_recipe(tiny(tiny_model, tmp_path, "float32", max_gap=50))[0] == 0
    assert {line["gap/limit"] for line in read_metrics(RunFolder.open(tmp_path))} == {50}


def quickstart(folder: Path, steps: int) -> Recipe:
    overrides = ["model.dtype=bfloat16", "evaluation.size=2", f"optimizer.max_steps={steps}", f"run.dir={folder}"]
    return load_recipe("quickstart", overrides)


@pytest.mark.slow
@pytest.mark.vllm
def test_the_real_engine_in_bfloat16_is_let_be(tmp_path: Path) -> None:
    """A schedule over six steps changes as much in each of the first as one over thirty."""
    run_recipe(quickstart(tmp_path, 6))
    lines = read_metrics(RunFolder.open(tmp_path))
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert max(line["gap/mean"] / line["gap/limit"] for line in lines[1:]) < 0.7
    assert all(line["gap/limit"] > 0.01 for line in lines)


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.parametrize("late", [False, True])
def test_the_real_engine_in_bfloat16_is_stopped_without_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    broken = LateSync() if late else FirstSync()
    monkeypatch.setattr(WeightSync, "hand_over", lambda sync: broken(sync))
    with pytest.raises(RunStopped, match="in the first step, before any update"):
        run_recipe(quickstart(tmp_path, 6))
    assert len(read_metrics(RunFolder.open(tmp_path))) in (1, 2)


@pytest.mark.slow
@pytest.mark.vllm
def test_the_real_engine_in_bfloat16_is_stopped_at_once_at_another_temperature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "LearnerSettings", lambda temperature, *rest: LearnerSettings(temperature / 1.5, *rest))
    with pytest.raises(RunStopped, match=r"is above the limit 0\.1 of rollout\.max_gap;"):
        run_recipe(quickstart(tmp_path, 6))
    assert read_metrics(RunFolder.open(tmp_path)) == []
