"""Where problems come from: the Hugging Face hub, JSONL files, and generators. One function, `load_problems`.

With the environment variable `PENNY_DATA=<folder>`, well-known data sets are read from JSONL files in that folder, with
the hub's field names, in place of the hub (`revision` is then not looked at, nor `config` but for `LOCAL_CONFIGS`).

A data set on the hub that is a script with files beside it is read by naming the files: `problems.options.files`.

Sets of programs get the columns that the reward `code` takes (`rl.problems.programs`), sets of mathematics those of
`math` (`rl.problems.mathematics`).
"""

import itertools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import Field

from rewards.errors import BadInput
from rewards.jsonl import jsonl_rows
from rl.config.recipe import ProblemsSection, Section
from rl.models.hub import why_hub_is_silent
from rl.problems.columns import check_columns, check_first, check_template, with_answer, with_question
from rl.problems.files import file_rows, hub_files
from rl.problems.generated import make_arithmetic, make_countdown, make_reasoning_gym, read_options
from rl.problems.livecodebench import LIVECODEBENCH, livecodebench_rows
from rl.problems.mathematics import (
    AIME24,
    AIME25,
    AMC23,
    MATH500,
    MGSM,
    MGSM_LANGUAGES,
    MINERVA,
    OLYMPIADBENCH,
    with_math_columns,
)
from rl.problems.problem import Problem
from rl.problems.programs import (
    HUMANEVAL,
    HUMANEVAL_PLUS,
    MBPP,
    MBPP_PLUS,
    MBPP_SPLITS,
    NamedRows,
    Row,
    in_split,
    with_program_columns,
)

COUNTDOWN = "Jiayi-Pan/Countdown-Tasks-3to4"
LOCAL_FILES = {  # (hub id, split): file in PENNY_DATA
    ("openai/gsm8k", "train"): "gsm8k_train.jsonl",
    ("openai/gsm8k", "test"): "gsm8k_test.jsonl",
    ("DigitalLearningGmbH/MATH-lighteval", "train"): "math_train.jsonl",
    (MATH500, "test"): "math500.jsonl",
    (AIME24, "train"): "aime24.jsonl",
    (AIME25, "test"): "aime25.jsonl",
    (AMC23, "test"): "amc23.jsonl",
    (MINERVA, "test"): "minerva.jsonl",
    (COUNTDOWN, "test"): "countdown3_test.jsonl",
    (HUMANEVAL, "test"): "humaneval.jsonl",
    (HUMANEVAL_PLUS, "test"): "humanevalplus.jsonl",
    (MBPP_PLUS, "test"): "mbppplus.jsonl",
    **{(MBPP, split): "mbpp.jsonl" for split in MBPP_SPLITS},  # one file of all splits
}
LOCAL_CONFIGS = {  # (hub id, split, config): file, where it is not that of all configurations
    **{(MBPP, split, "sanitized"): "mbpp_sanitized.jsonl" for split in MBPP_SPLITS},  # again of all splits
    **{(MGSM, "test", language): f"mgsm_{language}.jsonl" for language in MGSM_LANGUAGES},
    (OLYMPIADBENCH, "train", "OE_TO_maths_en_COMP"): "olympiadbench.jsonl",
}
NOT_ON_THE_HUB = {  # (hub id, split): where else it is
    (COUNTDOWN, "test"): "dataset/countdown_cd3_test.jsonl of github.com/dllm-reasoning/d1, with fields nums and target"
}


class HubOptions(Section):
    """How to read a data set on the hub that the library `datasets` cannot load."""

    files: list[str] = Field(default_factory=list, description="read these: .jsonl, or .tsv without a header")
    columns: list[str] = Field(default_factory=list, description="names of the columns of the .tsv files")


def load_problems(section: ProblemsSection, *, seed: int = 0) -> list[Problem]:
    """The problems that a recipe's `problems` section describes, in the order of their source.

    Rows are filtered by `where`; the result of a worked solution becomes the column `answer` (see `final_answer`); rows
    whose answer is empty are left out; then the first `size` are kept. Generated sources make `size` problems at once.

    Args:
        section: the section.
        seed: of the generated sources; the others do not look at it.

    Raises:
        BadInput: a source that cannot be read, a line that is no JSON object, a column that is not there, unknown task
            or options, or nothing left.
    """
    rows = _SOURCES[section.source](section, seed)
    kept = itertools.islice(_select(rows, section), section.size)
    problems = [Problem(name, row) for name, row in kept]
    if not problems:
        raise BadInput(f"No problem in {_describe(section)} has an answer; check the data or problems.answer.")
    return problems


def hub_rows(section: ProblemsSection, _: int = 0) -> NamedRows:
    """The rows of a data set on the hub, or of the file that stands in for it, each with its id. Raises BadInput."""
    name = _required(section, "name")
    if name == LIVECODEBENCH:
        return livecodebench_rows(section)
    prefix = f"{name.split('/')[-1]}/{section.split}"
    options = read_options(HubOptions, section)
    local = local_file(section)
    if local is not None:
        read = (row for _, row in jsonl_rows(local))
        rows: Iterable[Row] = (row for row in read if in_split(name, section.split, row))
    elif (name, section.split) in NOT_ON_THE_HUB:
        file = LOCAL_FILES[name, section.split]
        raise BadInput(
            f"The {_describe(section)} is not on the hub: set PENNY_DATA to a folder with {file}, made from "
            f"{NOT_ON_THE_HUB[name, section.split]}."
        )
    else:
        rows = _loaded(section, options)
    numbered = ((f"{prefix}/{index}", row) for index, row in enumerate(rows))
    return with_math_columns(name, with_program_columns(name, numbered))


def local_file(section: ProblemsSection) -> Path | None:
    """The file that stands in for a data set on the hub: None if there is none or `PENNY_DATA` is not set."""
    folder, key = os.environ.get("PENNY_DATA"), (section.name or "", section.split)
    file = LOCAL_CONFIGS.get((*key, section.config or ""), LOCAL_FILES.get(key))
    return Path(folder) / file if folder and file else None


def _loaded(section: ProblemsSection, options: HubOptions) -> Iterable[Row]:
    name = str(section.name)
    silent = None if Path(name).exists() else why_hub_is_silent()  # if it is, no request is tried again and again
    # Imported late: it takes a second, and a run from local files does not need it.
    import datasets

    if wrong := [file for file in options.files if not file.endswith((".jsonl", ".tsv"))]:
        raise BadInput(f"problems.options.files: {wrong[0]} is neither .jsonl nor .tsv; name files of these kinds.")
    try:
        if options.files:
            return file_rows(hub_files(name, section.revision, options.files), options.columns)
        return map(dict, datasets.load_dataset(name, section.config, split=section.split, revision=section.revision))
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        # No network, no such data set, configuration, split or revision, a data set that is a script, broken files.
        known = ", ".join(dict.fromkeys(key[0] for key in (*LOCAL_FILES, *LOCAL_CONFIGS)))
        reason = str(error).strip().split("\n")[0]
        if silent and isinstance(error, ConnectionError):
            reason = f"not in the cache, and {silent}"
        raise BadInput(
            f"The {_describe(section)} cannot be loaded ({reason}); check the network and problems.name, config, split "
            f"and revision, or set PENNY_DATA to a folder with local files (known there: {known})."
        ) from error


def _jsonl_rows(section: ProblemsSection, _: int) -> NamedRows:
    path = Path(_required(section, "path")).expanduser()
    return ((f"{path.stem}/{number - 1}", row) for number, row in jsonl_rows(path))


def _generated(make: Callable[[ProblemsSection, int], list[Row]]) -> Callable[[ProblemsSection, int], NamedRows]:
    def rows(section: ProblemsSection, seed: int) -> NamedRows:
        prefix = f"{section.name or section.source}/{seed}"
        return ((f"{prefix}/{index}", row) for index, row in enumerate(make(section, seed)))

    return rows


_SOURCES: dict[str, Callable[[ProblemsSection, int], NamedRows]] = {
    "hub": hub_rows,
    "jsonl": _jsonl_rows,
    "reasoning_gym": _generated(make_reasoning_gym),
    "countdown": _generated(make_countdown),
    "arithmetic": _generated(make_arithmetic),
}


def _select(rows: NamedRows, section: ProblemsSection) -> NamedRows:
    """The rows that `where` keeps and that have what the section names, with their `question` and `answer`."""
    check_template(section)
    seen: dict[str, list[Any]] = {column: [] for column in section.where}
    matched = first_checked = False
    for name, row in rows:
        check_columns(row, section.where, "problems.where", name)
        for column, values in seen.items():
            if row[column] not in values and len(values) < 8:
                values.append(row[column])
        if not all(row[column] in allowed for column, allowed in section.where.items()):
            continue
        # reasoning-gym's answers stay as made: None where there are many, drawings that begin with ####.
        as_made = section.source == "reasoning_gym" and section.answer is None
        row = row if as_made else with_answer(row, section, name)
        if not as_made and _is_empty(row.get("answer", "-")):
            if section.source == "jsonl":  # the user's own file, where it is a mistake; data sets of others have such
                raise BadInput(
                    f"problem {name}: the column {section.answer or 'answer'!r} is "
                    f"{'null' if row['answer'] is None else 'empty'}; give an answer, or leave the row out."
                )
            matched = True
            continue
        row = with_question(row, section, name)
        if not first_checked:
            check_first(row, section, name)
        matched = first_checked = True
        yield name, row
    if not matched:
        there = "; ".join(f"{column} has {', '.join(map(repr, values))}" for column, values in seen.items() if values)
        found = f"problems.where matches nothing in {_describe(section)} ({there}); correct it." if there else ""
        raise BadInput(found or f"The {_describe(section)} is empty; give one with problems.")


def _is_empty(answer: Any) -> bool:
    return answer is None or (isinstance(answer, str) and not answer.strip())


def _required(section: ProblemsSection, key: str) -> str:
    value = getattr(section, key)
    if not value:
        raise BadInput(f"problems.{key} is missing; source {section.source} needs it.")
    return str(value)


def _describe(section: ProblemsSection) -> str:
    if section.source == "hub":
        return f"hub data set {section.name} (config {section.config}, split {section.split})"
    return f"{section.source} source {section.path or section.name or ''}".strip()
