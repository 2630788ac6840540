"""The think/answer format: where the answer of a completion is, and pay for keeping to the format.

Everything here takes time linear in the length of the completion.
"""

from collections.abc import Sequence
from typing import Any

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def answer_format(completions: Sequence[str], **columns: Any) -> list[float]:
    """1 for exactly `<think>...</think><answer>...</answer>`, else 0.

    Each tag once, in this order, both parts non-empty, white space between and around them allowed and nothing else.
    (DeepSeek-R1, arXiv 2501.12948, section 2.2.2; anchored at both ends, so nothing can be appended.)
    """
    return [float(_follows_format(completion.strip())) for completion in completions]


def _follows_format(text: str) -> bool:
    if any(text.count(tag) != 1 for tag in TAGS):
        return False
    if not (text.startswith("<think>") and text.endswith("</answer>")):
        return False
    thought, _, rest = text.removeprefix("<think>").partition("</think>")
    between, _, answer = rest.partition("<answer>")
    return not between.strip() and bool(thought.strip()) and bool(answer.removesuffix("</answer>").strip())


def answer_part(completion: str) -> str | None:
    """What follows the last `</think>`; the whole text if there is no thinking; None if the thinking never ends."""
    rest = completion.rpartition("</think>")[2]
    return None if "<think>" in rest else rest


def last_tagged(text: str) -> str | None:
    """The inside of the last `<answer>...</answer>`, or None. An `<answer>` that is never closed does not count."""
    before, closed, _ = text.rpartition("</answer>")
    if not closed or "<answer>" not in before:
        return None
    return before.rpartition("<answer>")[2].strip()


def last_boxed(text: str) -> str | None:
    """The inside of the last `\\boxed{...}`; an empty string if that box is never closed; None if there is no box."""
    _, found, rest = text.rpartition("\\boxed{")
    if not found:
        return None
    depth = 1
    for position, character in enumerate(rest):
        if character in "{}" and not (position and rest[position - 1] == "\\"):  # \{ and \} are text
            depth += 1 if character == "{" else -1
            if depth == 0:
                return rest[:position].strip()
    return ""
