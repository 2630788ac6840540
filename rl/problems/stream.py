"""The order in which problems are asked, and the seeds of the completions, as pure functions of counters.

Nothing here remembers anything: a resumed run needs only its position.
"""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ProblemStream:
    """An endless sequence of indices into a problem set, one permutation of the whole set after the other.

    Attributes:
        size: problems in the set.
        seed: the run's seed; every epoch has a permutation of its own, drawn from (seed, epoch).
        shuffle: false keeps the order of the set in every epoch.

    Raises:
        ValueError: `size` is below 1 or `seed` is negative.
    """

    size: int
    seed: int
    shuffle: bool = True

    def __post_init__(self) -> None:
        if self.size < 1 or self.seed < 0:
            raise ValueError(f"a stream needs size >= 1 and seed >= 0, not size={self.size}, seed={self.seed}")

    def take(self, position: int, count: int) -> list[int]:
        """The indices at stream positions `position` to `position + count - 1`.

        No index repeats within an epoch (positions `k * size` to `(k + 1) * size - 1`), however it is cut into takes.

        Raises:
            ValueError: `position` or `count` is negative.
        """
        if position < 0 or count < 0:
            raise ValueError(f"position and count cannot be negative: position={position}, count={count}")
        indices: list[int] = []
        while len(indices) < count:
            epoch, offset = divmod(position + len(indices), self.size)
            some = slice(offset, offset + count - len(indices))
            indices += (
                permutation(self.size, self.seed, epoch)[some].tolist() if self.shuffle else range(self.size)[some]
            )
        return indices


@functools.lru_cache(maxsize=2)  # a step asks problem by problem, and may reach into the next epoch
def permutation(size: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: int64 [size]."""
    key = np.random.SeedSequence(seed, spawn_key=(epoch,))
    return np.random.Generator(np.random.Philox(key)).permutation(size)


def completion_seeds(run_seed: int, step: int, position: int, n: int) -> list[int]:
    """Sampling seeds, from 0 to 2**31 - 1, of the `n` completions of the problem at `position` of the batch of `step`.

    Each is a hash of (run_seed, step, position, sample), so seeds are unrelated to each other, and the first of `n`
    stay the same when `n` grows.
    """
    return [completion_seed(run_seed, step, position, sample) for sample in range(n)]


def completion_seed(run_seed: int, step: int, position: int, sample: int) -> int:
    """The seed of one of them, without the others."""
    return _hash_31_bits(f"{run_seed}/{step}/{position}/{sample}")


def _hash_31_bits(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1  # engines take seeds as signed 32-bit numbers
