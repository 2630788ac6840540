"""Checks of the machine itself: driver, compiler, precisions, speed of products and of memory."""

import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from functools import partial

import torch

from rl.doctor.check import Finding, Subject, failed, judged, passed, skipped
from rl.planner.gpus import Gpu, known_gpu
from rl.rollout.prerequisites import missing_prerequisites, why_no_gpu

SIZE = {"cpu": 1024, "cuda": 8192}  # rows and columns of the products
COPIED = {"cpu": 2**27, "cuda": 2**31}  # bytes
REPEATS = 5
LEAST_SHARE = 0.25  # of what a GPU's maker publishes: below it something else uses the GPU, or it is throttled


def driver(subject: Subject) -> Finding:
    """Say which GPU, driver and CUDA there are."""
    if subject.device == "cpu":
        return skipped("asked for the CPU; no GPU is looked for")
    if not torch.cuda.is_available():
        return failed("no GPU", why_no_gpu())
    about = torch.cuda.get_device_properties(0)
    version = driver_version()
    return passed(
        f"{about.name}, {about.total_memory / 2**20:,.0f} MiB",
        f"driver {version}, CUDA {torch.version.cuda}, capability {about.major}.{about.minor}",
        name=about.name,
        count=torch.cuda.device_count(),
        memory_mib=about.total_memory / 2**20,
        driver=version,
        cuda=torch.version.cuda,
        capability=[about.major, about.minor],
    )


def driver_version() -> str:
    """Return the driver's version, as `nvidia-smi` says it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "unknown (no nvidia-smi)"
    query = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown ({type(error).__name__})"
    return said.splitlines()[0].strip() if said.strip() else "unknown"


def compiler(subject: Subject) -> Finding:
    """Look for what Triton compiles its kernels with."""
    missing = missing_prerequisites()
    if not missing:
        return passed("there")
    if subject.device == "cpu":
        return skipped(f"a CPU needs none: {'; '.join(missing)}")
    return failed("missing", "; ".join(missing))


def precisions(subject: Subject) -> Finding:
    """Multiply in each precision, and compare with float64."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(256, 256, generator=generator, dtype=torch.float64) for _ in range(2))
    exact, errors = left @ right, dict[str, float]()
    for name, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}.items():
        found = product(left.to(subject.device, dtype), right.to(subject.device, dtype)).double().cpu()
        errors[name] = float((found - exact).norm() / exact.norm())
    allowed = {"float32": 2e-3, "bfloat16": 2e-2, "float16": 2e-3}  # float32 may be TF32 where a user has set it
    wrong = [name for name, error in errors.items() if not error <= allowed[name]]
    units = "bfloat16 in hardware" if has_bfloat16(subject.device) else "bfloat16 is emulated: float16 is what suits"
    return judged(
        not wrong,
        ", ".join(f"{name} {error:.0e}" for name, error in errors.items()),
        f"products in {', '.join(wrong)} are wrong" if wrong else units,
        errors=errors,
    )


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return left @ right."""
    return left @ right


def has_bfloat16(device: str) -> bool:
    """Tell whether a GPU has units for bfloat16; on a CPU `products` says how fast it is."""
    return device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)


def products(subject: Subject) -> Finding:
    """Measure the rate of matrix products in each precision."""
    size, rates = SIZE[subject.device], dict[str, float]()
    for name, dtype in {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}.items():
        small = torch.ones(256, 256, dtype=dtype, device=subject.device)
        quick = 2 * 256**3 / seconds(partial(product, small, small), subject.device)  # emulation would take minutes
        if quick < 0.05 * max(rates.values(), default=0.0):
            rates[name] = quick
            continue
        a = torch.ones(size, size, dtype=dtype, device=subject.device)
        rates[name] = 2 * size**3 / seconds(partial(product, a, a), subject.device)
    shown = ", ".join(f"{name} {rate / 1e12:.3g}" for name, rate in rates.items())
    known = published(subject.device)
    if known is None:
        return passed(f"{shown} TFLOP/s", tflops=rates)
    best = max(rates["bfloat16"], rates["float16"]) / 1e12
    return judged(
        best >= LEAST_SHARE * known.teraflops,
        f"{shown} TFLOP/s",
        f"{best / known.teraflops:.0%} of the {known.teraflops:g} that {known.name}'s maker publishes",
        tflops=rates,
    )


def bandwidth(subject: Subject) -> Finding:
    """Measure how fast memory is copied."""
    source = torch.ones(COPIED[subject.device] // 4, device=subject.device)
    target = torch.empty_like(source)
    rate = 2 * source.nbytes / seconds(lambda: target.copy_(source), subject.device) / 1e9
    known = published(subject.device)
    if known is None:
        return passed(f"{rate:,.0f} GB/s", bandwidth=rate)
    return judged(
        rate >= LEAST_SHARE * known.bandwidth,
        f"{rate:,.0f} GB/s",
        f"{rate / known.bandwidth:.0%} of the {known.bandwidth:g} that {known.name}'s maker publishes",
        bandwidth=rate,
    )


def published(device: str) -> Gpu | None:
    """Return what is published of this GPU; None for a CPU, and for one that the planner does not know."""
    return None if device == "cpu" else known_gpu(torch.cuda.get_device_name(0))


def seconds(call: Callable[[], object], device: str) -> float:
    """Return the median seconds of a call, after one that is not counted."""
    found = []
    for _ in range(1 + REPEATS):
        synchronize(device)
        began = time.perf_counter()
        call()
        synchronize(device)
        found.append(time.perf_counter() - began)
    return max(statistics.median(found[1:]), 1e-9)


def synchronize(device: str) -> None:
    """Wait for a GPU."""
    if device == "cuda":
        torch.cuda.synchronize()
