"""The think/answer format: where the answer of a completion is, and pay for keeping to the format.

Deviations: open-r1 accepts what follows `</answer>` on a new line, and its `tag_count_reward` wants line breaks around
tags and takes them in any order; TRL's `think_format_reward` accepts empty thoughts and answers. Here nothing may be
appended, no tag is paid that occurs twice, and tags in the wrong order earn nothing: to spam tags does not pay.

Format is cheap to learn and says nothing about the answer. Give it a small weight, or pay it with right answers only.
Everything here takes time linear in the length of the completion.
"""

from collections.abc import Sequence
from typing import Any

from rewards.completions import texts

TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def answer_format(completions: Sequence[Any], think_only: bool = False, **columns: Any) -> list[float]:
    """1 for exactly `<think>...</think><answer>...</answer>`, else 0 (DeepSeek-R1, arXiv 2501.12948, section 2.2.2).

    Each tag once, in this order, both parts non-empty, white space between and around them allowed and nothing else.

    Args:
        completions: plain or conversational.
        think_only: the answer has no tags of its own: `<think>...</think>`, then anything that is not empty.
    """
    follows = _is_thought_then_text if think_only else _is_thought_then_answer
    return [float(follows(text.strip())) for text in texts(completions)]


def soft_format(completions: Sequence[Any], **columns: Any) -> list[float]:
    """1 for a think block and then an answer block, each tag once, both non-empty, any text around them; else 0."""
    return [float(_has_both_blocks(text)) for text in texts(completions)]


def tag_count(completions: Sequence[Any], **columns: Any) -> list[float]:
    """0.25 for each tag of the format that occurs exactly once, if those that do are in the right order; else 0.

    After `tag_count_reward` of open-r1. It pays for tags around nothing too: it is to lead a model to the format, and
    should give way to `answer_format`.
    """
    return [_share_of_tags(text) for text in texts(completions)]


def _is_thought_then_answer(text: str) -> bool:
    if not (_has_both_blocks(text) and text.startswith("<think>") and text.endswith("</answer>")):
        return False
    return not text.partition("</think>")[2].partition("<answer>")[0].strip()


def _is_thought_then_text(text: str) -> bool:
    if text.count("<think>") != 1 or text.count("</think>") != 1 or not text.startswith("<think>"):
        return False
    thought, _, answer = text.removeprefix("<think>").partition("</think>")
    return bool(thought.strip()) and bool(answer.strip())


def _has_both_blocks(text: str) -> bool:
    if _share_of_tags(text) < 1:
        return False
    thought = text.partition("<think>")[2].partition("</think>")[0]
    answer = text.partition("<answer>")[2].partition("</answer>")[0]
    return bool(thought.strip()) and bool(answer.strip())


def _share_of_tags(text: str) -> float:
    places = [text.index(tag) for tag in TAGS if text.count(tag) == 1]
    return len(places) / len(TAGS) if places == sorted(places) else 0.0


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
