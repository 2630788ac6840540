"""How far verdicts agree with labels, for files of cases that say what a grader ought to find."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rewards.verdict import Verdict


@dataclass
class Tally:
    """Labelled rows and what became of them: those not listed under one of the three faults agree.

    Attributes:
        rows: with a label and a verdict.
        false_positives: paid and should not be.
        false_negatives: not paid and should be.
        ungradable: no verdict either way.
    """

    rows: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    ungradable: int = 0

    @property
    def agreement(self) -> float:
        """The share of rows that agree with their label."""
        return 1 - (self.false_positives + self.false_negatives + self.ungradable) / self.rows if self.rows else 0.0

    def add(self, expected: bool, verdict: Verdict) -> None:
        """Count one row."""
        paid = verdict.outcome == "correct"
        self.rows += 1
        if verdict.outcome == "ungradable":
            self.ungradable += 1
        elif paid != expected:
            self.false_positives += paid
            self.false_negatives += expected

    def as_dict(self) -> dict[str, Any]:
        """The counts, and `agreement`."""
        return {"agreement": self.agreement} | asdict(self)


@dataclass
class Agreement:
    """The tally of all labelled rows, and of each group of them that a row's `cat` and `tags` name."""

    total: Tally = field(default_factory=Tally)
    groups: dict[str, Tally] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any], verdict: Verdict) -> None:
        """Count a row, if it has a label."""
        expected = expected_outcome(row)
        if expected is None:
            return
        self.total.add(expected, verdict)
        for name in _groups(row):
            self.groups.setdefault(name, Tally()).add(expected, verdict)

    def as_dict(self) -> dict[str, Any]:
        """The total's figures, and those of the `groups` by name."""
        return self.total.as_dict() | {"groups": {name: self.groups[name].as_dict() for name in sorted(self.groups)}}


def expected_outcome(row: Mapping[str, Any]) -> bool | None:
    """Whether a row should be paid, by its `correct` (true or false) or `expected_reward` (1 or 0); None: no label."""
    if isinstance(row.get("correct"), bool):
        return bool(row["correct"])
    expected = row.get("expected_reward")
    return bool(expected) if isinstance(expected, int | float) and expected in (0, 1) else None


def _groups(row: Mapping[str, Any]) -> set[str]:
    named = [row.get("cat"), *(row["tags"] if isinstance(row.get("tags"), list) else [])]
    return {name for name in named if isinstance(name, str)}
