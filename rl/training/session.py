"""A session of a run: its parts, and what happens between the steps of learning."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rewards.grading import Grader
from rl.base import ranks
from rl.base.signals import StopRequested, StopSignal
from rl.config.recipe import Recipe
from rl.learner.plug_ins import PlugIns
from rl.learner.policy import Policy
from rl.models.adapter_base import name_base
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter
from rl.rollout.engine import RolloutEngine
from rl.run.checkpoints import save_checkpoint, set_best
from rl.run.evaluations import read_evaluations
from rl.run.rollouts import RolloutRow
from rl.training.callbacks import Callback, wants_end
from rl.training.evaluator import Evaluator
from rl.training.recorder import Recorder
from rl.training.state import TrainingState
from rl.training.sync import WeightSync


@dataclass
class Session:
    """The parts of a run.

    Attributes:
        state: what learning changes, and checkpoints hold.
        sync: gives weights to the engine.
        recorder: writes the run's folder.
        evaluator: measures on the held-out problems.
        training: the training problems; `prompter` renders them.
        teacher: scores the policy's tokens in on-policy distillation.
        callbacks: functions of a Python program, called after each step.
        plug_ins: the loss, the advantage estimator and the correction.
        functions: SHA-256 of the file of each function of the user's.
        saved_step: the step of the newest checkpoint.
        ended_by: the callback that ends the run, in words; empty: none does.
    """

    recipe: Recipe
    state: TrainingState
    sync: WeightSync
    recorder: Recorder
    evaluator: Evaluator
    stop: StopSignal
    training: Sequence[Problem]
    prompter: Prompter
    tokenizer: Any
    grader: Grader
    engine: RolloutEngine
    plug_ins: PlugIns
    teacher: Policy | None = None
    callbacks: Sequence[Callback] = ()
    functions: Mapping[str, str] = field(default_factory=dict)
    saved_step: int = 0
    ended_by: str = ""

    def prompt_at(self, position: int) -> Prompt:
        """Render the problem at a stream position."""
        return self.prompter.render(self.training[self.state.stream.take(position, 1)[0]])

    def evaluate_if_due(self) -> None:
        """Measure the present step unless that was done; a run killed in the middle of it catches up here."""
        step, folder = self.state.step, self.recorder.folder
        if not self.evaluator.is_due(step):
            return
        done = [result["step"] for result in read_evaluations(folder)]
        if not all(ranks.gather([step in done])):
            self.recorder.evaluation(step, *self.evaluator.measure())
        if step > 0:
            set_best(folder, step, read_evaluations(folder)[-1]["pass@1"])

    def record(self, step: int, rows: Sequence[RolloutRow], metrics: Mapping[str, Any]) -> None:
        """Store a step's rollouts and metrics; the step counts as done from here."""
        whole = self.recorder.step(step, rows, metrics)
        self.state.stream.observe(rows)
        self.state.step, self.state.position = step, self.state.batches.pop(step).end
        with self.saved_first():
            self.ended_by = wants_end(self.callbacks, whole)

    def save_if_due(self) -> None:
        """Save where the recipe says so, and before each evaluation."""
        step = self.state.step
        if self.evaluator.is_due(step) or step % self.recipe.run.save_steps == 0:
            self.save()

    @contextmanager
    def saved_first(self) -> Iterator[None]:
        """Save the last finished step before an exception leaves the block, which does not change the weights."""
        try:
            yield
        except Exception:  # a reward, an engine, a grader: none of them is a reason to lose steps
            self.save()
            raise

    def save(self) -> None:
        """Write a checkpoint of the last finished step, unless there is one."""
        if self.saved_step == self.state.step:
            return
        with self.recorder.ledger.phase("save"):
            save_checkpoint(self.recorder.folder, self.state.step, self._write)
        self.saved_step = self.state.step

    def _write(self, folder: Path) -> None:
        policy = folder / "policy"
        self.state.policy.save(policy)
        if self.state.policy.has_adapter:
            name_base(policy, self.recipe.model)
        self.tokenizer.save_pretrained(policy)
        self.state.write(folder / "state.pt")

    def restore(self, checkpoint: Path, same_training: bool = True) -> None:
        """Take everything from a checkpoint; with other training problems, leave out what belongs to the old ones."""
        self.state.policy.load(checkpoint / "policy")
        staleness = self.recipe.rollout.max_staleness
        self.state.read(checkpoint / "state.pt", self.prompt_at, staleness, same_training)
        self.saved_step = self.state.step

    def stop_if_asked(self) -> None:
        """Save and raise `StopRequested` if a signal came, or if a budget or a callback ends the run early."""
        reasons = [text for text in ranks.gather([self._reason_to_stop()]) if text]
        if reasons:
            self.save()
            raise StopRequested(reasons[0])

    def _reason_to_stop(self) -> str:
        limits, ledger = self.recipe.run, self.recorder.ledger
        if self.state.step < self.recipe.optimizer.max_steps:
            if limits.max_hours is not None and ledger.hours >= limits.max_hours:
                return f"run.max_hours = {limits.max_hours:g} are over"
            if limits.max_dollars is not None and ledger.dollars >= limits.max_dollars:
                return f"run.max_dollars = {limits.max_dollars:g} is spent"
            if self.ended_by:
                return self.ended_by
        return self.stop.received.name if self.stop.received else ""
