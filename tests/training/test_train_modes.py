"""Dynamic sampling and sampling ahead, in whole runs on a tiny random model: they resume exactly."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from rl.base import jsonl
from rl.base.errors import INTERRUPTED, RunStopped
from rl.config.recipe import Recipe
from rl.rollout.build import build_engine
from rl.run.checkpoints import latest_checkpoint
from rl.run.folder import RunFolder
from rl.run.ledger import ledger_totals
from rl.run.metrics import read_metrics
from rl.run.rollouts import read_rollouts
from rl.training import launch
from rl.training import loop as train
from rl.training.launch import run_recipe
from tests.training.test_train import STEPS, PowerCut, failing_after, recipe, same_run

REWARD = Path(__file__).parent / "letter_reward.py"
DYNAMIC: dict[str, dict[str, Any]] = {
    "algorithm": {"dynamic_sampling": True},
    "rewards": {"functions": {f"{REWARD}:first_is_low": 1.0}},
    "optimizer": {"learning_rate": 0.005},
}
AHEAD: dict[str, dict[str, Any]] = {"rollout": {"max_staleness": 1, "max_gap": 10}}
MODES = {"dynamic": DYNAMIC, "dynamic ahead": DYNAMIC | AHEAD}


@pytest.fixture(scope="module", params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def finished(mode: str, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run in this mode that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / mode
    assert run_recipe(recipe(tiny_model, folder, **MODES[mode])) == (0, folder)
    return folder


# The engine is asked for the first evaluation, the batches of steps 1 and 2 (and 3, if ahead), the next evaluation, ...
@pytest.mark.slow
@pytest.mark.parametrize("calls", [2, 4, 7])
def test_a_killed_run_resumes_bit_for_bit(
    calls: int, mode: str, finished: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recipe(tiny_model, tmp_path / "run", **MODES[mode])
    with monkeypatch.context() as patch:
        patch.setattr(launch, "build_engine", failing_after(calls))
        with pytest.raises(PowerCut):
            run_recipe(whole)
    assert run_recipe(whole, RunFolder.open(tmp_path / "run"))[0] == 0
    same_run(finished, tmp_path / "run")


@pytest.mark.slow
def test_a_stopped_run_resumes_bit_for_bit(
    mode: str, finished: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes while the step learns, and so, in the modes that do, while the next one is sampled."""
    whole = recipe(tiny_model, tmp_path / "run", **MODES[mode])
    with monkeypatch.context() as patch:
        update = train.update_policy

        def interrupted(run: Any, number: int, samples: Any) -> Any:
            if number == 3:
                os.kill(os.getpid(), signal.SIGINT)
            return update(run, number, samples)

        patch.setattr(train, "update_policy", interrupted)
        assert run_recipe(whole)[0] == INTERRUPTED
    folder = RunFolder.open(tmp_path / "run")
    checkpoint = latest_checkpoint(folder)
    assert checkpoint and checkpoint.name == "step-000003"
    state = torch.load(checkpoint / "state.pt", weights_only=True)
    kept = [(batch["step"], batch["weights"]) for [batch] in state["batches"]]
    assert kept == ([(4, 2)] if "ahead" in mode else [])
    assert run_recipe(whole, folder)[0] == 0
    same_run(finished, tmp_path / "run")


def test_staleness_is_logged(mode: str, finished: Path) -> None:
    lines = read_metrics(RunFolder.open(finished))
    assert [line["staleness"] for line in lines] == ([0, 1, 1, 1, 1] if "ahead" in mode else [0] * STEPS)
    gaps = [line["gap/mean"] for line in lines]
    assert gaps[0] < 1e-4
    if "ahead" in mode:  # the learner is one update further than the weights that sampled
        assert min(gaps[1:]) > 1e-4
    else:
        assert max(gaps) < 1e-4


def test_dynamic_sampling_leaves_no_group_without_signal(finished: Path) -> None:
    folder = RunFolder.open(finished)
    lines = read_metrics(folder)
    asked = []
    for line in lines:
        rows = read_rollouts(folder, line["step"])
        groups = [rows[i : i + 4] for i in range(0, len(rows), 4)]
        assert len(groups) == 4 and all({row.reward for row in group} == {0.0, 1.0} for group in groups)
        assert line["groups/no_signal"] == 0 and line["sampling/groups_kept"] == 4
        assert line["tokens"] == sum(len(row.token_ids) for row in rows)
        assert (line["sampling/tokens_wasted"] > 0) == (line["sampling/groups_tried"] > 4)
        asked += [group[0].problem_id for group in groups]
    assert sum(line["sampling/groups_tried"] for line in lines) > 4 * STEPS  # else nothing was tested
    assert len(set(asked)) == len(asked)  # nothing comes twice: the position went on behind what was tried


def test_the_ledger_adds_up(finished: Path) -> None:
    folder = RunFolder.open(finished)
    for line in jsonl.read(folder.ledger):
        assert sum(line["seconds"].values()) == pytest.approx(line["wall"])
        assert min(line["seconds"].values()) >= -1e-6
    tokens = ledger_totals(folder)["tokens"]["generated"]
    trained_on = sum(line["tokens"] for line in read_metrics(folder))
    assert tokens > trained_on  # evaluations, and groups that were replaced


def test_the_next_batch_is_sampled_while_a_step_learns(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Learning waits for sampling of the next batch to begin: one after the other, that would be for ever."""
    asked: list[str] = []
    began = threading.Semaphore(0)

    def watched(recipe: Recipe) -> Any:
        engine = build_engine(recipe)
        stream = engine.stream

        def telling(*args: Any) -> Any:
            asked.append(threading.current_thread().name)
            began.release()
            return stream(*args)

        engine.stream = telling
        return engine

    update = train.update_policy
    waited = list[int]()

    def waiting(run: Any, step: int, samples: Any) -> Any:
        while len(asked) < min(1 + step + 1, 4) and began.acquire(timeout=20):
            pass
        waited.append(len(asked))
        return update(run, step, samples)

    monkeypatch.setattr(launch, "build_engine", watched)
    monkeypatch.setattr(train, "update_policy", waiting)
    ahead = recipe(tiny_model, tmp_path / "run", optimizer={"max_steps": 3}, evaluation={"every": 0}, **AHEAD)
    assert run_recipe(ahead)[0] == 0
    assert waited == [3, 4, 4]  # the evaluation before, the batches up to this step's, and the next one
    assert [name.split("_")[0] for name in asked] == ["MainThread", "rollouts", "rollouts", "rollouts", "MainThread"]


def test_what_goes_wrong_while_sampling_ahead_ends_the_run_as_what_it_is(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(recipe: Recipe) -> Any:
        engine = build_engine(recipe)
        stream, calls = engine.stream, iter(range(3))

        def third(*args: Any) -> Any:
            if next(calls, None) == 2:
                raise RunStopped("the engine went away")
            return stream(*args)

        engine.stream = third
        return engine

    monkeypatch.setattr(launch, "build_engine", failing)
    with pytest.raises(RunStopped, match="the engine went away"):
        run_recipe(recipe(tiny_model, tmp_path / "run", **AHEAD))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rollouts")]


def test_an_error_in_learning_does_not_wait_for_what_is_sampled_ahead(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run: Any, step: int, samples: Any) -> Any:
        raise RunStopped("the gradient is nan")

    monkeypatch.setattr(train, "update_policy", broken)
    with pytest.raises(RunStopped, match="the gradient is nan"):
        run_recipe(recipe(tiny_model, tmp_path / "run", **AHEAD))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("rollouts")]
