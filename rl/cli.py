"""The command `penny`: thin commands that parse, call, and turn mistakes into one sentence and an exit code.

The exit codes are in `rl.base.errors`.
Everything heavy is imported inside the commands, so that `penny --help` answers at once.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.errors import BadInput
from rl.base.allocator import let_segments_grow
from rl.base.errors import INTERRUPTED
from rl.base.exits import expected_errors
from rl.base.visible import emit
from rl.commands import evaluate as eval_commands
from rl.commands.completion import complete_recipe
from rl.commands.grade import Json, RunArgument, doctor, grade, print_table, regrade
from rl.commands.numbers import MOST
from rl.commands.pipeline import AcceptChangedData, difficulty, run, stage
from rl.commands.plan import plan
from rl.commands.reward import reward_app
from rl.commands.serve import chat, export, price, serve
from rl.run.loading import LIBRARIES, forget_log, loading
from rl.run.own_gpu import take_own_gpu

if TYPE_CHECKING:
    from rl.config.recipe import Recipe
    from rl.pipelines.schema import Pipeline
    from rl.run.rollouts import RolloutRow

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(asked: bool) -> None:
    """Print the version and leave."""
    if asked:
        emit(f"penny {version('penny-rl')}")
        raise typer.Exit


@app.callback()
def penny(
    _: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Teach small language models to reason by reinforcement learning, and measure what they have learned."""


@app.command()
def train(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECIPE [SECTION.KEY=VALUE ...]",
            help="Name or path, and changes to it.",
            autocompletion=complete_recipe,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, show the plan, load no model.")] = False,
    smoke: Annotated[bool, typer.Option("--smoke", help="Two steps of a tiny model, about a minute on a CPU.")] = False,
    resume: Annotated[Path | None, typer.Option(metavar="RUN", help="Go on with this run, by its own recipe.")] = None,
    unfinished: Annotated[
        bool, typer.Option("--continue", help="Go on with this recipe's last unfinished run.")
    ] = False,
    accept_changed_data: AcceptChangedData = False,
    as_json: Json = False,
) -> None:
    """Train a recipe: measure, learn, measure again, report.

    --resume RUN SECTION.KEY=VALUE goes on with changed settings: a finished run is extended by a higher
    optimizer.max_steps.
    """
    began = time.monotonic()  # libraries take seconds to load, and that is paid for, too
    with expected_errors(as_json), resumable() as begun:
        recipe, folder = asked_run(arguments or [], smoke, resume, unfinished)
        let_segments_grow(sleeps=recipe.rollout.enable_sleep_mode)
        if recipe.rollout.device != "cpu":
            take_own_gpu(os.environ)
        with loading(LIBRARIES):
            from rl.training.checks import check_recipe
            from rl.training.launch import run_recipe

        warnings = check_recipe(recipe)
        if dry_run:
            show_plan(recipe, warnings, as_json)
            return
        from rl.base import ranks
        from rl.run.folder import RunFolder
        from rl.run.summary import read_summary

        first_rank = ranks.rank() == 0
        for warning in warnings if first_rank else ():
            emit(f"warning: {warning}", file=sys.stderr)
        begun.append(recipe)
        code, path = run_recipe(
            recipe,
            RunFolder.open(folder) if folder else None,
            as_json=as_json,
            began=began,
            accept_changed_data=accept_changed_data,
        )
        if as_json and first_rank:
            emit(json.dumps({"run": str(path), "exit_code": code} | (read_summary(RunFolder(path)) or {})))
    raise typer.Exit(code)


@app.command()
def recipes(as_json: Json = False) -> None:
    """List the recipes that come with Penny, and the pipelines of stages, which `penny run` takes."""
    with expected_errors(as_json):
        from rl.config.recipe_file import list_recipes
        from rl.pipelines.pipeline_file import list_pipelines

        rows = [recipe_row(recipe, recipe.run.min_gpu_memory_gib, []) for recipe in list_recipes()]
        rows += [recipe_row(line, line.min_gpu_memory_gib, list(line.stages)) for line in list_pipelines()]
        if as_json:
            emit(json.dumps(rows))
            return
        print_table(
            ["command", "needs", "what"],
            [
                [
                    f"penny {'run' if row['stages'] else 'train'} {row['name']}",
                    "CPU" if row["min_gpu_memory_gib"] is None else f"GPU, {row['min_gpu_memory_gib']:g} GiB",
                    f"{row['description']}; {row['status']}",
                ]
                for row in rows
            ],
        )


@app.command()
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_OR_EVAL...", help="A run's or pipeline's folder; or evaluations and runs, side by side."
        ),
    ],
    as_json: Json = False,
) -> None:
    """Write the report.html of a run, or of evaluations and runs side by side, from what their folders hold."""
    with expected_errors(as_json):
        from rl.base.nearest import missing_folder
        from rl.evaluation.folder import EvaluationFolder, is_evaluation
        from rl.evaluation.show.page import write_page
        from rl.evaluation.sides import open_sides
        from rl.pipelines.books import is_pipeline, open_pipeline
        from rl.pipelines.page import write_page as write_ladder_page
        from rl.report.report import write_report
        from rl.run.folder import RunFolder

        if missing := [path for path in runs if not path.exists()]:
            raise BadInput(f"{missing_folder(missing[0])}.")
        if is_pipeline(runs[0]):
            path = write_ladder_page(open_pipeline(runs[0]))
        elif len(runs) > 1:
            first, *others = open_sides(runs)
            path = write_page(first, others)
        elif is_evaluation(runs[0]):
            path = write_page(EvaluationFolder(runs[0]))
        else:
            path = write_report(RunFolder.open(runs[0]))
        emit(json.dumps({"report": str(path)}) if as_json else path)


@app.command()
def samples(
    run: RunArgument,
    step: Annotated[int | None, typer.Option(min=1, max=MOST, help="Of this step; default: the last one.")] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=MOST, help="How many.")] = 4,
    as_json: Json = False,
) -> None:
    """Show completions of a run, while it runs or later."""
    with expected_errors(as_json):
        shown_step, rows = read_samples(run, step)
        if as_json:
            keys = ("problem_id", "sample", "prompt", "completion", "reward", "solved", "finish_reason", "extra")
            picked = [{"step": shown_step} | {key: getattr(row, key) for key in keys} for row in rows[:count]]
            emit(json.dumps(picked))
            return
        for row in rows[:count]:
            verdict = "ungradable" if row.solved is None else "solved" if row.solved else "not solved"
            emit(f"--- step {shown_step}, {row.problem_id}, sample {row.sample}: {verdict}, reward {row.reward}")
            emit(f"{row.prompt}[completion]{row.completion}")
            for name, value in row.extra.items():
                emit(f"[{name}] {value}")
            emit()


app.command()(plan)
app.command()(run)
app.command()(difficulty)
app.command(hidden=True)(stage)
app.command()(export)
app.command()(serve)
app.command()(chat)
app.command()(price)
app.command("eval", context_settings={"allow_extra_args": True})(eval_commands.evaluate)
app.command()(eval_commands.compare)
app.command()(eval_commands.results)
app.command()(eval_commands.benchmarks)
app.command()(eval_commands.decontaminate)
app.command()(grade)
app.command()(regrade)
app.command()(doctor)
app.add_typer(reward_app, name="reward")


def asked_run(arguments: list[str], smoke: bool, resume: Path | None, unfinished: bool) -> tuple["Recipe", Path | None]:
    """The recipe that `penny train` is asked for, and the folder of the run to go on with, if any."""
    from rl.config.recipe_file import load_recipe
    from rl.training.resume import latest_unfinished, resumed_recipe

    if resume is not None:
        if smoke or unfinished:
            raise BadInput("A resumed run keeps its own recipe: give --resume RUN without --smoke and --continue.")
        return resumed_recipe(resume, arguments), resume
    if not arguments:
        raise BadInput("Say which recipe to train (`penny recipes` lists them), or give --resume RUN.")
    recipe = load_recipe(arguments[0], arguments[1:], smoke)
    folder = latest_unfinished(recipe) if unfinished else None
    return (recipe, None) if folder is None else (resumed_recipe(folder), folder)


def recipe_row(found: "Recipe | Pipeline", gpu: float | None, stages: list[str]) -> dict[str, Any]:
    """A recipe, or a pipeline with its stages, as `penny recipes` lists it."""
    return {
        "name": found.name,
        "description": found.description,
        "status": found.status,
        "min_gpu_memory_gib": gpu,
        "stages": stages,
    }


def show_plan(recipe: "Recipe", warnings: list[str], as_json: bool) -> None:
    """Print what the run would do and take."""
    from rl.base.columns import output_width
    from rl.planner.dry_run import make_plan, plan_dict, plan_text

    made = make_plan(recipe)
    if as_json:
        emit(json.dumps(plan_dict(made, warnings)))
        return
    emit(plan_text(made, output_width()))
    for warning in warnings:
        emit(f"warning: {warning}")


def read_samples(run: Path, step: int | None) -> tuple[int, list["RolloutRow"]]:
    """A step of a run and its completions. Raises BadInput if that step is not stored."""
    from rl.run.folder import RunFolder
    from rl.run.rollouts import read_rollouts, rollout_steps

    folder = RunFolder.open(run)
    steps = rollout_steps(folder)
    if not steps:
        raise BadInput(f"{run} has no completions yet: wait for its first step.")
    if step is not None and step not in steps:
        raise BadInput(f"{run} has no completions of step {step}: it has steps {steps[0]} to {steps[-1]}.")
    shown = steps[-1] if step is None else step
    return shown, read_rollouts(folder, shown)


@contextmanager
def resumable() -> Iterator[list["Recipe"]]:
    """On Ctrl-C, say how to go on with the recipe that the block puts on the list when its run begins."""
    begun: list[Recipe] = []
    try:
        yield begun
    except KeyboardInterrupt:
        how = "nothing was begun yet; start again"
        if begun:
            from rl.training.resume import latest_unfinished

            folder = latest_unfinished(begun[0])
            how = f"go on with: penny train --resume {folder}" if folder else how
        emit(f"\nstopped; {how}", file=sys.stderr)
        raise


def main(arguments: list[str] | None = None) -> Any:
    """Entry point of `penny`."""
    try:
        return app(arguments, prog_name="penny")  # also as `python -m rl.cli`
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            # All is saved, or the user would not wait: a thread of a user's code that hangs must not keep the process.
            forget_log()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        raise


if __name__ == "__main__":
    main()
