"""GPUs that can be planned for by name: what their makers publish, and what one is assumed to cost."""

from dataclasses import dataclass
from itertools import pairwise

from rewards.errors import BadInput

# Error correction and the driver take their part before torch looks. These are the least of the totals that public
# reports of full GPUs state ("GPU 0 has a total capacity of 22.03 GiB"); this project has seen none.
MEMORY_FROM = "as public reports state it"
PRICES_AS_OF = "mid-2026"  # typical on-demand prices of one GPU at specialist clouds; spot is less, large clouds more


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        teraflops: dense bfloat16 matrix products with float32 sums, 1e12 floating-point operations a second.
        memory_mib: that torch finds, less than the name says (`MEMORY_FROM`); of it, `rl.planner.memory.USABLE` is
            planned with.
        bandwidth: of its memory, 1e9 bytes a second.
        dollars_per_hour: an assumption, see `PRICES_AS_OF`.
        source: where the published figures are from.
    """

    name: str
    teraflops: float
    memory_mib: int
    bandwidth: float
    dollars_per_hour: float
    source: str

    @property
    def memory_gib(self) -> float:
        """What can be seen of its memory."""
        return self.memory_mib / 1024


# Data sheets print rates "with sparsity" for the Ada and Hopper generations: halved here.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("l4", 121, 22528, 300, 0.80, "NVIDIA L4 data sheet"),
        Gpu("a10g", 70, 22528, 600, 1.00, "NVIDIA A10G data sheet (AWS G5)"),
        Gpu("rtx4090", 165, 24084, 1008, 0.40, "NVIDIA Ada GPU architecture white paper"),
        Gpu("l40s", 362, 45465, 864, 1.00, "NVIDIA L40S data sheet"),
        Gpu("a100-40", 312, 40325, 1555, 1.20, "NVIDIA A100 data sheet, 40 GB"),
        Gpu("a100-80", 312, 81152, 2039, 1.50, "NVIDIA A100 data sheet, 80 GB SXM"),
        Gpu("h100", 989, 80998, 3350, 3.00, "NVIDIA H100 data sheet, SXM"),
        Gpu("h200", 989, 143073, 4800, 4.00, "NVIDIA H200 data sheet, SXM"),
    )
}


def known_gpu(name: str) -> Gpu | None:
    """Return the GPU that torch calls `name`, such as "NVIDIA A100-SXM4-80GB"; None if the table lacks it."""
    words = name.lower().replace("-", " ").split()
    words += ["".join(pair) for pair in pairwise(words)]  # "rtx 4090"
    for gpu in GPUS.values():
        model, _, size = gpu.name.partition("-")
        if model in words and (not size or f"{size}gb" in words):
            return gpu
    return None


def named_gpus(names: str) -> list[Gpu]:
    """The GPUs of a list such as `l4,h100`. Raises BadInput for one that is not in the table."""
    asked = [name.strip().lower() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in GPUS]
    if unknown or not asked:
        what = f"There is no GPU {unknown[0]!r} in the planner's table" if unknown else "--gpu names no GPU"
        raise BadInput(f"{what}: use {', '.join(GPUS)}, or plan on the machine itself without --gpu.")
    return [GPUS[name] for name in dict.fromkeys(asked)]
