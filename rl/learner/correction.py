"""Importance weights that correct for the engine and the learner not being the same distribution.

Tokens are sampled from the engine's p_engine but differentiated as if from the learner's p_old. The ratio
p_old / p_engine mends that; its ends are cut, else one token could own the gradient. As in TRL 1.16
(`vllm_importance_sampling_mode`, with `vllm_importance_sampling_clip_max` the cap and `_clip_min` the floor) and, for
the geometric mean, as in verl. Token weights with a cap are TIS (https://fengyao.notion.site/off-policy-rl), with both
bounds and a mask they are IcePop (https://ringtech.notion.site/icepop). The product over a sequence shrinks with its
length even where every token is sound (TRL #5814: mean weight 0.57, and 0.993 for the geometric mean), so the
geometric mean of GSPO (arXiv:2507.18071, eq. 7) is there for sequences.

A correction is a function in `CORRECTIONS`, or a user's (docs/own-loss.md).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rewards.errors import BadInput

LARGEST_LOG = 20.0  # exp of more would overflow sums; verl's bound


@dataclass(frozen=True)
class Weights:
    """What each token's policy term is multiplied by, and whose ratio was above the cap, or below the floor."""

    weights: Tensor  # [N]
    capped: Tensor  # [N]
    floored: Tensor  # [N]


# From `learner_logps`, `engine_logps`, `mask` and `sequence`, all [N], and `cap` and `floor`, each a number or None.
Correction = Callable[[Tensor, Tensor, Tensor, Tensor, float | None, float | None], Weights]
# From log ratios, `sequence` and `mask`, all [N]: the log ratios that count [N].
Level = Callable[[Tensor, Tensor, Tensor], Tensor]
# From ratios [N] and the bounds: weights [N].
Bound = Callable[[Tensor, float, float], Tensor]


def importance_weights(
    old_logps: Tensor,  # [N]
    engine_logps: Tensor,  # [N]
    sequence: Tensor,  # [N]
    mask: Tensor,  # [N]
    mode: str | Correction,
    cap: float | None,
    floor: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weight of each token [N], without gradient, and sums over the counted tokens.

    Args:
        old_logps: the learner's log-probabilities before the update.
        engine_logps: those of the engine that sampled; NaN (not known) leaves the token uncorrected.
        sequence: index of the sequence that each token belongs to. A sequence must not be split over calls.
        mask: True counts. Uncounted tokens weigh 1 at token level and add nothing to their sequence's ratio.
        mode: a correction, or a name in `CORRECTIONS`: `none`, or `token` (ratio of each token), `sequence` (product
            over the sequence's tokens, given to all of them) or `geometric` (their geometric mean), with ratios beyond
            a bound set to it (`truncate`) or to 0 (`mask`).
        cap, floor: the largest and the smallest ratio kept; None: no bound.

    The sums are `correction` (weights), `correction_capped` and `correction_floored` (tokens whose ratio was above the
    cap, below the floor) and `tokens`. Raises BadInput if the mode is unknown.
    """
    old_logps = old_logps.detach()
    correct = named_correction(mode)
    found = correct(old_logps, known_logps(old_logps, engine_logps), mask, sequence, cap, floor)
    stats = {
        "correction": found.weights[mask].sum(),
        "correction_capped": found.capped[mask].sum(),
        "correction_floored": found.floored[mask].sum(),
        "tokens": mask.sum(),
    }
    return found.weights, stats


def named_correction(mode: str | Correction) -> Correction:
    """Return the correction of a name. Raises BadInput if there is none."""
    if not isinstance(mode, str):
        return mode
    if mode not in CORRECTIONS:
        raise BadInput(f"Unknown algorithm.importance_sampling_correction {mode!r}: use {' or '.join(CORRECTIONS)}.")
    return CORRECTIONS[mode]


def uncorrected(
    learner_logps: Tensor, engine_logps: Tensor, mask: Tensor, sequence: Tensor, cap: float | None, floor: float | None
) -> Weights:
    """Return 1 for every token."""
    never = torch.zeros_like(mask)
    return Weights(torch.ones_like(learner_logps), never, never)


def bounded(level: Level, bound: Bound) -> Correction:
    """Return the correction that takes ratios by `level`, and deals by `bound` with those beyond cap or floor."""

    def weights(
        learner_logps: Tensor,
        engine_logps: Tensor,
        mask: Tensor,
        sequence: Tensor,
        cap: float | None,
        floor: float | None,
    ) -> Weights:
        log_ratio = level(log_ratios(learner_logps, engine_logps, mask), sequence, mask)  # [N]
        low, high = floor or 0.0, math.inf if cap is None else cap
        ratio = log_ratio.clamp(-LARGEST_LOG, LARGEST_LOG).exp()  # [N]
        return Weights(bound(ratio, low, high), ratio > high, ratio < low)

    return weights


def of_token(log_ratio: Tensor, sequence: Tensor, mask: Tensor) -> Tensor:
    """Return each token's own."""
    return log_ratio


def of_sequence(log_ratio: Tensor, sequence: Tensor, mask: Tensor) -> Tensor:
    """Return the log of the product over each sequence, for all of its tokens."""
    return per_sequence(log_ratio, sequence, mask, mean=False)[sequence]


def of_geometric_mean(log_ratio: Tensor, sequence: Tensor, mask: Tensor) -> Tensor:
    """Return the log of the geometric mean over each sequence, for all of its tokens."""
    return per_sequence(log_ratio, sequence, mask, mean=True)[sequence]


def truncate(ratio: Tensor, low: float, high: float) -> Tensor:
    """Set ratios beyond a bound to it."""
    return ratio.clamp(low, high)


def leave_out(ratio: Tensor, low: float, high: float) -> Tensor:
    """Set ratios beyond a bound to 0."""
    return ratio.masked_fill((ratio > high) | (ratio < low), 0.0)


CORRECTIONS: Mapping[str, Correction] = {
    "none": uncorrected,
    "token_truncate": bounded(of_token, truncate),
    "token_mask": bounded(of_token, leave_out),
    "sequence_truncate": bounded(of_sequence, truncate),
    "sequence_mask": bounded(of_sequence, leave_out),
    "geometric_truncate": bounded(of_geometric_mean, truncate),
    "geometric_mask": bounded(of_geometric_mean, leave_out),
}


def known_logps(old_logps: Tensor, engine_logps: Tensor) -> Tensor:
    """Return the engine's log-probabilities [N], and the learner's where the engine gave none (NaN)."""
    return torch.where(engine_logps.isnan(), old_logps, engine_logps)


def log_ratios(old_logps: torch.Tensor, engine_logps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return log(p_old / p_engine) [N] without gradient; 0 of tokens that do not count or that an engine left out."""
    return torch.where(mask, old_logps.detach() - engine_logps, 0).nan_to_num(nan=0.0)


def per_sequence(values: torch.Tensor, sequence: torch.Tensor, mask: torch.Tensor, *, mean: bool) -> torch.Tensor:
    """Return the sum, or the mean over counted tokens, of the values [N] of each sequence [S]; uncounted ones are 0."""
    sequences = int(sequence.max()) + 1 if len(sequence) else 0
    sums = values.new_zeros(sequences).index_add(0, sequence, values)  # [S]
    if not mean:
        return sums
    return sums / sequence[mask].bincount(minlength=sequences).clamp(min=1)
