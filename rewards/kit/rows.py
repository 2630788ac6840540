"""The problems that an audit tries a reward on, and where their right answers are."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from rewards.errors import BadInput
from rewards.gold import type_fault
from rewards.jsonl import Row, jsonl_rows

PROMPT_KEYS = ("prompt", "question", "problem")
COMPLETION_KEYS = ("completion", "solution")


def read_rows(path: Path, columns: Mapping[str, str], limit: int) -> list[Row]:
    """The first rows of a JSONL file, as the columns that a reward gets in training.

    Args:
        path: one JSON object a line; empty lines are skipped.
        columns: key of the file by the name that the reward has for it; the other keys keep their names.
        limit: how many rows at most.

    Raises:
        BadInput: the file cannot be read, a line is no object, a key of `columns` is missing in a row, there is no row,
            or the rows have not all the same keys.
    """
    numbered = list(itertools.islice(jsonl_rows(path), limit))
    if not numbered:
        raise BadInput(f"{path} has no row; write one JSON object a line")
    rows = [_named(row, columns, f"{path}, line {number}") for number, row in numbered]
    for (number, _), row in zip(numbered, rows, strict=True):
        if row.keys() != rows[0].keys():
            other = sorted(row.keys() ^ rows[0].keys())[0]
            raise BadInput(f"{path}, line {number}: only some rows have the key {other!r}; give it to all or to none")
    return rows


def _named(row: Row, columns: Mapping[str, str], where: str) -> Row:
    for name, key in columns.items():
        if key not in row:
            raise BadInput(f"{where} has no key {key!r} for the column {name!r}; it has {', '.join(row) or 'none'}")
    return row | {name: row[key] for name, key in columns.items()}


def prompts_of(rows: Sequence[Row]) -> list[str]:
    """The text that each problem asks, as far as its columns tell."""
    key = next((key for key in PROMPT_KEYS if key in rows[0]), None)
    return ["" if key is None else str(row[key]) for row in rows]


def answers_of(rows: Sequence[Row], required: Sequence[str]) -> list[str] | None:
    """The short right answer of each problem: the column `answer`, else the only one that the reward cannot do without.

    A worked solution that ends in `#### 72` counts as 72. None if there is no such column of text or numbers.
    """
    name = "answer" if "answer" in rows[0] else required[0] if len(required) == 1 else None
    if name is None or name not in rows[0] or any(type_fault(row[name]) for row in rows):
        return None
    return [str(row[name]).rpartition("####")[2].strip() for row in rows]


def gold_completions(rows: Sequence[Row], answers: Sequence[str] | None) -> dict[str, list[str]]:
    """The completions that may be what a reward takes for a right answer, by the way in which they are given."""
    ways = {
        f"the column {key!r}": [str(row[key]) for row in rows]
        for key in COMPLETION_KEYS
        if all(isinstance(row.get(key), str) for row in rows)
    }
    for way in FORMS if answers is not None else ():
        ways[way] = [form(way, answer) for answer in answers or ()]
    return ways


FORMS = {  # the usual ways to give an answer
    "\\boxed{}": "So it is \\boxed{ANSWER}.",
    "<answer>": "<think>\nLet me see.\n</think>\n<answer>\nANSWER\n</answer>",
    "\\boxed{} after <think>": "<think>\nLet me see.\n</think>\nSo it is \\boxed{ANSWER}.",
    "####": "Let me see.\n#### ANSWER",
    "plain": "ANSWER",
}


def form(way: str, answer: str) -> str:
    """An answer given in one of the usual ways."""
    return FORMS[way].replace("ANSWER", answer)
