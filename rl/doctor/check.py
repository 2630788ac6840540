"""What a check of `penny doctor gpu` is: a function that looks at one thing and says PASS, FAIL or SKIP."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal["PASS", "FAIL", "SKIP"]


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Attributes:
        figure: what was measured, short, for the table.
        reason: why it is not PASS, or what a figure was compared with.
        facts: all numbers, for `gpu-check.json`.
    """

    status: Status
    figure: str = ""
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


def passed(figure: str, reason: str = "", **facts: Any) -> Finding:
    """Return a finding: the thing works."""
    return Finding("PASS", figure, reason, facts)


def failed(figure: str, reason: str, **facts: Any) -> Finding:
    """Return a finding: the thing does not work."""
    return Finding("FAIL", figure, reason, facts)


def skipped(reason: str) -> Finding:
    """Return a finding: the thing cannot be looked at here."""
    return Finding("SKIP", "", reason)


def judged(good: bool, figure: str, reason: str, **facts: Any) -> Finding:
    """Return PASS or FAIL; `reason` says what the figure is held against."""
    return Finding("PASS" if good else "FAIL", figure, reason, facts)


@dataclass
class Subject:
    """The machine that is looked at, and what checks of one group share.

    Attributes:
        device: `cpu` or `cuda`.
        scratch: a folder that is removed in the end.
        stack: closes what checks have opened.
        kept: engines, policies and run folders that a later check of the group goes on with, by name.
    """

    device: str
    scratch: Path
    stack: ExitStack = field(default_factory=ExitStack)
    kept: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        group: checks of a group run in one process, one after the other.
        seconds: its limit on a GPU; on a CPU it has three times as long.
    """

    name: str
    group: str
    about: str
    seconds: float
    look: Callable[[Subject], Finding]


@dataclass(frozen=True)
class Row:
    """A finding with the name of its check and the seconds that it took."""

    name: str
    about: str
    finding: Finding
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as it stands in `gpu-check.json`."""
        return {"name": self.name, "about": self.about, **asdict(self.finding), "seconds": round(self.seconds, 2)}
