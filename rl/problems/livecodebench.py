"""LiveCodeBench, code generation (arXiv 2403.07974): contest problems, each with the date of its contest.

The set on the hub is a script with files beside it, one for what each release added. Here the files are read, and
`problems.options` say which problems: `release: v5` (all up to it), and `from` and `to`, days of contests.

Rows keep their fields but for the test cases, and get the columns of the reward `code` (see `rl.problems.programs`).
`question` ends with the starter code where there is any, which then is the `prefix` too, and `instruction` says what a
program is to do. Tests stay packed, since a release has gigabytes of them.

Deviations from github.com/LiveCodeBench/LiveCodeBench: a test there has 6 s; here all tests of a program together have
6 s each, and at most 90 s. Floats may differ by 1e-9 of themselves. A program that reads standard input has to end with
status 0. As there, common modules and all their names are imported before a program runs, and the limits of recursion
and of digits are 50,000. docs/programs.md has a table of all differences.
"""

import datetime
import json
import os
import pickletools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from rewards.code.rows import BadRow, packed, unpacked
from rewards.errors import BadInput
from rewards.jsonl import jsonl_rows
from rl.config.recipe import ProblemsSection, Section
from rl.problems.files import hub_files
from rl.problems.generated import read_options
from rl.problems.programs import NamedRows, Row

if TYPE_CHECKING:  # it imports what imports this
    from rl.problems.benchmark import Benchmark

LIVECODEBENCH = "livecodebench/code_generation_lite"
Release = Literal["v1", "v2", "v3", "v4", "v5", "v6"]
# Months of the last contests, from the authors' list of releases.
LAST_MONTHS = {"v1": "2024-03", "v2": "2024-05", "v3": "2024-07", "v4": "2024-09", "v5": "2025-01", "v6": "2025-04"}
LOCAL = ("livecodebench/{file}", "livecodebench_{file}")  # in PENNY_DATA

SECONDS = 6.0  # a test
MOST_SECONDS = 90.0  # a program
# Later ones hide names of earlier ones, and programs may depend on it; `builtins` takes back those of Python.
STARRED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json", "builtins", "typing"),
)
PREAMBLE = "; ".join(
    [
        *(f"from {module} import *" for module in STARRED),
        *(f"import {module}" for module in STARRED if module not in ("builtins", "typing")),
        "sys.set_int_max_str_digits(50000)",
        "sys.setrecursionlimit(50000)",
    ]
)
FROM_STDIN = "Write a program that reads the input from standard input and writes the answer to standard output."
FROM_STARTER = "Complete the code that the task ends with; its tests call the method."

TEXT_OPCODES = {"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"}
OTHER_OPCODES = {"PROTO", "FRAME", "MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT", "STOP"}


def _day(value: Any) -> Any:
    """A day from `2024-08-01`, as text or as YAML reads it."""
    if isinstance(value, str):
        return datetime.date.fromisoformat(value)
    return value


Day = Annotated[datetime.date, BeforeValidator(_day)]


class LiveCodeBenchOptions(Section):
    """Which problems of LiveCodeBench."""

    release: Release = Field("v6", description="all problems up to this release")
    first: Day | None = Field(None, alias="from", description="first day of contests")
    end: Day | None = Field(None, alias="to", description="first day that is too late")

    def holds(self, day: datetime.date) -> bool:
        """Whether a contest of that day is asked for."""
        return (self.first is None or day >= self.first) and (self.end is None or day < self.end)


def livecodebench_rows(section: ProblemsSection) -> NamedRows:
    """The problems that a section with the data set `LIVECODEBENCH` asks for, by their place in their file.

    Files are read from the folder `PENNY_DATA` where it has any of them, else from the hub. A file of a release whose
    last contest is before `from` is not even fetched.

    Raises:
        BadInput: unknown or contradictory options, a file that cannot be had or read, a row that is none.
    """
    options = read_options(LiveCodeBenchOptions, section)
    if options.first is not None and options.end is not None and options.first >= options.end:
        raise BadInput(
            f"problems.options: from {options.first} to {options.end} there is no day; swap or correct them."
        )
    for path in _paths(_files(options), section.revision):
        for number, row in jsonl_rows(path):
            name = f"livecodebench/{path.stem.removeprefix('livecodebench_')}/{number - 1}"
            try:
                if options.holds(datetime.datetime.fromisoformat(row["contest_date"]).date()):
                    yield name, _with_columns(row)
            except KeyError as error:
                raise BadInput(f"Row {name} has no field {error}; give the files as they are on the hub.") from error
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                raise BadInput(
                    f"Row {name} cannot be read ({error}); give the files as they are on the hub."
                ) from error


def windowed(benchmark: "Benchmark", window: str) -> "Benchmark":
    """A benchmark of LiveCodeBench for a release (`v5`) or a span of contests, both ends meant.

    Spans are `2024-08..2025-01` (months) or `2024-08-01..2025-01-31` (days); an end may be left open.

    Raises:
        BadInput: the benchmark is of other problems, or that is no window.
    """
    if benchmark.problems.name != LIVECODEBENCH:
        raise BadInput(f"{benchmark.name} has no release windows, so {window!r} cannot follow its name; leave it out.")
    problems = benchmark.problems
    options = {key: value for key, value in problems.options.items() if key not in ("release", "from", "to")}
    section = problems.model_copy(update={"options": {**options, **_window(window, benchmark.name)}})
    name, description = f"{benchmark.name}:{window}", f"{benchmark.description} ({window})"
    return benchmark.model_copy(update={"name": name, "description": description, "problems": section})


def _window(window: str, name: str) -> dict[str, str]:
    """The options that a window stands for."""
    releases = get_args(Release)
    if window in releases:
        return {"release": window}
    first, dots, last = window.partition("..")
    found = {}
    try:
        if first:
            found["from"] = _days(first)[0].isoformat()
        if last:
            found["to"] = _days(last)[1].isoformat()
    except ValueError:
        found = {}
    if not dots or not found:
        raise BadInput(
            f"{name}:{window}: {window!r} is no window; give a release ({', '.join(releases)}) or contests such as "
            "2024-08..2025-01."
        )
    return found


def _days(text: str) -> tuple[datetime.date, datetime.date]:
    """The first day of a month or day, and the first after it. ValueError if it is neither."""
    if re.fullmatch(r"\d{4}-\d{2}", text):
        first = datetime.date.fromisoformat(f"{text}-01")
        return first, (first + datetime.timedelta(days=31)).replace(day=1)
    day = datetime.date.fromisoformat(text)
    return day, day + datetime.timedelta(days=1)


def _files(options: LiveCodeBenchOptions) -> list[str]:
    """The files that may hold what the options ask for."""
    releases = get_args(Release)
    asked = releases[: releases.index(options.release) + 1]
    late = [name for name in asked if options.first is None or _days(LAST_MONTHS[name])[1] > options.first]
    return ["test.jsonl" if name == "v1" else f"test{name[1:]}.jsonl" for name in late or asked[-1:]]


def _paths(files: list[str], revision: str | None) -> Iterable[Path]:
    """Where the files are, one after the other, each fetched when its turn comes."""
    folder = os.environ.get("PENNY_DATA")
    found = {file: path for file in files for path in _standing_in(folder, file) if path.exists()}
    if found and (missing := [file for file in files if file not in found]):
        raise BadInput(
            f"PENNY_DATA has {', '.join(found)} of LiveCodeBench and not {', '.join(missing)}, which may hold problems "
            "that are asked for; add them, or ask for other contests (problems.options)."
        )
    return (found.get(file) or _from_hub(file, revision) for file in files)


def _standing_in(folder: str | None, file: str) -> Iterator[Path]:
    return (Path(folder) / place.format(file=file) for place in LOCAL) if folder else iter(())


def _from_hub(file: str, revision: str | None) -> Path:
    try:
        return hub_files(LIVECODEBENCH, revision, [file])[0]
    except (OSError, ValueError) as error:  # no network, no such file or revision
        reason = str(error).strip().split("\n")[0]
        raise BadInput(
            f"The file {file} of {LIVECODEBENCH} cannot be had ({reason}); check the network and problems.revision, or "
            f"set PENNY_DATA to a folder with {LOCAL[0].format(file=file)}."
        ) from error


def _with_columns(row: Row) -> Row:
    function = json.loads(row["metadata"] or "{}").get("func_name")
    cases = [*json.loads(row["public_test_cases"]), *private_cases(row["private_test_cases"])]
    tests = [_call(case) if function else {"stdin": case["input"], "stdout": case["output"]} for case in cases]
    head = row["starter_code"].rstrip() + "\n" if row["starter_code"].strip() else ""
    kept = {key: value for key, value in row.items() if key not in ("public_test_cases", "private_test_cases")}
    return {
        **kept,
        "question": f"{row['question_content'].rstrip()}\n\n{head}" if head else row["question_content"],
        "instruction": FROM_STARTER if head else FROM_STDIN,
        "kind": "call" if function else "stdio",
        "entry_point": function,
        "tests": packed(tests),
        "check": "",
        "prefix": head,
        "preamble": PREAMBLE,
        "time_limit_s": min(SECONDS * len(tests), MOST_SECONDS),
    }


def _call(case: Row) -> Row:
    """A test of a function: its arguments are JSON, one a line."""
    arguments = [json.loads(line) for line in case["input"].split("\n") if line.strip()]
    return {"args": arguments, "expected": json.loads(case["output"])}


def private_cases(text: str) -> list[Row]:
    """Test cases from their JSON, or from base64 of zlib of a pickle of it.

    Raises:
        ValueError: it is neither. A pickle that holds anything but one text is refused; none is ever executed.
    """
    try:
        cases: list[Row] = json.loads(text)
    except ValueError:
        try:
            cases = json.loads(_pickled_text(unpacked(text)))
        except BadRow as error:
            raise ValueError(f"its private test cases are neither JSON nor packed: {error}") from error
    return cases


def _pickled_text(data: bytes) -> str:
    """The text that a pickle holds, read without doing what a pickle asks for."""
    texts = []
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in TEXT_OPCODES:
            texts.append(str(argument))
        elif opcode.name not in OTHER_OPCODES:
            raise ValueError(f"the pickle of its test cases holds more than a text ({opcode.name})")
    if len(texts) != 1:
        raise ValueError(f"the pickle of its test cases holds {len(texts)} texts")
    return texts[0]
