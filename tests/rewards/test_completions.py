"""Completions as text, and what of them is no answer."""

import pytest

from rewards.completions import texts, texts_after_echo
from rewards.errors import BadInput
from rewards.math import math
from rewards.number import exact_number
from rewards.pool import GraderPool

QUESTION = "Ann has 3 apples and buys 4. She wants 12. How many of the 12 are missing if she needs 5"


def test_conversations_are_read_as_their_texts() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
    spoken = [{"role": "assistant", "content": "x"}, {"role": "assistant", "content": None}]
    assert texts(["plain", spoken, [{"role": "assistant", "content": parts}]]) == ["plain", "x\n", "ab"]


@pytest.mark.parametrize("completion", [3, None, [{"role": "assistant"}], ["text"]])
def test_what_is_no_completion_is_named(completion: object) -> None:
    with pytest.raises(BadInput, match="give a string, or a list of messages"):
        texts([completion])


def test_what_repeats_the_problem_is_left_out_with_all_before_it() -> None:
    said = ["7", f"Question: {QUESTION}\nAnswer: 7", f"{QUESTION} ", "12 of the 12"]
    asked = {"question": [QUESTION] * 4, "prompts": [[{"role": "user", "content": QUESTION}]] * 4}
    assert texts_after_echo(said, asked) == ["7", "\nAnswer: 7", " ", "12 of the 12"]


def test_short_problems_may_stand_in_a_solution() -> None:
    assert texts_after_echo(["7 + 5 = 12"], {"question": ["7 + 5 ="]}) == ["7 + 5 = 12"]


def test_a_problem_restated_earns_nothing() -> None:
    columns = {"answer": ["5", "5"], "question": [QUESTION] * 2}
    said = [QUESTION, f"{QUESTION}? The answer is 5."]
    assert exact_number(said, **columns) == [0.0, 1.0]
    with GraderPool(workers=1, timeout=5) as pool:
        assert math(said, grader_pool=pool, **columns) == [0.0, 1.0]
