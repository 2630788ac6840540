"""The policy losses of TRL 1.16, on ragged completions and with global denominators, and what a loss of your own gets.

Deviations, first:

- `bnpo` is another name of `dapo`: it divides by the counted tokens of the whole batch. (TRL divides by those of the
  micro-batch, so that its gradient depends on the micro-batch size.)
- The entropy bonus is likewise a mean over the tokens of the whole batch, for every loss type.
- The clip statistics count tokens at sequence level too, where TRL counts sequences.

Completions are not padded. A micro-batch holds N completion tokens of S whole sequences, end to end: `logps` [N],
`sequence` [N] (index 0..S-1 of each token's sequence), `mask` [N] (True counts), `advantages` [S]. Every loss is a sum
over tokens of weight x per-token loss, and the weights know the totals of the whole batch. So the losses (and the
gradients) of micro-batches, and of ranks, add up to those of the batch however it is split.

A loss is a function in `LOSSES`, or a user's (docs/own-loss.md): from the tokens that count, what each of them loses.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from rewards.errors import BadInput
from rl.learner.correction import known_logps

Level = Literal["token", "sequence"]
CLIPPED = ("ratio", "clip_low", "clip_high")  # statistics of built-in losses, which have metrics of their own


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


@dataclass(frozen=True)
class LossInput:
    """The n tokens of a micro-batch that count, of at most S whole sequences. All but `logps` is constant.

    Attributes:
        logps: the learner's log-probabilities, to be differentiated.
        old_logps: those before the step's first update; in that update the same numbers as `logps`.
        engine_logps: those of the engine that sampled; the learner's old ones where it gave none.
        advantages: of each token, a teacher's part included.
        sequence: index 0..S-1 of each token's sequence.
        sequences: S.
        totals: counts of the whole batch.
        epsilon, epsilon_high, importance_sampling_level: as the recipe has them.
    """

    logps: Tensor  # [n]
    old_logps: Tensor  # [n]
    engine_logps: Tensor  # [n]
    advantages: Tensor  # [n]
    sequence: Tensor  # [n]
    sequences: int
    totals: Totals
    epsilon: float
    epsilon_high: float
    importance_sampling_level: Level = "token"

    def ratio(self) -> Tensor:  # [n]
        """Return new over old probability of each token, or what `importance_sampling_level` makes of it."""
        return importance_ratio(
            self.logps - self.old_logps, self.sequence, self.sequences, self.importance_sampling_level
        )


@dataclass(frozen=True)
class LossOutput:
    """What each counted token loses.

    Attributes:
        losses: per token, before correction and KL.
        weights: what each token weighs in the batch's loss, by one of the functions `over_...`; None: `over_tokens`.
        stats: a number per token by name; their means over the counted tokens are metrics.
    """

    losses: Tensor  # [n]
    weights: Tensor | None = None  # [n]
    stats: Mapping[str, Tensor] = field(default_factory=dict)  # each [n]


Loss = Callable[[LossInput], LossOutput]


def policy_loss(
    logps: Tensor,  # [N]
    old_logps: Tensor,  # [N]
    advantages: Tensor,  # [S]
    sequence: Tensor,  # [N]
    mask: Tensor,  # [N]
    totals: Totals,
    *,
    loss_type: str | Loss,
    epsilon: float,
    epsilon_high: float,
    importance_sampling_level: Level = "token",
    engine_logps: Tensor | None = None,  # [N]
    correction: Tensor | None = None,  # [N]
    kl: Tensor | None = None,  # [N]
    beta: float = 0.0,
    entropy: Tensor | None = None,  # [N]
    entropy_coef: float = 0.0,
    token_advantages: Tensor | None = None,  # [N]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return this micro-batch's share of the loss (a scalar to differentiate), and sums over its counted tokens.

    Args:
        old_logps: the learner's log-probabilities before the update, taken as constant; on the first update of a
            batch, `logps` itself.
        loss_type: a name in `LOSSES`, or a loss.
        epsilon, epsilon_high: the ratio is clipped to [1 - epsilon, 1 + epsilon_high] (clip-higher: DAPO,
            arXiv:2503.14476, eq. 10); for `cispo` to at most `epsilon_high` itself, so 5.0 is usual there.
        importance_sampling_level: `sequence` takes the geometric mean of a sequence's token ratios (GSPO,
            arXiv:2507.18071, eq. 7).
        engine_logps: only losses of users look at them.
        correction: weights of the policy term (not of the KL), from rl/learner/correction.py.
        kl: estimate per token, from rl/learner/kl.py; penalized with weight `beta`.
        entropy: of the policy at each token, in nats; rewarded with weight `entropy_coef`.
        token_advantages: added to those of the tokens' sequences, from rl/learner/distillation.py.

    The sums are `tokens`, the loss's own statistics, and `kl` and `entropy` where given. Add them over micro-batches
    and ranks, then divide by `tokens`. Raises BadInput if a name is unknown.
    """
    advantage = advantages.to(logps.dtype)[sequence[mask]]  # [n]
    if token_advantages is not None:
        advantage = advantage + token_advantages[mask].to(logps.dtype)
    old_logps = old_logps.detach()
    engine = old_logps if engine_logps is None else known_logps(old_logps, engine_logps)
    counted = LossInput(
        logps[mask],
        old_logps[mask],
        engine[mask],
        advantage,
        sequence[mask],
        len(advantages),
        totals,
        epsilon,
        epsilon_high,
        importance_sampling_level,
    )
    output = named_loss(loss_type)(counted)
    terms = output.losses
    if correction is not None:
        terms = terms * correction[mask].detach()
    if kl is not None and beta:
        terms = terms + beta * kl[mask]
    loss = (terms * (over_tokens(counted) if output.weights is None else output.weights)).sum()
    if entropy is not None and entropy_coef:
        loss = loss - entropy_coef * entropy[mask].sum() / max(totals.tokens, 1)
    sums = {name: x[mask].detach().sum() for name, x in (("kl", kl), ("entropy", entropy)) if x is not None}
    own = {name if name in CLIPPED else f"loss/{name}": x.detach().sum() for name, x in output.stats.items()}
    return loss, {"tokens": torch.tensor(len(advantage), device=logps.device)} | sums | own


def named_loss(loss_type: str | Loss) -> Loss:
    """Return the loss of a name. Raises BadInput if there is none."""
    if not isinstance(loss_type, str):
        return loss_type
    if loss_type not in LOSSES:
        raise BadInput(f"Unknown algorithm.loss_type {loss_type!r}: use {' or '.join(LOSSES)}.")
    return LOSSES[loss_type]


def clipped(x: LossInput) -> LossOutput:
    """Return PPO's clipped surrogate per token, negated to be minimized (arXiv:1707.06347, eq. 7)."""
    ratio, low, high = x.ratio(), 1 - x.epsilon, 1 + x.epsilon_high
    losses = -torch.minimum(ratio * x.advantages, ratio.clamp(low, high) * x.advantages)
    return LossOutput(losses, stats=clip_stats(ratio, x.advantages, low, high))


def grpo(x: LossInput) -> LossOutput:
    """Return the clipped surrogate, a mean over each sequence and then over all (arXiv:2402.03300, eq. 3)."""
    return replace(clipped(x), weights=over_sequences(x))


def dr_grpo(x: LossInput) -> LossOutput:
    """Return the clipped surrogate over one constant, so that length does not matter (arXiv:2503.20783)."""
    return replace(clipped(x), weights=over_constant(x))


def dapo(x: LossInput) -> LossOutput:
    """Return the clipped surrogate, a mean over the batch's tokens (arXiv:2503.14476). `bnpo` is this, too."""
    return clipped(x)


def cispo(x: LossInput) -> LossOutput:
    """Return REINFORCE per token, weighted by the capped ratio as a constant (CISPO, arXiv:2506.13585).

    The cap is `epsilon_high` itself, and there is no lower end, as in TRL.
    """
    ratio = x.ratio()
    losses = -ratio.clamp(max=x.epsilon_high).detach() * x.advantages * x.logps
    return LossOutput(losses, stats=clip_stats(ratio, x.advantages, 0.0, x.epsilon_high))


LOSSES: Mapping[str, Loss] = {"grpo": grpo, "bnpo": dapo, "dr_grpo": dr_grpo, "dapo": dapo, "cispo": cispo}


def over_tokens(x: LossInput) -> Tensor:  # [n]
    """Return weights that make the loss a mean over the batch's tokens."""
    return torch.full_like(x.logps, 1 / max(x.totals.tokens, 1))


def over_sequences(x: LossInput) -> Tensor:  # [n]
    """Return weights that make the loss a mean over each sequence's tokens, then over the batch's sequences."""
    lengths = x.sequence.bincount(minlength=x.sequences)[x.sequence].to(x.logps.dtype)  # [n]
    return 1 / (lengths * x.totals.sequences)


def over_constant(x: LossInput) -> Tensor:  # [n]
    """Return weights that divide by the batch's sequences times the longest that one may be."""
    return torch.full_like(x.logps, 1 / (x.totals.sequences * x.totals.max_completion_length))


def clip_stats(ratio: Tensor, advantages: Tensor, low: float, high: float) -> dict[str, Tensor]:  # each [n]
    """Return the ratio, and whose ratio was cut on the side where that takes effect, as TRL counts them.

    That is the low side with a negative advantage, and the high side with a positive one.
    """
    return {
        "ratio": ratio,
        "clip_low": (ratio < low) & (advantages < 0),
        "clip_high": (ratio > high) & (advantages > 0),
    }


def importance_ratio(log_ratio: Tensor, sequence: Tensor, sequences: int, level: Level) -> Tensor:  # [n]
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
