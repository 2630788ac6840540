"""When the engine sleeps: while the learner loads, measures its memory and learns, be the batch new or stored."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from rl.base.errors import INTERRUPTED
from rl.config.recipe import Recipe
from rl.rollout.build import build_engine
from rl.run.checkpoints import latest_checkpoint
from rl.run.folder import RunFolder
from rl.training import launch, learners
from rl.training import loop as train
from rl.training.launch import run_recipe
from tests.training.test_train import recipe


class Clock:
    """Whether the engine is awake, at each of the things that are done to it or beside it."""

    def __init__(self, stop_in: int | None = None) -> None:
        self.awake = True
        self.seen: list[tuple[str, bool]] = []
        self._stop_in = stop_in  # the call of the engine in which a signal comes
        self._calls = 0

    def build(self, recipe: Recipe) -> Any:
        """Build the recipe's engine; it wakes when it is used."""
        self.awake, engine = True, build_engine(recipe)
        stream, load = engine.stream, engine.load_weights

        def noted(*args: Any) -> Any:
            self.awake, self._calls = True, self._calls + 1
            if self._calls == self._stop_in:
                os.kill(os.getpid(), signal.SIGINT)
            return stream(*args)

        def loaded(weights: Any) -> None:
            self.awake = True
            load(weights)

        def sleep() -> None:
            self.awake = False

        vars(engine).update(stream=noted, load_weights=loaded, sleep=sleep)
        return engine

    def watch(self, patch: pytest.MonkeyPatch, module: Any, name: str) -> None:
        """Note whether the engine is awake when a function of `module` is called."""
        inner = getattr(module, name)

        def noted(*args: Any, **options: Any) -> Any:
            self.seen.append((name, self.awake))
            return inner(*args, **options)

        patch.setattr(module, name, noted)


def watched(clock: Clock, whole: Recipe, folder: RunFolder | None = None) -> int:
    """Run a recipe under the clock's eyes; returns its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch, "build_engine", clock.build)
        patch.setattr(launch, "auto_budget", lambda *_, **__: 4096)  # to measure takes long
        for module, name in ((launch, "load_learner"), (learners, "pick_layout"), (launch, "auto_budget")):
            clock.watch(patch, module, name)
        clock.watch(patch, train, "update_policy")
        return run_recipe(whole, folder)[0]


STARTED = [("load_learner", False), ("pick_layout", False), ("auto_budget", False)]


def test_the_engine_sleeps_while_the_learner_works(tiny_model: Path, tmp_path: Path) -> None:
    whole = recipe(tiny_model, tmp_path / "run", optimizer={"max_steps": 2, "micro_batch_tokens": "auto"})
    clock = Clock()
    assert watched(clock, whole) == 0
    assert clock.seen == [*STARTED, ("update_policy", False), ("update_policy", False)]


def test_the_engine_sleeps_while_a_stored_batch_is_learned_from(tiny_model: Path, tmp_path: Path) -> None:
    whole = recipe(tiny_model, tmp_path / "run", optimizer={"max_steps": 2, "micro_batch_tokens": "auto"})
    assert watched(Clock(stop_in=3), whole) == INTERRUPTED  # an evaluation, step 1, step 2
    folder = RunFolder.open(tmp_path / "run")
    checkpoint = latest_checkpoint(folder)
    assert checkpoint is not None
    stored = torch.load(checkpoint / "state.pt", weights_only=True)["batches"]
    assert [batch["step"] for [batch] in stored] == [2]  # else nothing is tested
    clock = Clock()
    assert watched(clock, whole, folder) == 0
    assert clock.seen == [*STARTED, ("update_policy", False)]
