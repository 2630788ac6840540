"""Stored outputs for the problems of a benchmark: which answer belongs to which problem, or why that cannot be known.

What files look like is in `rl.evaluation.stored`. A row's problem is found by

- its id: `Problem.id`, or the id that the benchmark's authors gave it, also in the spellings `MBPP/11` and 11;
- its index: the number in the benchmark's source, from 0, which counts the rows that we leave out;
- its place, if no row has an id or index and there are as many rows as problems, or as rows in the source.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rewards.errors import BadInput
from rl.evaluation.stated import in_common
from rl.evaluation.stored import ASKED_COLUMNS, StoredOutput, StoredRow, read_rows
from rl.problems.benchmark import Benchmark
from rl.problems.problem import Problem

NUMBER = re.compile("[0-9]{1,9}")
OWN_COLUMNS = ("id", "task_id", "unique_id", "question_id")  # where a benchmark names no column of its own


@dataclass(frozen=True)
class Samples:
    """Stored outputs, by problem.

    Attributes:
        outputs: the answers to each problem that has any, by `Problem.id`, in the order of the problems.
        missing: problems without an answer.
        passed_over: rows for problems that we leave out or that lie beyond the limit.
        notes: what people should know of how the file was read.
        unknown: rows that name no problem of the benchmark, and were left out.
        stated: how the outputs were drawn, as far as all rows say the same; see `rl.evaluation.stated`.
    """

    outputs: dict[str, list[StoredOutput]]
    missing: int
    passed_over: int
    notes: list[str]
    unknown: int = 0
    stated: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalog:
    """The problems of a benchmark by the names that a file may call them.

    Attributes:
        benchmark: its name.
        problems: by number in the source.
        shown: the id that each problem is best known by, in their order.
        names: number by id, in lower case; an id of several problems is not there.
        rows: of the source, as far as the problems tell.
        stems: what stands before the number in `Problem.id`, in lower case; empty if that number is not the source's.
        heads: what stands before the last slash of the authors' ids, in lower case.
        countable: the authors' ids end in the number in the source, or there are none.
    """

    benchmark: str
    problems: dict[int, Problem]
    shown: tuple[str, ...]
    names: dict[str, int]
    rows: int
    stems: frozenset[str]
    heads: frozenset[str]
    countable: bool

    def number(self, name: str) -> int | None:
        """The number in the source of the problem with this id; None: there is none."""
        key = name.lower()
        if key in self.names:
            return self.names[key]
        head, _, tail = key.rpartition("/")
        counted = int(tail) if NUMBER.fullmatch(tail) and int(tail) < self.rows else None
        if head in self.stems:
            return counted
        called = not head or head in self.heads or _same_word(head, self.benchmark)
        if called and tail in self.names:
            return self.names[tail]
        return counted if called and self.countable else None


def read_samples(path: Path, benchmark: Benchmark, problems: Sequence[Problem], skip_unknown: bool = False) -> Samples:
    """The stored outputs in `path` for `problems`, the first ones of `benchmark` or all.

    With `skip_unknown` rows whose id or index is no problem's are left out and counted; never all of them.

    Raises:
        BadInput: the file cannot be read, or not every row can be given to a problem of the benchmark. The sentence
            names the first such row.
    """
    rows = read_rows(path, benchmark.id_column)
    rows, notes = _one_filter(rows)
    asked = known = catalog(benchmark, problems)
    by_name = _named(path, rows)
    notes += [] if by_name else ["The rows have no ids: they are taken in the benchmark's order."]
    numbers = _by_name(rows, asked) if by_name else _by_order(rows, asked)
    if None in numbers:  # perhaps beyond the limit
        known = catalog(benchmark, benchmark.load())
        numbers = _by_name(rows, known) if by_name else _by_order(rows, known)
    if None in numbers and by_name and (counted := _by_count(rows, known)):
        numbers = counted
        notes.append(f"The ids are taken for numbers in {benchmark.name}, as none is an id of its own.")
    if None in numbers and not by_name:
        raise BadInput(_wrong_count(path, rows, known))
    placed = [(row, number) for row, number in zip(rows, numbers, strict=True) if number is not None]
    if None in numbers:
        misfit = _misfit(path, rows, numbers, known)
        if not (skip_unknown and placed):
            raise BadInput(misfit if not placed else f"{misfit} `--skip-unknown` leaves such rows out.")
        notes.append(_left_out(rows, numbers, known))
    pairs = [(row, number) for row, number in placed if number in asked.problems]
    notes += _passed_over([number for _, number in placed if number not in asked.problems], known)
    _check_questions(path, pairs, asked)
    outputs = _collected(pairs, asked)
    return Samples(
        outputs=outputs,
        missing=len(asked.problems) - len(outputs),
        passed_over=len(placed) - len(pairs),
        notes=notes,
        unknown=len(rows) - len(placed),
        stated=in_common([row.stated for row, _ in pairs]),
    )


def catalog(benchmark: Benchmark, problems: Sequence[Problem]) -> Catalog:
    """The names of `problems`."""
    parts = [problem.id.rpartition("/") for problem in problems]
    numbers = [int(tail) for _, _, tail in parts if NUMBER.fullmatch(tail)]
    from_source = len(set(numbers)) == len(problems)
    if not from_source:  # several sources, each counted from 0
        numbers = list(range(len(problems)))
    column = benchmark.id_column or next((name for name in OWN_COLUMNS if all(name in p.columns for p in problems)), "")
    own = [str(problem.columns.get(column, "")) for problem in problems]
    places: dict[str, set[int]] = {}
    for problem, name, number in zip(problems, own, numbers, strict=True):
        for key in (problem.id.lower(), name.lower()):
            places.setdefault(key, set()).add(number)
    tails = [name.rpartition("/")[2] for name in own]
    return Catalog(
        benchmark=benchmark.name,
        problems=dict(zip(numbers, problems, strict=True)),
        shown=tuple(name or problem.id for name, problem in zip(own, problems, strict=True)),
        names={key: min(found) for key, found in places.items() if key and len(found) == 1},
        rows=max(numbers) + 1,
        stems=frozenset(head.lower() for head, _, _ in parts) - {""} if from_source else frozenset(),
        heads=frozenset(name.rpartition("/")[0].lower() for name in own),
        countable=not any(own) or tails == list(map(str, numbers)),
    )


def _same_word(head: str, benchmark: str) -> bool:
    """Whether a name before a slash means the benchmark, such as `Mbpp` that of MBPP+."""
    given, known = (re.sub("[^a-z0-9/]", "", text.lower()) for text in (head, benchmark))
    return bool(given) and "/" not in given and (known.startswith(given) or given.startswith(known))


def _one_filter(rows: list[StoredRow]) -> tuple[list[StoredRow], list[str]]:
    """Without the copies that lm-evaluation-harness logs for each of its filters."""
    filters = list(dict.fromkeys(row.filter for row in rows if row.filter is not None))
    if len(filters) < 2:
        return rows, []
    kept = [row for row in rows if row.filter in (None, filters[0])]
    return kept, [f"The rows of the filters {', '.join(filters[1:])} repeat those of {filters[0]} and do not count."]


def _named(path: Path, rows: Sequence[StoredRow]) -> bool:
    """Whether the rows name their problems. Raises BadInput if they do not all do so in one way."""

    def how(row: StoredRow) -> str:
        return "no id or index" if row.id is None and row.index is None else "an index" if row.id is None else "an id"

    first = rows[0]
    odd = next((row for row in rows if how(row) != how(first)), None)
    alike = all(row.index is not None for row in rows)  # an id beside it in some rows does no harm
    if odd is not None and not alike:
        raise BadInput(
            f"{path}, {odd.place} has {how(odd)}, but {first.place} has {how(first)}: name all problems in one way."
        )
    return how(first) != "no id or index"


def _by_name(rows: Sequence[StoredRow], known: Catalog) -> list[int | None]:
    """The number of each row's problem in the source; None where there is no such problem."""
    return [_number(row, known) for row in rows]


def _number(row: StoredRow, known: Catalog) -> int | None:
    if row.id is None:
        return row.index if row.index is not None and 0 <= row.index < known.rows else None
    number = known.number(row.id)
    return None if row.index not in (None, number) else number


def _by_count(rows: Sequence[StoredRow], known: Catalog) -> list[int | None]:
    """Ids as numbers in the source, if not one of them is an id that the benchmark's authors gave; else nothing."""
    ids = [row.id for row in rows if row.index is None and row.id is not None]
    if len(ids) < len(rows) or not all(NUMBER.fullmatch(name) and int(name) < known.rows for name in ids):
        return []
    return [] if any(known.number(name) is not None for name in ids) else [int(name) for name in ids]


def _by_order(rows: Sequence[StoredRow], known: Catalog) -> list[int | None]:
    if len(rows) == len(known.problems):
        return list(known.problems)
    return list(range(known.rows)) if len(rows) == known.rows else [None]


def _misfit(path: Path, rows: Sequence[StoredRow], numbers: Sequence[int | None], known: Catalog) -> str:
    """Why a row has no problem."""
    lost = [row for row, number in zip(rows, numbers, strict=True) if number is None]
    row, name = lost[0], known.benchmark
    where = f"{path}, {row.place}"
    if row.id is None:
        return f"{where}: index {row.index} is not in {name}, which counts from 0 to {known.rows - 1}: correct it."
    if (number := known.number(row.id)) is not None:
        return f"{where}: id {row.id!r} is number {number} of {name}, and index is {row.index}: leave one out."
    if row.id in known.shown:
        return f"{where}: id {row.id!r} stands for several problems of {name}: give the `index` of each."
    unknown, given = {row.id for row in lost}, {row.id for row in rows}
    if len(unknown) * 2 > len(given) > 1:
        return (
            f"{where}: {len(unknown)} of {len(given)} ids are not in {name}, such as {row.id!r} (its own are such as "
            f"{known.shown[0]!r}): is the file for another benchmark?"
        )
    near = _nearest(row.id, known.shown)
    return f"{where}: {name} has no problem {row.id!r}, the nearest is {near!r}: correct the id or give an `index`."


def _left_out(rows: Sequence[StoredRow], numbers: Sequence[int | None], known: Catalog) -> str:
    """The note on rows that have no problem."""
    lost = [row for row, number in zip(rows, numbers, strict=True) if number is None]
    called = f"index {lost[0].index}" if lost[0].id is None else f"id {lost[0].id!r}"
    which = f"such as {lost[0].place} ({called})" if len(lost) > 1 else f"{lost[0].place} ({called})"
    return f"{len(lost)} of {len(rows)} rows name no problem of {known.benchmark} and are left out: {which}."


def _nearest(name: str, known: Sequence[str]) -> str:
    """The id that was most likely meant: the nearest number if they end in numbers, else the most alike."""
    ends = {other: int(tail) for other in known if NUMBER.fullmatch(tail := other.rpartition("/")[2])}
    tail = name.rpartition("/")[2]
    if ends and NUMBER.fullmatch(tail):
        return min(ends, key=lambda other: abs(ends[other] - int(tail)))
    return difflib.get_close_matches(name, known, n=1, cutoff=0)[0]


def _wrong_count(path: Path, rows: Sequence[StoredRow], known: Catalog) -> str:
    problems = len(known.problems)
    limit = f", or use `--limit {len(rows)}` if they are its first" if len(rows) < problems else ""
    return (
        f"{path} has {len(rows)} rows without id or index, and {known.benchmark} has {problems} problems: give each "
        f"row an `id` or `index`{limit}."
    )


def _passed_over(numbers: Sequence[int], known: Catalog) -> list[str]:
    beyond = sum(number in known.problems for number in numbers)
    absent = sorted({number for number in numbers if number not in known.problems})
    notes = [f"{beyond} rows are for problems beyond the limit."] if beyond else []
    if absent:
        listed = ", ".join(map(str, absent[:5])) + (" and more" if len(absent) > 5 else "")
        notes.append(f"Rows for problems that {known.benchmark} leaves out are passed over: number {listed}.")
    return notes


def _check_questions(path: Path, pairs: Sequence[tuple[StoredRow, int]], known: Catalog) -> None:
    """Refuse a file whose own questions say that its answers belong elsewhere."""
    texts = {
        number: [_words(text) for name in ASKED_COLUMNS if isinstance(text := problem.columns.get(name), str)]
        for number, problem in known.problems.items()
    }
    numbers = {text: number for number, mine in texts.items() for text in mine}
    fits = []
    for row, number in pairs:
        asked = [_words(text) for text in row.asked.values()]
        fit = any(text in mine or mine in text for text in asked for mine in texts[number])
        elsewhere = next((numbers[text] for text in asked if text in numbers), None)
        if not fit and elsewhere is not None:
            raise BadInput(
                f"{path}, {row.place} is for number {number} of {known.benchmark}, but asks what number {elsewhere} "
                "asks: give each row the `index` of its own problem."
            )
        fits += [fit] if asked and texts[number] else []
    if fits and not any(fits):
        raise BadInput(
            f"{path}, {pairs[0][0].place}: not one of its questions is in {known.benchmark}: is the file for another "
            "benchmark?"
        )


def _words(text: str) -> str:
    return " ".join(text.split())


def _collected(pairs: Sequence[tuple[StoredRow, int]], known: Catalog) -> dict[str, list[StoredOutput]]:
    found: dict[int, list[StoredOutput]] = {}
    for row, number in sorted(pairs, key=lambda pair: pair[0].sample or 0):  # stable: else as in the file
        found.setdefault(number, []).extend(row.outputs)
    return {problem.id: found[number] for number, problem in known.problems.items() if number in found}
