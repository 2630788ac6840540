"""Everything a run holds while it trains, and what it does between the steps of learning."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import Accelerator

from rewards.grading import Grader
from rewards.scratch import scratch_folder
from rl.base import ranks
from rl.base.disk import writing
from rl.base.signals import StopRequested, StopSignal
from rl.config.recipe import Recipe
from rl.evaluation.statistics.measures import mean_reward, measures
from rl.grading.answers import accuracy_of, answer_all, grade_all, highest_part, training_row
from rl.learner.fuse import LogitError
from rl.learner.optimizer import resume_schedule
from rl.learner.plug_ins import PlugIns
from rl.learner.policy import Policy
from rl.models.adapter_base import name_base
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter
from rl.report.report import write_report
from rl.rollout.build import pick_sync
from rl.rollout.engine import RolloutEngine, SamplingParams
from rl.run.checkpoints import save_checkpoint, set_best
from rl.run.display import Display
from rl.run.evaluations import read_evaluations, write_evaluation
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger, ledger_totals
from rl.run.metrics import MetricsLog, read_metrics
from rl.run.rollouts import RolloutRow, write_rollouts
from rl.run.summary import interval, never_solved, percent, write_summary
from rl.run.trackers import log_metrics
from rl.training.batch import Batch, from_state, to_state
from rl.training.curriculum import Curriculum


@dataclass
class Session:
    """The parts of a run. `step` is the last finished step, and what the weights and optimizer belong to.

    `position` is the stream position behind that step's problems. `batches` are those collected for steps that are not
    finished yet. With several ranks each has a session; all but rank 0 keep their books in a scratch folder that is
    thrown away.
    """

    recipe: Recipe
    folder: RunFolder
    scratch: Path
    ledger: Ledger
    display: Display
    trackers: Accelerator
    stop: StopSignal
    tokenizer: Any
    training: Sequence[Problem]
    prompter: Prompter
    held_out: Sequence[Prompt]
    stream: Curriculum
    grader: Grader
    policy: Policy
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    scheduler: torch.optim.lr_scheduler.LRScheduler
    engine: RolloutEngine
    plug_ins: PlugIns
    teacher: Policy | None = None
    data: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of each set of problems
    functions: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of the file of each function of the user's
    step: int = 0
    saved_step: int = 0
    position: int = 0
    batches: dict[int, Batch] = field(default_factory=dict)
    first_gap: LogitError | None = None  # of the first step that said enough; later ones are compared with it
    _adapter: ExitStack = field(default_factory=ExitStack, init=False)  # removes the folder that the engine's is in

    def prompt_at(self, position: int) -> Prompt:
        """The problem at a stream position, rendered."""
        return self.prompter.render(self.training[self.stream.take(position, 1)[0]])

    def sync(self) -> dict[str, float]:
        """Give the policy's weights to the engine; the seconds that took and the bytes handed over."""
        began = time.perf_counter()
        if pick_sync(self.recipe.rollout) == "merged":
            sent = 0

            def counted() -> Iterator[tuple[str, torch.Tensor]]:
                nonlocal sent
                for name, tensor in self.policy.export():
                    sent += tensor.nbytes
                    yield name, tensor

            self.engine.load_weights(counted())
        else:
            sent = sum(parameter.nbytes for parameter in self.policy.trainable.values())
            self._hand_adapter(sent)
        return {"sync/seconds": time.perf_counter() - began, "sync/bytes": sent}

    def _hand_adapter(self, size: int) -> None:
        """Give the engine the adapter, of `size` bytes, in a new folder, which stays until the engine has a newer one.

        An engine may read it again: vLLM does when its cache of adapters has dropped it.
        """
        shared = self.recipe.rollout.server_folder
        with ExitStack() as new:
            folder = new.enter_context(
                scratch_folder("adapter", str(in_memory(self.scratch, size)))
                if shared is None
                else TemporaryDirectory(prefix="adapter-", dir=shared)
            )
            with writing(Path(folder), size):
                self.policy.save(Path(folder))
            self.engine.load_adapter(folder)
            self.drop_adapter()
            self._adapter = new.pop_all()

    def drop_adapter(self) -> None:
        """Remove the folder of the adapter that the engine has."""
        self._adapter.close()

    def evaluation_due(self) -> bool:
        """Whether the present step is one to measure at: before, after, and where the recipe says so."""
        every = self.recipe.evaluation.every
        return self.step in (0, self.recipe.optimizer.max_steps) or (every > 0 and self.step % every == 0)

    def evaluate_if_due(self) -> None:
        """Measure the present step unless that was done; a run killed in the middle of it catches up here."""
        if not self.evaluation_due():
            return
        done = [result["step"] for result in read_evaluations(self.folder)]
        if not all(ranks.gather([self.step in done])):
            self.evaluate()
        if self.step > 0:
            set_best(self.folder, self.step, read_evaluations(self.folder)[-1]["pass@1"])

    def evaluate(self) -> None:
        """Measure the engine's weights on the held-out problems and store every answer."""
        section = self.recipe.evaluation
        length = section.max_completion_length or self.recipe.rollout.max_completion_length
        params = SamplingParams(length, temperature=section.temperature, stop=tuple(self.recipe.rollout.stop))
        with self.ledger.phase("evaluate"):
            mine = self.held_out[ranks.rank() :: ranks.world_size()]
            seed, progress = self.recipe.run.seed, self.display.progress
            completions = answer_all(self.engine, mine, params, section.num_samples, seed, progress)
            self.ledger.add_tokens(generated=sum(len(c.token_ids) for group in completions for c in group))
            answers = ranks.gather(grade_all(mine, completions, self.grader, self.tokenizer))
        costs = self.ledger.step_done(None)
        rows = [training_row(answer, accuracy_of(self.recipe.rewards)) for answer in answers]
        result = {**measures(rows, majority=False), **mean_reward(rows), "seconds": costs["time/evaluate"]}
        result["accuracy/max"] = highest_part([answer.graded.parts for answer in answers], self.recipe.rewards)
        result["problems_sha256"] = self.data.get("held_out")
        write_evaluation(self.folder, self.step, result, rows)
        self.display.message(
            f"step {self.step}: pass@1 {percent(result['pass@1'])} of {result['n']} held-out problems, "
            f"95 % interval {interval(result)}"
        )

    def record(self, step: int, rows: Sequence[RolloutRow], metrics: Mapping[str, Any]) -> None:
        """Store a step's rollouts and metrics; the step counts as done from here."""
        write_rollouts(self.folder, step, rows)
        highest = highest_part([row.parts for row in rows], self.recipe.rewards)
        metrics = {**metrics, "accuracy/max": highest, **self.ledger.step_done(step)}
        MetricsLog(self.folder).append(metrics)
        log_metrics(self.trackers, metrics)
        self.display.step(metrics)
        self.stream.observe(rows)
        self.step, self.position = step, self.batches.pop(step).end

    def save_if_due(self) -> None:
        """Save where the recipe says so, and before each evaluation."""
        if self.evaluation_due() or self.step % self.recipe.run.save_steps == 0:
            self.save()

    @contextmanager
    def saved_first(self) -> Iterator[None]:
        """Whatever ends the block, which leaves the weights as they are, save the last finished step before."""
        try:
            yield
        except Exception:  # a reward, an engine, a grader: none of them is a reason to lose steps
            self.save()
            raise

    def save(self) -> None:
        """Write a checkpoint of the last finished step, unless there is one."""
        if self.saved_step == self.step:
            return
        with self.ledger.phase("save"):
            save_checkpoint(self.folder, self.step, self._write_state)
        self.saved_step = self.step

    def stop_if_asked(self) -> None:
        """Save and raise `StopRequested` if a signal came, or if the budget is spent before the last step."""
        limits = self.recipe.run
        reason = self.stop.received.name if self.stop.received else ""
        if self.step < self.recipe.optimizer.max_steps:
            if limits.max_dollars is not None and self.ledger.dollars >= limits.max_dollars:
                reason = f"run.max_dollars = {limits.max_dollars:g} is spent"
            if limits.max_hours is not None and self.ledger.hours >= limits.max_hours:
                reason = f"run.max_hours = {limits.max_hours:g} are over"
        reasons = [text for text in ranks.gather([reason]) if text]
        if reasons:
            self.save()
            raise StopRequested(reasons[0])

    def finish(self) -> dict[str, Any]:
        """Write summary and report of the finished run."""
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
            warnings=self.warnings(evaluations),
        )
        write_report(self.folder)
        self.display.summary(summary, self.folder.report)
        return summary

    def warnings(self, evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return what is wrong with the run as a whole."""
        section = self.recipe.rewards
        found = never_solved(section.correct_above, accuracy_of(section), read_metrics(self.folder), evaluations)
        return [found] if found else []

    def restore(self, checkpoint: Path, same_training: bool = True) -> None:
        """Take weights, optimizer, schedule, random state and position from a checkpoint.

        With other training problems than it was made with, leave what belongs to the old ones.
        """
        state = torch.load(checkpoint / "state.pt", map_location="cpu", weights_only=True)
        self.policy.load(checkpoint / "policy")
        self.optimizer.load_state_dict(state["optimizer"])
        if kept := state.get("scaler"):  # empty unless in float16
            self.scaler.load_state_dict(kept)
        resume_schedule(self.optimizer, self.scheduler, state["scheduler"])
        torch.set_rng_state(state["torch_rng"])
        self.step = self.saved_step = state["step"]
        self.position = state["stream_position"]
        self.first_gap = LogitError(*first) if (first := state.get("first_gap")) else None
        if "curriculum" in state:
            places = state["curriculum"] if same_training else state["curriculum"] | {"settled": {}}
            self.stream.restore(places)
        self.recipe = with_pass(self.recipe, state.get("micro_batch_tokens", self.recipe.optimizer.pass_tokens))
        for batches in state.get("batches", []) if same_training else ():  # of one step, for each rank that there was
            batch = from_state(batches[ranks.rank() % len(batches)], self.prompt_at)
            fresh = batch.step - 1 - batch.weights <= self.recipe.rollout.max_staleness
            if fresh and len(batches) == ranks.world_size():
                self.batches[batch.step] = batch

    def _write_state(self, folder: Path) -> None:
        self.policy.save(folder / "policy")
        if self.policy.has_adapter:
            name_base(folder / "policy", self.recipe.model)
        self.tokenizer.save_pretrained(folder / "policy")
        state = {
            "step": self.step,
            "stream_position": self.position,
            "curriculum": self.stream.to_state(),
            "micro_batch_tokens": self.recipe.optimizer.pass_tokens,
            "batches": [ranks.gather([to_state(batch)]) for batch in self.batches.values()],
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "first_gap": astuple(self.first_gap) if self.first_gap else None,
        }
        with (folder / "state.pt").open("wb") as file:  # by its name alone, torch would not say why it cannot write
            torch.save(state, file)


def with_pass(recipe: Recipe, tokens: int) -> Recipe:
    """The recipe with passes of at most so many packed tokens."""
    return recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"micro_batch_tokens": tokens})})


def in_memory(otherwise: Path, size: int) -> Path:
    """A folder whose files stay in memory, if it has room for twice `size` bytes; else `otherwise`."""
    shared = Path("/dev/shm")
    if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2 * size:
        return shared
    return otherwise
