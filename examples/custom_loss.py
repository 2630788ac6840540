"""A loss, an advantage estimator and a correction of your own (docs/own-loss.md).

    penny train quickstart algorithm.loss_type=examples/custom_loss.py:gspo \
      algorithm.advantage_estimator=examples/custom_loss.py:over_median \
      algorithm.importance_sampling_correction=examples/custom_loss.py:smooth
"""

import torch
from torch import Tensor

from rl.learner.losses import LossInput, LossOutput, over_sequences


def gspo(x: LossInput) -> LossOutput:
    """Clip one ratio a completion, the geometric mean of its tokens' ratios; all completions count alike (GSPO)."""
    log_ratio = x.logps - x.old_logps  # [n]
    sums = log_ratio.new_zeros(x.sequences).index_add(0, x.sequence, log_ratio)  # [S]
    lengths = x.sequence.bincount(minlength=x.sequences).clamp(min=1)  # [S]
    ratio = (sums / lengths).exp()[x.sequence]  # [n]
    clipped = ratio.clamp(1 - x.epsilon, 1 + x.epsilon_high)
    losses = -torch.minimum(ratio * x.advantages, clipped * x.advantages)
    return LossOutput(losses, weights=over_sequences(x), stats={"outside": ratio != clipped})


def over_median(rewards: Tensor, valid: Tensor) -> Tensor:  # [P, G]
    """Compare with the median of the group, which one lucky completion does not move."""
    graded = rewards.masked_fill(~valid, torch.nan)
    return rewards - graded.nanmedian(dim=1, keepdim=True).values


def smooth(learner_logps: Tensor, engine_logps: Tensor, mask: Tensor) -> Tensor:  # [N]
    """Weigh tokens by a ratio that bends towards 2 in place of being cut there."""
    return 2 * torch.sigmoid(learner_logps - engine_logps)
