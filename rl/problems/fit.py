"""Leaving out the few training problems whose prompts are too long, where the recipe says so."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rewards.errors import BadInput
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from rl.recipe import ProblemsSection

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def leave_out_long(
    section: ProblemsSection, problems: Sequence[Problem], tokenizer: "PreTrainedTokenizerBase"
) -> list[Problem]:
    """The problems whose prompts have at most `max_prompt_length` tokens; all of them unless `drop_long` is set.

    Raises:
        BadInput: a prompt cannot be rendered, or none is short enough.
    """
    if not section.drop_long:
        return list(problems)
    prompter = Prompter(section.model_copy(update={"max_prompt_length": sys.maxsize}), tokenizer)
    short = [p for p in problems if len(prompter.render(p).token_ids) <= section.max_prompt_length]
    if not short:
        raise BadInput(
            f"All {len(problems)} prompts are longer than problems.max_prompt_length = {section.max_prompt_length} "
            "tokens; raise it."
        )
    return short
