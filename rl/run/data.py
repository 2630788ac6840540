"""The problems that a run was begun with: whether those that are loaded now are the same, row by row."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from rewards.errors import BadInput
from rl.base import tables
from rl.problems.problem import Problem
from rl.run.folder import RunFolder
from rl.run.manifest import hash_problem, hash_problems, last_fact

Sets = Mapping[str, Sequence[Problem]]  # by name: training, held_out
SCHEMA = pa.schema({"set": pa.string(), "sha256": pa.binary(32)})
Different = dict[str, int | None]  # rows that differ, by the name of the set; None where nobody can count them


@dataclass(frozen=True)
class Data:
    """The sets of problems that a session goes by, and which of them were not those of the session before."""

    sets: Sets
    different: Different


def hash_sets(sets: Sets) -> dict[str, str]:
    """Return the SHA-256 of each set, as the manifest has it."""
    return {name: hash_problems(problems) for name, problems in sets.items()}


def changed_data(folder: RunFolder, sets: Sets) -> Different:
    """Return the sets that are not those of the run's last session; none of them for a new run."""
    stored = last_fact(folder, "data")
    changed = [name for name, found in hash_sets(sets).items() if stored.get(name, found) != found]
    if not changed:
        return {}
    before = _stored_rows(folder.problems)
    return {name: _rows_that_differ(before[name], sets[name]) if name in before else None for name in changed}


def refuse_changed_data(folder: RunFolder, sets: Sets, different: Different) -> None:
    """Raise BadInput if any set differs."""
    if not different:
        return
    found = " and ".join(_said(name, count, len(sets[name])) for name, count in different.items())
    after = ""
    if "held_out" in different:
        after = ", though before and after are not measured on the same questions then"
    raise BadInput(
        f"The problems of {folder.path} have changed since it was last trained: {found}; bring the old data back, or "
        f"go on with the new ones by --accept-changed-data{after}."
    )


def write_rows(folder: RunFolder, sets: Sets) -> None:
    """Keep the SHA-256 of every problem, to count those that differ later."""
    rows = [{"set": name, "sha256": hash_problem(problem)} for name, problems in sets.items() for problem in problems]
    tables.write_rows(folder.problems, SCHEMA, rows)


def _stored_rows(path: Path) -> dict[str, Counter[bytes]]:
    """Count each row's SHA-256 in each set; empty where nobody can know, in older runs or of a damaged file."""
    rows: dict[str, Counter[bytes]] = {}
    try:
        stored = tables.read_rows(path, SCHEMA) if path.exists() else []
    except BadInput:  # the manifest knows whether the sets differ; only the number of rows is unknown
        return {}
    for row in stored:
        rows.setdefault(row["set"], Counter())[row["sha256"]] += 1
    return rows


def _rows_that_differ(before: Counter[bytes], problems: Iterable[Problem]) -> int:
    """Count the rows that were changed, added or taken away; 0 where only the order differs."""
    now = Counter(hash_problem(problem) for problem in problems)
    return max((before - now).total(), (now - before).total())


def _said(name: str, count: int | None, size: int) -> str:
    what = f"the {name.replace('_', '-')} problems"
    if count is None:
        return f"{what} differ"
    return f"{count} of {max(count, size)} rows of {what} differ" if count else f"{what} are in another order"
