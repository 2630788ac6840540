"""A problem: what is asked, and what a grader needs to know about it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Not the run's seed: runs that differ in their seed are measured on the same problems. And far from each other:
# reasoning-gym makes problem i from seed + i, so neighboring seeds would give nearly the same problems.
TRAINING_SEED = 0
HELD_OUT_SEED = 1_000_000_000


@dataclass(frozen=True)
class Problem:
    """One row of a problem set.

    Attributes:
        id: stable name of the row inside its source, e.g. `train/17`; equal ids mean equal problems.
        columns: every field of the row (JSON-like values). Prompts are formatted from it and rewards get it
            as keyword columns, as in TRL.
    """

    id: str
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """What is sent to the model for one problem.

    Attributes:
        problem: the problem asked.
        token_ids: exactly the ids that the engine gets.
        text: the same as text, for people.
        prefill: the assistant's opening (for example `<think>\\n`) that `text` ends with, by the recipe or by the chat
            template; graders see it as the beginning of each completion.
        messages: of a chat, for servers that apply the template themselves; empty for plain text.
        conversation: the same messages where the row itself is a conversation; else empty.
    """

    problem: Problem
    token_ids: tuple[int, ...]
    text: str
    prefill: str = ""
    messages: tuple[Mapping[str, Any], ...] = ()
    conversation: tuple[Mapping[str, Any], ...] = ()

    @property
    def for_rewards(self) -> str | list[dict[str, Any]]:
        """What rewards get as the prompt, as from TRL: the messages of a conversation, else the text."""
        return [dict(message) for message in self.conversation] or self.text
