"""How runs end before their time: saved, in one sentence, with a way to go on."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.config.recipe import Recipe
from rl.rollout.build import build_engine
from rl.run.checkpoints import last_saved, latest_checkpoint
from rl.run.evaluations import read_evaluations
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.run.summary import read_summary
from rl.training import launch
from rl.training import loop as train
from rl.training.launch import run_recipe
from tests.conftest import fill
from tests.training.test_train import STEPS, adapter, recipe, same_run
from tests.training.test_train_modes import AHEAD

REWARD = """
import sys
calls = 0
def low(completions, **columns):
    global calls
    calls += 1
    if calls > {after}:
        {end}
    return [sum(character < "m" for character in text) / max(len(text), 1) for text in completions]
"""


def with_reward(
    model: Path, folder: Path, after: int, end: str, seconds: float = 600.0, **sections: dict[str, Any]
) -> Recipe:
    """A run whose reward does something else after so many calls, and may take so long for a batch."""
    file = folder.with_suffix(".py")
    file.write_text(REWARD.format(after=after, end=end))
    rare = {"evaluation": {"every": 0}, "run": {"dir": str(folder), "save_steps": 100}}
    rewards = {"functions": {f"{file}:low": 1.0}, "batch_timeout": seconds}
    return recipe(model, folder, rewards=rewards, **rare | sections)


@pytest.mark.parametrize(
    ("end", "said", "ahead"),
    [
        ("raise KeyError('mine')", "raised KeyError: 'mine' at {file}, line 8", False),
        ("sys.exit(0)", "raised SystemExit: 0 at {file}, line 8", True),
    ],
    ids=["in turn", "ahead"],
)
def test_a_reward_that_raises_ends_the_run_saved(
    end: str, said: str, ahead: bool, tiny_model: Path, tmp_path: Path
) -> None:
    mode = AHEAD if ahead else {}
    failing = with_reward(tiny_model, tmp_path / "run", after=13, end=end, **mode)  # 1 before, 4 groups a step
    with pytest.raises(RunStopped) as caught:
        run_recipe(failing)
    run = RunFolder(tmp_path / "run")
    sentence = str(caught.value)
    assert said.format(file=tmp_path / "run.py") in sentence and "\n" not in sentence
    assert sentence.endswith(
        f"(the whole traceback is in {run.path}/reward-error.txt); step 3 is saved: correct the reward, then go on "
        f"with: penny train --resume {run.path}"
    )
    assert last_saved(run) == 3 and len(read_metrics(run)) == 3
    report = (run.path / "reward-error.txt").read_text()
    assert "Traceback (most recent call last)" in report and "run.py" in report
    (tmp_path / "run.py").write_text(REWARD.format(after=10_000, end="pass"))
    assert run_recipe(failing, run)[0] == 0
    assert [line["step"] for line in read_metrics(run)] == [1, 2, 3, 4, 5]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("__import__('ctypes').string_at(0)", "crashed its process in compiled code (SIGSEGV) at {file}, line 8"),
        pytest.param(
            "__import__('os')._exit(0)",
            "ended its process with exit code 0, as os._exit does",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "99 ** 99 ** 99",
            "gave no answer within 4 s (rewards.batch_timeout) at {file}, line 8",
            marks=pytest.mark.slow,
        ),
    ],
    ids=["a crash", "an exit", "a hang"],
)
def test_a_reward_that_breaks_its_process_ends_the_run_saved(
    end: str, said: str, tiny_model: Path, tmp_path: Path
) -> None:
    failing = with_reward(tiny_model, tmp_path / "run", after=5, end=end, seconds=4.0)  # 1 before, 4 groups a step
    with pytest.raises(RunStopped) as caught:
        run_recipe(failing)
    sentence = str(caught.value)
    assert said.format(file=tmp_path / "run.py") in sentence and "\n" not in sentence
    assert "step 1 is saved: correct the reward, then go on with: penny train --resume" in sentence
    (tmp_path / "run.py").write_text(REWARD.format(after=10_000, end="pass"))
    assert run_recipe(failing, RunFolder(tmp_path / "run"))[0] == 0
    whole = with_reward(tiny_model, tmp_path / "whole", after=10_000, end="pass")
    run_recipe(whole)
    ours, theirs = adapter(tmp_path / "run", STEPS), adapter(tmp_path / "whole", STEPS)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_second_interrupt_ends_a_reward_that_hangs(tiny_model: Path, tmp_path: Path) -> None:
    end = f"open({str(tmp_path / 'hangs')!r}, 'w').close(); 99 ** 99 ** 99"
    hanging = with_reward(tiny_model, tmp_path / "run", after=5, end=end, **AHEAD)

    def interrupt_twice() -> None:
        while not (tmp_path / "hangs").exists():
            time.sleep(0.05)
        for _ in range(2):
            time.sleep(0.3)
            os.kill(os.getpid(), signal.SIGINT)  # to the main thread, as a terminal sends it

    threading.Thread(target=interrupt_twice, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_recipe(hanging)
    ended = time.monotonic() + 5
    while [t for t in threading.enumerate() if t.name.startswith(("grading", "rollouts"))]:
        assert time.monotonic() < ended, "a thread still waits for the reward"
        time.sleep(0.05)


def test_a_reward_that_raises_in_an_evaluation(tiny_model: Path, tmp_path: Path) -> None:
    first = with_reward(tiny_model, tmp_path / "first", after=0, end="raise KeyError('mine')")
    with pytest.raises(RunStopped, match="no step is saved yet: correct the reward"):
        run_recipe(first)
    assert (tmp_path / "first" / "reward-error.txt").exists()
    last = with_reward(tiny_model, tmp_path / "last", after=1 + 4 * STEPS, end="raise KeyError('mine')")
    with pytest.raises(RunStopped, match=f"step {STEPS} is saved"):
        run_recipe(last)
    (tmp_path / "last.py").write_text(REWARD.format(after=10_000, end="pass"))
    assert run_recipe(last, RunFolder(tmp_path / "last"))[0] == 0


def test_numbers_that_are_none_end_the_run_saved(tiny_model: Path, tmp_path: Path) -> None:
    nan = with_reward(tiny_model, tmp_path / "run", after=9, end="return [float('nan')] * len(completions)")
    with pytest.raises(BadInput, match="returned 'nan'.*; step 2 is saved, go on with: penny train --resume"):
        run_recipe(nan)
    assert latest_checkpoint(RunFolder(tmp_path / "run")) is not None


def test_an_engine_that_fails_ends_the_run_saved(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "build_engine", interrupted_after(3, OverflowError("the engine broke")))
    rare = recipe(tiny_model, tmp_path / "run", evaluation={"every": 0}, run={"save_steps": 100})
    with pytest.raises(OverflowError):
        run_recipe(rare)
    assert last_saved(RunFolder(tmp_path / "run")) == 2


def interrupted_after(calls: int, by: BaseException | Callable[[], None]) -> Callable[[Recipe], Any]:
    """A `build_engine` whose engine does something when it is asked for the n-th time."""

    def build(recipe: Recipe) -> Any:
        engine = build_engine(recipe)
        stream, left = engine.stream, iter(range(calls))

        def stopping(*args: Any) -> Any:
            if next(left, None) is None:
                if isinstance(by, BaseException):
                    raise by
                by()
            return stream(*args)

        engine.stream = stopping
        return engine

    return build


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_before_the_first_step_is_at_once_and_leaves_nothing(
    number: signal.Signals, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "build_engine", interrupted_after(0, lambda: signal.raise_signal(number)))
    code, path = run_recipe(recipe(tiny_model, tmp_path / "run"))
    assert code == (130 if number == signal.SIGINT else 0)
    assert path == tmp_path / "run" and not path.exists()


def test_a_stop_while_the_model_loads_is_at_once(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "build_engine", lambda recipe: interrupt())
    whole = recipe(tiny_model, tmp_path / "run")
    assert run_recipe(whole)[0] == 130
    assert not (tmp_path / "run").exists() and "nothing was begun yet" in capsys.readouterr().out
    (tmp_path / "run").mkdir()  # a folder of the user's stays, and can be gone on with
    assert run_recipe(whole)[0] == 130
    assert (tmp_path / "run" / "recipe.yaml").exists()
    monkeypatch.undo()
    assert run_recipe(whole, RunFolder.open(tmp_path / "run"))[0] == 0


@pytest.mark.slow
def test_a_stop_in_a_step_waits_for_its_end_and_one_in_an_evaluation_does_not(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch, "build_engine", interrupted_after(2, interrupt))  # in the second step
    rare = {"evaluation": {"every": 0}, "run": {"save_steps": 100}}
    whole = recipe(tiny_model, tmp_path / "run", **rare)
    assert run_recipe(whole)[0] == 130
    run = RunFolder(tmp_path / "run")
    assert last_saved(run) == 1  # with the completions of step 2, which are not learned from yet
    assert "stopped after step 1 (SIGINT); go on with" in capsys.readouterr().out
    monkeypatch.setattr(launch, "build_engine", interrupted_after(3, interrupt))  # in the last evaluation
    assert run_recipe(whole, run)[0] == 130
    assert (last_saved(run), [line["step"] for line in read_evaluations(run)]) == (STEPS, [0])
    monkeypatch.undo()
    assert run_recipe(whole, run)[0] == 0
    run_recipe(recipe(tiny_model, tmp_path / "whole", **rare | {"run": {"dir": str(tmp_path / "whole")}}))
    same_run(tmp_path / "whole", run.path)


def test_a_second_interrupt_ends_at_once(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def learning(run: Any, step: int, samples: Any) -> Any:
        interrupt()
        interrupt()

    monkeypatch.setattr(train, "update_policy", learning)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe(tiny_model, tmp_path / "run"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_in_a_thread_hears_no_signals_and_needs_none(tiny_model: Path, tmp_path: Path) -> None:
    found: list[Any] = []
    short = recipe(tiny_model, tmp_path / "run", optimizer={"max_steps": 2})
    thread = threading.Thread(target=lambda: found.append(run_recipe(short)))
    thread.start()
    thread.join(120)
    assert found == [(0, tmp_path / "run")] and read_summary(RunFolder(tmp_path / "run")) is not None


def test_a_finished_run_is_extended_to_what_a_longer_one_would_be(tiny_model: Path, tmp_path: Path) -> None:
    band = {"min_gain": -1.0, "intervals_apart": False}
    short = recipe(tiny_model, tmp_path / "run", optimizer={"max_steps": 2}, evaluation={"band": band})
    assert run_recipe(short)[0] == 0
    run = RunFolder(tmp_path / "run")
    before = read_summary(run)
    longer = recipe(tiny_model, tmp_path / "run", evaluation={"band": band | {"min_gain": 0.99}})
    assert run_recipe(longer, run)[0] == 3
    after = read_summary(run)
    assert before and after and (before["band_met"], after["band_met"]) == (True, False)
    assert "max_steps: 5" in run.recipe.read_text()
    sessions = json.loads(run.manifest.read_text())["sessions"]
    assert "recipe_changed" not in sessions[0]
    assert sessions[1]["recipe_changed"] == {
        "evaluation.band.min_gain": [-1.0, 0.99],
        "optimizer.max_steps": [2, 5],
    }
    run_recipe(recipe(tiny_model, tmp_path / "whole"))
    same_run(tmp_path / "whole", run.path)


def test_an_extended_schedule_goes_on_as_the_longer_one(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    linear = {"lr_scheduler_type": "linear", "learning_rate": 0.01}
    run_recipe(recipe(tiny_model, tmp_path / "run", optimizer=linear | {"max_steps": 2}))
    run = RunFolder(tmp_path / "run")
    run_recipe(recipe(tiny_model, tmp_path / "run", optimizer=linear | {"max_steps": 4}))  # by run.dir alone
    assert json.loads(run.manifest.read_text())["sessions"][1]["recipe_changed"] == {"optimizer.max_steps": [2, 4]}
    said = "the linear schedule is now one over optimizer.max_steps = 4: the learning rate goes on at 0.005"
    assert said in capsys.readouterr().out
    rates = [line["learning_rate"] for line in read_metrics(run)]
    assert rates == pytest.approx([0.01, 0.005, 0.005, 0.0025])  # 1 - 0/2, 1 - 1/2, then 1 - 2/4, 1 - 3/4


def test_a_full_disk_ends_the_run_in_one_sentence_and_it_goes_on_when_there_is_room(
    tiny_model: Path, tmp_path: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recipe(tiny_model, small_disk / "run")
    monkeypatch.setattr(launch, "build_engine", interrupted_after(4, lambda: fill(small_disk)))  # in step 3
    with pytest.raises(RunStopped) as caught:
        run_recipe(whole)
    run = RunFolder(small_disk / "run")
    sentence = str(caught.value)
    assert sentence.startswith(f"{run.path}/") and "cannot be written: No space left on device (" in sentence
    assert sentence.endswith(f"; step 2 is saved: make room, then go on with: penny train --resume {run.path}")
    assert "\n" not in sentence and last_saved(run) == 2 and latest_checkpoint(run) is not None
    (small_disk / "filler").unlink()
    monkeypatch.undo()
    assert run_recipe(whole, run)[0] == 0
    run_recipe(recipe(tiny_model, tmp_path / "whole"))
    same_run(tmp_path / "whole", run.path)


def test_a_disk_too_small_for_a_checkpoint(tiny_model: Path, small_disk: Path) -> None:
    narrow = recipe(tiny_model, small_disk / "run")
    wide = narrow.model_copy(update={"model": narrow.model.model_copy(update={"lora_r": 256})})
    with pytest.raises(RunStopped, match="checkpoints/step-000002 cannot be written: .*; no step is saved yet"):
        run_recipe(wide)


def test_a_disk_that_a_checkpoint_fills(tiny_model: Path, small_disk: Path) -> None:
    fill(small_disk)
    filler = small_disk / "filler"
    os.truncate(filler, filler.stat().st_size - 200 * 1024)  # for the adapter, and a part of the optimizer's state
    with pytest.raises(RunStopped, match="step-000002 cannot be written: No space left on device .*; no step is saved"):
        run_recipe(recipe(tiny_model, small_disk / "run"))
