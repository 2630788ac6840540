"""What an evaluation came to: counts while it runs, then scores, costs, and the content of `results.json`."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from rewards.math.classes import answer_classes
from rl.evaluation.extraction import extraction_of
from rl.evaluation.folder import answers_file
from rl.evaluation.source import Source
from rl.evaluation.statistics.measures import measures
from rl.evaluation.units import Unit
from rl.grading.outputs import Output
from rl.run.evaluations import EvaluationRow
from rl.run.manifest import hardware, versions

MILLION = 1e6


@dataclass
class Tokens:
    """Of one unit: tokens generated now, taken from the cache, and of the prompts that were sent now."""

    generated: int = 0
    cached: int = 0
    prompts: int = 0


@dataclass
class Tally:
    """Answers and tokens so far, by unit.

    Attributes:
        units: what is asked.
        answers: that are there.
        generating_seconds: spent waiting for answers, with the start of the engine.
        rows: of each unit, once all is graded, by problem and sample.
    """

    units: Sequence[Unit]
    answers: int = 0
    generating_seconds: float = 0.0
    tokens_by_unit: list[Tokens] = field(init=False)
    rows: list[list[EvaluationRow]] = field(init=False)

    def __post_init__(self) -> None:
        self.tokens_by_unit = [Tokens() for _ in self.units]
        self.rows = [[] for _ in self.units]

    @property
    def tokens(self) -> int:
        """Generated in all."""
        return sum(tokens.generated for tokens in self.tokens_by_unit)

    @contextmanager
    def generating(self) -> Iterator[None]:
        """Count the seconds of the block as generating."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.generating_seconds += time.perf_counter() - began

    def count(self, number: int, p: int, output: Output, cached: bool) -> None:
        """Count an answer to prompt p of a unit."""
        tokens, length = self.tokens_by_unit[number], output.num_tokens or 0
        self.answers += 1
        if cached:
            tokens.cached += length
        else:
            tokens.generated += length
            sent = len(self.units[number].prompts[p].token_ids)
            tokens.prompts += sent if output.prompt_tokens is None else output.prompt_tokens

    def fill(self, graded: Sequence[tuple[int, EvaluationRow]]) -> None:
        """Take the graded answers: sorted, and with classes where they can vote."""
        for number, unit in enumerate(self.units):
            place = {prompt.problem.id: p for p, prompt in enumerate(unit.prompts)}
            rows = [row for index, row in graded if index == number]
            rows.sort(key=lambda row: (place[row.problem_id], row.sample))
            self.rows[number] = with_classes(rows) if unit.benchmark.majority else rows


@dataclass(frozen=True)
class Cost:
    """What it took; see `cost` in `rl.evaluation.folder`."""

    seconds: float
    load_seconds: float
    generating_seconds: float
    tokens: int
    cached_tokens: int
    dollars_per_hour: float
    dollars: float
    dollars_per_million_tokens: float | None

    @classmethod
    def of(
        cls,
        seconds: float,
        source: Source,
        tally: Tally,
        dollars_per_hour: float | None,
        dollars_per_million: tuple[float, float] | None,
    ) -> "Cost":
        """By the hour for a machine; by the token, of prompts and of completions, where a server has such prices."""
        rate = source.dollars_per_hour if dollars_per_hour is None else dollars_per_hour
        dollars = seconds / 3600 * rate
        if dollars_per_million is not None:
            prompts = sum(tokens.prompts for tokens in tally.tokens_by_unit)
            dollars += (prompts * dollars_per_million[0] + tally.tokens * dollars_per_million[1]) / MILLION
        return cls(
            seconds=seconds,
            load_seconds=source.load_seconds,
            generating_seconds=tally.generating_seconds - source.load_seconds,
            tokens=tally.tokens,
            cached_tokens=sum(tokens.cached for tokens in tally.tokens_by_unit),
            dollars_per_hour=rate,
            dollars=dollars,
            dollars_per_million_tokens=dollars / tally.tokens * MILLION if tally.tokens and dollars else None,
        )


def with_classes(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """The rows with the class of each answer among those to the same problem."""
    by_problem: dict[str, list[EvaluationRow]] = {}
    for row in rows:
        by_problem.setdefault(row.problem_id, []).append(row)
    return [
        replace(row, answer_class=number)
        for group in by_problem.values()
        for row, number in zip(
            group, answer_classes([row.answer for row in group], [row.solved for row in group]), strict=True
        )
    ]


def evaluation_results(
    source: Source, units: Sequence[Unit], tally: Tally, cost: Cost, complete: bool
) -> dict[str, Any]:
    """What `results.json` holds."""
    results = [
        unit_result(unit, rows, tally.tokens_by_unit[n])
        for n, (unit, rows) in enumerate(zip(units, tally.rows, strict=True))
    ]
    installed = versions()
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": complete and not any(result["missing"] for result in results),
        "penny": installed.get("penny-rl"),
        "versions": installed,
        "hardware": hardware(),
        "command": shlex.join(sys.argv),
        "subject": dict(source.subject),
        "engine": source.engine,
        "dtype": source.dtype,
        "cost": asdict(cost),
        "results": with_best(results),
    }


def unit_result(unit: Unit, rows: Sequence[EvaluationRow], tokens: Tokens) -> dict[str, Any]:
    """The result of one unit."""
    benchmark, section = unit.benchmark, unit.benchmark.problems
    measured = measures(rows, benchmark.majority, unit.problems, unit.num_samples)
    return {
        "benchmark": benchmark.name,
        "description": benchmark.description,
        "template": unit.template,
        "answers": stored_rows(unit),
        "dataset": {
            "name": section.path or section.name or section.source,
            "config": section.config,
            "split": section.split,
            "revision": section.revision,
            "sha256": unit.data_sha256,
        },
        "problems": unit.problems,
        "asked": len(rows) + measured["missing"],
        "unknown_rows": unit.stored.unknown_rows if unit.stored else 0,
        "extraction": extraction_of(benchmark.rewards),
        **measured,
        "num_samples": unit.num_samples,
        **unit.drawn,
        "prompt_tokens": tokens.prompts,
        "tokens": tokens.generated,
        "cached_tokens": tokens.cached,
    }


def with_best(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mark the best template of each benchmark; of equals the first."""
    best: dict[str, Mapping[str, Any]] = {}
    for result in results:
        name = result["benchmark"]
        if name not in best or result["pass@1"] > best[name]["pass@1"]:
            best[name] = result
    return [{**result, "best": best[result["benchmark"]] is result} for result in results]


def stored_rows(unit: Unit) -> str:
    """The file of the unit's answers in the folder."""
    return answers_file(unit.benchmark.name, unit.template)
