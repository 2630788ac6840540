"""Chooses how many packed tokens a micro-batch may have, by measured memory.

What a pass takes is a fixed part, a part that grows with its tokens, and the logits of the hidden states that are
projected at once, which grow with the tokens only up to the head's chunk. All three are seen by running small forward
and backward passes: two of different sizes where hardly a token is predicted, and one where nearly all are. The budget
is what then fits, rounded down to `STEP` so that small differences of what is free do not change it. It still depends
on the machine: a run keeps the number that it chose.
"""

import contextlib
import os
import sys
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rewards.errors import BadInput
from rl.learner.head import rows_at_once
from rl.learner.packing import MicroBatch, Sample, pack
from rl.learner.policy import Policy

STEP = 256
SPARE = 0.1  # of the free memory: fragments, and what single operations take for themselves
MOST_TOKENS = 32768  # more make no matrix product faster
SIZES = (256, 768)  # packed tokens of the passes


@dataclass(frozen=True)
class PassCost:
    """Bytes of a forward and backward pass.

    Attributes:
        fixed: whatever its size.
        token: of a packed token.
        row: of a hidden state that is projected onto the vocabulary.
        rows: hidden states that are projected at once, at most.
    """

    fixed: float
    token: float
    row: float = 0.0
    rows: int = 0

    def of(self, tokens: float) -> float:
        """What a pass of so many tokens takes at most: each may predict one."""
        return self.fixed + tokens * self.token + min(tokens, self.rows) * self.row


def choose_budget(free_bytes: float, cost: PassCost, most: int = MOST_TOKENS) -> int:
    """The most tokens, a multiple of `STEP` and at most `most`, that fit `free_bytes`; 0 if `STEP` tokens do not.

    Raises ValueError unless a token takes some.
    """
    if cost.token <= 0:
        raise ValueError(f"a token takes {cost.token} bytes: measured too little")
    below = (free_bytes - cost.fixed) / (cost.token + cost.row)  # where all logits are there at once
    beyond = (free_bytes - cost.fixed - cost.rows * cost.row) / cost.token
    fitting = min(below if below <= cost.rows else beyond, most)
    return max(0, int(fitting // STEP) * STEP)


def auto_budget(policy: Policy, free_bytes: float, most: int = MOST_TOKENS, *, entropy_grad: bool = False) -> int:
    """The micro-batch tokens for a policy with `free_bytes` left, measured.

    AdamW's state, made with the first step, and a share of `SPARE` are kept free. `entropy_grad`: the loss has an
    entropy bonus. Raises BadInput if not even `STEP` tokens fit.
    """
    cost = measure_pass(policy, entropy_grad)
    state = 8 * sum(parameter.numel() for parameter in policy.trainable.values())
    tokens = choose_budget(free_bytes * (1 - SPARE), replace(cost, fixed=cost.fixed + state), most)
    if tokens == 0:
        raise BadInput(
            f"The learner has {free_bytes / 2**30:.1f} GiB left, and {STEP} tokens of a micro-batch take more: set "
            "model.gradient_checkpointing=true, or give the engine less (rollout.gpu_memory_utilization, kv_cache_gib)."
        )
    return tokens


def available_bytes(device: str) -> float:
    """What can still be allocated on a device: `cpu` or `cuda`."""
    if device == "cuda":
        unused = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
        return float(torch.cuda.mem_get_info()[0] + unused)
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():  # not Linux: all there is
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    fields = dict(line.split(":") for line in meminfo.read_text(encoding="utf-8").splitlines())
    return float(fields["MemAvailable"].split()[0]) * 1024


def measure_pass(policy: Policy, entropy_grad: bool = False) -> PassCost:
    """What a pass costs, from small ones over made-up tokens.

    On a GPU the peak of the allocator; on a CPU, whose allocator keeps no count, that of the tensors alive, so what an
    operation takes for itself is not seen. Gradients are dropped again.
    """
    vocabulary = policy.causal_lm.config.get_text_config().vocab_size
    small, large, predicting = (
        made_up_batch(policy, synthetic_samples(tokens, vocabulary, predicted))
        for tokens, predicted in ((SIZES[0], 3), (SIZES[1], 3), (SIZES[1], SIZES[1]))
    )
    # The first pass is not counted: in it merged weights are made, and libraries take workspaces, that then stay.
    _, few, many, with_logits = (pass_bytes(policy, batch, entropy_grad) for batch in (small, small, large, predicting))
    token = (many - few) / (large.input_ids.numel() - small.input_ids.numel())
    fixed = max(0.0, few - token * small.input_ids.numel())
    rows = sys.maxsize if policy.head == "whole" else rows_at_once(vocabulary, policy.device)
    beside = with_logits - fixed - token * predicting.input_ids.numel()
    projected = min(rows, len(predicting.source.unique()))
    return PassCost(fixed, token, max(0.0, beside / projected), rows)


def synthetic_samples(tokens: int, vocabulary: int, predicted: int) -> list[Sample]:
    """Two completions of one prompt, `tokens` packed tokens in all, of which `predicted`, an odd number, predict one.

    The completions share nothing but the prompt.
    """
    half = min(predicted, tokens) // 2  # of a completion, beside its last token, which is not packed
    prompt = tuple(token % vocabulary for token in range(max(1, tokens - 2 * half)))
    rows = [tuple((token + row) % vocabulary for token in range(half + 1)) for row in (1, 2)]
    return [Sample(prompt, row, (0.0,) * len(row), 1.0, True) for row in rows]


def made_up_batch(policy: Policy, samples: Sequence[Sample]) -> MicroBatch:
    """All samples in one micro-batch that is exactly full."""
    [batch] = pack(samples, sys.maxsize, layout=policy.layout)
    return replace(batch, budget=batch.input_ids.numel())


def pass_bytes(policy: Policy, batch: MicroBatch, entropy_grad: bool) -> float:
    """The most that one forward and backward pass takes beside the weights."""
    on_gpu = policy.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    with contextlib.nullcontext() if on_gpu else PeakBytes(policy.model) as alive:
        logps, entropy = policy.logps(batch.to(policy.device), 1.0, with_entropy_grad=entropy_grad)
        ((logps + entropy) if entropy_grad else logps).sum().backward()
    for parameter in policy.trainable.values():
        parameter.grad = None
    return torch.cuda.max_memory_allocated() - before if alive is None else alive.peak


class PeakBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made and still alive, without a model's own weights; `peak` the most."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.peak = 0
        self._now = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and look at what it made."""
        made = func(*args, **kwargs or {})
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._known:  # a view, or written in place
            return
        self._known.add(storage._cdata)
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())

    def _freed(self, place: int, size: int) -> None:
        self._known.discard(place)
        self._now -= size
