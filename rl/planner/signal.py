"""How many groups teach something: a group whose rewards are all equal is skipped before anything is computed."""

from collections import Counter
from collections.abc import Sequence
from math import comb, log2

SAME = 1e-6  # rewards that differ by no more are equal, as in rl.learner.advantages


def share_with_signal(groups: Sequence[Sequence[float]], size: int) -> float:
    """Expected share of groups of `size` completions whose rewards differ, from rewards of sampled groups.

    For groups no larger than those sampled it is exact: the chance that a part of a sampled group, drawn without
    replacement, has equal rewards. Beyond, what is left without signal goes on shrinking as it did from half the size
    to the whole. Without groups: 1.
    """
    if not groups:
        return 1.0
    sampled = min(len(group) for group in groups)
    if size <= sampled:
        return 1 - without_signal(groups, size)
    at_half, at_whole = without_signal(groups, max(sampled // 2, 1)), without_signal(groups, sampled)
    shrinks = (at_whole / at_half) ** log2(size / sampled) if at_half > 0 else 1.0
    return 1 - at_whole * shrinks


def without_signal(groups: Sequence[Sequence[float]], size: int) -> float:
    """Mean chance that `size` completions drawn from a group have equal rewards."""
    shares = []
    for group in groups:
        counts = Counter(round(reward / SAME) for reward in group).values()
        shares.append(sum(comb(count, size) for count in counts) / comb(len(group), size))
    return sum(shares) / len(shares)
