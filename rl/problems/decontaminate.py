"""Training problems that are also in a benchmark: a report of them, and the gate that keeps them out of a run.

Compared is what is asked, by shared n-grams of words (`rl.problems.ngrams`):

- of a row with a column `question`, `problem`, `prompt` or `text` that the template names, that column, and else all
  columns that it names; instructions around them and worked solutions are not compared;
- of MBPP's tasks also their asserts, since many tasks differ in one word ("area of a rhombus", "of a pentagon");
- of Countdown and arithmetic problems a key without regard to order, which is equal or not (`generated_key`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeGuard

from rewards.errors import BadInput
from rl.base.nearest import meant
from rl.config.recipe import ProblemsSection
from rl.problems.benchmark import Benchmark, benchmark_table
from rl.problems.conversation import as_text
from rl.problems.generated import arithmetic_key, countdown_key
from rl.problems.ngrams import MIN_COVERAGE, NGRAM, Index, Overlap, Question, build_index, find_overlaps, read
from rl.problems.problem import Problem
from rl.problems.template import QUESTION_COLUMNS, template_columns

EXAMPLES = 5  # overlaps that a report keeps of each benchmark
SHOWN = 240  # characters of a shared run that people are shown


@dataclass(frozen=True)
class Contamination:
    """What a training set has of one benchmark.

    Attributes:
        benchmark: its name.
        problems: how many problems it has.
        touched: how many of them have at least one training problem too near.
        share: `touched` of `problems`.
        training: ids of these training problems, in the order of the set.
        worst: the `EXAMPLES` problems with the largest coverage, each with the training problem that has most of it.
    """

    benchmark: str
    problems: int
    touched: int
    share: float
    training: tuple[str, ...]
    worst: tuple[Overlap, ...]


@dataclass(frozen=True)
class Report:
    """What a training set of `problems` problems has of each benchmark, at `ngram` words and `min_coverage`."""

    problems: int
    ngram: int
    min_coverage: float
    benchmarks: tuple[Contamination, ...]

    def training(self) -> set[str]:
        """Ids of all training problems that are too near to any of the benchmarks."""
        return {name for found in self.benchmarks for name in found.training}

    def counts(self) -> dict[str, int]:
        """How many training problems are too near, by benchmark; one can be near to several."""
        return {found.benchmark: len(found.training) for found in self.benchmarks}

    def as_dict(self) -> dict[str, Any]:
        """The report for machines."""
        return {**asdict(self), "contaminated": len(self.training())}


def contamination_report(
    problems: Sequence[Problem],
    columns: Sequence[str],
    benchmarks: Iterable[Benchmark],
    n: int = NGRAM,
    min_coverage: float = MIN_COVERAGE,
) -> Report:
    """Look for each benchmark's problems among the training problems.

    Args:
        problems: the training set.
        columns: what is compared of it (see `question_columns`); the benchmarks' prompts name theirs.
        benchmarks: loaded here, one after the other.
        n: words of an n-gram.
        min_coverage: share of a benchmark problem's n-grams from which on a training problem is too near; 0: any.

    Raises:
        BadInput: a benchmark's problems cannot be loaded, or a problem lacks a column.
    """
    indices = {benchmark.name: _load_index(benchmark, n) for benchmark in benchmarks}
    found: dict[str, list[Overlap]] = {name: [] for name in indices}
    for problem in problems:
        training = read(as_question(problem, columns), n)
        for name, index in indices.items():
            found[name] += find_overlaps(index, training, min_coverage)
    each = tuple(_summarize(name, len(index.readings), found[name]) for name, index in indices.items())
    return Report(len(problems), n, min_coverage, each)


def decontaminate(section: ProblemsSection, problems: Sequence[Problem]) -> tuple[list[Problem], Report | None]:
    """The training problems without those that are in the benchmarks of `problems.decontaminate`, and the report.

    Nothing is loaded or left out, and the report is None, if no benchmark is named.

    Raises:
        BadInput: an unknown benchmark, one that cannot be loaded, or, with `contaminated: refuse`, a training problem
            that is too near to one of a benchmark.
    """
    if not section.decontaminate:
        return list(problems), None
    benchmarks = [named_benchmark(name) for name in dict.fromkeys(section.decontaminate)]
    report = contamination_report(problems, question_columns(section.prompt), benchmarks, section.decontaminate_ngram)
    too_near = report.training()
    if too_near and section.contaminated == "refuse":
        found = max(report.benchmarks, key=lambda each: each.worst[0].coverage if each.worst else 0.0)
        worst = found.worst[0]
        raise BadInput(
            f"{len(too_near)} training problem(s) are too near to {_names(report)}; for example {worst.training} has "
            f"{worst.coverage:.0%} of {found.benchmark}'s {worst.benchmark} ({_short(worst.shared, 80)!r}): leave them "
            "out with problems.contaminated=drop, or clean the set."
        )
    return [problem for problem in problems if problem.id not in too_near], report


def named_benchmark(name: str) -> Benchmark:
    """The benchmark of the table with that name. Raises BadInput, naming the nearest, if there is none."""
    table = benchmark_table()
    if name in table:
        return table[name]
    hint = meant(name, list(table), "benchmarks")
    raise BadInput(f"There is no benchmark {name!r} to compare training problems with (problems.decontaminate); {hint}")


def question_columns(template: str) -> list[str]:
    """The columns of a prompt template that ask: the one of `QUESTION_COLUMNS` that comes first there, or else all."""
    names = template_columns(template)
    return [name for name in QUESTION_COLUMNS if name in names][:1] or list(names)


def found_columns(columns: Iterable[str]) -> list[str]:
    """The column of a row that asks, found by its name. Raises BadInput if none is called so."""
    there = list(columns)
    if found := [name for name in QUESTION_COLUMNS if name in there][:1]:
        return found
    raise BadInput(
        f"No column is called {', '.join(QUESTION_COLUMNS[:-1])} or {QUESTION_COLUMNS[-1]}; the columns are "
        f"{', '.join(there)}: name the one that asks."
    )


def as_question(problem: Problem, columns: Sequence[str]) -> Question:
    """What of a problem is compared. Raises BadInput if it lacks a column."""
    if key := generated_key(problem.columns):
        return Question(problem.id, key, whole=True)
    if missing := [name for name in columns if name not in problem.columns]:
        raise BadInput(
            f"Problem {problem.id} has no column {missing[0]!r} to compare; its columns: {', '.join(problem.columns)}."
        )
    asked = [*columns, *(["asserts"] if "asserts" in problem.columns and "asserts" not in columns else [])]
    return Question(problem.id, "\n".join(as_text(problem.columns[name]) for name in asked))


def generated_key(columns: Mapping[str, Any]) -> str | None:
    """One text for all Countdown or arithmetic problems that ask the same in any order; None for other problems."""
    if _has_numbers(columns.get("nums")) and "target" in columns:
        return countdown_key(columns["nums"], columns["target"])
    operands, operators = columns.get("operands"), columns.get("operators")
    if _has_numbers(operands) and isinstance(operators, list) and len(operators) == len(operands) - 1:
        return arithmetic_key(operands, operators)
    return None


def _has_numbers(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(type(item) in (int, float) for item in value)


def left_out_text(report: Report) -> str:
    """One line for people: how many training problems are left out, and for which benchmarks."""
    return f"{len(report.training())} training problem(s) are left out, too near to {_names(report)}"


def report_text(report: Report) -> str:
    """The report for people, as Markdown."""
    count = len(report.training())
    measure = f"at least {report.min_coverage:.0%}" if report.min_coverage else "any"
    lines = [
        f"{count:,} of {report.problems:,} training problems are too near to a benchmark's ({measure} of its "
        f"{report.ngram}-grams).",
        "",
        "| benchmark | its problems | of them in the training set | share | training problems |",
        "|---|--:|--:|--:|--:|",
    ]
    for found in report.benchmarks:
        numbers = f"{found.problems:,} | {found.touched:,} | {found.share:.1%} | {len(found.training):,}"
        lines.append(f"| {found.benchmark} | {numbers} |")
    for found in report.benchmarks:
        lines += ["", f"{found.benchmark}, the nearest:", ""] if found.worst else []
        for overlap in found.worst:
            pair = f"{overlap.training} has {overlap.coverage:.0%} of {overlap.benchmark}"
            lines.append(f"- {pair}: {_short(overlap.shared, SHOWN)}")
    return "\n".join(lines)


def _load_index(benchmark: Benchmark, n: int) -> Index:
    try:
        problems = benchmark.load()
    except BadInput as error:
        raise BadInput(
            f"Benchmark {benchmark.name} cannot be loaded, so nobody knows whether its problems are trained on: "
            f"{error} To go without this check, take {benchmark.name} out of problems.decontaminate."
        ) from error
    columns = question_columns(benchmark.problems.prompt)
    return build_index([as_question(problem, columns) for problem in problems], n)


def _summarize(name: str, problems: int, found: Sequence[Overlap]) -> Contamination:
    training = tuple(dict.fromkeys(overlap.training for overlap in found))
    nearest: dict[str, Overlap] = {}  # of each problem of the benchmark
    for overlap in sorted(found, key=lambda overlap: -overlap.coverage):
        nearest.setdefault(overlap.benchmark, overlap)
    worst = tuple(nearest.values())[:EXAMPLES]
    return Contamination(name, problems, len(nearest), len(nearest) / max(1, problems), training, worst)


def _names(report: Report) -> str:
    return ", ".join(f"{name} ({count})" for name, count in report.counts().items() if count)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3].rstrip() + "..."
