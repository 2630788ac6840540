"""The command that looks ahead: `penny plan`, for recipes and for pipelines."""

import json
import sys
from typing import Annotated, Any

import typer

from rewards.errors import BadInput
from rl.base.exits import expected_errors
from rl.base.visible import emit
from rl.commands.completion import complete_recipe_or_pipeline
from rl.commands.grade import Json
from rl.run.loading import LIBRARIES, loading

PlanText = tuple[dict[str, Any], str]


def plan(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="RECIPE|PIPELINE [KEY=VALUE ...]",
            help="Name or path, and changes to it.",
            autocompletion=complete_recipe_or_pipeline,
        ),
    ],
    gpu: Annotated[
        str | None, typer.Option(metavar="NAMES", help="GPUs by name, e.g. l4,h100; default: this machine.")
    ] = None,
    calibrate: Annotated[
        bool | None,
        typer.Option(
            "--calibrate/--no-calibrate",
            help="Run engine and learner for a minute or two, even if that was done before; or not at all.",
            show_default="once, without --gpu",
        ),
    ] = None,
    mean_length: Annotated[
        float | None, typer.Option(metavar="TOKENS", help="Of a completion; default: as the model answers now.")
    ] = None,
    mean_trace: Annotated[
        float | None, typer.Option(metavar="TOKENS", help="Of a row that a pipeline fine-tunes on; default: the limit.")
    ] = None,
    dollars_per_hour: Annotated[float | None, typer.Option(help="Price of the machine.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="With the recipe's smoke settings.")] = False,
    as_json: Json = False,
) -> None:
    """Predict memory, step time, hours and dollars of a recipe, or hours and dollars of a pipeline's stages."""
    with expected_errors(as_json):
        from rl.pipelines.pipeline_file import is_pipeline_file

        if is_pipeline_file(arguments[0]):
            found, text = planned_pipeline(arguments, smoke, gpu, calibrate, mean_length, mean_trace, dollars_per_hour)
        elif mean_trace is not None:
            raise BadInput("--mean-trace is for pipelines, whose stages fine-tune; a recipe does not: leave it out.")
        else:
            found, text = planned_recipe(arguments, smoke, gpu, calibrate, mean_length, dollars_per_hour)
        emit(json.dumps(found) if as_json else text)


def planned_recipe(arguments: list[str], smoke: bool, *asked: Any) -> PlanText:
    """A recipe's forecast, for machines and for people."""
    from rl.config.recipe_file import load_recipe

    recipe = load_recipe(arguments[0], arguments[1:], smoke)
    with loading(LIBRARIES):
        from rl.planner.forecast import Request, forecast
        from rl.planner.show import forecast_dict, forecast_text

    forecasts = forecast(Request(recipe, *asked), say)
    return forecast_dict(recipe, forecasts), forecast_text(recipe, forecasts)


def planned_pipeline(arguments: list[str], smoke: bool, *asked: Any) -> PlanText:
    """A pipeline's forecast, for machines and for people."""
    from rl.pipelines.pipeline_file import load_pipeline

    pipeline = load_pipeline(arguments[0], arguments[1:], smoke)
    with loading(LIBRARIES):
        from rl.planner.ladder import LadderRequest, forecast_ladder
        from rl.planner.show import ladder_dict, ladder_text

    forecasts = forecast_ladder(LadderRequest(pipeline, *asked), say)
    return ladder_dict(pipeline.name, forecasts), ladder_text(pipeline.name, forecasts)


def say(text: str) -> None:
    """Warnings and progress, beside the output."""
    emit(text, file=sys.stderr)
