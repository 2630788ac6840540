"""What is asked: problem sets, the order they are asked in, and the prompts they become."""

from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter
from rl.problems.sets import content_key, held_out_section, load_sets
from rl.problems.sources import load_problems
from rl.problems.stream import ProblemStream, completion_seeds

__all__ = [
    "Problem",
    "ProblemStream",
    "Prompt",
    "Prompter",
    "completion_seeds",
    "content_key",
    "held_out_section",
    "load_problems",
    "load_sets",
]
