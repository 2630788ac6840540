"""Per-token estimates of KL(policy || reference) from the log-probabilities of sampled tokens.

Deviation from TRL 1.16: the gradient is the plain one of the estimate. TRL by default multiplies the estimate by the
importance ratio (`use_bias_correction_kl`); here that is off.

As a penalty an estimator acts through its gradient, and the three differ there more than in their values. On tokens
sampled from the policy itself the expected gradient is zero for k1 (fit for watching the KL, not for penalizing it),
that of KL(policy || reference) for k2, and that of KL(reference || policy) for k3.
"""

from typing import Literal

import torch

from rewards.errors import BadInput

KLEstimator = Literal["k1", "k2", "k3"]


def kl_per_token(logps: torch.Tensor, ref_logps: torch.Tensor, estimator: KLEstimator) -> torch.Tensor:  # [N]
    """Return the estimate for each token, in nats (John Schulman, http://joschu.net/blog/kl-approx.html).

    `logps` and `ref_logps` [N] are the log-probabilities of the sampled tokens under policy and reference.
    k1 = log p/q (unbiased, may be negative), k2 = (log p/q)^2 / 2, k3 = q/p - 1 - log q/p (unbiased, never negative).
    Raises BadInput if the name is unknown.
    """
    difference = ref_logps - logps  # [N] log q/p
    if estimator == "k1":
        return -difference
    if estimator == "k2":
        return difference**2 / 2
    if estimator == "k3":
        return torch.expm1(difference) - difference  # expm1: exact where policy and reference are close
    raise BadInput(f"Unknown algorithm.kl_estimator {estimator!r}: use k1, k2 or k3.")
