"""Gives the policy's weights to the engine: merged, or as an adapter in a folder."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from rewards.scratch import scratch_folder
from rl.base.disk import writing
from rl.config.recipe import RolloutSection
from rl.learner.policy import Policy
from rl.rollout.build import pick_sync
from rl.rollout.engine import RolloutEngine


class WeightSync:
    """Hands weights over after each update; a context manager, on whose end no folder of an adapter is left.

    Args:
        scratch: a folder for adapters where no memory holds them.
    """

    def __init__(self, policy: Policy, engine: RolloutEngine, rollout: RolloutSection, scratch: Path) -> None:
        self.policy, self.engine, self._rollout, self._scratch = policy, engine, rollout, scratch
        self._adapter = ExitStack()  # removes the folder of the adapter that the engine has

    def __enter__(self) -> "WeightSync":
        return self

    def __exit__(self, *_: object) -> None:
        self._adapter.close()

    def hand_over(self) -> dict[str, float]:
        """Give the policy's weights to the engine; return the seconds that it took and the bytes."""
        began = time.perf_counter()
        sent = self._merged() if pick_sync(self._rollout) == "merged" else self._as_adapter()
        return {"sync/seconds": time.perf_counter() - began, "sync/bytes": sent}

    def _merged(self) -> int:
        sent = 0

        def counted() -> Iterator[tuple[str, torch.Tensor]]:
            nonlocal sent
            for name, tensor in self.policy.export():
                sent += tensor.nbytes
                yield name, tensor

        self.engine.load_weights(counted())
        return sent

    def _as_adapter(self) -> int:
        """Write the adapter to a new folder, which stays until the engine has a newer one.

        An engine may read it again: vLLM does when its cache of adapters has dropped it.
        """
        size, shared = (
            sum(parameter.nbytes for parameter in self.policy.trainable.values()),
            self._rollout.server_folder,
        )
        with ExitStack() as new:
            folder = new.enter_context(
                scratch_folder("adapter", str(in_memory(self._scratch, size)))
                if shared is None
                else TemporaryDirectory(prefix="adapter-", dir=shared)
            )
            with writing(Path(folder), size):
                self.policy.save(Path(folder))
            self.engine.load_adapter(folder)
            self._adapter.close()
            self._adapter = new.pop_all()
        return size


def in_memory(otherwise: Path, size: int) -> Path:
    """Return a folder whose files stay in memory, if it has room for twice `size` bytes; else `otherwise`."""
    shared = Path("/dev/shm")
    if os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 2 * size:
        return shared
    return otherwise
