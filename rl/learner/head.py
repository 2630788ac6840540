"""From hidden states to log-probabilities without a [tokens, vocabulary] tensor.

The vocabulary projection runs over a few hidden states at a time, and what their gradient needs is formed in the same
pass: with p the distribution at a node, d log p(t) / d hidden = (W[t] - sum_v p(v) W[v]) / temperature, so one vector
[D] a node, its expected row of W, is all that the backward pass wants, whatever loss comes after (the idea of forming
gradients early is that of Liger's fused losses, arXiv:2410.10989; here the loss stays free). Two matrix products a node
in place of the three that recomputing takes.

In 16 bits the order of operations matters. Logits are projected first, made float32, and then divided by the
temperature, as vLLM does; a hidden state that is divided first is rounded once more. And the most probable row of W is
kept out of the expected row until the backward pass, which adds it in float32: where p(t) is near 1, W[t] and the
expected row nearly cancel, and rounding the expected row would leave nothing but the error.

Where that does not hold (the head itself learns, or is no plain matrix; the entropy needs a gradient), chunks are
recomputed in the backward pass.
"""

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# Logits that live at once, 64 and 512 MiB: products with few rows run at half the speed of those with hundreds.
CHUNK_ELEMENTS = {"cpu": 2**24, "cuda": 2**27}


def rows_at_once(vocabulary: int, device: torch.device) -> int:
    """Hidden states whose logits live at once."""
    return max(16, CHUNK_ELEMENTS.get(device.type, 2**24) // vocabulary)


def head_logps(
    hidden: Tensor,  # [U, D]
    weight: Tensor,  # [V, D]
    row: Tensor,  # [N]
    target: Tensor,  # [N]
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """log p(target) [N] and entropy [N], token n being predicted by `hidden[row[n]]`; nats, float32.

    The head is `logits = hidden @ weight.T / temperature`. The gradient reaches `hidden` through the log-probabilities;
    `weight` gets none, and the entropy has none.
    """
    logps: Tensor
    entropy: Tensor
    logps, entropy = FrozenHead.apply(hidden, weight, row, target, temperature)
    return logps, entropy


class FrozenHead(torch.autograd.Function):
    """See `head_logps`."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, row: Tensor, target: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities and entropies, chunk by chunk."""
        (nodes, width), vocabulary = hidden.shape, weight.shape[0]
        size = min(nodes, rows_at_once(vocabulary, hidden.device))
        logits, exps = hidden.new_empty(2, size, vocabulary, dtype=torch.float32)  # used again for every chunk
        normalizer, entropy, chosen = (hidden.new_empty(n, dtype=torch.float32) for n in (nodes, nodes, len(row)))
        kept = nodes if ctx.needs_input_grad[0] else 0
        others = hidden.new_empty(kept, width, dtype=weight.dtype)  # the expected row of W but for the top one's part
        top_p, top = hidden.new_empty(kept, dtype=torch.float32), row.new_empty(kept)
        order = row.argsort(stable=True)  # tokens by the node that predicts them
        bounds = torch.searchsorted(row[order], torch.arange(0, nodes + size, size, device=row.device)).tolist()
        for number, first in enumerate(range(0, nodes, size)):
            here = slice(first, min(nodes, first + size))
            z, e = logits[: here.stop - first], exps[: here.stop - first]
            project(hidden[here], weight, temperature, z)
            tokens = order[bounds[number] : bounds[number + 1]]
            chosen[tokens] = z[row[tokens] - first, target[tokens]]
            highest, best = z.max(-1, keepdim=True)
            torch.sub(z, highest, out=e).exp_()
            total = e.sum(-1, keepdim=True)
            normalizer[here] = (highest + total.log())[:, 0]
            entropy[here] = normalizer[here] - torch.linalg.vecdot(e, z) / total[:, 0]
            if kept:
                top[here], top_p[here] = best[:, 0], 1 / total[:, 0]
                others[here] = expected_row(e.scatter_(-1, best, 0.0), weight, total)
        ctx.save_for_backward(others, top_p, top, weight, row, target)
        ctx.temperature, ctx.dtype = temperature, hidden.dtype
        found = entropy[row]
        ctx.mark_non_differentiable(found)
        return chosen - normalizer[row], found

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the hidden states [U, D]."""
        others, top_p, top, weight, row, target = ctx.saved_tensors
        of_node = grad.new_zeros(len(others)).index_add_(0, row, grad)[:, None]  # [U, 1]
        hidden = (weight[top] * top_p[:, None]).add_(others).mul_(-of_node)
        hidden = hidden.index_add(0, row, weight[target] * grad[:, None])
        return (hidden / ctx.temperature).to(ctx.dtype), None, None, None, None


def project(hidden: Tensor, weight: Tensor, temperature: float, out: Tensor) -> None:
    """Put logits [U, V] = (hidden [U, D] @ weight.T) / temperature into `out`, float32.

    The product is computed in the precision of the weights, or of autocast; the division in float32.
    """
    if weight.dtype == out.dtype and not torch.is_autocast_enabled(out.device.type):
        torch.mm(hidden, weight.T, out=out)
    else:
        out.copy_(hidden @ weight.T)
    if temperature != 1:
        out.div_(temperature)


def expected_row(exps: Tensor, weight: Tensor, total: Tensor) -> Tensor:
    """Return sum_v exps[u, v] W[v] / total[u], as [U, D] float32, computed in the precision of the weights.

    The total of a flat distribution is about the size of the vocabulary, and float16 holds neither the sum before the
    division nor the terms after it. There, half of the division (the root of the total) is done before the product.
    """
    if weight.dtype == torch.float16:
        exps, total = exps.mul_(total.rsqrt()), total.sqrt()
    return (exps.to(weight.dtype) @ weight).float().div_(total)


def recomputed_logps(
    head: nn.Module,
    vocabulary: int,
    hidden: Tensor,
    row: Tensor,
    target: Tensor,
    temperature: float,
    entropy_grad: bool,
) -> tuple[Tensor, Tensor]:
    """What `head_logps` returns, for any head, with every gradient; logits are computed again in the backward pass."""
    size = rows_at_once(vocabulary, hidden.device)
    again = len(hidden) > size and torch.is_grad_enabled()
    places, logps, entropies = [], [], []
    for first in range(0, len(hidden), size):
        here = ((row >= first) & (row < first + size)).nonzero()[:, 0]  # tokens that these nodes predict
        logits = hidden[first : first + size]
        arguments = (head, logits, row[here] - first, target[here], temperature, entropy_grad)
        out = (
            checkpoint(project_and_select, *arguments, use_reentrant=False) if again else project_and_select(*arguments)
        )
        places.append(here)
        logps.append(out[0])
        entropies.append(out[1])
    order = torch.cat(places).argsort()
    return torch.cat(logps)[order], torch.cat(entropies)[order]


def project_and_select(
    head: nn.Module, hidden: Tensor, row: Tensor, target: Tensor, temperature: float, entropy_grad: bool
) -> tuple[Tensor, Tensor]:
    """`select_logps` of what a head makes of hidden states [U, D]."""
    return select_logps(head(hidden), row, target, temperature, entropy_grad)


def select_logps(
    logits: Tensor, row: Tensor, target: Tensor, temperature: float, entropy_grad: bool
) -> tuple[Tensor, Tensor]:
    """log p(target) [n] and entropy [n], where token n is predicted by row `row[n]` of logits [U, V]; nats, float32."""
    scaled = logits.float() / temperature  # [U, V]
    normalizer = scaled.logsumexp(-1)  # [U]
    logps = scaled[row, target] - normalizer[row]
    with contextlib.nullcontext() if entropy_grad else torch.no_grad():
        entropy = normalizer - (torch.softmax(scaled, -1) * scaled).sum(-1)  # [U]
    return logps, entropy[row]
