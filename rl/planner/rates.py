"""What a counted thing costs in seconds: measured on this machine, or assumed for a named GPU.

Everything assumed is a constant here, with its reason, and is shown with the prediction as "not measured".
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import nnls

from rl.planner.flops import attention_flops, cache_bytes, decode_flops
from rl.planner.gpus import Gpu
from rl.planner.rollouts import RolloutCounts
from rl.planner.shapes import Shape

# Packed LoRA batches of small models: pre-training of large ones reaches 0.4 to 0.5 on these GPUs, and smaller
# matrices, adapters and the vocabulary projection of small models take from it.
LEARNER_SHARE = 0.30
DECODE_BANDWIDTH_SHARE = 0.60  # reading weights is streaming, but each kernel is short
DECODE_FLOPS_SHARE = 0.40  # prompts and large batches are matrix products of a few hundred rows
STEP_SECONDS = {True: 0.015, False: 0.004}  # of a decode step outside its kernels; without and with CUDA graphs
PASS_SECONDS = 0.05  # of a micro-batch outside its kernels: packing, launching
GPU_START_SECONDS = {True: 60.0, False: 180.0}  # imports, weights, engine; without and with compilation
# A CPU whose rate of large products is known: narrower matrices, adapters, softmax; decoding has few rows at a time.
CPU_LEARNER_SHARE = 0.50
CPU_DECODE_SHARE = 0.25
CPU_STEP_SECONDS_LAYER = 0.001
CPU_START_SECONDS = 60.0
GRADING_SECONDS = 0.002  # of one completion: a rule such as the mathematics ladder; programs take longer
BOOKS_SECONDS = 0.1  # of a step: rollouts, metrics and ledger written


@dataclass(frozen=True)
class DecodeRates:
    """Seconds of generating: a decode step, a sampled token, a token looked back at, and a prompt token."""

    step: float
    token: float
    context: float
    prefill: float

    def seconds(self, counts: RolloutCounts) -> float:
        """What a batch takes."""
        return float(counts.vector() @ np.array([self.step, self.token, self.context, self.prefill]))


@dataclass(frozen=True)
class Rates:
    """Seconds of everything in a step.

    Attributes:
        decode: of generating.
        learn_pass: of a micro-batch, whatever its size.
        learn_flop: of one counted operation of the learner.
        update: of the optimizer's step.
        sync: of giving the weights to the engine.
        grade: of a completion's verdict.
        books: of a step's rest.
        start: until the first step.
    """

    decode: DecodeRates
    learn_pass: float
    learn_flop: float
    update: float
    sync: float
    grade: float
    books: float
    start: float


def fit_decode(counts: Sequence[RolloutCounts], seconds: Sequence[float]) -> DecodeRates:
    """The rates, none negative, that explain timed batches with the least squared relative error."""
    matrix = np.array([count.vector() for count in counts]) / np.asarray(seconds)[:, None]
    scale = matrix.max(axis=0)
    scale[scale == 0] = 1.0
    rates, _ = nnls(matrix / scale, np.ones(len(seconds)))
    return DecodeRates(*(float(rate) for rate in rates / scale))


def fit_learner(flops: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Seconds of a pass and of an operation from timed passes; the fixed part is not negative."""
    slope, fixed = np.polyfit(flops, seconds, 1, w=1 / np.asarray(seconds)) if len(set(flops)) > 1 else (0.0, -1.0)
    if fixed < 0 or slope <= 0:
        return 0.0, float(np.mean(np.asarray(seconds) / np.asarray(flops)))
    return float(fixed), float(slope)


def gpu_rates(gpu: Gpu, shape: Shape, *, eager: bool, itemsize: int = 2) -> Rates:
    """What a named GPU should take, from its published figures and the shares above.

    A decode step reads every weight, and the keys and values looked back at; its products are added, not overlapped.
    """
    bandwidth, peak = gpu.bandwidth * 1e9 * DECODE_BANDWIDTH_SHARE, gpu.teraflops * 1e12
    token = decode_flops(shape) / (peak * DECODE_FLOPS_SHARE)
    return Rates(
        decode=DecodeRates(
            step=shape.token_weights * itemsize / bandwidth + STEP_SECONDS[eager],
            token=token,
            context=cache_bytes(shape, itemsize) / bandwidth,
            prefill=token,
        ),
        learn_pass=PASS_SECONDS,
        learn_flop=1 / (peak * LEARNER_SHARE),
        update=shape.trainable * 28 / bandwidth,  # AdamW in float32 reads four numbers and writes three
        sync=0.5 + shape.exported * (4 + itemsize) / bandwidth,
        grade=GRADING_SECONDS,
        books=BOOKS_SECONDS,
        start=GPU_START_SECONDS[eager],
    )


def cpu_rates(flops_per_second: float, shape: Shape) -> Rates:
    """What a CPU should take whose rate of matrix products is known and nothing else."""
    token = decode_flops(shape) / (flops_per_second * CPU_DECODE_SHARE)
    return Rates(
        decode=DecodeRates(
            step=CPU_STEP_SECONDS_LAYER * shape.layers,
            token=token,
            context=attention_flops(shape) / (flops_per_second * CPU_DECODE_SHARE),
            prefill=token,
        ),
        learn_pass=PASS_SECONDS,
        learn_flop=1 / (flops_per_second * CPU_LEARNER_SHARE),
        update=shape.trainable * 28 / 5e9,
        sync=shape.exported * 4 / 1e9,
        grade=GRADING_SECONDS,
        books=BOOKS_SECONDS,
        start=CPU_START_SECONDS,
    )


def scaled(rates: Rates, old: Shape, new: Shape) -> Rates:
    """Rates measured with one model, for another of the same family on the same machine.

    What is proportional to operations grows with them. The fixed part of a decode step is mostly reading weights, that
    of a pass mostly calls, one for each layer.
    """
    weights, layers = new.token_weights / old.token_weights, new.layers / old.layers
    return replace(
        rates,
        decode=DecodeRates(
            step=rates.decode.step * weights,
            token=rates.decode.token * weights,
            context=rates.decode.context * attention_flops(new) / attention_flops(old),
            prefill=rates.decode.prefill * new.matrices / old.matrices,
        ),
        learn_pass=rates.learn_pass * layers,
        update=rates.update * new.trainable / old.trainable,
        sync=rates.sync * new.exported / old.exported,
    )


def product_rate(device: str, dtype: torch.dtype) -> float:
    """Operations a second of matrix products here: the best of five of 1024 x 1024 (GPU: 8192 x 8192)."""
    size = 8192 if device == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = float("inf")
    for _ in range(6):
        began = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
