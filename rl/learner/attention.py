"""Attention over prefix trees: a token sees its ancestors and itself, and little else is computed.

On a CPU the tree is cut into blocks of consecutive queries and keys that torch's flash kernel takes one by one: a
stretch without branches sees itself causally; all that descends from a stretch sees it whole; bushes of at most `BUSH`
nodes get a small mask. The parts of a query are put together by their log-sum-exps, as flash attention does with its
own (Dao et al. 2022, arXiv:2205.14135, section 3.1); in the backward pass each block is given the query's final
log-sum-exp and output, which makes its share of the gradient exact. No [L, L] mask exists.

On a GPU the same rule, j <= i < ends[j], is the mask of FlexAttention (rl/learner/flex.py).

transformers models use it under the name `ATTENTION`; `prefix_tree=` passes through their layers to it.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask
from transformers import AttentionInterface

from rl.learner.flex import flex_forward, flex_mask

ATTENTION = "prefix_tree"
BUSH = 128  # nodes whose pairs are computed whether they see each other or not: small kernels are dear

forward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
backward_kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True)
class Block:
    """Queries and keys, both consecutive nodes, that are computed together."""

    queries: slice
    keys: slice
    kind: Literal["causal", "whole", "masked"]
    mask: Tensor | None = None  # [n, n] float, 0 or -inf, of a masked one

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Attention of the block alone: output [1, H, q, E] and log-sum-exp [1, H, q]."""
        q, k, v = query[:, :, self.queries], key[:, :, self.keys], value[:, :, self.keys]
        out, lse = forward_kernel(q, k, v, 0.0, self.kind == "causal", attn_mask=self.mask, scale=scale)
        return out, lse


Tree = tuple[Block, ...] | BlockMask


def plan_tree(ends: Tensor, dtype: torch.dtype, budget: int) -> Tree:
    """How attention over a tree of L nodes is computed on the device of `ends` [L], in `dtype`.

    `budget`: tokens that a micro-batch may have, by which a GPU's kernels are compiled for few lengths.
    """
    if ends.device.type == "cpu":
        return tuple(plan_blocks(ends.tolist(), dtype))
    return flex_mask(ends, budget)


def plan_blocks(ends: list[int], dtype: torch.dtype, bush: int = BUSH) -> list[Block]:
    """Blocks that cover every (node, ancestor or itself) pair once; each node is a query of one that is not `whole`.

    Those come first for a node, so that later blocks find something to add to.
    """
    diagonal, whole = list[Block](), list[Block]()
    forests = [(0, len(ends))]  # sibling subtrees, one after the other
    while forests:
        node, stop = forests.pop()
        first = node  # of the bush that grows
        while node < stop:
            end = ends[node]
            if end - first > bush and first < node:
                diagonal.append(masked(first, node, ends, dtype))
                first = node
            if end - node > bush:
                last = node  # of the stretch: on as long as there is one child, which has all descendants
                while last + 1 < end and ends[last + 1] == end:
                    last += 1
                diagonal.append(Block(slice(node, last + 1), slice(node, last + 1), "causal"))
                if last + 1 < end:
                    whole.append(Block(slice(last + 1, end), slice(node, last + 1), "whole"))
                    forests.append((last + 1, end))
                first = end
            node = end
        if first < stop:
            diagonal.append(masked(first, stop, ends, dtype))
    return diagonal + whole


def masked(first: int, stop: int, ends: list[int], dtype: torch.dtype) -> Block:
    """Nodes `first` to `stop` among themselves."""
    here = slice(first, stop)
    hidden = ~sees(torch.tensor(ends[here]) - first)  # [n, n]
    return Block(here, here, "masked", torch.zeros(hidden.shape, dtype=dtype).masked_fill_(hidden, -torch.inf))


def sees(ends: Tensor) -> Tensor:
    """[L, L] bool: True where the column is the row's ancestor or the row itself."""
    place = torch.arange(len(ends), device=ends.device)
    return (place[None, :] <= place[:, None]) & (place[:, None] < ends[None, :])


class BlockAttention(torch.autograd.Function):
    """Attention of query, key, value [1, H, L, E] over blocks."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, blocks: tuple[Block, ...], scale: float) -> Tensor:
        """Returns [1, H, L, E]."""
        out = torch.empty_like(query)
        lse = query.new_empty(query.shape[:-1], dtype=torch.float32)  # [1, H, L]
        for block in blocks:
            part, part_lse = block.attend(query, key, value, scale)
            here = block.queries
            if block.kind == "whole":
                both = torch.logaddexp(lse[:, :, here], part_lse)
                before = (lse[:, :, here] - both).exp()[..., None].to(out.dtype)  # what the parts weigh
                out[:, :, here].mul_(before).addcmul_(part, (part_lse - both).exp()[..., None].to(out.dtype))
                lse[:, :, here] = both
            else:
                out[:, :, here], lse[:, :, here] = part, part_lse
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.blocks, ctx.scale = blocks, scale
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of query, key and value."""
        query, key, value, out, lse = ctx.saved_tensors
        grads = [torch.zeros_like(query), torch.zeros_like(key), torch.zeros_like(value)]
        for block in ctx.blocks:
            q, k = block.queries, block.keys
            parts = backward_kernel(
                grad[:, :, q],
                query[:, :, q],
                key[:, :, k],
                value[:, :, k],
                out[:, :, q],
                lse[:, :, q],
                0.0,
                block.kind == "causal",
                attn_mask=block.mask,
                scale=ctx.scale,
            )
            for total, part, place in zip(grads, parts, (q, k, k), strict=True):
                total[:, :, place] += part
        return *grads, None, None


@torch.compiler.disable  # the blocks of every tree differ
def attention_forward(
    module: nn.Module,
    query: Tensor,  # [1, H, L, E]
    key: Tensor,  # [1, K, L, E], K key heads for H query heads
    value: Tensor,  # [1, K, L, E]
    attention_mask: Tensor | None,
    scaling: float | None = None,
    prefix_tree: Tree | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer; returns [1, L, H, E]. Raises ValueError on what it cannot compute."""
    if prefix_tree is None or softcap is not None or query.shape[0] != 1:
        raise ValueError("attention over a prefix tree needs the tree, one row, and scores that are not capped")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    # Under autocast a value comes from a product, a query and a key from a rotation in float32.
    query, key = query.to(value.dtype), key.to(value.dtype)
    if isinstance(prefix_tree, BlockMask):
        return flex_forward(query, key, value, prefix_tree, scale), None
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, 1), value.repeat_interleave(repeats, 1)
    out: Tensor = BlockAttention.apply(query, key, value, prefix_tree, scale)
    return out.transpose(1, 2).contiguous(), None


AttentionInterface.register(ATTENTION, attention_forward)
