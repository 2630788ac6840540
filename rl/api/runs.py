"""A run as a Python object: its folder, read when asked."""

import html
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.report.report import write_report
from rl.run.checkpoints import best_checkpoint, latest_checkpoint
from rl.run.evaluations import read_evaluations
from rl.run.folder import RunFolder, settings_of
from rl.run.ledger import ledger_totals
from rl.run.metrics import read_metrics
from rl.run.rollouts import read_rollouts, rollout_steps
from rl.run.summary import interval, percent, read_summary

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Score:
    """A measurement on the held-out problems.

    Attributes:
        pass_at_1: share of the problems that were solved, 0 to 1.
        ci95: the ends of its 95 % interval (Wilson).
        n: number of problems.
        reward: mean reward; None in runs of older versions.
    """

    pass_at_1: float
    ci95: tuple[float, float]
    n: int
    reward: float | None = None

    def __str__(self) -> str:
        return f"{percent(self.pass_at_1)} {interval({'ci95': self.ci95})}"


@dataclass(frozen=True)
class Summary:
    """The result of a finished run.

    Attributes:
        before, after: scores on the same held-out problems before the first step and after the last one.
        band_met: whether the result is the one that the recipe promises; None if it promises none.
        band_reason: why, in a sentence.
        minutes, dollars: what the run took, all its sessions together.
        tokens: tokens that the engine generated.
        warnings: what is wrong with the run as a whole.
    """

    before: Score
    after: Score
    band_met: bool | None
    band_reason: str
    minutes: float
    dollars: float
    tokens: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run that has been started. Its files are read again each time, so a run that still trains can be watched.

    Attributes:
        path: the run's folder.
    """

    path: Path

    @cached_property
    def _folder(self) -> RunFolder:
        return RunFolder.open(self.path)

    @property
    def recipe(self) -> Recipe:
        """Return the whole recipe of the run."""
        return settings_of(self.path)

    @property
    def metrics(self) -> "DataFrame":
        """Return the metrics: a row for each step, indexed by `step`."""
        return frame(read_metrics(self._folder), "step")

    @property
    def evaluations(self) -> "DataFrame":
        """Return the measurements on the held-out problems: a row for each, indexed by `step`; 0 is before training."""
        return frame(read_evaluations(self._folder), "step")

    @property
    def summary(self) -> Summary | None:
        """Return the result; None until the run has finished."""
        stored = read_summary(self._folder)
        if stored is None:
            return None
        kept = ("band_met", "band_reason", "minutes", "dollars", "tokens")
        return Summary(
            before=score(stored["before"]),
            after=score(stored["after"]),
            warnings=tuple(stored.get("warnings", ())),
            **{key: stored[key] for key in kept},
        )

    @property
    def finished(self) -> bool:
        """Return whether the run has taken its last step and was measured after it."""
        return self.summary is not None

    @property
    def dollars(self) -> float:
        """Return what the run has cost so far."""
        return float(ledger_totals(self._folder)["dollars"])

    def completions(self, step: int | None = None) -> "DataFrame":
        """Return the completions of a step with their rewards, advantages and tokens: a row for each.

        Args:
            step: default: the last one that is stored.

        Raises:
            BadInput: no completions of that step are stored.
        """
        steps = rollout_steps(self._folder)
        if not steps or (step is not None and step not in steps):
            stored = f"it has steps {steps[0]} to {steps[-1]}" if steps else "it has none yet"
            raise BadInput(f"{self.path} has no completions of step {step or 'its last step'}: {stored}.")
        return frame([asdict(row) for row in read_rollouts(self._folder, steps[-1] if step is None else step)])

    def checkpoint(self, which: str = "last") -> Path:
        """Return the folder of the model or adapter in a checkpoint.

        Args:
            which: `last`, or `best` by pass@1 on the held-out problems.

        Raises:
            BadInput: the run has no such checkpoint.
        """
        finders = {"last": latest_checkpoint, "best": best_checkpoint}
        if which not in finders:
            raise BadInput(f"which={which!r} is no checkpoint: use 'last' or 'best'.")
        found = finders[which](self._folder)
        if found is None:
            raise BadInput(f"{self.path} has no {which} checkpoint: it has saved none yet.")
        return found / "policy"

    def report(self) -> Path:
        """Write the report and return its path: one HTML file."""
        return write_report(self._folder)

    def _repr_html_(self) -> str:
        """Show the report in a notebook."""
        page = html.escape(self.report().read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="640" style="border: 1px solid #ccc"></iframe>'

    def __str__(self) -> str:
        found = self.summary
        if found is None:
            return f"run in {self.path}, not finished"
        return f"run in {self.path}: pass@1 {found.before} before, {found.after} after, {found.dollars:.4f} dollars"


def open_run(path: str | Path) -> Run:
    """Open the folder of a run. Raises BadInput if there is none."""
    return Run(RunFolder.open(Path(path)).path)


def score(stored: dict[str, Any]) -> Score:
    """Return a score from `summary.json`."""
    return Score(stored["pass@1"], tuple(stored["ci95"]), stored["n"], stored.get("reward"))


def frame(rows: list[dict[str, Any]], index: str | None = None) -> "DataFrame":
    """Return rows as a DataFrame."""
    import pandas  # late: it takes a second, and nothing else here needs it

    made = pandas.DataFrame(rows)
    return made.set_index(index) if index and rows else made
