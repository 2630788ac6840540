"""`grpo`: a recipe's training inside a pipeline, in the stage's folder, then the model on its own."""

import os
import shutil
import signal
from pathlib import Path

from rl.base.allocator import let_segments_grow
from rl.base.errors import INTERRUPTED
from rl.base.signals import StopRequested
from rl.evaluation.command import Listener
from rl.evaluation.subject import find_subject, merged_weights
from rl.models.source import load_tokenizer
from rl.pipelines.books import ADAPTER, MODEL, StageResult, made
from rl.pipelines.merged import write_merged
from rl.pipelines.schema import GrpoStage, as_recipe
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger
from rl.run.summary import read_summary
from rl.training.checks import check_recipe
from rl.training.launch import run_recipe


def reinforce(
    name: str,
    stage: GrpoStage,
    folder: Path,
    listener: Listener,
    began: float | None = None,
    accept_changed_data: bool = False,
) -> StageResult:
    """Run a `grpo` stage, or go on with it. `began`, `accept_changed_data`: see `run_recipe`.

    Raises:
        BadInput: what `rl.training.checks.check_recipe` finds, or problems that have changed since the stage was begun.
        StopRequested: a signal or the budget ended it, with everything saved.
    """
    recipe = as_recipe(name, stage)
    recipe = recipe.model_copy(update={"run": recipe.run.model_copy(update={"dir": str(folder)})})
    for warning in check_recipe(recipe):
        listener.say(warning)
    run = RunFolder(folder)
    summary = read_summary(run)
    if summary is None:
        let_segments_grow(sleeps=recipe.rollout.enable_sleep_mode)
        code, _ = run_recipe(recipe, began=began, advise=False, accept_changed_data=accept_changed_data)
        summary = read_summary(run)
        if summary is None:
            raise StopRequested(signal.SIGINT.name if code == INTERRUPTED else f"stage {name} is not done")
    subject = find_subject(str(folder))
    if subject.adapter is None:
        return StageResult(stage.kind, model=os.path.relpath(subject.model.name, folder), figures=summary)
    with Ledger(run, stage.run.dollars_per_hour) as ledger, ledger.phase("save"):
        tokenizer = load_tokenizer(stage.model.name, stage.model.revision)
        write_merged(stage.model, merged_weights(stage.model, subject.adapter), tokenizer, folder / MODEL)
        with made(folder / ADAPTER) as place:
            shutil.copytree(subject.adapter, place, dirs_exist_ok=True)
    return StageResult(stage.kind, model=MODEL, figures=summary)
