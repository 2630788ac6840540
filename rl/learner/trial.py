"""Tries users' losses, advantage estimators and corrections on a few numbers, before a model is loaded.

Wrong shapes and numbers that are not finite are refused by `rl.learner.users` in any call. What is looked for here is
what a run would not notice: no gradient, and results that depend on how a batch is cut into micro-batches.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rl.config.recipe import AlgorithmSection
from rl.learner.losses import Loss, Totals, policy_loss
from rl.learner.users import LONGEST_SAID, Named, users_correction, users_estimator, users_loss

SEQUENCE = torch.tensor([0, 0, 0, 1, 2, 2, 2, 2, 3, 3])  # four sequences
LEARNER = torch.tensor([-0.1, -2.0, -0.7, -1.5, -0.3, -3.0, -0.9, -0.2, -1.1, -0.5])
ENGINE = LEARNER + torch.tensor([0.01, -0.3, 0.02, 0.1, -0.05, 0.6, 0.0, -0.02, 0.3, -0.1])
OLD = LEARNER + torch.tensor([0.05, -0.02, 0.4, -0.1, 0.0, 0.08, -0.5, 0.03, -0.06, 0.1])
ADVANTAGES = torch.tensor([1.0, -0.5, 0.75, -1.25])
CUTS = ([[0, 1], [2, 3]], [[0], [1, 2], [3]])  # sequences of each micro-batch


def try_loss(named: Named, algorithm: AlgorithmSection) -> bool:
    """Try a loss. Returns whether completions with advantage 0 add to it.

    Raises:
        PlugInFailed: it raises, returns what it may not, has no gradient, or micro-batches do not add up.
    """
    loss, whole = users_loss(named), [[0, 1, 2, 3]]
    for old in (LEARNER, OLD):  # as in the first update of a step, and in a later one
        value, gradient = _added_up(named, loss, algorithm, old, ADVANTAGES, whole)
        if not bool(torch.isfinite(gradient).all()):
            named.refuse("has a gradient that is NaN or infinite")
        if not bool(gradient.any()):
            named.refuse("has no gradient with respect to x.logps")
        for cut in CUTS:
            parts = _added_up(named, loss, algorithm, old, ADVANTAGES, cut)
            if not all(_close(one, other) for one, other in zip(parts, (value, gradient), strict=True)):
                named.refuse(
                    "does not add up over micro-batches: let no token's loss depend on other sequences, and divide by "
                    "numbers of x.totals"
                )
    value, gradient = _added_up(named, loss, algorithm, OLD, torch.zeros(4), whole)
    return bool(value) or bool(gradient.any())


def try_estimator(named: Named, algorithm: AlgorithmSection) -> None:
    """Try an estimator on groups with and without signal, and with completions that have no grade.

    Raises:
        PlugInFailed: it raises, returns what it may not, gives 0 to all, or looks at what has no grade.
    """
    rewards = torch.tensor([[1.0, 0, 0.5, 0.25], [0.5] * 4, [1, 0, 0, 2], [1, 0, 0, 0], [0] * 4], dtype=torch.float64)
    graded = torch.tensor([4, 4, 2, 1, 0]).unsqueeze(1)  # of each group
    valid = torch.arange(4) < graded
    found, other = (
        users_estimator(named, ungraded)(rewards, valid, algorithm.scale_rewards) for ungraded in (0.0, 5.0)
    )
    if not bool(found.any()):
        named.refuse("gives every completion the advantage 0")
    if not _close(found, other):
        named.refuse("looks at rewards of completions that have no grade: leave out those where valid is False")


def try_correction(named: Named, algorithm: AlgorithmSection) -> None:
    """Try a correction, on equal log-probabilities too.

    Raises:
        PlugInFailed: it raises, returns what it may not, or micro-batches do not add up.
    """
    correct, bounds = users_correction(named), (algorithm.importance_sampling_cap, algorithm.importance_sampling_floor)
    mask = torch.arange(len(SEQUENCE)) % 5 != 4  # tokens 4 and 9 do not count
    correct(LEARNER, LEARNER, mask, SEQUENCE, *bounds)
    found = correct(LEARNER, ENGINE, mask, SEQUENCE, *bounds).weights
    for cut in CUTS:
        for group in cut:
            tokens, sequence = _part(group)
            part = correct(LEARNER[tokens], ENGINE[tokens], mask[tokens], sequence, *bounds).weights
            if not _close(part, found[tokens]):
                named.refuse("gives a token another weight when the batch is cut: look at its own sequence alone")
    other = correct(torch.where(mask, LEARNER, -9.0), ENGINE, mask, SEQUENCE, *bounds).weights
    if not _close(other, found):
        named.refuse("looks at tokens that do not count: leave out those where mask is False")


def _added_up(
    named: Named,
    loss: Loss,
    algorithm: AlgorithmSection,
    old: Tensor,
    advantages: Tensor,
    micro_batches: Sequence[Sequence[int]],
) -> tuple[Tensor, Tensor]:
    """Return the loss [] and its gradient [N], added up over micro-batches of these sequences."""
    leaf = LEARNER.clone().requires_grad_()
    total = leaf.new_zeros(())
    for group in micro_batches:
        tokens, sequence = _part(group)
        share, _ = policy_loss(
            leaf[tokens],
            old[tokens],
            advantages[list(group)],
            sequence,
            torch.ones_like(sequence, dtype=torch.bool),
            Totals(len(ADVANTAGES), len(SEQUENCE), 8),
            loss_type=loss,
            epsilon=algorithm.epsilon,
            epsilon_high=algorithm.clip_high,
            importance_sampling_level=algorithm.importance_sampling_level,
            engine_logps=ENGINE[tokens],
        )
        total = total + share
    try:
        return total.detach(), torch.autograd.grad(total, leaf)[0]
    except RuntimeError as error:
        named.refuse(f"cannot be differentiated: {' '.join(str(error).split())[:LONGEST_SAID]}")


def _part(group: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return which tokens [N] are of these sequences, and for each of them the sequence's place in the group."""
    tokens = torch.isin(SEQUENCE, torch.tensor(group)).nonzero().squeeze(1)
    return tokens, torch.searchsorted(torch.tensor(sorted(group)), SEQUENCE[tokens])


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal but for the rounding of float32 sums."""
    return torch.allclose(one, other, rtol=1e-4, atol=1e-6)
