"""Advantages: how much better a completion did than its baseline.

Deviations from the papers, first:

- The standard deviation is unbiased and 1e-4 is added to it, as in TRL, for every estimator that divides by one.
- REINFORCE++ whitens over the tokens of the batch; here over its completions, so that long ones do not weigh more.
- Ungradable completions, which no paper has, get advantage 0 and take no part in any mean or deviation.

All functions take the rewards of the whole batch, gathered over the ranks: `rewards` [P, G] of P problems with G
completions each, and `valid` [P, G], True where a completion was graded. What `rewards` holds elsewhere is ignored.
A group with fewer than two graded completions has no baseline and gets zeros. So does a group whose rewards are all
equal, exactly and not up to rounding: they count as equal if they spread over no more than 1e-6 (relative to the
largest, where that is above 1), else the rounding of a weighted sum, divided by a tiny deviation, would be learned.

An estimator is a function in `ESTIMATORS`, or a user's (docs/own-loss.md).
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch

from rewards.errors import BadInput

Scale = Literal["group", "batch", "none"]

EPS = 1e-4  # added to every standard deviation, as in TRL
FLAT = 1e-6  # spread of rewards up to which they count as equal


# From `rewards` and `valid` [P, G], and `algorithm.scale_rewards`: advantages [P, G].
Estimator = Callable[[torch.Tensor, torch.Tensor, Scale], torch.Tensor]


def compute_advantages(
    estimator: str | Estimator, scale: Scale, rewards: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:  # [P, G]
    """Return the advantages [P, G] by an estimator, or by that of a name in `ESTIMATORS`.

    `scale` applies to `grpo` only: RLOO has no scale, REINFORCE++ always that of the batch.
    Raises BadInput if a graded reward is not finite or the name is unknown.
    """
    if not torch.isfinite(rewards[valid]).all():
        raise BadInput("A reward is NaN or infinite: let the reward function return a finite number, or None.")
    return named_estimator(estimator)(rewards, valid, scale)


def named_estimator(estimator: str | Estimator) -> Estimator:
    """Return the estimator of a name. Raises BadInput if there is none."""
    if not isinstance(estimator, str):
        return estimator
    if estimator not in ESTIMATORS:
        raise BadInput(f"Unknown algorithm.advantage_estimator {estimator!r}: use {' or '.join(ESTIMATORS)}.")
    return ESTIMATORS[estimator]


def group_advantages(rewards: torch.Tensor, valid: torch.Tensor, scale: Scale) -> torch.Tensor:  # [P, G]
    """Return reward minus group mean, divided by a standard deviation.

    `scale` is whose deviation: `group` (GRPO, arXiv:2402.03300, section 4.1.2), `batch` (of all graded rewards) or
    `none` (no division: Dr. GRPO, arXiv:2503.20783). Raises BadInput if the name is unknown.
    """
    centered = _center(rewards, valid)  # [P, G]
    if scale == "none":
        return centered
    if scale == "batch":
        return centered / (_batch_std(rewards, valid) + EPS)
    if scale == "group":
        count = valid.sum(dim=1, keepdim=True)  # [P, 1]
        std = ((centered**2).sum(dim=1, keepdim=True) / (count - 1).clamp(min=1)).sqrt()  # [P, 1]
        return centered / (std + EPS)
    raise BadInput(f"Unknown algorithm.scale_rewards {scale!r}: use group, batch or none.")


def rloo_advantages(rewards: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:  # [P, G]
    """Return reward minus the mean of the group's other rewards (REINFORCE leave-one-out, arXiv:2402.14740)."""
    count = valid.sum(dim=1, keepdim=True)  # [P, 1]
    # r_i - mean of the others = n / (n - 1) * (r_i - mean of all)
    return _center(rewards, valid) * (count / (count - 1).clamp(min=1))


def reinforce_plus_plus_baseline_advantages(rewards: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:  # [P, G]
    """Return reward minus group mean, whitened over the batch (REINFORCE++ with baseline, arXiv:2501.03262)."""
    centered = _center(rewards, valid)  # [P, G]
    # Each group's sum is zero, so the mean of the batch is too: whitening is the division alone, and zeros stay zeros.
    return centered / (_batch_std(centered, valid) + EPS)


ESTIMATORS: Mapping[str, Estimator] = {
    "grpo": group_advantages,
    "rloo": lambda rewards, valid, scale: rloo_advantages(rewards, valid),
    "reinforce_plus_plus_baseline": lambda rewards, valid, scale: reinforce_plus_plus_baseline_advantages(
        rewards, valid
    ),
}


def _center(rewards: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:  # [P, G]
    """Subtract the group's mean; exact zeros where ungraded, and in groups that are flat or have no baseline."""
    count = valid.sum(dim=1, keepdim=True)  # [P, 1]
    mean = torch.where(valid, rewards, 0).sum(dim=1, keepdim=True) / count.clamp(min=1)  # [P, 1]
    highest = torch.where(valid, rewards, -torch.inf).amax(dim=1, keepdim=True)  # [P, 1]
    lowest = torch.where(valid, rewards, torch.inf).amin(dim=1, keepdim=True)  # [P, 1]
    largest = torch.maximum(highest.abs(), lowest.abs()).clamp(min=1)  # [P, 1]
    learnable = (count > 1) & (highest - lowest > FLAT * largest)  # [P, 1]
    return torch.where(valid & learnable, rewards - mean, 0)


def _batch_std(values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:  # []
    """Unbiased standard deviation of all graded values; 0 for fewer than two."""
    graded = values[valid]
    return graded.std() if graded.numel() > 1 else values.new_zeros(())
