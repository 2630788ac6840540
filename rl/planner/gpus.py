"""GPUs that can be planned for by name: what their makers publish, and what one is assumed to cost."""

from dataclasses import dataclass

from rewards.errors import BadInput

PRICES_AS_OF = "mid-2026"  # typical on-demand prices of one GPU at specialist clouds; spot is less, large clouds more


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        teraflops: dense bfloat16 matrix products with float32 sums, 1e12 floating-point operations a second.
        memory_gib: 1 GiB a nominal GB; of it, `rl.planner.memory.USABLE` is planned with.
        bandwidth: of its memory, 1e9 bytes a second.
        dollars_per_hour: an assumption, see `PRICES_AS_OF`.
        source: where the published figures are from.
    """

    name: str
    teraflops: float
    memory_gib: float
    bandwidth: float
    dollars_per_hour: float
    source: str


# Data sheets print rates "with sparsity" for the Ada and Hopper generations: halved here.
GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu("l4", 121, 24, 300, 0.80, "NVIDIA L4 data sheet"),
        Gpu("a10g", 70, 24, 600, 1.00, "NVIDIA A10G data sheet (AWS G5)"),
        Gpu("rtx4090", 165, 24, 1008, 0.40, "NVIDIA Ada GPU architecture white paper"),
        Gpu("l40s", 362, 48, 864, 1.00, "NVIDIA L40S data sheet"),
        Gpu("a100-40", 312, 40, 1555, 1.20, "NVIDIA A100 data sheet, 40 GB"),
        Gpu("a100-80", 312, 80, 2039, 1.50, "NVIDIA A100 data sheet, 80 GB SXM"),
        Gpu("h100", 989, 80, 3350, 3.00, "NVIDIA H100 data sheet, SXM"),
        Gpu("h200", 989, 141, 4800, 4.00, "NVIDIA H200 data sheet, SXM"),
    )
}


def named_gpus(names: str) -> list[Gpu]:
    """The GPUs of a list such as `l4,h100`. Raises BadInput for one that is not in the table."""
    asked = [name.strip().lower() for name in names.split(",") if name.strip()]
    unknown = [name for name in asked if name not in GPUS]
    if unknown or not asked:
        what = f"There is no GPU {unknown[0]!r} in the planner's table" if unknown else "--gpu names no GPU"
        raise BadInput(f"{what}: use {', '.join(GPUS)}, or plan on the machine itself without --gpu.")
    return [GPUS[name] for name in dict.fromkeys(asked)]
