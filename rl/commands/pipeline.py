"""The commands of the ladder: `penny run`, and `penny stage`, which it starts for each stage."""

import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rl.base.exits import expected_errors
from rl.base.visible import emit
from rl.commands.completion import complete_pipeline, complete_recipe
from rl.commands.grade import Json, print_table
from rl.commands.numbers import MOST, MOST_SAMPLES
from rl.run.loading import LIBRARIES, loading
from rl.run.own_gpu import take_own_gpu

if TYPE_CHECKING:
    from rl.pipelines.schema import Pipeline


AcceptChangedData = Annotated[
    bool, typer.Option("--accept-changed-data", help="Go on with a run though its problems have changed.")
]


def run(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="PIPELINE [STAGE.SECTION.KEY=VALUE ...]",
            help="Name or path, and changes to it.",
            autocompletion=complete_pipeline,
        ),
    ],
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="STAGE", help="Do this stage and all after it again; what they made is kept aside."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Keep it here; default: runs/PIPELINE.")
    ] = None,
    reuse: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Take over the first stages from another pipeline's folder, where they are the same."
        ),
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="With the pipeline's smoke settings, on any machine.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, show the stages, load no model.")
    ] = False,
    accept_changed_data: AcceptChangedData = False,
    as_json: Json = False,
) -> None:
    """Run a pipeline of stages; the same command goes on where it was stopped."""
    with expected_errors(as_json):
        from rl.pipelines.pipeline_file import load_pipeline

        pipeline = load_pipeline(arguments[0], arguments[1:], smoke)
        with loading(LIBRARIES):
            from rl.pipelines.books import PipelineFolder, enter, take_over
            from rl.pipelines.checks import check_pipeline
            from rl.pipelines.ladder import write_ladder
            from rl.pipelines.runner import launch_process, run_pipeline

        place = folder or Path("runs") / pipeline.name
        for warning in check_pipeline(pipeline):
            emit(f"warning: {warning}", file=sys.stderr)
        if dry_run:
            emit(json.dumps(plan_of(pipeline)) if as_json else plan_text(pipeline, PipelineFolder(place, pipeline)))
            return
        books = enter(place, pipeline, begin)
        if reuse is not None:
            emit(f"taken over from {reuse}: {', '.join(take_over(books, reuse))}", file=sys.stderr)
        launch = functools.partial(launch_process, accept_changed_data=accept_changed_data)
        code = run_pipeline(books, launch, lambda text: emit(text, file=sys.stderr, flush=True))
        print_ladder(write_ladder(books), place, as_json)
    raise typer.Exit(code)


def stage(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a pipeline's run.")],
    name: Annotated[str, typer.Argument(metavar="STAGE", help="The stage.")],
    accept_changed_data: AcceptChangedData = False,
) -> None:
    """Run one stage of a pipeline that `penny run` has begun."""
    began = time.monotonic()  # libraries take seconds to load, and that is paid for, too
    with expected_errors(False):
        take_own_gpu(os.environ)
        with loading(LIBRARIES):
            from rl.evaluation.command import Listener
            from rl.pipelines.books import open_pipeline
            from rl.pipelines.runner import run_stage

        listener = Listener(lambda text: emit(f"note: {text}", file=sys.stderr))
        code = run_stage(open_pipeline(folder), name, listener, began, accept_changed_data)
    raise typer.Exit(code)


def difficulty(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE [SECTION.KEY=VALUE ...]",
            help="Name or path, and changes to it.",
            autocompletion=complete_recipe,
        ),
    ],
    samples: Annotated[
        int, typer.Option("-n", "--num-samples", min=1, max=MOST_SAMPLES, help="Answers a problem.")
    ] = 4,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Only the first so many training problems.")
    ] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="With the recipe's smoke settings.")] = False,
    as_json: Json = False,
) -> None:
    """Measure how often a recipe's model solves its training problems; `difficulty` in recipes goes by it."""
    with expected_errors(as_json):
        from rl.config.recipe_file import load_recipe

        recipe = load_recipe(arguments[0], arguments[1:], smoke)
        with loading(LIBRARIES):
            from rl.evaluation.command import Listener
            from rl.pipelines.difficulty import measure_difficulty

        listener = Listener(lambda text: emit(f"note: {text}", file=sys.stderr))
        found = measure_difficulty(recipe, samples, limit, listener)
        if as_json:
            emit(json.dumps(found))
            return
        emit(f"{found['problems']} problems, {found['answers']} answers, pass rate {found['pass_rate']:.1%}")
        print_table(["pass rate", "problems"], [[name, str(count)] for name, count in found["histogram"].items()])
        emit(f"{found['in_band']} inside the band of the recipe's difficulty")


def plan_of(pipeline: "Pipeline") -> dict[str, Any]:
    """What a pipeline would do, as data."""
    stages = {name: stage.model_dump(mode="json") for name, stage in pipeline.stages.items()}
    return {"name": pipeline.name, "description": pipeline.description, "stages": stages}


def plan_text(pipeline: "Pipeline", books: Any) -> str:
    """What a pipeline would do, stage by stage."""
    lines = [f"{pipeline.name}: {pipeline.description}"]
    for name, stage in pipeline.stages.items():
        data = f", data of {', '.join(stage.data_from) or 'the last traces'}" if stage.kind == "sft" else ""
        lines.append(f"  {name:<16} {stage.kind:<9} from {books.start_of(name)}{data}")
    return "\n".join(lines)


def print_ladder(found: dict[str, Any], place: Path, as_json: bool) -> None:
    """Show what came out."""
    if as_json:
        emit(json.dumps(found | {"folder": str(place)}))
        return
    from rl.pipelines.ladder import HEADS, table

    print_table(list(HEADS), [list(row) for row in table(found)])
    for note in (found["band_reason"], found["slower"]):
        if note:
            emit(note)
    emit(f"page: {place / 'report.html'} (as text: {place / 'ladder.md'})")
    if found["complete"]:
        emit(f"next: penny chat {place}; penny export {place} -o models/{place.name}")
