"""`rl.train`: a recipe from Python."""

import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.api.functions import Rewards, known_name, named_rewards
from rl.api.problems import Rows
from rl.api.recipes import Part, assembled, plain
from rl.api.runs import Run
from rl.base.allocator import let_segments_grow
from rl.base.errors import INTERRUPTED, RunStopped
from rl.config.recipe import Recipe
from rl.run.folder import RunFolder
from rl.run.loading import LIBRARIES, loading
from rl.run.own_gpu import take_own_gpu
from rl.training.callbacks import Callback
from rl.training.resume import resumed_recipe

RESUME = re.compile(r"go on with(?: it by)?:? `?penny train --resume ([^\s`]+)`?")


def train(
    recipe: Recipe | str | Path | None = None,
    *,
    rewards: Rewards | None = None,
    problems: Rows | None = None,
    eval_problems: Rows | None = None,
    loss: Part | None = None,
    advantages: Part | None = None,
    correction: Part | None = None,
    overrides: Mapping[str, Any] | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    smoke: bool = False,
    resume: Run | str | Path | None = None,
    accept_changed_data: bool = False,
    quiet: bool = False,
) -> Run:
    """Train a model by a recipe: measure, learn, measure again, write a report.

    Args:
        recipe: the name of a recipe that comes with Penny, the path of a YAML file, or an `rl.Recipe`.
        rewards: reward functions, in place of the recipe's: functions, classes or names, with weights as a mapping or
            without. A function gets `completions`, `prompts` and the problems' columns as keyword arguments, each a
            list with one item for each completion, and returns a list of numbers.
        problems: problems to train on, in place of the recipe's: a list of dicts, a `datasets.Dataset`, a DataFrame,
            or the path of a JSONL file. Without `eval_problems`, some of them are held out.
        eval_problems: problems to measure on, likewise.
        loss: a built-in loss by name, or a function of one `LossInput` that returns the loss of each token.
        advantages: an advantage estimator by name, or a function of `rewards` and `valid` [P, G] that returns [P, G].
        correction: an importance-sampling correction by name, or a function of `learner_logps`, `engine_logps` and
            `mask` [N] that returns weights [N].
        overrides: values of other keys, such as `{"optimizer.max_steps": 50}`.
        callbacks: each is called after each step with the metrics of the step; True ends the run, saved.
        smoke: make it two steps of a tiny model, to see that everything works.
        resume: a run to continue by its own recipe; `overrides` may change what a run may change.
        accept_changed_data: continue a run although its problems have changed.
        quiet: print nothing.

    Returns:
        The run. It is not finished if SIGTERM, a budget or a callback stopped it.

    Raises:
        BadInput: something that was passed cannot be used; found before a model loads.
        RunStopped: the run had to stop; the message says what is saved.
        KeyboardInterrupt: the user interrupted; everything is saved.
    """
    began = time.monotonic()
    with python_words():
        if resume is not None:
            if recipe is not None or smoke or problems is not None or eval_problems is not None:
                raise BadInput("A resumed run keeps its recipe and its problems: pass resume= without them.")
            folder = Path(resume.path if isinstance(resume, Run) else resume)
            named_rewards(rewards or {})  # functions of this session are known again
            for part in (loss, advantages, correction):
                known_name(part or "")
            whole = resumed_recipe(folder, as_overrides(overrides or {}))
        elif recipe is None:
            raise BadInput("Pass a recipe: its name, its file, or an rl.Recipe; or resume= a run.")
        else:
            whole, folder = (
                assembled(
                    recipe,
                    rewards=rewards,
                    problems=problems,
                    eval_problems=eval_problems,
                    algorithm={
                        "loss_type": loss,
                        "advantage_estimator": advantages,
                        "importance_sampling_correction": correction,
                    },
                    overrides=overrides,
                    smoke=smoke,
                ),
                None,
            )
        prepare_gpu(whole)
        with loading(LIBRARIES, silent if quiet else None):
            from rl.training.checks import check_recipe
            from rl.training.launch import run_recipe
        for warning in check_recipe(whole):
            warnings.warn(warning, stacklevel=2)
        code, path = run_recipe(
            whole,
            RunFolder.open(folder) if folder else None,
            began=began,
            accept_changed_data=accept_changed_data,
            advise=False,
            quiet=quiet,
            callbacks=[callbacks] if callable(callbacks) else list(callbacks),
        )
    if code == INTERRUPTED:
        raise KeyboardInterrupt(f"the run in {path} is saved; continue it by rl.train(resume={str(path)!r})")
    return Run(path)


def as_overrides(overrides: Mapping[str, Any]) -> list[str]:
    """Return changes as the command line has them."""
    return [f"{key}={json.dumps(plain(key, value))}" for key, value in overrides.items()]


def prepare_gpu(recipe: Recipe) -> None:
    """Choose the GPU and the options of torch's memory, unless torch is loaded and it is too late."""
    if "torch" in sys.modules:
        return
    let_segments_grow(sleeps=recipe.rollout.enable_sleep_mode)
    if recipe.rollout.device != "cpu":
        take_own_gpu(os.environ)


def silent(_: str) -> None:
    """Print nothing."""


@contextmanager
def python_words() -> Iterator[None]:
    """Raise errors of the block with Python in place of commands."""
    try:
        yield
    except (BadInput, RunStopped) as error:
        text = RESUME.sub(lambda found: f"continue by rl.train(resume={found[1]!r})", str(error))
        if text == str(error):
            raise
        raise type(error)(text) from error
