"""The names of what comes with Penny: recipes, pipelines, benchmarks and suites, read from their files alone."""

from pathlib import Path

from rl.config.yaml_text import parse_yaml

PACKAGE = Path(__file__).resolve().parents[1]


def recipes_folder(package: Path) -> Path:
    """Return the folder of the recipes: in an installed package `rl` itself, in a checkout beside it."""
    installed = package / "recipes"
    return installed if installed.is_dir() else package.with_name("recipes")


RECIPES = recipes_folder(PACKAGE)
PIPELINES = RECIPES / "pipelines"
BENCHMARKS = PACKAGE / "problems" / "benchmarks.yaml"


def recipe_names() -> list[str]:
    """Return the names of the recipes, in order."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def pipeline_names() -> list[str]:
    """Return the names of the pipelines, in order."""
    return sorted(path.stem for path in PIPELINES.glob("*.yaml"))


def benchmark_names() -> list[str]:
    """Return the names of the benchmarks and suites, in the order of their table."""
    table = parse_yaml(BENCHMARKS.read_text(encoding="utf-8"))
    return [*table["benchmarks"], *table["suites"]]
