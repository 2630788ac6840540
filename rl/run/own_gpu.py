"""Gives a process its GPU, before torch loads.

The learner and the engine of a process share one GPU, and both use the first one that they see. `torchrun` shows all
GPUs to each of its processes, so all processes would use the same one. TRL's SFTTrainer raises where it sees several.
"""

import subprocess
import sys
from collections.abc import Callable, MutableMapping

from rewards.errors import BadInput

VISIBLE, LOCAL_RANK = "CUDA_VISIBLE_DEVICES", "LOCAL_RANK"
COUNT = """
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
print(count.value)
"""


def count_gpus() -> int:
    """Ask the driver for the number of GPUs that CUDA sees; 0 without a driver.

    The driver reads `CUDA_VISIBLE_DEVICES` once a process, so a process of its own asks.
    """
    answer = subprocess.run([sys.executable, "-I", "-S", "-c", COUNT], capture_output=True, text=True, check=False)
    return int(answer.stdout) if answer.returncode == 0 else 0


def take_own_gpu(environment: MutableMapping[str, str], count: Callable[[], int] = count_gpus) -> None:
    """Show this process one GPU: under `torchrun` the one of its local rank, else the first.

    The GPUs are those of `CUDA_VISIBLE_DEVICES`, in that order: numbers, or names such as GPU-... and MIG-.... After
    that the local rank is 0, as with torchrun's `--virtual-local-rank`: transformers and accelerate take the GPU with
    the number of the local rank.

    Args:
        environment: variables of this process, which are changed.
        count: tells how many GPUs can be seen. It is called under `torchrun` only.

    Raises:
        BadInput: there are GPUs, and fewer than processes on this machine.
    """
    listed = environment.get(VISIBLE)
    names = [name.strip() for name in (listed or "").split(",")]
    rank = int(environment.get(LOCAL_RANK, "-1"))  # -1: no torchrun
    if rank < 0:
        if listed is None or len(names) > 1:
            environment[VISIBLE] = "0" if listed is None else names[0]
        return
    gpus = count()
    if not gpus:
        return
    if rank >= gpus:
        raise BadInput(
            f"This is process {rank + 1} on this machine, and it needs a GPU of its own, but {seen(gpus, listed)}: "
            f"start torchrun with --nproc_per_node {gpus}, and leave it to Penny to give each process its GPU."
        )
    environment[VISIBLE] = str(rank) if listed is None else names[rank]
    environment[LOCAL_RANK] = "0"


def seen(gpus: int, listed: str | None) -> str:
    """Say how many GPUs can be seen, and why no more."""
    number = f"{gpus} GPU{'s' * (gpus > 1)} can be seen"
    return number if listed is None else f"{number} ({VISIBLE}={listed})"
