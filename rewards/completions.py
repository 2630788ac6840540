"""Completions as text, whichever shape a trainer gives them in."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewards.errors import BadInput

SHORTEST_ECHO = 12  # characters: "7 + 5 =" may well stand in a worked solution


def texts(completions: Sequence[Any]) -> list[str]:
    """The text of each completion: itself, or what the messages of a conversational one say, in order.

    Raises:
        BadInput: a completion is neither a string nor a list of messages.
    """
    return [completion if isinstance(completion, str) else _spoken(completion) for completion in completions]


def texts_after_echo(completions: Sequence[Any], columns: Mapping[str, Sequence[Any]]) -> list[str]:
    """The text of each completion, what repeats its problem and all before that left out: restating is no answer.

    The problem is the text of the columns `question`, `problem` and `prompts`, where there are any.
    """
    asked = [columns[name] for name in ("question", "problem", "prompts") if name in columns]
    problems = zip(*asked, strict=True) if asked else [()] * len(completions)
    return [_after_echo(text, problem) for text, problem in zip(texts(completions), problems, strict=True)]


def _after_echo(text: str, problems: Sequence[Any]) -> str:
    for problem in problems:
        said = problem[-1].get("content") if isinstance(problem, list) and problem else problem
        if isinstance(said, str) and len(said.strip()) >= SHORTEST_ECHO:
            text = text.rpartition(said.strip())[2]
    return text


def _spoken(messages: Any) -> str:
    if isinstance(messages, Sequence) and all(isinstance(m, Mapping) and "content" in m for m in messages):
        return "\n".join(message_text(message["content"]) for message in messages)
    raise BadInput(
        f"a completion is a {type(messages).__name__}; give a string, or a list of messages with the key 'content'"
    )


def message_text(content: Any) -> str:
    """Return a message's text: a string, nothing (a mere tool call), or a list of parts, of which texts count."""
    if isinstance(content, list):
        return "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return str(content or "")
