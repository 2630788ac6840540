"""Rule-based rewards for reasoning: load one by name, or grade completions by several at once."""

from rewards.errors import BadInput
from rewards.grading import Graded, Grader
from rewards.pool import GraderPool
from rewards.registry import load_reward, names

__all__ = ["BadInput", "Graded", "Grader", "GraderPool", "load_reward", "names"]
