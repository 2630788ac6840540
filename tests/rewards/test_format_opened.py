"""The `<think>` that a prompt opens is the completion's first tag, whichever way trainers hand prompts over."""

import time
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.format import answer_format, soft_format, tag_count, thought_opening
from rewards.grading import Grader

THINK_ONLY = partial(answer_format, think_only=True)
TURN = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n"
REST = "so</think><answer>4</answer>"


@pytest.mark.parametrize("opening", ["<think>", "<think>\n", "<think>\n\n", " <think> "])
@pytest.mark.parametrize("reward", [answer_format, soft_format, tag_count])
@pytest.mark.parametrize("said", [REST, f"\n{REST}", f"<think>{REST}", f"\n<think>\n{REST}"])
def test_the_tag_of_the_prompt_counts_whether_the_model_repeats_it_or_not(opening: str, reward: Any, said: str) -> None:
    prompt = TURN + opening
    assert reward([said], prompts=[prompt]) == [1.0]
    assert reward([opening + said], prompts=[prompt]) == [1.0]  # with the prefill before it, as in training
    assert THINK_ONLY([said], prompts=[prompt]) == THINK_ONLY([opening + said], prompts=[prompt]) == [1.0]


@pytest.mark.parametrize("prefill", ["Let me solve this step by step.\n<think>", "I see.\n<think>\nFirst,"])
def test_what_a_prefill_says_before_the_tag_is_not_the_models(prefill: str) -> None:
    assert answer_format([f"{prefill} {REST}"], prompts=[TURN + prefill]) == [1.0]
    assert answer_format([f"{prefill} {REST}"], prompts=[TURN]) == [0.0]  # there the model said it


@pytest.mark.parametrize(
    "said",
    [
        "4",
        "so<answer>4</answer>",  # the thought never ends
        "</think><answer>4</answer>",  # an empty thought
        f"Well, <think>{REST}",  # a second thought
        f"{REST} and more",
        f"<think>{REST}<think>{REST}",
        "<think>" * 500 + REST,
        REST + REST,
    ],
)
def test_an_opened_thought_is_no_licence(said: str) -> None:
    assert answer_format([said], prompts=[TURN + "<think>\n"]) == [0.0]
    assert answer_format(["<think>\n" + said], prompts=[TURN + "<think>\n"]) == [0.0]


@pytest.mark.parametrize(
    "prompt",
    [
        TURN,
        "",
        "Think between <think> and </think>, then answer.",
        "Begin with <think>, please.",
        TURN + "<think>\n\n</think>\n\n",  # Qwen3 with its thinking switched off
        [{"role": "user", "content": "Begin with <think>"}],
        [],
    ],
)
def test_a_prompt_that_opens_nothing_changes_nothing(prompt: Any) -> None:
    assert answer_format([REST, f"<think>{REST}"], prompts=[prompt] * 2) == [0.0, 1.0]


def test_prompts_of_messages_show_what_the_assistant_began_with() -> None:
    began = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "<think>\n"}]
    answer = [{"role": "assistant", "content": REST}]
    assert answer_format([answer], prompts=[began]) == [1.0]
    asked = [{"role": "user", "content": "2 + 2?"}]
    assert answer_format([answer], prompts=[asked]) == [0.0]
    for reward in (answer_format, soft_format, tag_count):
        assert reward([answer], prompts=[asked], think_opened=True) == reward([REST], think_opened=True) == [1.0]


def test_a_recipe_may_say_that_the_thought_is_open() -> None:
    options = {"answer_format": {"think_opened": True}}
    settings: dict[str, Any] = {"timeout": 5, "workers": 1, "accuracy": None, "correct_above": 0.9}
    with Grader({"answer_format": 1.0}, options=options, **settings) as grader:
        assert [graded.reward for graded in grader.grade([REST, "4"], ["", ""], {})] == [1.0, 0.0]
    with Grader({"answer_format": 1.0}, **settings) as grader:
        assert [graded.reward for graded in grader.grade([REST, REST], ["", "<think>"], {})] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("prompt", "opening"),
    [("a<think>", "<think>"), ("a<think>\n", "<think>\n"), ("<think> a", ""), ("", ""), ("think>", ""), ("<think", "")],
)
def test_the_opening_of_a_prompt(prompt: str, opening: str) -> None:
    assert thought_opening(prompt) == opening


pieces = st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "a", "\n"]), max_size=9).map("".join)


@given(pieces, pieces)
def test_the_prompts_tag_is_worth_what_the_models_own_is(before: str, said: str) -> None:
    prompt = f"{before} :<think>"
    if said.lstrip().startswith("<think>"):  # repeated: as if it stood once
        assert answer_format([said], prompts=[prompt]) == answer_format([said.lstrip()])
    else:
        assert answer_format([said], prompts=[prompt]) == answer_format(["<think>" + said])


@pytest.mark.parametrize("part", ["<think>", "<", " ", "a<think>"])
def test_time_is_linear(part: str) -> None:
    text = part * (200_000 // len(part))
    started = time.perf_counter()
    answer_format([text, text, "a"], prompts=[text, "<think>", text])
    assert time.perf_counter() - started < 1
