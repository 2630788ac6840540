"""Leaving out the few problems whose prompts are too long, where the recipe says so."""

import sys
from collections.abc import Sequence

from rewards.errors import BadInput
from rl.config.recipe import ModelSection, ProblemsSection
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter


def leave_out_long(section: ProblemsSection, problems: Sequence[Problem], model: ModelSection) -> list[Problem]:
    """The problems whose prompts have at most `max_prompt_length` of the model's tokens; all unless `drop_long` is set.

    Raises:
        BadInput: the tokenizer cannot be loaded, a prompt cannot be rendered, or none is short enough.
    """
    if not section.drop_long:
        return list(problems)
    from rl.models.source import load_tokenizer  # takes seconds, and most recipes do not need it

    tokenizer = load_tokenizer(model.name, model.revision)
    prompter = Prompter(section.model_copy(update={"max_prompt_length": sys.maxsize}), tokenizer)
    short = [p for p in problems if len(prompter.render(p).token_ids) <= section.max_prompt_length]
    if not short:
        raise BadInput(
            f"All {len(problems)} prompts are longer than problems.max_prompt_length = {section.max_prompt_length} "
            "tokens; raise it."
        )
    return short
