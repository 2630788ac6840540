"""The gap: how far the engine's log-probabilities lie from the learner's for the same tokens and weights.

Both should compute the same distribution. What is left is rounding, or a fault (stale weights, another temperature,
other token ids), so the gap is logged raw at each step and stops the run when it grows too wide.
"""

import math

import torch

PERCENTILES = {"gap/ratio_p01": 0.01, "gap/ratio_p50": 0.50, "gap/ratio_p99": 0.99}
KEYS = ("gap/mean", "gap/max", "gap/k3", *PERCENTILES)


def gap_stats(learner_logps: torch.Tensor, engine_logps: torch.Tensor) -> dict[str, float]:
    """Compare the log-probabilities [N] of all sampled tokens of a step, gathered over the ranks.

    Percentiles do not add up, so this takes the step's tokens at once and not micro-batch by micro-batch.

    Returns `gap/mean` and `gap/max` (of |difference|, nats), `gap/k3` (estimate of KL(engine || learner), nats; see
    rl/learner/kl.py) and `gap/ratio_p01`, `gap/ratio_p50`, `gap/ratio_p99` (percentiles, nearest rank, of
    p_learner / p_engine). All are infinite if a difference is not finite or there is no token: a gap that could not
    be measured must not pass for a small one.
    """
    difference = learner_logps.detach().double() - engine_logps.detach().double()  # [N]
    if not len(difference) or not torch.isfinite(difference).all():
        return dict.fromkeys(KEYS, math.inf)
    ordered = difference.sort().values
    size, k3 = difference.abs(), torch.expm1(difference) - difference
    stats = {
        "gap/mean": size.mean().item(),
        "gap/max": size.max().item(),
        "gap/k3": k3.mean().item(),
    }
    return stats | {key: ordered[round(p * (len(ordered) - 1))].exp().item() for key, p in PERCENTILES.items()}
