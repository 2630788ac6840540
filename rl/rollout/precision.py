"""Picks the precision of a side of a run: what the recipe says, or what suits the machine.

`auto` is bfloat16 on a GPU that has units for it and float16 on an older one. On a CPU it is bfloat16 where matrix
products run at least 1.5 times as fast in it as in float32, and float32 elsewhere: processors with such units gain 2 to
5 times, and the others emulate it at a hundredth of the rate. That is measured once for each machine and kept.
"""

import contextlib
import hashlib
import json
import platform
import statistics
import time
from functools import cache
from pathlib import Path

import torch

from rl.base.caches import cache_folder

FASTER = 1.5  # times as fast as float32: from here on a CPU computes in bfloat16
EMULATED = 0.5  # of float32's rate in a small product: below it, nothing larger is tried
ROWS, WIDTH, INNER = 1024, 576, 1536  # tokens of a pass, and both sides of a matrix of a small model
REPEATS = 7
RATES = "product-rates.json"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Rates = dict[str, float]  # operations a second, by precision


def pick_dtype(dtype: str, device: str) -> torch.dtype:
    """Return the precision that a recipe's name for it means on a device."""
    return suits(device) if dtype == "auto" else DTYPES[dtype]


def suits(device: str) -> torch.dtype:
    """Return what `auto` is on a device."""
    if device == "cuda":  # without one at hand, a plan is made for a GPU of today
        old = torch.cuda.is_available() and not torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.float16 if old else torch.bfloat16
    rates = product_rates()
    return torch.bfloat16 if rates["bfloat16"] >= FASTER * rates["float32"] else torch.float32


@cache
def product_rates() -> Rates:
    """Return the rates of matrix products on this machine's CPU; measured if they are not in Penny's cache."""
    file, key = cache_folder() / RATES, machine()
    known = read_rates(file)
    if key not in known:
        known[key] = measured_rates()
        write_rates(file, known)
    return known[key]


def measured_rates() -> Rates:
    """Measure products as a learner computes them, x W.T forward and g W backward, in both precisions by turns.

    By turns, so that what else the machine does meanwhile slows both alike. A small product comes first: where
    bfloat16 is emulated, the others would take seconds.
    """
    pair = ("float32", "bfloat16")
    small = rates_of(pair, 64, WIDTH, WIDTH)
    if small["bfloat16"] < EMULATED * small["float32"]:
        return small
    return rates_of(pair, ROWS, WIDTH, INNER)


def rates_of(dtypes: tuple[str, ...], rows: int, width: int, inner: int) -> Rates:
    """Measure the median rate of products of these sizes after one that is not counted."""
    given = {
        dtype: tuple(torch.ones(size, dtype=DTYPES[dtype]) for size in ((rows, width), (inner, width), (rows, inner)))
        for dtype in dtypes
    }
    seconds: dict[str, list[float]] = {dtype: [] for dtype in dtypes}
    for _ in range(1 + REPEATS):
        for dtype, (x, weight, grad) in given.items():
            began = time.perf_counter()
            x @ weight.T
            grad @ weight
            seconds[dtype].append(time.perf_counter() - began)
    return {dtype: 4 * rows * width * inner / statistics.median(found[1:]) for dtype, found in seconds.items()}


def machine() -> str:
    """Name what the rates depend on: the processor with its flags, torch, and the number of threads."""
    return f"{processor()}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def processor() -> str:
    """Return the processor's name, and a hash of its flags, since virtual machines give many processors one name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:  # no Linux
        return platform.processor() or platform.machine()
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    flags = facts.get("flags") or facts.get("Features") or ""
    name = facts.get("model name") or platform.machine()
    return f"{name} ({hashlib.sha256(flags.encode()).hexdigest()[:12]})"


def read_rates(file: Path) -> dict[str, Rates]:
    """Return the measured rates by machine; none if the file is missing, or is not what `write_rates` writes."""
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        return {
            str(key): {dtype: float(rates[dtype]) for dtype in ("float32", "bfloat16")} for key, rates in stored.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # it is measured again
        return {}


def write_rates(file: Path, known: dict[str, Rates]) -> None:
    """Keep the rates where that is possible; where it is not, the next process measures again."""
    temporary = file.with_name(f"{file.name}.{time.time_ns()}")
    with contextlib.suppress(OSError):  # a full disk or a folder of another user: measuring takes less than a second
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
        temporary.replace(file)
    with contextlib.suppress(OSError):
        temporary.unlink(missing_ok=True)
