"""What Tab offers, and that the user does not wait for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rl.config.listed import benchmark_names, pipeline_names, recipe_names
from rl.config.recipe_file import list_recipes
from rl.evaluation.benchmarks import find_suite
from rl.pipelines.pipeline_file import list_pipelines

HEAVY = "{'torch', 'transformers', 'numpy', 'pyarrow', 'datasets', 'huggingface_hub'}"
CODE = f"""
import atexit, sys
from rl.cli import main
atexit.register(lambda: print('heavy:', {HEAVY} & set(sys.modules), file=sys.stderr))
main([])
"""


def offered(words: str, folder: Path) -> list[str]:
    """What bash is offered for the last of the words."""
    asked = {
        "_PENNY_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    }
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, cwd=folder, env=os.environ | asked, timeout=60
    )
    assert done.stderr == "heavy: set()\n"
    return done.stdout.split("\n")


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("penny tra", ["train"]),
        ("penny train gsm", ["gsm8k", "gsm8k-1.5b"]),
        ("penny train mine", ["mine.yaml"]),
        ("penny train gsm8k optimizer.l", ["optimizer.learning_rate=", "optimizer.lr_scheduler_type="]),
        ("penny run r1-", ["r1-mini", "r1-zero"]),
        ("penny plan r1-m", ["r1-mini"]),
        ("penny run r1-mini defaults.run.di", ["defaults.run.dir="]),
        ("penny eval --benchmark gsm8k,math5", ["gsm8k,math500"]),
        ("penny eval --model runs/", ["runs/one"]),
        ("penny chat tin", ["tiny", "tiny-moe"]),
        ("penny reward test exact", ["exact_number"]),
        ("penny reward test rew", ["rew.py"]),
    ],
)
def test_tab(words: str, first: list[str], tmp_path: Path) -> None:
    for name in ("mine.yaml", "rew.py", "runs/one/recipe.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert offered(words, tmp_path)[: len(first)] == first


def test_the_names_are_those_that_the_commands_know() -> None:
    assert recipe_names() == [recipe.name for recipe in list_recipes()]
    assert pipeline_names() == [pipeline.name for pipeline in list_pipelines()]
    for name in benchmark_names():
        assert find_suite([name])
