"""Fixtures: a small recipe and an empty run folder of it."""

from pathlib import Path

import pytest

from rl.config.recipe import Recipe
from rl.run.folder import RunFolder


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "name": "sums",
            "model": {"name": "tiny"},
            "problems": {"source": "arithmetic"},
            "rewards": {"functions": {"number": 1.0}},
            "optimizer": {"max_steps": 4},
            "run": {"seed": 7, "dollars_per_hour": 36.0},
        }
    )


@pytest.fixture
def folder(tmp_path: Path, recipe: Recipe) -> RunFolder:
    return RunFolder.create(tmp_path / "sums", recipe)
