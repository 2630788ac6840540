"""How long completions get, as the chance that one has more than t tokens.

Estimated from a few that were sampled, some of them cut off before they ended: Kaplan and Meier's product over the
lengths seen (1958, eq. 2b), and beyond the longest a constant chance to end with each token.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Survival = npt.NDArray[np.float64]  # [limit + 1]: chance that a completion without a limit has more than t tokens


def estimate_survival(lengths: Sequence[int], ended: Sequence[bool], limit: int) -> Survival:
    """Survival up to `limit` from sampled `lengths`; `ended` is False for one that was cut off there.

    Raises ValueError without a completion.
    """
    if not lengths:
        raise ValueError("no completions to learn their lengths from")
    long, whole = np.asarray(lengths), np.asarray(ended, dtype=bool)
    overall = whole.sum() / long.sum()  # ends a token
    hazard = np.full(limit + 1, overall)
    hazard[0] = 0.0
    for t in range(1, min(limit, int(long.max())) + 1):
        hazard[t] = (whole & (long == t)).sum() / (long >= t).sum()
    return np.cumprod(1 - hazard)


def geometric_survival(mean: float, limit: int) -> Survival:
    """Survival with a constant chance to end, such that completions cut at `limit` have `mean` tokens on average."""
    low, high = 0.0, 1.0  # of the chance to go on
    for _ in range(60):
        going_on = (low + high) / 2
        if mean_length(going_on ** np.arange(limit + 1)) < mean:
            low = going_on
        else:
            high = going_on
    return np.asarray(high ** np.arange(limit + 1))


def mean_length(survival: npt.NDArray[np.floating]) -> float:
    """Mean tokens of completions that are cut at the limit."""
    return float(survival[:-1].sum())


def longest_of(survival: Survival, count: float) -> float:
    """Expected length of the longest of `count` completions that are cut at the limit."""
    return float((1 - (1 - survival[:-1]) ** count).sum())


def cut_share(survival: Survival) -> float:
    """Share of completions that the limit cuts off."""
    return float(survival[-1])


def contexts(survival: Survival, prompt: float) -> float:
    """Tokens that a completion's tokens look back at while it is decoded, summed: prompt and earlier tokens."""
    steps = np.arange(len(survival) - 1)
    return float((survival[:-1] * (prompt + steps)).sum())


def tree_pairs(survival: Survival, prompt: float) -> float:
    """Pairs of tokens that attend in the learner's pass over a completion: each token with all before it and itself.

    The last token of a completion predicts nothing and is no part of the pass.
    """
    steps = np.arange(1, len(survival) - 1)
    return float((survival[1:-1] * (prompt + steps)).sum())
