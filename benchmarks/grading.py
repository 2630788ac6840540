"""How fast answers are graded, beside the library and a peer's reward: `python -m benchmarks.grading`.

- Answers: the same rows through Penny's ladder, math-verify called directly, and TRL's `accuracy_reward`, in one
  process and in alternating order.
- Case file (math_pairs.jsonl in the folder PENNY_CASES): the same three against its labels, math-verify and TRL's
  reward in grader processes that are killed after some seconds.
- Programs (humaneval.jsonl in PENNY_DATA): Penny's sandbox with one and two workers, and as a measure of what isolation
  costs a fresh interpreter a program with none.
"""

import os
import random
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.part import Part, Results, at_least_one, run_part
from benchmarks.report import spread, table
from benchmarks.workload import in_turn, timed
from rewards.code import grade_code
from rewards.jsonl import jsonl_rows
from rewards.math import grade_math
from rewards.pool import GraderPool
from rl.problems.programs import humaneval_columns

KILL_SECONDS = 5.0
WORDS = ["we", "first", "add", "both", "sides", "and", "then", "note", "that", "the", "term", "is", "equal"]
# What answers look like: (gold, the same otherwise, something else). `{a}`, `{b}` are small numbers.
SHAPES = [
    ("{a}", "{a}", "{b}"),
    ("{a}", "{a}.0", "-{a}"),
    ("{a}000", "{a},000", "{b},000"),
    ("\\frac{{{a}}}{{7}}", "\\dfrac{{{a}}}{{7}}", "\\frac{{{b}}}{{7}}"),
    ("0.{a}", "\\frac{{{a}}}{{100}}", "0.{b}"),
    ("{a}\\sqrt{{3}}", "{a} \\sqrt{{3}}", "{b}\\sqrt{{3}}"),
    ("({a}, {b})", "\\left({a},{b}\\right)", "({b}, {a})"),
    ("{a}\\%", "{a}%", "{b}%"),
    ("\\${a}", "{a} dollars", "\\${b}"),
    ("x^2 + {a}x", "x({a} + x)", "x^2 + {b}x"),
]


def add_options(parser: ArgumentParser) -> None:
    """Sizes."""
    at_least_one(parser, rows=600, programs=164, repeats=3)


def run(options: Namespace) -> dict[str, Any]:
    """Measure what there is data for."""
    cases, data = os.environ.get("PENNY_CASES"), os.environ.get("PENNY_DATA")
    return {
        "answers": answers(options.rows, options.repeats),
        "cases": case_file(read(Path(cases) / "math_pairs.jsonl")) if cases else None,
        "programs": programs(read(Path(data) / "humaneval.jsonl")[: options.programs], options.repeats)
        if data
        else None,
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSONL file."""
    return [row for _, row in jsonl_rows(path)]


def typical(count: int) -> list[tuple[str, str, bool]]:
    """Gold answer, response with a paragraph of reasoning, and whether it is right: half of them are."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        gold, same, other = SHAPES[number % len(SHAPES)]
        a = draw.randint(11, 49)
        numbers = {"a": a, "b": a + draw.randint(1, 40)}
        right = draw.random() < 0.5
        reasoning = " ".join(draw.choices(WORDS, k=120))
        said = (same if right else other).format(**numbers)
        rows.append((gold.format(**numbers), f"{reasoning}. So the answer is $\\boxed{{{said}}}$.", right))
    return rows


def answers(count: int, repeats: int) -> dict[str, Any]:
    """Verdicts a second of each grader on the same typical rows, and how many of them are right."""
    rows = typical(count)
    with GraderPool(workers=1, timeout=KILL_SECONDS) as pool:

        def ladder(rows: Sequence[tuple[str, str, bool]]) -> list[bool]:
            verdicts = grade_math([gold for gold, _, _ in rows], [said for _, said, _ in rows], pool)
            return [verdict.outcome == "correct" for verdict in verdicts]

        ways: dict[str, Callable[[Sequence[tuple[str, str, bool]]], list[bool]]] = {
            "penny": ladder,
            "math-verify": lambda rows: [peers.library(gold, said) for gold, said, _ in rows],
            "TRL accuracy_reward": lambda rows: [peers.trl(gold, said) for gold, said, _ in rows],
        }
        for way in ways.values():
            way(typical(len(SHAPES)))
        rates: dict[str, list[float]] = {name: [] for name in ways}
        right: dict[str, float] = {}
        for _, name in in_turn(ways, repeats):
            verdicts, seconds = timed(partial(ways[name], rows))
            rates[name].append(count / seconds)
            right[name] = sum(v == wanted for v, (_, _, wanted) in zip(verdicts, rows, strict=True)) / count
        cheap = [row for row in rows if not pool_needed(row, pool)]
        cheap_rates = [len(cheap) / timed(partial(ladder, cheap))[1] for _ in range(repeats)]
    return {"rows": count, "rates": rates, "right": right, "cheap": len(cheap) / count, "cheap_rates": cheap_rates}


def pool_needed(row: tuple[str, str, bool], pool: GraderPool) -> bool:
    """Whether the ladder sends a row to math-verify."""
    [verdict] = grade_math([row[0]], [row[1]], pool)
    return "math-verify" in verdict.reason


def case_file(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Each grader against the labels: agreement, wrongly paid, wrongly not paid, killed."""
    golds, responses = [row["gold"] for row in rows], [row["response"] for row in rows]
    labels = [bool(row["correct"]) for row in rows]
    table = {}
    with GraderPool(workers=2, timeout=KILL_SECONDS) as pool:
        started = time.perf_counter()
        verdicts = grade_math(golds, responses, pool)
        paid = [verdict.outcome == "correct" for verdict in verdicts]
        killed = sum("timed out" in verdict.reason for verdict in verdicts)
        table["penny"] = against(labels, paid, killed, time.perf_counter() - started)
        for name, function in (("math-verify", "library"), ("TRL accuracy_reward", "trl")):
            started = time.perf_counter()
            results = pool.map(f"benchmarks.peers:{function}", list(zip(golds, responses, strict=True)))
            paid = [result.kind == "value" and bool(result.value) for result in results]
            killed = sum(result.kind == "timed_out" for result in results)
            table[name] = against(labels, paid, killed, time.perf_counter() - started)
    return {"rows": len(rows), "graders": table}


def against(labels: Sequence[bool], paid: Sequence[bool], killed: int, seconds: float) -> dict[str, float]:
    """The figures of one grader."""
    pairs = list(zip(labels, paid, strict=True))
    return {
        "agreement": sum(label == pay for label, pay in pairs) / len(pairs),
        "wrongly paid": sum(pay and not label for label, pay in pairs),
        "wrongly not paid": sum(label and not pay for label, pay in pairs),
        "killed": killed,
        "seconds": seconds,
    }


def programs(rows: Sequence[Mapping[str, Any]], repeats: int) -> dict[str, Any]:
    """Canonical programs a second, all of which must pass."""
    tasks = [humaneval_columns(row) for row in rows]
    jobs = [{**task, "completion": task["solution"]} for task in tasks]

    def bare(_: int) -> int:
        return sum(
            subprocess.run(
                [sys.executable, "-I", "-c", f"{job['check']}\n{job['solution']}\ncheck({job['entry_point']})"],
                stdout=subprocess.DEVNULL,
                check=False,
            ).returncode
            == 0
            for job in jobs
        )

    with GraderPool(1, 10.0) as one, GraderPool(2, 10.0) as two:

        def sandboxed(pool: GraderPool, _: int) -> int:
            return sum(verdict.outcome == "correct" for verdict in grade_code(jobs, pool))

        ways = {
            "penny, 2 workers": partial(sandboxed, two),
            "penny, 1 worker": partial(sandboxed, one),
            "a fresh interpreter each, not isolated, 1 at a time": bare,
        }
        passed = {name: way(0) for name, way in ways.items()}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for repeat, name in in_turn(ways, repeats):
            count, seconds = timed(partial(ways[name], repeat))
            rates[name].append(count / seconds)
    return {"programs": len(jobs), "passed": passed, "rates": rates}


def markdown(results: Results) -> Iterator[str]:
    """All figures as tables."""
    found = results["answers"]
    yield "## Answers"
    yield (
        f"{found['rows']} typical answers, half of them right; verdicts a second in one process, median and range of "
        f"{len(found['cheap_rates'])}. The cheap rungs decide {found['cheap']:.0%} of them, at "
        f"{spread(found['cheap_rates'])} a second."
    )
    yield table(
        ("Grader", "Verdicts/s", "Right"),
        [(name, spread(rates), f"{found['right'][name]:.1%}") for name, rates in found["rates"].items()],
    )
    if results["cases"]:
        graders = results["cases"]["graders"]
        columns = list(next(iter(graders.values())))
        yield "## Labelled cases"
        yield f"{results['cases']['rows']} rows made to be hard; killed after {KILL_SECONDS:g} s; two grader processes."
        yield table(
            ("Grader", *columns), [(name, *(cell(row[c], c) for c in columns)) for name, row in graders.items()]
        )
    if results["programs"]:
        rates, passed = results["programs"]["rates"], results["programs"]["passed"]
        yield "## Programs"
        yield (
            f"{results['programs']['programs']} canonical solutions of HumanEval with their check scripts; programs a "
            "second, median and range."
        )
        yield table(("Way", "Programs/s", "Passed"), [(name, spread(rates[name]), str(passed[name])) for name in rates])


def cell(value: float, column: str) -> str:
    """A figure as it is shown."""
    return f"{value:.1%}" if column == "agreement" else f"{value:.0f}"


PART = Part("grading", "What grading costs", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
