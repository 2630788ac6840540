"""The few things that ranks say to each other; with one rank each of them does nothing.

Start several with `torchrun --nproc_per_node N -m rl.cli train ...`. Every rank holds the whole policy and an engine of
its own, generates and learns from its share of each batch, and adds its gradient to the others'.
"""

import os
from collections.abc import Iterable
from typing import TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")
BUCKET = 2**30  # bytes of one sum over the ranks: any adapter's gradients at once, and little beside a whole model's


def rank() -> int:
    """This process's number, 0 without `torchrun`."""
    return int(os.environ.get("RANK", "0"))


def world_size() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def start(device: str) -> None:
    """Join the other ranks: NCCL on GPUs, gloo on CPUs."""
    if world_size() > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if device == "cuda" else "gloo")


def stop() -> None:
    """Leave the other ranks."""
    if dist.is_initialized() and world_size() > 1:
        dist.destroy_process_group()


def gather(items: list[T]) -> list[T]:
    """The items of all ranks, on every rank: rank 0's first."""
    if world_size() == 1:
        return items
    parts: list[list[T]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, items)
    return [item for part in parts for item in part]


def add_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its sum over the ranks. Losses carry global denominators, so the sum is the gradient."""
    if world_size() == 1:
        return
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:  # this rank had nothing to learn from
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    for bucket in buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, total in zip(bucket, flat.split([gradient.numel() for gradient in bucket]), strict=True):
            gradient.copy_(total.view_as(gradient))


def buckets(tensors: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Split tensors by dtype, and into lists of at most `BUCKET` bytes: a message a list, not one a tensor."""
    made: list[list[torch.Tensor]] = []
    open_ones: dict[torch.dtype, tuple[list[torch.Tensor], int]] = {}  # of each dtype the last list, and its bytes
    for tensor in tensors:
        bucket, size = open_ones.get(tensor.dtype, ([], 0))
        if not bucket or size + tensor.nbytes > BUCKET:
            bucket, size = [], 0
            made.append(bucket)
        bucket.append(tensor)
        open_ones[tensor.dtype] = bucket, size + tensor.nbytes
    return made
