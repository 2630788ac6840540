"""The command that looks ahead: `penny plan`."""

import json
import sys
from typing import Annotated

import typer

from rl.grade_commands import Json
from rl.told import told


def plan(
    arguments: Annotated[
        list[str],
        typer.Argument(metavar="RECIPE [SECTION.KEY=VALUE ...]", help="Name or path, and changes to it."),
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
    dollars_per_hour: Annotated[float | None, typer.Option(help="Price of the machine.")] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help="With the recipe's smoke settings.")] = False,
    as_json: Json = False,
) -> None:
    """Predict memory, step time, hours and dollars of a recipe, before it runs."""
    with told(as_json):
        from rl.planner.forecast import Request, forecast
        from rl.planner.show import forecast_dict, forecast_text
        from rl.recipe_file import load_recipe

        recipe = load_recipe(arguments[0], arguments[1:], smoke)
        request = Request(recipe, gpu, calibrate, mean_length, dollars_per_hour)
        forecasts = forecast(request, lambda text: print(text, file=sys.stderr))
        print(json.dumps(forecast_dict(recipe, forecasts)) if as_json else forecast_text(recipe, forecasts))
