"""What a recipe's problems are like: prompts as they would be sent, without a model."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rl.config.recipe import Recipe
from rl.models.source import load_tokenizer
from rl.problems.problem import Prompt
from rl.problems.prompt import Prompter
from rl.problems.sets import load_sets
from rl.problems.stream import ProblemStream

LOOKED_AT = 256  # prompts whose lengths are averaged


@dataclass(frozen=True)
class Asking:
    """A recipe's first prompts, in the order in which a run would ask them, and the tokenizer."""

    prompts: Sequence[Prompt]
    tokenizer: Any


def prompt_sizes(prompts: Sequence[Prompt]) -> tuple[float, float]:
    """Mean tokens of prompts, and how many at their beginning all have in common (less than the shortest)."""
    ids = [prompt.token_ids for prompt in prompts]
    shared = len(os.path.commonprefix([list(each) for each in ids])) if len(ids) > 1 else 0
    return sum(map(len, ids)) / len(ids), min(shared, min(map(len, ids)) - 1)


def first_prompts(recipe: Recipe) -> Asking:
    """The recipe's first `LOOKED_AT` training prompts. Raises BadInput as loading problems does."""
    training, _ = load_sets(recipe)
    tokenizer = load_tokenizer(recipe.model.name, recipe.model.revision)
    prompter = Prompter(recipe.problems, tokenizer)
    order = ProblemStream(len(training), recipe.run.seed, recipe.problems.shuffle)
    places = order.take(0, min(LOOKED_AT, len(training)))
    return Asking([prompter.render(training[place]) for place in places], tokenizer)
