"""Builds the session of a recipe, new or resumed, trains it, and says how it ended."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from rich.console import Console

from rewards.scratch import scratch_folder
from rl.base import atomic, ranks
from rl.base.caches import cache_folder
from rl.base.errors import INTERRUPTED, MISSED
from rl.base.signals import StopRequested, StopSignal
from rl.base.stored import damaged, read_object
from rl.config.recipe import USUAL_PASS, Recipe
from rl.config.recipe_file import dump_recipe
from rl.grading.answers import build_grader
from rl.learner.budget import MOST_TOKENS, auto_budget, available_bytes
from rl.learner.optimizer import build_optimizer, build_scheduler
from rl.learner.plug_ins import load_plug_ins
from rl.learner.policy import Policy
from rl.learner.scaling import build_scaler
from rl.models.source import load_tokenizer, model_fingerprint
from rl.problems.difficulty import in_band, known_rates
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from rl.problems.sets import held_out_section, load_sets
from rl.report.report import write_report
from rl.rollout.build import (
    build_engine,
    download,
    engine_start,
    pick_device,
)
from rl.run.checkpoints import checkpoint_to_go_on, find_best, last_saved, rewind
from rl.run.data import Data, Sets, changed_data, hash_sets, refuse_changed_data, write_rows
from rl.run.display import Display
from rl.run.evaluations import read_evaluations
from rl.run.failures import ended, how_to_go_on, told_what_is_saved
from rl.run.folder import RunFolder
from rl.run.functions import FACT, changed_functions, hash_functions
from rl.run.ledger import Ledger, ledger_totals
from rl.run.loading import keep_log, loading
from rl.run.manifest import read_manifest, write_manifest
from rl.run.metrics import read_metrics
from rl.run.precision import Facts, in_words, settle_precision
from rl.run.records import check_places, restore_records
from rl.run.start import Start, agreed_folder
from rl.run.summary import read_summary
from rl.run.trackers import start_trackers
from rl.training.callbacks import Callback
from rl.training.curriculum import curriculum
from rl.training.evaluator import Evaluator
from rl.training.learners import load_learner, load_scorer
from rl.training.loop import train
from rl.training.recorder import Recorder
from rl.training.session import Session
from rl.training.state import TrainingState
from rl.training.sync import WeightSync


def run_recipe(
    recipe: Recipe,
    folder: RunFolder | None = None,
    *,
    as_json: bool = False,
    began: float | None = None,
    accept_changed_data: bool = False,
    advise: bool = True,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
) -> tuple[int, Path]:
    """Train a recipe in a new folder, or go on in `folder`; returns the exit code and the run's path.

    0: done, or stopped by SIGTERM or a budget with everything saved; 3: done, but the recipe's band was missed; 130:
    stopped by Ctrl-C with everything saved. Expects a recipe that `rl.training.checks.check_recipe` has passed. It
    works in any thread; only the main thread receives signals. A new run that is stopped before anything was measured
    leaves no folder.

    Args:
        recipe: of a run that is gone on with, its own; `rl.config.changes` says what may differ.
        folder: of that run.
        as_json: keep standard output empty.
        began: what `time.monotonic` showed when the session did; from then on it is paid for.
        accept_changed_data: go on though the problems are not those that the run was begun with.
        advise: end with what to do next, which a stage of a pipeline leaves to the pipeline.
        quiet: print nothing.
        callbacks: each rank calls them after each step.

    Raises:
        BadInput: the problems have changed, or a reward returned no numbers.
        RunStopped: the run had to stop; the message says what is saved, and how to go on.
    """
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(scratch_folder("run")))
        ranks.start(pick_device(recipe.rollout.device))
        stack.callback(ranks.stop)
        target, new, changes = agreed_folder(recipe, folder)
        start = Start(recipe, target, scratch, new, changes, accept_changed_data)
        try:
            with ended(target):
                code = train_in(start, as_json, began, advise, quiet, callbacks)
        except KeyboardInterrupt:  # a second Ctrl-C
            start.leave_nothing()
            raise
        start.leave_nothing()
    return code, target.path


def train_in(
    start: Start, as_json: bool, began: float | None, advise: bool, quiet: bool, callbacks: Sequence[Callback]
) -> int:
    """Train in the run's folder; returns the exit code."""
    recipe, target = start.recipe, start.target
    with ExitStack() as stack:
        books = start.books()
        stack.enter_context(books.lock())
        checkpoint, put_back = settled_records(start)
        keep_log(books.log)
        console = Console(quiet=True) if quiet or ranks.rank() else None
        steps = recipe.optimizer.max_steps
        display = stack.enter_context(Display(recipe.name, steps, json=as_json, console=console, advise=advise))
        rate = recipe.run.dollars_per_hour
        for name in put_back:
            display.message(f"{name} was missing or damaged, and is again as the last checkpoint has it")
        ledger = stack.enter_context(Ledger(books, rate, began=began, on_phase=display.phase))
        try:
            with StopSignal(display.stopping).installed() as stop:
                with ledger.phase("start"):
                    session = open_session(start, checkpoint, books, ledger, display, stop, stack)
                    session.callbacks = callbacks
                with told_what_is_saved(target):
                    train(session)
        except StopRequested as request:
            if start.nothing_begun:
                display.message(f"stopped ({request}): nothing was begun yet, and no run folder is left; start again")
            else:
                write_report(books)
                display.message(f"stopped after step {last_saved(target)} ({request}); {how_to_go_on(target)}")
            return INTERRUPTED if str(request) == "SIGINT" else 0
    summary = read_summary(books) or {}
    return MISSED if summary.get("band_met") is False else 0


def settled_records(start: Start) -> tuple[Path | None, list[str]]:
    """Return the checkpoint to go on from, and the records that rank 0 has put back as they are there.

    Raises:
        BadInput: the run's folder is damaged beyond what a checkpoint can mend.
    """
    check_places(start.target)
    checkpoint = checkpoint_to_go_on(start.target)
    put_back = restore_records(start.target, checkpoint) if ranks.rank() == 0 else []
    ranks.gather([None])  # the records are there for all
    for read in (read_manifest, read_evaluations, read_metrics, ledger_totals):
        read(start.target)  # before a model loads
    return checkpoint, put_back


def open_session(
    start: Start,
    checkpoint: Path | None,
    books: RunFolder,
    ledger: Ledger,
    display: Display,
    stop: StopSignal,
    stack: ExitStack,
) -> Session:
    """Load problems, model and engine, and take the checkpoint that the run goes on from, if it has one.

    `books` is the folder that this rank writes to.
    """
    target = start.target
    plug_ins, functions = load_plug_ins(start.recipe.algorithm), hash_functions(start.recipe)
    recipe, precision = settle_precision(start.recipe, target)
    training, held_out = load_sets(recipe)
    tokenizer = load_tokenizer(recipe.model.name, recipe.model.revision)
    rates = settled_rates(recipe, training, target)
    training = in_band(recipe.difficulty, training, rates)
    data = agreed_data(start, {"training": training, "held_out": held_out})
    asker = Prompter(held_out_section(recipe), tokenizer)
    grader = stack.enter_context(build_grader(recipe.rewards))
    device = pick_device(recipe.rollout.device)
    display.message(f"run folder: {target.path}")
    display.message(in_words(precision))
    download(recipe.model)
    with loading(engine_start(recipe), display.message):
        engine = build_engine(recipe)
    stack.callback(engine.close)
    engine.sleep()  # the learner loads, is tried and measures its memory as it will learn: with the engine asleep
    policy = load_learner(recipe, device, display.message)
    teacher = load_scorer(recipe, policy, display.message) if recipe.distillation.teacher else None
    optimizer = build_optimizer(policy.trainable.values(), recipe.optimizer)
    recorder = Recorder(recipe, books, ledger, display, build_trackers(recipe, device, books))
    hashes = hash_sets(data.sets)
    prompts = [asker.render(problem) for problem in held_out]
    session = Session(
        recipe=recipe,
        state=TrainingState(
            policy=policy,
            optimizer=optimizer,
            scheduler=build_scheduler(optimizer, recipe.optimizer),
            scaler=build_scaler(policy),
            stream=curriculum(training, recipe.run.seed, recipe.problems.shuffle, recipe.difficulty.order, rates),
            pass_tokens=settle_pass(recipe, policy),
        ),
        sync=stack.enter_context(WeightSync(policy, engine, recipe.rollout, start.scratch)),
        recorder=recorder,
        evaluator=Evaluator(recipe, prompts, hashes.get("held_out"), engine, grader, tokenizer, ledger, display),
        stop=stop,
        training=training,
        prompter=Prompter(recipe.problems, tokenizer),
        tokenizer=tokenizer,
        grader=grader,
        engine=engine,
        plug_ins=plug_ins,
        teacher=teacher,
        functions=functions,
    )
    go_on(session, checkpoint, start, data, precision)
    if ranks.rank() == 0:
        start_trackers(recorder.trackers, books, recipe)
        stack.callback(finish_trackers, recorder.trackers)
    return session


def build_trackers(recipe: Recipe, device: str, folder: RunFolder) -> Accelerator:
    """Return the trackers that the recipe reports to; `start_trackers` starts them."""
    return Accelerator(cpu=device == "cpu", log_with=list(recipe.run.report_to) or None, project_dir=str(folder.path))


def agreed_data(start: Start, sets: Sets) -> Data:
    """Return the problems, if they are those of the run or the user accepts others. Raises BadInput."""
    different = changed_data(start.target, sets)
    if not start.accept_changed_data:
        refuse_changed_data(start.target, sets, different)
    return Data(sets, different)


def go_on(session: Session, checkpoint: Path | None, start: Start, data: Data, precision: Facts) -> None:
    """Take the checkpoint, drop what was written after it, and note what the session is made of."""
    folder, state, display = session.recorder.folder, session.state, session.recorder.display
    if checkpoint:
        session.restore(checkpoint, same_training="training" not in data.different)
        display.begin_after(state.step)
    rewind(folder, state.step)
    model, hashes = session.recipe.model, hash_sets(data.sets)
    parts = {
        "model": model_fingerprint(model.name, model.revision),
        "data": hashes,
        "engine": session.engine.name,
        "precision": precision,
        "layout": state.policy.layout,
        "weights": "shared" if state.policy.shared else "separate",
        "ranks": ranks.world_size(),
    }
    if session.functions:
        parts[FACT] = session.functions
    for spec in changed_functions(start.target, session.functions):
        display.message(f"{spec} has changed since the run was last trained, and goes on as it is now")
    history: dict[str, Any] = {"recipe_changed": start.changes} if start.changes else {}
    if "optimizer.max_steps" in start.changes and start.recipe.optimizer.lr_scheduler_type != "constant":
        display.message(
            f"the {start.recipe.optimizer.lr_scheduler_type} schedule is now one over optimizer.max_steps = "
            f"{start.recipe.optimizer.max_steps}: the learning rate goes on at {state.scheduler.get_last_lr()[0]:.3g}"
        )
    if data.different:
        history["accepted_changed_data"] = {"step": state.step, "rows": data.different}
    write_manifest(folder, start.recipe, parts, history)
    atomic.write_text(folder.recipe, dump_recipe(start.recipe))
    if data.different or not folder.problems.exists():
        write_rows(folder, data.sets)
    find_best(folder, hashes.get("held_out"))
    if state.step < session.recipe.optimizer.max_steps:
        folder.summary.unlink(missing_ok=True)  # of a run that is not finished any more


def settled_rates(recipe: Recipe, training: Sequence[Problem], target: RunFolder) -> dict[str, float]:
    """The pass rates that the run goes by, by problem id: those known when it began, whatever was measured since."""
    if not recipe.difficulty.has_band and recipe.difficulty.order == "random":
        return {}
    if ranks.rank() == 0 and not target.difficulty.exists():
        atomic.write_json(target.difficulty, known_rates(recipe, training, cache_folder()))
    ranks.gather([None])  # the file is there for all
    rates = read_object(target.difficulty, "bring it back from a copy, or name another folder in run.dir")
    if odd := [name for name, rate in rates.items() if not isinstance(rate, int | float)]:
        raise damaged(target.difficulty, f"{odd[0]} has no rate", "bring it back from a copy")
    return rates


def settle_pass(recipe: Recipe, policy: Policy) -> int:
    """Return the tokens of a pass; with `optimizer.micro_batch_tokens: auto`, the smallest that a rank has room for."""
    if recipe.optimizer.micro_batch_tokens != "auto":
        return recipe.optimizer.pass_tokens
    on_cpu = policy.device.type == "cpu"
    most, bonus = USUAL_PASS if on_cpu else MOST_TOKENS, recipe.algorithm.entropy_coef > 0
    tokens = auto_budget(policy, available_bytes(policy.device.type), most, entropy_grad=bonus)
    return min(ranks.gather([tokens]))


def finish_trackers(trackers: Accelerator) -> None:
    """End the trackers; not by `end_training`, which would tear down the engine's process group with them."""
    for tracker in trackers.trackers:
        tracker.finish()
