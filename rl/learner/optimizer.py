"""AdamW, whole or with 8-bit state, and its learning-rate schedule."""

from collections.abc import Iterable
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from rl.config.recipe import OptimizerSection


def build_optimizer(parameters: Iterable[torch.nn.Parameter], section: OptimizerSection) -> torch.optim.Optimizer:
    """The optimizer that the recipe names; `adamw_8bit` is bitsandbytes', whose state takes a quarter of the memory."""
    options: dict[str, Any] = {
        "lr": section.learning_rate,
        "betas": (section.adam_beta1, section.adam_beta2),
        "eps": section.adam_epsilon,
        "weight_decay": section.weight_decay,
    }
    if section.name == "adamw_8bit":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit(parameters, **options)
    return torch.optim.AdamW(parameters, **options)


def build_scheduler(
    optimizer: torch.optim.Optimizer, section: OptimizerSection
) -> torch.optim.lr_scheduler.LRScheduler:
    """Warm-up, then `lr_scheduler_type` until `max_steps`; advances once a step, whatever `num_iterations` is."""
    return get_scheduler(
        section.lr_scheduler_type,
        optimizer,
        num_warmup_steps=section.warmup_steps,
        num_training_steps=section.max_steps,
    )


def resume_schedule(
    optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler, state: dict[str, Any]
) -> None:
    """Take a schedule's place from its state, and the learning rate from the schedule as the recipe has it now.

    With another `max_steps`, a schedule other than `constant` has another learning rate at the same place, as in TRL.
    """
    scheduler.load_state_dict(state)
    assert isinstance(scheduler, LambdaLR)  # as all of `get_scheduler`'s that a recipe can name
    factors = [factor(scheduler.last_epoch) for factor in scheduler.lr_lambdas]  # one for each group
    scheduler._last_lr = [base * factor for base, factor in zip(scheduler.base_lrs, factors, strict=True)]
    for group, rate in zip(optimizer.param_groups, scheduler._last_lr, strict=True):
        group["lr"] = rate
