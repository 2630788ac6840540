"""A run of `penny train` in a process of its own, as a user would start it: what each of its steps took."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl.config.recipe import Recipe
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.training.checks import check_recipe
from rl.training.launch import run_recipe


def penny_steps(recipe: Mapping[str, Any]) -> list[dict[str, float]]:
    """Train a recipe; the seconds of each step by phase, its lengths, and its groups without signal."""
    with tempfile.TemporaryDirectory(prefix="penny-bench-") as scratch:
        parsed = Recipe.model_validate({**recipe, "run": {**recipe["run"], "dir": str(Path(scratch) / "run")}})
        check_recipe(parsed)
        _, path = run_recipe(parsed, as_json=True)
        return [as_step(line) for line in read_metrics(RunFolder(path))]


def as_step(line: Mapping[str, Any]) -> dict[str, float]:
    """A line of `metrics.jsonl` in the names of benchmarks/trl_process.py."""
    phases = {name: line[f"time/{name}"] for name in ("generate", "grade", "learn", "sync")}
    return {
        "step": line["time/step"],
        **phases,
        "rest": line["time/step"] - sum(phases.values()),
        "mean_length": line["completions/mean_length"],
        "no_signal": line["groups/no_signal"],
    }
