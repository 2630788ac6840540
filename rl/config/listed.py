"""The names of what comes with Penny: recipes, pipelines, benchmarks and suites, read from their files alone."""

from pathlib import Path

from rl.config.yaml_text import parse_yaml

ROOT = Path(__file__).resolve().parents[2]
RECIPES = ROOT / "recipes"
PIPELINES = RECIPES / "pipelines"
BENCHMARKS = ROOT / "rl" / "problems" / "benchmarks.yaml"


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
