"""Importance weights that correct for the engine and the learner not being the same distribution.

Tokens are sampled from the engine's p_engine but differentiated as if from the learner's p_old. The ratio
p_old / p_engine mends that; its ends are cut, else one token could own the gradient. As in TRL 1.16
(`vllm_importance_sampling_mode`, with `vllm_importance_sampling_clip_max` the cap and `_clip_min` the floor) and, for
the geometric mean, as in verl. Token weights with a cap are TIS (https://fengyao.notion.site/off-policy-rl), with both
bounds and a mask they are IcePop (https://ringtech.notion.site/icepop). The product over a sequence shrinks with its
length even where every token is sound (TRL #5814: mean weight 0.57, and 0.993 for the geometric mean), so the
geometric mean of GSPO (arXiv:2507.18071, eq. 7) is there for sequences.
"""

import math
from typing import Literal, get_args

import torch

from rewards.errors import BadInput

Mode = Literal[
    "none",
    "token_truncate",
    "token_mask",
    "sequence_truncate",
    "sequence_mask",
    "geometric_truncate",
    "geometric_mask",
]
LARGEST_LOG = 20.0  # exp of more would overflow sums; verl's bound


def importance_weights(
    old_logps: torch.Tensor,  # [N]
    engine_logps: torch.Tensor,  # [N]
    sequence: torch.Tensor,  # [N]
    mask: torch.Tensor,  # [N]
    mode: Mode,
    cap: float | None,
    floor: float | None = None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return the weight of each token [N], without gradient, and sums over the counted tokens.

    Args:
        old_logps: the learner's log-probabilities before the update.
        engine_logps: those of the engine that sampled; NaN (not known) leaves the token uncorrected.
        sequence: index of the sequence that each token belongs to. A sequence must not be split over calls.
        mask: True counts. Uncounted tokens weigh 1 at token level and add nothing to their sequence's ratio.
        mode: `none`, or `token` (ratio of each token), `sequence` (product over the sequence's tokens, given to all
            of them) or `geometric` (their geometric mean), with ratios beyond a bound set to it (`truncate`) or to 0
            (`mask`).
        cap, floor: the largest and the smallest ratio kept; None: no bound.

    The sums are `correction` (weights), `correction_capped` and `correction_floored` (tokens whose ratio was above the
    cap, below the floor) and `tokens`. Raises BadInput if the mode is unknown.
    """
    if mode not in get_args(Mode):
        raise BadInput(f"Unknown algorithm.importance_sampling_correction {mode!r}: use one of {get_args(Mode)}.")
    log_ratio = log_ratios(old_logps, engine_logps, mask)  # [N]
    low, high = floor or 0.0, math.inf if cap is None else cap
    if mode == "none":
        log_ratio, low, high = torch.zeros_like(log_ratio), 0.0, math.inf
    elif not mode.startswith("token"):
        log_ratio = per_sequence(log_ratio, sequence, mask, mean=mode.startswith("geometric"))[sequence]  # [N]
    ratio = log_ratio.clamp(-LARGEST_LOG, LARGEST_LOG).exp()  # [N]
    capped, floored = ratio > high, ratio < low  # [N]
    weights = ratio.masked_fill(capped | floored, 0.0) if mode.endswith("mask") else ratio.clamp(low, high)  # [N]
    stats = {
        "correction": weights[mask].sum(),
        "correction_capped": capped[mask].sum(),
        "correction_floored": floored[mask].sum(),
        "tokens": mask.sum(),
    }
    return weights, stats


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
