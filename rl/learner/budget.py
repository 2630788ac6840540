"""How many packed tokens a micro-batch may have, by measured memory.

What a pass takes is a fixed part and a part that grows with its tokens. Both are seen by running a small forward and
backward pass at two sizes; the budget is what then fits, rounded down to `STEP` so that small differences of what is
free do not change it. It still depends on the machine: a run keeps the number that it chose.
"""

import contextlib
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rewards.errors import BadInput
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy

STEP = 256
SPARE = 0.1  # of the free memory: fragments, and what single operations take for themselves
MOST_TOKENS = 32768  # more make no matrix product faster
SIZES = (256, 768)  # packed tokens of the two passes


def choose_budget(free_bytes: float, fixed: float, bytes_per_token: float, most: int = MOST_TOKENS) -> int:
    """The most tokens, a multiple of `STEP` and at most `most`, that fit `free_bytes`; 0 if `STEP` tokens do not.

    A pass of n tokens takes `fixed + n * bytes_per_token` bytes. Raises ValueError unless a token takes some.
    """
    if bytes_per_token <= 0:
        raise ValueError(f"a token takes {bytes_per_token} bytes: measured too little")
    fitting = min((free_bytes - fixed) / bytes_per_token, most)
    return max(0, int(fitting // STEP) * STEP)


def auto_budget(policy: Policy, free_bytes: float, most: int = MOST_TOKENS) -> int:
    """The micro-batch tokens for a policy with `free_bytes` left, measured.

    AdamW's state, made with the first step, and a share of `SPARE` are kept free. Raises BadInput if not even `STEP`
    tokens fit.
    """
    vocabulary = policy.causal_lm.config.get_text_config().vocab_size
    fixed, each = measure_pass(policy, vocabulary)
    state = 8 * sum(parameter.numel() for parameter in policy.trainable.values())
    tokens = choose_budget(free_bytes * (1 - SPARE), fixed + state, each, most)
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


def measure_pass(policy: Policy, vocabulary: int, temperature: float = 1.0) -> tuple[float, float]:
    """Fixed bytes of a pass and bytes a packed token, from two small passes over made-up tokens.

    On a GPU the peak of the allocator; on a CPU, whose allocator keeps no count, that of the tensors alive, so what an
    operation takes for itself is not seen. Gradients are dropped again.
    """
    small, large = (pass_bytes(policy, synthetic_samples(tokens, vocabulary), temperature) for tokens in SIZES)
    slope = (large - small) / (SIZES[1] - SIZES[0])
    return max(0.0, small - slope * SIZES[0]), slope


def synthetic_samples(tokens: int, vocabulary: int) -> list[Sample]:
    """Two completions of one prompt, `tokens` packed tokens in all, that share nothing but the prompt."""
    prompt = tuple(token % vocabulary for token in range(tokens // 2))
    half = (tokens - len(prompt)) // 2 + 1  # the last token of a completion is not packed
    rows = [tuple((token + row) % vocabulary for token in range(half)) for row in (1, 2)]
    return [Sample(prompt, row, (0.0,) * half, 1.0, True) for row in rows]


def pass_bytes(policy: Policy, samples: Sequence[Sample], temperature: float) -> float:
    """The most that one forward and backward pass takes beside the weights."""
    [batch] = pack(samples, sum(len(s.prompt_ids) + len(s.completion_ids) for s in samples), layout=policy.layout)
    on_gpu = policy.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    with contextlib.nullcontext() if on_gpu else PeakBytes(policy.model) as alive:
        logps, _ = policy.logps(batch.to(policy.device), temperature)
        logps.sum().backward()
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
