"""What a process of their own costs users' rewards: `python -m benchmarks.isolation`.

A reward that does nearly nothing grades batches of 64 completions of 300 tokens, within this process and in one of its
own, in alternating order. The figure is what a batch takes, so the difference is what the isolation costs.
"""

import random
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.part import Part, Results, at_least_one, run_part
from benchmarks.report import spread, table
from benchmarks.workload import in_turn, timed
from rewards.grading import Grader
from rewards.isolated.reward import Home, IsolatedReward, Settings

COMPLETIONS, TOKENS = 64, 300
CHARACTERS_A_TOKEN = 4
VOCABULARY = 50_000
REWARD = (
    "def ends_well(completions, answer, completion_ids):\n    return [text.endswith('.') for text in completions]\n"
)
Batch = tuple[list[str], list[str], dict[str, list[Any]]]


def add_options(parser: ArgumentParser) -> None:
    """Sizes."""
    at_least_one(parser, batches=100, repeats=5)


def run(options: Namespace) -> dict[str, Any]:
    """Measure both ways, and what it takes to start a process and import the reward in it."""
    batch = typical()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mine.py"
        file.write_text(REWARD, encoding="utf-8")
        spec = f"{file}:ends_well"
        starts = [timed(partial(start, spec))[1] * 1e3 for _ in range(options.repeats)]
        settings: dict[str, Any] = {"timeout": 10.0, "workers": 1, "accuracy": None, "correct_above": 0.5}
        ways = {
            "within the run": Grader({spec: 1.0}, **settings),
            "in a process of its own": Grader({spec: 1.0}, isolated=True, **settings),
        }
        milliseconds: dict[str, list[float]] = {name: [] for name in ways}
        for grader in ways.values():
            grader.grade(*batch)
        for _, name in in_turn(ways, options.repeats):
            seconds = timed(partial(grade, ways[name], batch, options.batches))[1]
            milliseconds[name].append(seconds / options.batches * 1e3)
        for grader in ways.values():
            grader.close()
    return {"batches": options.batches, "milliseconds": milliseconds, "starts": starts}


def typical() -> Batch:
    """Completions, prompts and columns of one batch."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz    .,"
    texts = ["".join(draw.choices(letters, k=TOKENS * CHARACTERS_A_TOKEN)) for _ in range(COMPLETIONS)]
    ids = [[draw.randrange(VOCABULARY) for _ in range(TOKENS)] for _ in range(COMPLETIONS)]
    return texts, ["What is it?"] * COMPLETIONS, {"answer": ["7"] * COMPLETIONS, "completion_ids": ids}


def grade(grader: Grader, batch: Batch, count: int) -> None:
    """Grade a batch so many times."""
    for _ in range(count):
        grader.grade(*batch)


def start(spec: str) -> None:
    """Start a process, and import a reward in it."""
    home = Home()
    IsolatedReward(spec, None, Settings(1, 10.0), home)
    home.stop()


def markdown(results: Results) -> Iterator[str]:
    """All figures as a table."""
    yield (
        f"Batches of {COMPLETIONS} completions of {TOKENS} tokens with their token ids, {results['batches']} a figure; "
        f"median and range. To start the process, import a small file in it and end it takes "
        f"{spread(results['starts'])} ms."
    )
    yield table(("Reward", "ms a batch"), [(name, spread(times)) for name, times in results["milliseconds"].items()])


PART = Part("isolation", "What a process of their own costs users' rewards", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
