"""How hard problems are: pass rates, measured once and kept by who was asked and what.

An SQLite file in Penny's cache, beside the answers'. Who was asked is the weights and the way they were asked: prompt,
sampling, graders. What was asked is the problem's content, so the same problem in another file is known, too.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rewards.errors import BadInput
from rl.config.recipe import DifficultySection, Recipe
from rl.models.source import model_fingerprint
from rl.problems.problem import Problem
from rl.problems.sets import content_key

FILE = "difficulty.sqlite"
WAIT = 60.0  # seconds that another process may hold the file
TABLE = (
    "CREATE TABLE IF NOT EXISTS rates (asked TEXT, problem TEXT, solved INTEGER NOT NULL, tried INTEGER NOT NULL, "
    "PRIMARY KEY (asked, problem)) WITHOUT ROWID"
)
ASKED_BY = ("prompt", "chat_template", "system_prompt", "prefill", "few_shot")  # keys of `problems`
GRADED_BY = ("functions", "options", "accuracy", "correct_above")  # keys of `rewards`
SAMPLED_BY = ("temperature", "top_p", "top_k", "min_p", "stop", "max_completion_length")  # keys of `rollout`


@dataclass(frozen=True)
class Rate:
    """How many of the graded answers to a problem were right."""

    solved: int
    tried: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.solved / self.tried


class DifficultyStore:
    """The pass rates of `folder`. A context manager; safe to share between processes.

    Raises:
        BadInput: the folder cannot be written, or its file is no such store.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise BadInput(
                f"The pass rates in {path} cannot be used ({error}): set PENNY_CACHE to another folder."
            ) from error

    def rates(self, asked: str) -> dict[str, Rate]:
        """Every known rate of one asker, by the problem's key."""
        rows = self._connection.execute("SELECT problem, solved, tried FROM rates WHERE asked = ?", (asked,))
        return {problem: Rate(solved, tried) for problem, solved, tried in rows}

    def keep(self, asked: str, rates: Mapping[str, Rate]) -> None:
        """Keep rates; one that more answers stand behind is not replaced by one with fewer."""
        self._connection.execute("BEGIN")
        self._connection.executemany(
            "INSERT INTO rates VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET solved = excluded.solved, "
            "tried = excluded.tried WHERE excluded.tried >= tried",
            [(asked, problem, rate.solved, rate.tried) for problem, rate in rates.items()],
        )
        self._connection.execute("COMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()


def asked_key(recipe: Recipe) -> str:
    """SHA-256 over all that decides a pass rate beside the problem. Raises BadInput if there is no such model."""
    identity = model_fingerprint(recipe.model.name, recipe.model.revision)
    weights = identity.get("files") or {key: identity.get(key) for key in ("name", "commit")}
    parts = [weights]
    for section, keys in ((recipe.problems, ASKED_BY), (recipe.rewards, GRADED_BY), (recipe.rollout, SAMPLED_BY)):
        tree = section.model_dump(mode="json")
        parts.append({key: tree[key] for key in keys})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def problem_key(problem: Problem, template: str) -> str:
    """SHA-256 over what a problem asks."""
    return hashlib.sha256(content_key(problem, template).encode()).hexdigest()


def known_rates(recipe: Recipe, problems: Sequence[Problem], folder: Path) -> dict[str, float]:
    """The pass rates that are known of these problems, by problem id. Raises BadInput."""
    with DifficultyStore(folder) as store:
        rates = store.rates(asked_key(recipe))
    keys = {problem.id: problem_key(problem, recipe.problems.prompt) for problem in problems}
    return {name: rates[key].share for name, key in keys.items() if key in rates}


def in_band(section: DifficultySection, problems: Sequence[Problem], rates: Mapping[str, float]) -> list[Problem]:
    """The problems whose pass rate is inside the section's band; one whose rate nobody knows is inside.

    Raises:
        BadInput: none is left, or a band is asked for and not one rate is known.
    """
    if not section.has_band:
        return list(problems)
    if not rates:
        raise BadInput(
            "difficulty asks for a band of pass rates, and none is known of these problems with this model and prompt: "
            "run `penny difficulty` with the same recipe first."
        )
    kept = [problem for problem in problems if section.includes(rates.get(problem.id))]
    if not kept:
        raise BadInput(
            f"No training problem has a pass rate from {section.min_pass_rate:g} to {section.max_pass_rate:g} "
            f"({histogram_text(rates.values())}): widen difficulty's band, or choose other problems."
        )
    return kept


def histogram(rates: Iterable[float]) -> dict[str, int]:
    """Problems by pass rate: never, in four bands between, always."""
    counts = dict.fromkeys(("0", "to 0.25", "to 0.5", "to 0.75", "below 1", "1"), 0)
    names = list(counts)
    for rate in rates:
        inner = 1 + min(3, int(rate * 4 - 1e-9))
        counts[names[0] if rate == 0 else names[5] if rate == 1 else names[inner]] += 1
    return counts


def histogram_text(rates: Iterable[float]) -> str:
    """The histogram in one line."""
    return ", ".join(f"{name}: {count}" for name, count in histogram(rates).items())
