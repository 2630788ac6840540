"""Finds out at the start how a model can be computed: as prefix trees or padded rows, and how its logits are made.

Packing rests on a token seeing its ancestors by attention and by nothing else. State-space layers read the tokens in
the order in which they lie there; a sliding window shorter than the sequences, capped scores and attention of another
make are not what rl/learner/attention.py computes. So a few made-up sequences are computed in each way, with gradients,
and what differs decides. Padded rows go through the model's own forward pass, logits and all, and need no proof.

What may differ is measured, too: the same rows in one batch and each alone differ by rounding and by nothing else.
"""

import torch
from torch import Tensor

from rl.learner.own_head import Head
from rl.learner.packing import Layout, Sample, pack
from rl.learner.policy import Policy

# Of log-probabilities the root mean square of the differences, in nats; of gradients theirs as a share of the norm.
Apart = tuple[float, float]

TIMES = 5.0  # what rounding alone was measured to do; prefix trees were seen at 0.1 to 3 times it
# Where rounding does less than this, this is allowed; whatever it does, no more than `MOST` is.
LEAST: dict[torch.dtype, Apart] = {
    torch.float32: (1e-4, 1e-3),
    torch.float16: (1e-3, 5e-3),
    torch.bfloat16: (5e-3, 2e-2),
}
MOST: Apart = (0.5, 0.5)
COMPARED = 16  # parameters, spread over the model, whose gradients are compared
TOGETHER = 256  # tokens that all made-up sequences fit in, also padded
Result = tuple[Tensor, list[Tensor]]


def pick_layout(policy: Policy, longest: int) -> str | None:
    """Let the policy compute trees if that is exact for sequences of up to `longest` tokens, else padded rows.

    Returns why not, as the end of a sentence; None if trees it is. Weights, gradients and random state stay as they
    were.
    """
    training = policy.model.training
    policy.model.eval()  # no dropout
    try:
        rows = computed(policy, "padded", "whole")
        allowed = tolerance(policy.compute_dtype, apart(computed(policy, "padded", "whole", alone=True), rows))
        head = policy.find_head()
        against_tree = window_too_short(policy, longest) or reason_against(policy, "tree", head, rows, allowed)
        if against_tree is None:
            policy.use_layout("tree", head)
            return None
        against_head = reason_against(policy, "padded", head, rows, allowed)
        policy.use_layout("padded", "whole" if against_head else head)
    finally:
        policy.model.train(training)
    if against_head is None:
        return against_tree
    return f"{against_tree}; passes are smaller, too, as all logits are made at once: {against_head}"


def window_too_short(policy: Policy, longest: int) -> str | None:
    """Why attention that looks back a number of tokens only forbids trees; None if it looks back far enough."""
    shortest = shortest_window(policy)
    if shortest is None or shortest >= longest:
        return None
    return f"its attention looks back {shortest} tokens, and sequences may have {longest}"


def reason_against(policy: Policy, layout: Layout, head: Head, rows: Result, allowed: Apart) -> str | None:
    """What speaks against a way to compute, compared with `rows`; None if nothing does."""
    try:
        return difference(apart(computed(policy, layout, head), rows), allowed)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:  # models refuse in their own ways
        what = "attention over trees" if layout == "tree" else "logits a few at a time"
        return f"it refuses {what} ({type(error).__name__}: {str(error).splitlines()[0]})"


def shortest_window(policy: Policy) -> int | None:
    """The fewest tokens that a layer's attention looks back; None if all see everything before them."""
    config = policy.causal_lm.config.get_text_config()
    windows = [getattr(module, "sliding_window", None) for module in policy.causal_lm.modules()]
    if "sliding_attention" in (getattr(config, "layer_types", None) or ["sliding_attention"]):
        windows.append(getattr(config, "sliding_window", None))
    return min((window for window in windows if isinstance(window, int)), default=None)


def computed(policy: Policy, layout: Layout, head: Head, *, alone: bool = False) -> Result:
    """Log-probabilities [N] of the made-up sequences, and the gradients of some parameters of their weighted sum.

    `alone`: each sequence in a pass of its own.
    """
    policy.use_layout(layout, head)
    samples = made_up(policy.causal_lm.config.get_text_config().vocab_size)
    batches = pack(samples, 1 if alone else TOGETHER, layout=layout)
    logps = torch.cat([policy.logps(batch.to(policy.device), 1.0)[0] for batch in batches])
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


def apart(ours: Result, theirs: Result) -> Apart:
    """How far two results are apart."""
    return float((ours[0] - theirs[0]).square().mean().sqrt()), share_apart(ours[1], theirs[1])


def tolerance(dtype: torch.dtype, noise: Apart) -> Apart:
    """How far results may be apart where the same computation in other company is `noise` apart."""
    logps, grads = (
        min(most, max(least, TIMES * seen)) for most, least, seen in zip(MOST, LEAST[dtype], noise, strict=True)
    )
    return logps, grads


def difference(found: Apart, allowed: Apart) -> str | None:
    """Says how far two results are apart if that is too far."""
    if found[0] <= allowed[0] and found[1] <= allowed[1]:
        return None
    return (
        f"log-probabilities differ by {found[0]:.2g} from those of the model's own forward pass and gradients by "
        f"{found[1]:.1%}, above {allowed[0]:.2g} and {allowed[1]:.1%}, {TIMES:g} times what rounding does"
    )


def share_apart(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """How far gradients are apart, as a share of the norm of theirs; 0 for a model that does not learn."""
    if not theirs:
        return 0.0
    norm = torch.stack([grad.float().norm() for grad in theirs]).norm()
    apart = torch.stack([(a - b).float().norm() for a, b in zip(ours, theirs, strict=True)]).norm()
    return float(apart / norm.clamp_min(torch.finfo(norm.dtype).tiny))
