"""Builds the session of a recipe, new or resumed, trains it, and says how it ended."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from accelerate import Accelerator
from rich.console import Console

from rl import ranks
from rl.caches import cache_folder
from rl.curriculum import curriculum
from rl.evaluate.evaluation import build_grader
from rl.learner.budget import MOST_TOKENS, auto_budget, available_bytes
from rl.learner.optimizer import build_optimizer, build_scheduler
from rl.learner.policy import Policy, load_policy, load_teacher
from rl.learner.selfcheck import pick_layout
from rl.models import load_tokenizer, model_fingerprint
from rl.problems.difficulty import in_band, known_rates
from rl.problems.fit import leave_out_long
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from rl.problems.sets import held_out_section, load_sets
from rl.recipe import USUAL_PASS, Recipe
from rl.rollout.build import build_engine, context_length, pick_device, pick_dtype
from rl.run.atomic import write_json
from rl.run.checkpoints import latest_checkpoint, rewind
from rl.run.display import Display
from rl.run.folder import RunFolder, default_path
from rl.run.ledger import Ledger
from rl.run.manifest import hash_problems, write_manifest
from rl.run.report import write_report
from rl.run.summary import read_summary
from rl.run.trackers import start_trackers
from rl.session import Session, with_pass
from rl.signals import StopRequested, StopSignal
from rl.train import train

BAND_MISSED = 3
INTERRUPTED = 130


def run_recipe(
    recipe: Recipe, folder: RunFolder | None = None, *, as_json: bool = False, began: float | None = None
) -> tuple[int, Path]:
    """Train a recipe in a new folder, or go on in `folder`; returns the exit code and the run's path.

    0: done, or stopped by SIGTERM or a budget with everything saved; 3: done, but the recipe's band was missed; 130:
    stopped by Ctrl-C with everything saved. Expects a recipe that `rl.checks.check_recipe` has passed.

    `began`: what `time.monotonic` showed when the session did; from then on it is paid for.
    """
    with StopSignal().installed() as stop, ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penny-")))
        ranks.start(pick_device(recipe.rollout.device))
        stack.callback(ranks.stop)
        target = agreed_folder(recipe, folder)
        books = target if ranks.rank() == 0 else RunFolder.create(scratch / "books", recipe)
        stack.enter_context(books.lock())
        console = Console(quiet=True) if ranks.rank() else None
        display = stack.enter_context(Display(recipe.name, recipe.optimizer.max_steps, json=as_json, console=console))
        ledger = stack.enter_context(Ledger(books, recipe.run.dollars_per_hour, began=began))
        try:
            with ledger.phase("start"):
                session = open_session(recipe, target, books, scratch, ledger, display, stop, stack)
            train(session)
        except StopRequested as request:
            write_report(books)
            display.message(
                f"stopped after step {session.step} ({request}); go on with: penny train --resume {target.path}"
            )
            return (INTERRUPTED if str(request) == "SIGINT" else 0), target.path
    summary = read_summary(books) or {}
    return (BAND_MISSED if summary.get("band_met") is False else 0), target.path


def agreed_folder(recipe: Recipe, folder: RunFolder | None) -> RunFolder:
    """The run's folder, the same on all ranks: made by rank 0 unless given."""
    if folder is None and ranks.rank() == 0:
        path = Path(recipe.run.dir) if recipe.run.dir else default_path(recipe.name)
        folder = RunFolder.create(path, recipe)
    return next(chosen for chosen in ranks.gather([folder]) if chosen)


def open_session(
    recipe: Recipe,
    target: RunFolder,
    books: RunFolder,
    scratch: Path,
    ledger: Ledger,
    display: Display,
    stop: StopSignal,
    stack: ExitStack,
) -> Session:
    """Load problems, model and engine, and take the run's last whole checkpoint if it has one.

    `target` is the run's folder, that every rank resumes from, and `books` the one that this rank writes to.
    """
    training, held_out = load_sets(recipe)
    tokenizer = load_tokenizer(recipe.model.name, recipe.model.revision)
    training = leave_out_long(recipe.problems, training, tokenizer)
    rates = settled_rates(recipe, training, target)
    training = in_band(recipe.difficulty, training, rates)
    asker = Prompter(held_out_section(recipe), tokenizer)
    grader = stack.enter_context(build_grader(recipe.rewards))
    device = pick_device(recipe.rollout.device)
    display.message(f"run folder: {target.path}\nloading {recipe.model.name} on {device}")
    engine = build_engine(recipe)
    stack.callback(engine.close)
    policy = load_policy(
        recipe.model,
        device,
        pick_dtype(recipe.model.dtype, device),
        seed=recipe.run.seed,
        keep_reference=recipe.algorithm.beta > 0,
    )
    why_padded = pick_layout(policy, context_length(recipe))
    if why_padded:
        display.message(f"the learner computes padded rows, which is slower than prefix trees: {why_padded}")
    teacher = load_scorer(recipe, policy, display) if recipe.distillation.teacher else None
    recipe = settle_pass(recipe, policy)
    optimizer = build_optimizer(policy.trainable.values(), recipe.optimizer)
    session = Session(
        recipe=recipe,
        folder=books,
        scratch=scratch,
        ledger=ledger,
        display=display,
        trackers=Accelerator(
            cpu=device == "cpu", log_with=list(recipe.run.report_to) or None, project_dir=str(books.path)
        ),
        stop=stop,
        tokenizer=tokenizer,
        training=training,
        prompter=Prompter(recipe.problems, tokenizer),
        held_out=[asker.render(problem) for problem in held_out],
        stream=curriculum(training, recipe.run.seed, recipe.problems.shuffle, recipe.difficulty.order, rates),
        grader=grader,
        policy=policy,
        optimizer=optimizer,
        scheduler=build_scheduler(optimizer, recipe.optimizer),
        engine=engine,
        teacher=teacher,
    )
    go_on(session, target, {"training": hash_problems(training), "held_out": hash_problems(held_out)})
    if ranks.rank() == 0:
        start_trackers(session.trackers, books, recipe)
        stack.callback(finish_trackers, session.trackers)
    return session


def go_on(session: Session, target: RunFolder, data: Mapping[str, str]) -> None:
    """Take the last whole checkpoint, drop what was written after it, and note what the session is made of."""
    checkpoint = latest_checkpoint(target)
    if checkpoint:
        session.restore(checkpoint)
    rewind(session.folder, session.step)
    model = session.recipe.model
    parts = {
        "model": model_fingerprint(model.name, model.revision),
        "data": data,
        "engine": session.engine.name,
        "layout": session.policy.layout,
        "ranks": ranks.world_size(),
    }
    write_manifest(session.folder, session.recipe, parts)


def load_scorer(recipe: Recipe, policy: Policy, display: Display) -> Policy:
    """The teacher of on-policy distillation; what it cannot compute as trees, the policy does not either."""
    display.message(f"loading the teacher {recipe.distillation.teacher}")
    teacher = load_teacher(recipe.distillation, policy.device.type, policy.compute_dtype)
    why_padded = pick_layout(teacher, context_length(recipe))
    if why_padded and policy.layout == "tree":
        display.message(f"the learner computes padded rows, which is slower, as the teacher must: {why_padded}")
        policy.use_layout("padded")
    teacher.use_layout(policy.layout)
    return teacher


def settled_rates(recipe: Recipe, training: Sequence[Problem], target: RunFolder) -> dict[str, float]:
    """The pass rates that the run goes by, by problem id: those known when it began, whatever was measured since."""
    if not recipe.difficulty.has_band and recipe.difficulty.order == "random":
        return {}
    if ranks.rank() == 0 and not target.difficulty.exists():
        write_json(target.difficulty, known_rates(recipe, training, cache_folder()))
    ranks.gather([None])  # the file is there for all
    rates: dict[str, float] = json.loads(target.difficulty.read_text(encoding="utf-8"))
    return rates


def settle_pass(recipe: Recipe, policy: Policy) -> Recipe:
    """The recipe with a number for `optimizer.micro_batch_tokens: auto`, the smallest that a rank has room for."""
    if recipe.optimizer.micro_batch_tokens != "auto":
        return recipe
    on_cpu = policy.device.type == "cpu"
    tokens = auto_budget(policy, available_bytes(policy.device.type), USUAL_PASS if on_cpu else MOST_TOKENS)
    return with_pass(recipe, min(ranks.gather([tokens])))


def finish_trackers(trackers: Accelerator) -> None:
    """End the trackers; not by `end_training`, which would tear down the engine's process group with them."""
    for tracker in trackers.trackers:
        tracker.finish()
