"""The policy losses of TRL 1.16, on ragged completions and with global denominators.

Deviations, first:

- `bnpo` divides by the counted tokens of the whole batch, which makes it equal to `dapo`. (TRL divides by those of the
  micro-batch, so that its gradient depends on the micro-batch size.)
- The entropy bonus is likewise a mean over the tokens of the whole batch, for every loss type.
- The clip statistics count tokens at sequence level too, where TRL counts sequences.

Completions are not padded. A micro-batch holds N completion tokens of S whole sequences, end to end: `logps` [N],
`sequence` [N] (index 0..S-1 of each token's sequence), `mask` [N] (True counts), `advantages` [S]. Every loss is a sum
over tokens of weight x per-token loss, and the weights know the totals of the whole batch. So the losses (and the
gradients) of micro-batches, and of ranks, add up to those of the batch however it is split.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from rewards.errors import BadInput

LossType = Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo"]
Level = Literal["token", "sequence"]


@dataclass(frozen=True)
class Totals:
    """What the losses divide by: counts over all micro-batches and all ranks of one update.

    Attributes:
        sequences: completions sampled, those masked out included (as in TRL).
        tokens: completion tokens that count.
        max_completion_length: the rollouts' limit, in tokens.
    """

    sequences: int
    tokens: int
    max_completion_length: int


def policy_loss(
    logps: torch.Tensor,  # [N]
    old_logps: torch.Tensor,  # [N]
    advantages: torch.Tensor,  # [S]
    sequence: torch.Tensor,  # [N]
    mask: torch.Tensor,  # [N]
    totals: Totals,
    *,
    loss_type: LossType,
    epsilon: float,
    epsilon_high: float,
    importance_sampling_level: Level = "token",
    correction: torch.Tensor | None = None,  # [N]
    kl: torch.Tensor | None = None,  # [N]
    beta: float = 0.0,
    entropy: torch.Tensor | None = None,  # [N]
    entropy_coef: float = 0.0,
    token_advantages: torch.Tensor | None = None,  # [N]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return this micro-batch's share of the loss (a scalar to differentiate), and sums over its counted tokens.

    Args:
        old_logps: the learner's log-probabilities before the update, taken as constant; on the first update of a
            batch, `logps` itself.
        epsilon, epsilon_high: the ratio is clipped to [1 - epsilon, 1 + epsilon_high] (clip-higher: DAPO,
            arXiv:2503.14476, eq. 10); for `cispo` to at most `epsilon_high` itself, so 5.0 is usual there.
        importance_sampling_level: `sequence` takes the geometric mean of a sequence's token ratios (GSPO,
            arXiv:2507.18071, eq. 7).
        correction: weights of the policy term (not of the KL), from rl/learner/correction.py.
        kl: estimate per token, from rl/learner/kl.py; penalized with weight `beta`.
        entropy: of the policy at each token, in nats; rewarded with weight `entropy_coef`.
        token_advantages: added to those of the tokens' sequences, from rl/learner/distillation.py.

    The sums are those of `ratio_sums`, and `kl` and `entropy` where given. Add them over micro-batches and ranks, then
    divide by `tokens`.
    """
    sequences = len(advantages)
    # Only counted tokens from here on.
    logps, old_logps, sequence = logps[mask], old_logps[mask].detach(), sequence[mask]  # [n]
    advantage = advantages.to(logps.dtype)[sequence]  # [n]
    if token_advantages is not None:
        advantage = advantage + token_advantages[mask].to(logps.dtype)
    ratio = importance_ratio(logps - old_logps, sequence, sequences, importance_sampling_level)  # [n]
    low, high = clip_range(loss_type, epsilon, epsilon_high)
    is_cispo = loss_type == "cispo"
    terms = cispo_loss(logps, ratio, advantage, high) if is_cispo else clipped_loss(ratio, advantage, low, high)
    if correction is not None:
        terms = terms * correction[mask].detach()
    if kl is not None and beta:
        terms = terms + beta * kl[mask]
    loss = (terms * token_weights(terms, sequence, sequences, totals, loss_type)).sum()
    if entropy is not None and entropy_coef:
        loss = loss - entropy_coef * entropy[mask].sum() / max(totals.tokens, 1)
    sums = {name: x[mask].detach().sum() for name, x in (("kl", kl), ("entropy", entropy)) if x is not None}
    return loss, sums | ratio_sums(ratio.detach(), advantage, low, high)


def clip_range(loss_type: LossType, epsilon: float, epsilon_high: float) -> tuple[float, float]:
    """Return the lowest and highest ratio; `cispo` caps at `epsilon_high` itself and has no lower end, as in TRL."""
    return (0.0, epsilon_high) if loss_type == "cispo" else (1 - epsilon, 1 + epsilon_high)


def ratio_sums(ratio: torch.Tensor, advantage: torch.Tensor, low: float, high: float) -> dict[str, torch.Tensor]:
    """Return sums over the counted tokens [n].

    `tokens` is their number, `ratio` the sum of the ratios; `clip_low` and `clip_high` count tokens whose ratio was cut
    on the side where that takes effect (low with a negative advantage, high with a positive one), as TRL does.
    """
    return {
        "tokens": torch.tensor(len(ratio), device=ratio.device),
        "ratio": ratio.sum(),
        "clip_low": ((ratio < low) & (advantage < 0)).sum(),
        "clip_high": ((ratio > high) & (advantage > 0)).sum(),
    }


def clipped_loss(ratio: torch.Tensor, advantage: torch.Tensor, low: float, high: float) -> torch.Tensor:  # [n]
    """Return PPO's clipped surrogate per token, negated to be minimized (arXiv:1707.06347, eq. 7)."""
    return -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)


def cispo_loss(logps: torch.Tensor, ratio: torch.Tensor, advantage: torch.Tensor, high: float) -> torch.Tensor:  # [n]
    """Return REINFORCE per token, weighted by the capped ratio as a constant (CISPO, arXiv:2506.13585)."""
    return -ratio.clamp(max=high).detach() * advantage * logps


def importance_ratio(
    log_ratio: torch.Tensor, sequence: torch.Tensor, sequences: int, level: Level
) -> torch.Tensor:  # [n]
    """Return new over old probability of each token [n]; at sequence level, their geometric mean over the sequence.

    Raises BadInput if the level is unknown.
    """
    if level == "token":
        return log_ratio.exp()
    if level == "sequence":
        sums = log_ratio.new_zeros(sequences).index_add(0, sequence, log_ratio)  # [S]
        lengths = sequence.bincount(minlength=sequences).clamp(min=1)  # [S]
        return (sums / lengths).exp()[sequence]
    raise BadInput(f"Unknown algorithm.importance_sampling_level {level!r}: use token or sequence.")


def token_weights(
    like: torch.Tensor,
    sequence: torch.Tensor,
    sequences: int,
    totals: Totals,
    loss_type: LossType,
) -> torch.Tensor:  # [n]
    """Return what each counted token [n] weighs in the loss, in the type and on the device of `like` [n].

    `grpo`: mean over a sequence's tokens, then over the batch's sequences (arXiv:2402.03300, eq. 3). `dr_grpo`: one
    constant, so that length does not matter (arXiv:2503.20783). `dapo`, `cispo`, `bnpo`: mean over the batch's tokens.
    Raises BadInput if the name is unknown.
    """
    if loss_type == "grpo":
        lengths = sequence.bincount(minlength=sequences)[sequence].to(like.dtype)  # [n]
        return 1 / (lengths * totals.sequences)
    if loss_type == "dr_grpo":
        return torch.full_like(like, 1 / (totals.sequences * totals.max_completion_length))
    if loss_type in ("dapo", "cispo", "bnpo"):
        return torch.full_like(like, 1 / max(totals.tokens, 1))
    raise BadInput(f"Unknown algorithm.loss_type {loss_type!r}: use grpo, bnpo, dr_grpo, dapo or cispo.")
