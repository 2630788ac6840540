"""The think/answer format: where the answer of a completion is, and pay for keeping to the format.

Deviations: open-r1 accepts what follows `</answer>` on a new line, and its `tag_count_reward` wants line breaks around
tags and takes them in any order; TRL's `think_format_reward` accepts empty thoughts and answers. Here nothing may be
appended, no tag is paid that occurs twice, and tags in the wrong order earn nothing: to spam tags does not pay.

Many chat templates (Qwen3, DeepSeek-R1) and many recipes' prefills open `<think>` at the end of the prompt. That tag is
the first of the completion: the prompt's text, which rewards get as `prompts`, shows it. A model that writes the tag
once more keeps to the format, too. Trainers that give the messages of a chat in `prompts` (TRL) do not show what the
chat template adds: the option `think_opened` says it.

Format is cheap to learn and says nothing about the answer. Give it a small weight, or pay it with right answers only.
Everything here takes time linear in the lengths of prompt and completion.
"""

from collections.abc import Mapping, Sequence
from itertools import repeat
from typing import Any

from rewards.completions import texts

TAGS = ("<think>", "</think>", "<answer>", "</answer>")
OPENING = TAGS[0]


def answer_format(
    completions: Sequence[Any],
    prompts: Sequence[Any] | None = None,
    think_only: bool = False,
    think_opened: bool = False,
    **columns: Any,
) -> list[float]:
    """1 for exactly `<think>...</think><answer>...</answer>`, else 0 (DeepSeek-R1, arXiv 2501.12948, section 2.2.2).

    Each tag once, in this order, both parts non-empty, white space between and around them allowed and nothing else.

    Args:
        completions: plain or conversational.
        prompts: what the completions answer; where a prompt ends with `<think>`, the tag counts as the completion's.
        think_only: the answer has no tags of its own: `<think>...</think>`, then anything that is not empty.
        think_opened: every prompt ends with `<think>`, though `prompts` does not show it.
    """
    follows = _is_thought_then_text if think_only else _is_thought_then_answer
    return [float(follows(text.strip())) for text in _whole(completions, prompts, think_opened)]


def soft_format(
    completions: Sequence[Any], prompts: Sequence[Any] | None = None, think_opened: bool = False, **columns: Any
) -> list[float]:
    """1 for a think block and then an answer block, each tag once, both non-empty, any text around them; else 0."""
    return [float(_has_both_blocks(text)) for text in _whole(completions, prompts, think_opened)]


def tag_count(
    completions: Sequence[Any], prompts: Sequence[Any] | None = None, think_opened: bool = False, **columns: Any
) -> list[float]:
    """0.25 for each tag of the format that occurs exactly once, if those that do are in the right order; else 0.

    After `tag_count_reward` of open-r1. It pays for tags around nothing too: it is to lead a model to the format, and
    should give way to `answer_format`.
    """
    return [_share_of_tags(text) for text in _whole(completions, prompts, think_opened)]


def thought_opening(prompt: str) -> str:
    """The `<think>` that a prompt ends with, white space behind it included; empty if the prompt ends otherwise."""
    place = len(prompt.rstrip()) - len(OPENING)
    return prompt[place:] if prompt.endswith(OPENING, 0, place + len(OPENING)) else ""


def _whole(completions: Sequence[Any], prompts: Sequence[Any] | None, think_opened: bool) -> list[str]:
    """The text of each completion with the `<think>` that its prompt opens."""
    said = texts(completions)
    asked = repeat("") if prompts is None else map(_end_of_prompt, prompts)
    return [
        _with_opening(text, prompt + OPENING * think_opened)
        for text, prompt in zip(said, asked, strict=prompts is not None)
    ]


def _end_of_prompt(prompt: Any) -> str:
    """A prompt's text; of messages, what the assistant's turn begins with, if it has begun."""
    if isinstance(prompt, str):
        return prompt
    last = prompt[-1] if isinstance(prompt, Sequence) and prompt else {}
    return texts([[last]])[0] if isinstance(last, Mapping) and last.get("role") == "assistant" else ""


def _with_opening(text: str, prompt: str) -> str:
    """A completion that begins with the `<think>` which its prompt opens, once, whether the text has the tag or not.

    Some trainers put the end of the prompt, the prefill, in front of the completion. What the prefill says before the
    tag is not the model's, and is left out.
    """
    place, own = prompt.rfind(OPENING), text.find(OPENING)
    if place < 0:
        return text
    if 0 <= own <= place and text.startswith(prompt[place - own :]):
        rest = text[own + len(OPENING) :]
    elif thought_opening(prompt):
        rest = text
    else:
        return text
    return OPENING + rest.lstrip().removeprefix(OPENING)


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
