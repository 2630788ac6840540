"""A reward that differs within a group whenever two of its completions do, so that every group has a signal."""

import hashlib
from typing import Any


def varied(completions: list[str], **_: Any) -> list[float]:
    """A number in [0, 1) from a hash of each text."""
    return [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) / 2**32 for text in completions]
