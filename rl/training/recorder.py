"""Writes what a run leaves behind: rollouts, metrics, evaluations, costs, summary, report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from accelerate import Accelerator

from rl.config.recipe import Recipe
from rl.grading.answers import accuracy_of, highest_part
from rl.report.report import write_report
from rl.run.display import Display
from rl.run.evaluations import EvaluationRow, read_evaluations, write_evaluation
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger, ledger_totals
from rl.run.metrics import MetricsLog, read_metrics
from rl.run.rollouts import RolloutRow, write_rollouts
from rl.run.summary import interval, never_solved, percent, write_summary
from rl.run.trackers import log_metrics


@dataclass(frozen=True)
class Recorder:
    """Writes to the run's folder, the display and the trackers.

    With several ranks, all but rank 0 write to a scratch folder that is deleted.
    """

    recipe: Recipe
    folder: RunFolder
    ledger: Ledger
    display: Display
    trackers: Accelerator

    def step(self, step: int, rows: Sequence[RolloutRow], metrics: Mapping[str, Any]) -> dict[str, Any]:
        """Store the rollouts and the metrics of a step; return the metrics with its costs."""
        write_rollouts(self.folder, step, rows)
        highest = highest_part([row.parts for row in rows], self.recipe.rewards)
        whole = {**metrics, "accuracy/max": highest, **self.ledger.step_done(step)}
        MetricsLog(self.folder).append(whole)
        log_metrics(self.trackers, whole)
        self.display.step(whole)
        return whole

    def evaluation(self, step: int, result: Mapping[str, Any], rows: Sequence[EvaluationRow]) -> None:
        """Store a measurement on the held-out problems with all answers."""
        costs = self.ledger.step_done(None)
        whole = {**result, "seconds": costs["time/evaluate"]}
        write_evaluation(self.folder, step, whole, rows)
        self.display.message(
            f"step {step}: pass@1 {percent(whole['pass@1'])} of {whole['n']} held-out problems, "
            f"95 % interval {interval(whole)}"
        )

    def finish(self) -> dict[str, Any]:
        """Write summary and report of the finished run; return the summary."""
        self.ledger.step_done(None)
        totals = ledger_totals(self.folder)
        evaluations = read_evaluations(self.folder)
        summary = write_summary(
            self.folder,
            evaluations[0],
            evaluations[-1],
            self.recipe.evaluation.band,
            minutes=totals["total_seconds"] / 60,
            dollars=totals["dollars"],
            tokens=totals["tokens"]["generated"],
            warnings=self._warnings(evaluations),
        )
        write_report(self.folder)
        self.display.summary(summary, self.folder.report)
        return summary

    def _warnings(self, evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return what is wrong with the run as a whole."""
        section = self.recipe.rewards
        found = never_solved(section.correct_above, accuracy_of(section), read_metrics(self.folder), evaluations)
        return [found] if found else []
