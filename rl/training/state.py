"""The state of a training run: what a checkpoint holds, and what resuming needs.

Step k depends on this state after step k - 1, the recipe and (seed, k) alone.
"""

from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import torch

from rl.base import ranks
from rl.learner.fuse import LogitError
from rl.learner.optimizer import resume_schedule
from rl.learner.policy import Policy
from rl.problems.problem import Prompt
from rl.training.batch import Batch, from_state, to_state
from rl.training.curriculum import Curriculum


@dataclass
class TrainingState:
    """What learning changes.

    Attributes:
        stream: the order of the problems.
        step: the last finished step; weights and optimizer are those after it.
        position: the stream position behind that step's problems.
        batches: batches of steps that are not finished yet, by step.
        first_gap: the gap of the first step that could be a reference; later gaps are compared with it.
        pass_tokens: packed tokens of a micro-batch at most.
    """

    policy: Policy
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    stream: Curriculum
    pass_tokens: int
    step: int = 0
    position: int = 0
    batches: dict[int, Batch] = field(default_factory=dict)
    first_gap: LogitError | None = None

    def write(self, file: Path) -> None:
        """Write everything but the policy, which `Policy.save` writes."""
        state = {
            "step": self.step,
            "stream_position": self.position,
            "curriculum": self.stream.to_state(),
            "micro_batch_tokens": self.pass_tokens,
            "batches": [ranks.gather([to_state(batch)]) for batch in self.batches.values()],
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "torch_rng": torch.get_rng_state(),
            "first_gap": astuple(self.first_gap) if self.first_gap else None,
        }
        with file.open("wb") as open_file:  # by its name alone, torch would not say why it cannot write
            torch.save(state, open_file)

    def read(self, file: Path, prompt_at: Callable[[int], Prompt], max_staleness: int, same_training: bool) -> None:
        """Take what `write` wrote.

        Args:
            prompt_at: renders the problem at a stream position.
            max_staleness: updates that a stored batch may be older than the weights.
            same_training: whether the training problems are those of the checkpoint; otherwise what belongs to the
                old problems is left out.
        """
        state = torch.load(file, map_location="cpu", weights_only=True)
        self.optimizer.load_state_dict(state["optimizer"])
        if kept := state.get("scaler"):  # empty unless in float16
            self.scaler.load_state_dict(kept)
        resume_schedule(self.optimizer, self.scheduler, state["scheduler"])
        torch.set_rng_state(state["torch_rng"])
        self.step, self.position = state["step"], state["stream_position"]
        self.first_gap = LogitError(*first) if (first := state.get("first_gap")) else None
        self.pass_tokens = state.get("micro_batch_tokens", self.pass_tokens)
        if "curriculum" in state:
            self.stream.restore(state["curriculum"] if same_training else state["curriculum"] | {"settled": {}})
        if same_training:
            self._read_batches(state.get("batches", []), prompt_at, max_staleness)

    def _read_batches(self, stored: list[list[Any]], prompt_at: Callable[[int], Prompt], max_staleness: int) -> None:
        for batches in stored:  # of one step, one for each rank that there was
            batch = from_state(batches[ranks.rank() % len(batches)], prompt_at)
            fresh = batch.step - 1 - batch.weights <= max_staleness
            if fresh and len(batches) == ranks.world_size():
                self.batches[batch.step] = batch
