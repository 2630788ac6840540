"""Finds out at the start whether a model can be computed as prefix trees, and falls back to padded rows if not.

Packing rests on a token seeing its ancestors by attention and by nothing else. State-space layers read the tokens in
the order in which they lie there; a sliding window shorter than the sequences, capped scores and attention of another
make are not what rl/learner/attention.py computes. So a few made-up sequences are computed both ways, with gradients,
and what differs decides. Padded rows go through the model's own forward pass, logits and all, and need no proof.
"""

import torch
from torch import Tensor

from rl.learner.packing import Layout, Sample, pack
from rl.learner.policy import Policy

# Largest difference of a log-probability in nats, and of gradients as a share of their norm.
TOLERANCE = {torch.float32: (1e-3, 1e-2), torch.bfloat16: (0.25, 0.25)}
COMPARED = 16  # parameters, spread over the model, whose gradients are compared


def pick_layout(policy: Policy, longest: int) -> str | None:
    """Let the policy compute trees if that is exact for sequences of up to `longest` tokens, else padded rows.

    Returns why not, as the end of a sentence; None if trees it is. Weights, gradients and random state stay as they
    were.
    """
    reason = reason_against(policy, longest)
    policy.use_layout("padded" if reason else "tree")
    return reason


def reason_against(policy: Policy, longest: int) -> str | None:
    """What speaks against trees; None if nothing does."""
    shortest = shortest_window(policy)
    if shortest is not None and shortest < longest:
        return f"its attention looks back {shortest} tokens, and sequences may have {longest}"
    training = policy.model.training
    policy.model.eval()  # no dropout
    try:
        rows = by_layout(policy, "padded")
        try:
            tree = by_layout(policy, "tree")
        except (TypeError, ValueError, RuntimeError, AttributeError) as error:  # models refuse in their own ways
            return f"it refuses attention over trees ({type(error).__name__}: {str(error).splitlines()[0]})"
    finally:
        policy.model.train(training)
    return difference(tree, rows, TOLERANCE[policy.compute_dtype])


def shortest_window(policy: Policy) -> int | None:
    """The fewest tokens that a layer's attention looks back; None if all see everything before them."""
    config = policy.causal_lm.config.get_text_config()
    windows = [getattr(module, "sliding_window", None) for module in policy.causal_lm.modules()]
    if "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"]):
        windows.append(getattr(config, "sliding_window", None))
    return min((window for window in windows if isinstance(window, int)), default=None)


def by_layout(policy: Policy, layout: Layout) -> tuple[Tensor, list[Tensor]]:
    """Log-probabilities [N] of the made-up sequences, and the gradients of some parameters of their weighted sum."""
    policy.use_layout(layout)
    [batch] = pack(made_up(policy.causal_lm.config.get_text_config().vocab_size), 10**6, layout=layout)
    logps, _ = policy.logps(batch.to(policy.device), 1.0)
    weights = torch.linspace(-1, 1, len(logps), device=logps.device)
    parameters = list(policy.trainable.values())
    if not parameters:  # a teacher
        return logps.detach(), []
    chosen = parameters[:: max(1, len(parameters) // COMPARED)] + parameters[-1:]
    grads = torch.autograd.grad((weights * logps).sum(), chosen, allow_unused=True)
    return logps.detach(), [torch.zeros_like(p) if g is None else g for p, g in zip(chosen, grads, strict=True)]


def made_up(vocabulary: int) -> list[Sample]:
    """Two groups of three: prompts of different lengths that begin alike, completions two of which begin alike."""
    ids = torch.randint(vocabulary, (64,), generator=torch.Generator().manual_seed(0)).tolist()
    samples = []
    for prompt in (ids[:9], [*ids[:4], *ids[9:14]]):
        for completion in (ids[20:32], [*ids[20:24], *ids[32:40]], ids[40:45]):
            samples.append(Sample(tuple(prompt), tuple(completion), (0.0,) * len(completion), 1.0, True))
    return samples


def difference(
    ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]], tolerance: tuple[float, float]
) -> str | None:
    """Says how far two results are apart if that is too far."""
    logps = float((ours[0] - theirs[0]).abs().max())
    grads = share_apart(ours[1], theirs[1])
    if logps <= tolerance[0] and grads <= tolerance[1]:
        return None
    return (
        f"packed and padded sequences differ by {logps:.2g} in a log-probability and by {grads:.1%} in the gradient, "
        f"above {tolerance[0]:g} and {tolerance[1]:.0%}"
    )


def share_apart(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """How far gradients are apart, as a share of the norm of theirs; 0 for a model that does not learn."""
    if not theirs:
        return 0.0
    norm = torch.stack([grad.float().norm() for grad in theirs]).norm()
    apart = torch.stack([(a - b).float().norm() for a, b in zip(ours, theirs, strict=True)]).norm()
    return float(apart / norm.clamp_min(torch.finfo(norm.dtype).tiny))
