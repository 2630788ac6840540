"""Sequences that are left out because engine and learner disagree too much about them.

A weight mends a small difference. Where the difference is large the estimate is of no use: a token that the engine
sampled and the learner would hardly ever say tells of a fault, or of weights that are too old, and the rest of its
sequence is built on it (https://richardli.xyz/rl-collapse-3; arXiv:2512.23075). Names and definitions are verl's
(`rollout_rs`), and `seq_mean_abs` is of the same kind. As TRL masks sequences, a rejected one has no policy term, and
what the loss divides by stays the same.
"""

import math
from collections.abc import Callable, Mapping

import torch

from rl.learner.correction import log_ratios, per_sequence

# From log ratios d [N], 0 where a token does not count, their sequences [N], which count [N] and the limit: which
# sequences [S] are beyond it.
Rejects = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def far_geometric_mean(d: torch.Tensor, sequence: torch.Tensor, mask: torch.Tensor, limit: float) -> torch.Tensor:
    """Whose geometric mean of ratios is outside [1 / limit, limit]."""
    return per_sequence(d, sequence, mask, mean=True).abs() > math.log(limit)


def large_differences(d: torch.Tensor, sequence: torch.Tensor, mask: torch.Tensor, limit: float) -> torch.Tensor:
    """Whose mean |d| is above the limit: differences do not cancel as in the geometric mean."""
    return per_sequence(d.abs(), sequence, mask, mean=True) > limit


def large_divergence(d: torch.Tensor, sequence: torch.Tensor, mask: torch.Tensor, limit: float) -> torch.Tensor:
    """Whose mean exp(d) - 1 - d, an estimate of KL(engine || learner), is above the limit."""
    return per_sequence(torch.expm1(d) - d, sequence, mask, mean=True) > limit


def vetoed(d: torch.Tensor, sequence: torch.Tensor, mask: torch.Tensor, limit: float) -> torch.Tensor:
    """Who have a token whose ratio is below the limit."""
    return per_sequence((d < math.log(limit)).to(d.dtype), sequence, mask, mean=False) > 0


REJECTS: Mapping[str, Rejects] = {
    "seq_mean_k1": far_geometric_mean,
    "seq_mean_abs": large_differences,
    "seq_mean_k3": large_divergence,
    "token_veto": vetoed,
}


def kept_tokens(
    old_logps: torch.Tensor,  # [N]
    engine_logps: torch.Tensor,  # [N]
    sequence: torch.Tensor,  # [N]
    mask: torch.Tensor,  # [N]
    limits: Mapping[str, float],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return which tokens [N] are of sequences within all limits, and counts of sequences with a counted token.

    Args:
        old_logps, engine_logps, sequence, mask: as `importance_weights` takes them.
        limits: by name, those of `algorithm.rollout_rs` that are set.

    The counts are `sequences`, `rejected` (by any limit) and `rejected/<name>` by each one.
    """
    d = log_ratios(old_logps, engine_logps, mask)  # [N]
    present = per_sequence(mask.to(d.dtype), sequence, mask, mean=False) > 0  # [S]
    rejected, counts = torch.zeros_like(present), dict[str, torch.Tensor]()
    for name, limit in limits.items():
        beyond = REJECTS[name](d, sequence, mask, limit)  # [S]
        counts[f"rejected/{name}"] = beyond.sum()
        rejected = rejected | beyond
    return ~rejected[sequence], {"sequences": present.sum(), "rejected": rejected.sum()} | counts
