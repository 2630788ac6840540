"""Fixtures of the problem tests: a tokenizer, recipes written in Python, and the benchmark files."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from rl.config.recipe import Recipe


@pytest.fixture(scope="session")
def tokenizer(tiny_model: Path) -> PreTrainedTokenizerFast:
    """One token a byte; ChatML template."""
    return PreTrainedTokenizerFast.from_pretrained(tiny_model)


@pytest.fixture(scope="session")
def make_recipe() -> Callable[..., Recipe]:
    """A recipe from its `problems` section and keys of `evaluation`."""

    def make(section: dict[str, Any], seed: int = 0, **evaluation: Any) -> Recipe:
        tree = {
            "name": "test",
            "model": {"name": "tiny"},
            "problems": section,
            "rewards": {"functions": {"exact_number": 1.0}},
            "evaluation": evaluation,
            "run": {"seed": seed},
        }
        return Recipe.model_validate(tree)

    return make


@pytest.fixture
def write_jsonl(tmp_path: Path) -> Callable[[list[Any]], str]:
    def write(rows: list[Any]) -> str:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def benchmark_data() -> Path:
    folder = os.environ.get("PENNY_DATA")
    if not folder:
        pytest.skip("PENNY_DATA is not set: no local benchmark files to check against")
    return Path(folder)
