"""Rule-based rewards for reasoning: load one by name, or grade completions by several at once."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewards.errors import BadInput
    from rewards.grading import Grade, Grader
    from rewards.pool import GraderPool
    from rewards.registry import load_reward, names
    from rewards.verdict import Verdict

__all__ = ["BadInput", "Grade", "Grader", "GraderPool", "Verdict", "load_reward", "names"]

# Imported when first asked for: the processes that programs are forked from are of this package too, and everything
# that they have in memory makes every fork dearer.
_HOMES = {
    "BadInput": "rewards.errors",
    "Grade": "rewards.grading",
    "Grader": "rewards.grading",
    "GraderPool": "rewards.pool",
    "Verdict": "rewards.verdict",
    "load_reward": "rewards.registry",
    "names": "rewards.registry",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'rewards' has no attribute {name!r}")
