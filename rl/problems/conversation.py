"""Columns that hold a conversation, as TRL's data sets do: a list of messages, each with a role and a content."""

from collections.abc import Mapping, Sequence
from typing import Any

from rewards.completions import message_text
from rewards.errors import BadInput
from rewards.gold import kind_of

Message = Mapping[str, Any]  # role, content, and what else a chat template may look at

SYSTEM = ("system", "developer")
SHAREGPT = {"human": "user", "gpt": "assistant"}  # names of roles in data sets of that kind


def is_conversation(value: Any) -> bool:
    """Tell whether a value is a list of messages."""
    return isinstance(value, list) and bool(value) and all(isinstance(m, Mapping) and "role" in m for m in value)


def read_messages(value: Sequence[Any], where: str) -> tuple[Message, ...]:
    """Read a list of messages, each content as one text; keys that hold null are left out, as tables add them.

    Raises:
        BadInput: an item is no message, a role is no text, or a content is neither text nor a list of parts of text.
    """
    return tuple(_message(item, f"{where}, message {place}") for place, item in enumerate(value, start=1))


def user_text(value: Sequence[Any]) -> str:
    """Join what the user says in a list of messages."""
    return "\n".join(message_text(turn.get("content")) for turn in value if turn.get("role") in ("user", "human"))


def as_text(value: Any) -> str:
    """Write a column's value as text; of messages what the user says."""
    return user_text(value) if is_conversation(value) else str(value)


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, Mapping) or "role" not in item:
        raise BadInput(f"{where} is {kind_of(item)} without a role, no message; write a role and a content.")
    role, content = item["role"], item.get("content")
    role = SHAREGPT.get(role, role) if isinstance(role, str) else role
    if not isinstance(role, str) or not role:
        raise BadInput(f"{where}: its role is {kind_of(role)}; write system, user, assistant or tool.")
    for part in content if isinstance(content, list) else ():
        if not (isinstance(part, Mapping) and isinstance(part.get("text"), str)):
            kind = part.get("type", "unknown") if isinstance(part, Mapping) else kind_of(part)
            raise BadInput(f"{where} has a part that is no text ({kind}), and only text is sent; leave the row out.")
    if not isinstance(content, str | list) and not (content is None and item.get("tool_calls")):
        raise BadInput(f"{where}: its content is {kind_of(content)}; write a text.")
    others = {key: held for key, held in item.items() if held is not None and key not in ("role", "content")}
    return {"role": role, "content": message_text(content), **others}
