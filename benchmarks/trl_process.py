"""TRL's trainer in a process of its own: whole steps with the seconds of each phase, and its loss on given rollouts.

Phases are timed around methods of the trainer: `_generate`, `_calculate_rewards`, and of `training_step` what is not
`_prepare_inputs` (loss and backward pass). The rest of a step is the optimizer, logging, and preparing the batch.
TRL is imported where it is used: it imports vLLM, whose words are no part of a command line's help.
"""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import TrainerCallback

from rl.config.recipe import Recipe
from rl.grading.answers import build_grader
from rl.learner.packing import Sample

if TYPE_CHECKING:
    from trl import GRPOTrainer

PHASES = {
    "_generate": "generate",
    "_calculate_rewards": "grade",
    "training_step": "training_step",
    "_prepare_inputs": "prepare",
}


class StepClock(TrainerCallback):
    """Seconds of every step, from the end of the one before, by phase; and what TRL logs of it."""

    def __init__(self) -> None:
        self.steps = list[dict[str, float]]()
        self._began = 0.0
        self._seconds = dict.fromkeys(PHASES.values(), 0.0)
        self._logs = dict[str, float]()

    def time(self, trainer: "GRPOTrainer") -> None:
        """Put a watch around the trainer's methods."""
        for method, phase in PHASES.items():
            setattr(trainer, method, self._watched(getattr(trainer, method), phase))

    def _watched(self, method: Any, phase: str) -> Any:
        def watched(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return method(*arguments, **options)
            finally:
                self._seconds[phase] += time.perf_counter() - began

        return watched

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the watch."""
        self._began = time.perf_counter()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """A step is over when it is logged; the last log, of the whole training, is no step."""
        if logs is None or "train_runtime" in logs:
            return
        now = time.perf_counter()
        self.steps.append(as_step(now - self._began, self._seconds, logs))
        self._began = now
        self._seconds = dict.fromkeys(PHASES.values(), 0.0)


def as_step(wall: float, seconds: Mapping[str, float], logs: Mapping[str, Any]) -> dict[str, float]:
    """A step in our own names; the share of groups without signal is TRL's count of groups whose rewards are equal."""
    phases = {
        "generate": seconds["generate"],
        "grade": seconds["grade"],
        "learn": seconds["training_step"] - seconds["prepare"],
    }
    return {
        "step": wall,
        **phases,
        "rest": wall - sum(phases.values()),
        "mean_length": logs["completions/mean_length"],
        "no_signal": logs["frac_reward_zero_std"],
    }


def trl_steps(recipe: Mapping[str, Any]) -> list[dict[str, float]]:
    """Train a recipe with TRL; what each step took."""
    from benchmarks.trl_peer import build_trainer

    parsed = Recipe.model_validate(recipe)
    clock = StepClock()
    with tempfile.TemporaryDirectory(prefix="penny-bench-") as folder, build_grader(parsed.rewards) as grader:
        trainer = build_trainer(parsed, grader, Path(folder), callbacks=[clock])
        clock.time(trainer)
        trainer.train()
    return clock.steps


def trl_inputs(samples: Sequence[Sample], pad: int) -> dict[str, Tensor]:
    """Rollouts as TRL prepares them: prompts padded on the left, completions on the right, all to the longest."""
    prompts = [torch.tensor(sample.prompt_ids) for sample in samples]
    completions = [torch.tensor(sample.completion_ids) for sample in samples]

    def padded(rows: list[Tensor], value: int, side: str) -> Tensor:
        return pad_sequence(rows, batch_first=True, padding_value=value, padding_side=side)

    ones = [[torch.ones_like(row) for row in rows] for rows in (prompts, completions)]
    return {
        "prompt_ids": padded(prompts, pad, "left"),  # [B, P]
        "prompt_mask": padded(ones[0], 0, "left"),  # [B, P]
        "completion_ids": padded(completions, pad, "right"),  # [B, C]
        "completion_mask": padded(ones[1], 0, "right"),  # [B, C]
        "advantages": torch.tensor([sample.advantage for sample in samples], dtype=torch.float32),  # [B]
        "num_items_in_batch": torch.tensor(sum(len(sample.completion_ids) for sample in samples)),
    }


def open_trainer(recipe: Recipe, folder: Path) -> "GRPOTrainer":
    """A trainer whose loss can be called without `train()`, in the state that `train()` would bring it to."""
    from benchmarks.trl_peer import build_trainer

    with build_grader(recipe.rewards) as grader:
        trainer = build_trainer(recipe, grader, folder)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    if trainer.args.gradient_checkpointing:
        trainer.model.gradient_checkpointing_enable(trainer.args.gradient_checkpointing_kwargs)
    trainer.model.train()
    return trainer


def loss_and_backward(trainer: "GRPOTrainer", inputs: Mapping[str, Tensor], passes: int | None = None) -> float:
    """TRL's loss and its gradients over a batch, in passes of its `per_device_train_batch_size`; the first ones only if
    `passes` says so. Returns the loss."""
    size, total = trainer.args.per_device_train_batch_size, 0.0
    trainer.model.zero_grad()
    starts = range(0, len(inputs["prompt_ids"]), size)
    for start in starts if passes is None else starts[:passes]:
        rows = {name: x[start : start + size] if x.ndim else x for name, x in inputs.items()}
        loss = trainer._compute_loss(trainer.model, rows)
        trainer.accelerator.backward(loss)
        total += float(loss.detach())
    trainer._metrics["train"].clear()
    return total
