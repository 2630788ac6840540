"""Computes attention over prefix trees on a GPU: FlexAttention with the rule j <= i < ends[j] as its mask.

FlexAttention is fast, and linear in memory, only where it is compiled, and a compiled kernel serves one length. Without
care every pass has a length of its own, and after a number of compiles torch computes with a whole [H, L, L] matrix of
scores and says nothing. So lengths are rounded up to the few of `rungs`, and one compile too many is an error.

Which blocks of queries see which blocks of keys follows from the least and the largest `ends` of each block of keys. No
[L, L] mask exists.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, flex_attention

BLOCK = 128  # queries and keys of a block, as FlexAttention has them
SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1)  # of the token budget: the lengths that passes are rounded up to
# Kernels: a length takes one with gradients, one where only queries have them, and one without, for two models.
MOST_COMPILES = 64


def rungs(budget: int) -> list[int]:
    """The lengths that FlexAttention is compiled for with micro-batches of up to `budget` tokens."""
    return sorted({-(-round(share * budget) // BLOCK) * BLOCK for share in SHARES} - {0})


def rung(length: int, budget: int) -> int:
    """The length that `length` tokens are computed in: one of `rungs`, for a longer sample the last one doubled."""
    longest = rungs(budget)[-1]
    while longest < length:
        longest *= 2
    return next((each for each in rungs(budget) if each >= length), longest)


def flex_mask(ends: Tensor, budget: int) -> BlockMask:
    """The mask of a tree of L nodes; a node beyond the last, which rounds the length up, sees itself alone."""
    length = rung(len(ends), budget)
    padded = torch.arange(1, length + 1, device=ends.device)
    padded[: len(ends)] = ends

    def visible(_batch: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < padded[key])

    first = torch.arange(0, length, BLOCK, device=ends.device)[:, None]  # [B, 1] first query of each block
    least, largest = padded.view(-1, BLOCK).aminmax(dim=1)  # [B] of each block of keys
    earlier = first > first.T  # [B, B] rows are blocks of queries
    whole = earlier & (least >= first + BLOCK)
    part = earlier & (largest > first) & ~whole | (first == first.T)
    return BlockMask.from_kv_blocks(
        *listed(part), *listed(whole), BLOCK_SIZE=BLOCK, mask_mod=visible, seq_lengths=(length, length)
    )


def listed(seen: Tensor) -> tuple[Tensor, Tensor]:
    """How many columns of each row are True [1, 1, B], and the columns, those that are True first [1, 1, B, B]."""
    columns = seen.int().argsort(dim=-1, descending=True, stable=True)
    return seen.sum(-1, dtype=torch.int32)[None, None], columns.int()[None, None]


@cache
def compiled_flex(backend: Any = "inductor") -> Any:
    """FlexAttention as a fused kernel, compiled when a length is met. Raises where torch would compute unfused."""
    options: dict[str, Any] = {
        "fullgraph": True,  # with it, torch raises at the limit and at whatever it cannot compile
        "isolate_recompiles": True,  # transformers and vLLM compile FlexAttention, too: their kernels do not count
        "recompile_limit": MOST_COMPILES,
    }
    return torch.compile(flex_attention, backend=backend, dynamic=False, **options)


def kernel(device: torch.device) -> Any:
    """FlexAttention for a device: fused on a GPU; elsewhere (in tests) computed step by step."""
    return compiled_flex() if device.type == "cuda" else flex_attention


def flex_forward(query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float) -> Tensor:
    """FlexAttention over a tree; [1, L, H, E]."""
    length = query.shape[2]
    extra = mask.seq_lengths[0] - length
    query, key, value = (nn.functional.pad(x, (0, 0, 0, extra)) for x in (query, key, value))
    attend = kernel(query.device)
    out: Tensor = attend(query, key, value, block_mask=mask, scale=scale, enable_gqa=query.shape[1] != key.shape[1])
    return out[:, :, :length].transpose(1, 2).contiguous()
