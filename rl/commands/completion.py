"""What a shell offers when Tab is pressed: names of recipes, pipelines, benchmarks, rewards, models, and keys.

`penny --install-completion` sets it up. Nothing heavy is imported, as the user waits.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from rl.config.listed import benchmark_names, pipeline_names, recipe_names
from rl.config.model_name import HUB_IDS

Complete = Callable[[typer.Context, str], list[str]]


def complete_recipe(context: typer.Context, incomplete: str) -> list[str]:
    """Offer recipes, and after one keys of recipes."""
    return _named_then_keys(context, incomplete, recipe_names())


def complete_recipe_or_pipeline(context: typer.Context, incomplete: str) -> list[str]:
    """Offer recipes and pipelines, and after one keys of recipes."""
    return _named_then_keys(context, incomplete, [*recipe_names(), *pipeline_names()])


def complete_pipeline(context: typer.Context, incomplete: str) -> list[str]:
    """Offer pipelines, and after one keys for all of its stages."""
    return _named_then_keys(context, incomplete, pipeline_names(), prefix="defaults.")


def complete_benchmark(incomplete: str) -> list[str]:
    """Offer benchmarks, suites and recipes, for the last one of several with commas between."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in _begun(last, [*benchmark_names(), *recipe_names()])]


def complete_reward(incomplete: str) -> list[str]:
    """Offer built-in rewards and Python files."""
    from rewards.registry import names

    return _begun(incomplete, [*names(), *_paths(incomplete, "*.py")])


def complete_model(incomplete: str) -> list[str]:
    """Offer aliases, runs and folders."""
    return _begun(incomplete, [*HUB_IDS, *map(str, Path("runs").glob("*")), *_paths(incomplete, "*/")])


def _named_then_keys(context: typer.Context, incomplete: str, names: list[str], prefix: str = "") -> list[str]:
    if not context.params.get("arguments"):
        return _begun(incomplete, [*names, *_paths(incomplete, "*.yaml"), *_paths(incomplete, "*/")])
    from rl.config.recipe import Recipe
    from rl.config.yaml_tree import known_keys

    keys = known_keys(Recipe)
    sections = {key.rpartition(".")[0] for key in keys}
    return _begun(incomplete, [f"{prefix}{key}=" for key in keys if "." in key and key not in sections])


def _begun(incomplete: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})


def _paths(incomplete: str, pattern: str) -> list[str]:
    """Return files or folders like `pattern` in the folder that the incomplete word names."""
    place = incomplete.rpartition("/")[0]
    folder = Path(place or ".").expanduser() if place or not incomplete.startswith("/") else Path("/")
    ending = "/" if pattern.endswith("/") else ""
    found = folder.glob(pattern) if folder.is_dir() else ()
    return [f"{place}/{entry.name}{ending}" if place else f"{entry.name}{ending}" for entry in found]
