"""Checks of the learner: attention over prefix trees, its compiled kernels and speed, fused kernels, 8-bit AdamW."""

import importlib.util
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.integrations.liger import apply_liger_kernel

from rl.config.recipe import OptimizerSection
from rl.doctor.check import Finding, Subject, failed, judged, passed, skipped
from rl.doctor.machine import seconds
from rl.learner import flex
from rl.learner.optimizer import build_optimizer
from rl.learner.packing import Layout, Sample, pack
from rl.learner.policy import LIGER_KERNELS, Policy
from rl.learner.selfcheck import pick_layout

HEADS = (64, 96, 128, 256)  # sizes of a head: those of Qwen, Llama, Phi and Gemma
DTYPES = (torch.float32, torch.bfloat16, torch.float16)
LENGTHS = range(50, 2050, 50)  # forty lengths
BUDGET = 2048
LEAST_GAIN = 0.9  # of the padded way's speed, on groups that share their prompt


def small_policy(device: str, dtype: torch.dtype, head: int = 64, layers: int = 2) -> Policy:
    """Return a random Llama, all of whose weights learn."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=512,
        hidden_size=4 * head,
        intermediate_size=8 * head,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=head,
        max_position_embeddings=8192,
        initializer_range=0.1,
    )
    model: Any = LlamaForCausalLM(config)
    return Policy(model.to(device, dtype), has_adapter=False)


def attention(subject: Subject) -> Finding:
    """Compute prefix trees and padded rows, with gradients, for sizes of heads and precisions."""
    refused = {}
    for dtype in DTYPES:
        for head in HEADS if subject.device == "cuda" else HEADS[:1]:
            reason = pick_layout(small_policy(subject.device, dtype, head), 64)
            if reason:
                refused[f"{str(dtype).removeprefix('torch.')}, heads of {head}"] = reason
    tried = len(DTYPES) * (len(HEADS) if subject.device == "cuda" else 1)
    if not refused:
        return passed(f"{tried} of {tried} combinations are computed as trees")
    first = next(iter(refused.items()))
    return failed(f"{len(refused)} of {tried} fall back to padded rows", f"{first[0]}: {first[1]}", refused=refused)


def compiles(subject: Subject) -> Finding:
    """Count how often FlexAttention is compiled for forty lengths."""
    counted = list[int]()
    real = flex.kernel
    counting = flex.compiled_flex(counting_backend(counted, subject.device))
    setattr(flex, "kernel", lambda _device: counting)  # noqa: B010
    try:
        for length in LENGTHS:
            ends = torch.full((length,), length, device=subject.device)
            query = torch.zeros(1, 2, length, 64, device=subject.device, dtype=torch.bfloat16)
            flex.flex_forward(query, query, query, flex.flex_mask(ends, BUDGET), 1.0)
    finally:
        setattr(flex, "kernel", real)  # noqa: B010
    lengths = len(flex.rungs(BUDGET))
    return judged(
        0 < len(counted) <= 2 * lengths,
        f"{len(counted)} compiles",
        f"for {len(LENGTHS)} lengths, which are computed in {lengths}; each further one takes seconds",
        compiles=len(counted),
    )


def counting_backend(counted: list[int], device: str) -> Callable[..., Any]:
    """Return a compiler that counts its calls: torch's own on a GPU, and on a CPU one that compiles nothing."""

    def compile_graph(graph: torch.fx.GraphModule, examples: Any) -> Any:
        counted.append(len(counted))
        if device == "cuda":
            from torch._inductor.compile_fx import compile_fx

            return compile_fx(graph, examples)
        shape = next(x.shape for x in examples if isinstance(x, Tensor) and x.ndim == 4 and x.shape[-1] == 64)
        return lambda *_: (torch.zeros(shape, dtype=torch.bfloat16),)

    return compile_graph


def attention_speed(subject: Subject) -> Finding:
    """Time a pass over groups that share their prompt, as a tree and as padded rows."""
    long = subject.device == "cuda"
    policy = small_policy(subject.device, torch.bfloat16 if long else torch.float32, layers=4)
    prompt, completion, size = (512, 256, 8) if long else (128, 32, 4)
    samples = [
        Sample(
            tuple(range(3, 3 + prompt - 1)) + (4 + group,),
            tuple((token + row) % 500 for token in range(completion)),
            (0.0,) * completion,
            1.0,
            True,
        )
        for group in range(2)
        for row in range(size)
    ]
    took = {layout: seconds(partial(one_pass, policy, samples, layout), subject.device) for layout in LAYOUTS}
    tokens, ratio = len(samples) * completion, took["padded"] / took["tree"]
    return judged(
        ratio >= LEAST_GAIN,
        f"{tokens / took['tree']:,.0f} completion tokens/s",
        f"{ratio:.2f} times padded rows: prompts of {prompt} tokens, {size} completions of {completion}",
        tokens_per_second={layout: tokens / value for layout, value in took.items()},
    )


LAYOUTS: tuple[Layout, ...] = ("tree", "padded")


def one_pass(policy: Policy, samples: list[Sample], layout: Layout) -> None:
    """Compute log-probabilities and gradients."""
    policy.use_layout(layout)
    for batch in pack(samples, 16384, layout=layout):
        policy.logps(batch.to(policy.device), 1.0)[0].sum().backward()
    policy.model.zero_grad()


def liger(subject: Subject) -> Finding:
    """Compare log-probabilities with Liger's kernels and without."""
    if subject.device == "cpu":
        return skipped("Liger's kernels need a GPU")
    if importlib.util.find_spec("liger_kernel") is None:
        return skipped("liger-kernel is not installed: `pip install liger-kernel`")
    dtype = torch.bfloat16
    plain = logps_of(small_policy("cuda", dtype))
    policy = small_policy("cuda", dtype)
    apply_liger_kernel(policy.model, LIGER_KERNELS)
    apart = float((logps_of(policy) - plain).abs().mean())
    return judged(
        apart < 0.05, f"{apart:.2g} nats apart", "mean difference of log-probabilities; at most 0.05", apart=apart
    )


def logps_of(policy: Policy) -> Tensor:
    """Return the log-probabilities [N] of made-up completions."""
    samples = [Sample(tuple(range(3, 40)), tuple(range(40, 72)), (0.0,) * 32, 1.0, True)]
    [batch] = pack(samples, 4096, layout="padded")
    policy.use_layout("padded")
    with torch.no_grad():
        return policy.logps(batch.to(policy.device), 1.0)[0]


def adamw_8bit(subject: Subject) -> Finding:
    """Take steps with 8-bit AdamW and with AdamW, and compare where they lead."""
    if subject.device == "cpu":
        return skipped("bitsandbytes' 8-bit AdamW is meant for a GPU")
    if importlib.util.find_spec("bitsandbytes") is None:
        return skipped("bitsandbytes is not installed: `pip install bitsandbytes`")
    ends = [
        stepped(OptimizerSection(name=name, learning_rate=1e-2), subject.device) for name in ("adamw", "adamw_8bit")
    ]
    apart = float((ends[0] - ends[1]).norm() / ends[0].norm())
    return judged(
        apart < 0.1, f"{apart:.1%} apart", "of the way that AdamW takes in ten steps; at most 10 %", apart=apart
    )


def stepped(section: OptimizerSection, device: str) -> Tensor:
    """Return how far ten steps of an optimizer move a matrix."""
    generator = torch.Generator().manual_seed(0)
    matrix = nn.Parameter(torch.zeros(256, 256, device=device))  # large enough to be kept in 8 bits
    target = torch.randn(256, 256, generator=generator).to(device)
    optimizer = build_optimizer([matrix], section)
    for _ in range(10):
        optimizer.zero_grad()
        (matrix - target).square().sum().backward()
        optimizer.step()
    return matrix.detach()
