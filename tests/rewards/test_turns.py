"""Where a turn ends, and its text without marks."""

import pytest

from rewards.math.extract import find_answer
from rewards.turns import end_of_turn, this_turn


@pytest.mark.parametrize(
    ("text", "turn"),
    [
        ("5<|im_end|>", "5"),
        ("<|im_start|>assistant\n5<|im_end|>\n", "5"),
        ("<|im_start|>user\n5", "user\n5"),  # all of it is the user's: nothing is left out
        ("5<|im_end|><|im_start|>user\n6", "5"),
        ("5<end_of_turn>\n<start_of_turn>user\n6", "5"),
        ("5<|eot_id|><|start_header_id|>user<|end_header_id|>6", "5"),
        ("5<|endoftext|>6", "5"),
        ("5<｜end▁of▁sentence｜>6", "5"),
        ("<|endoftext|><s>\n5</s>", "5"),
        ("<|endoftext|><|endoftext|>5", "5"),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
    ],
)
def test_turns(text: str, turn: str) -> None:
    assert this_turn(text).strip() == turn


def test_a_text_that_has_begun() -> None:
    assert end_of_turn("<|endoftext|>6") == 14 and end_of_turn("<|endoftext|>6", begun=True) == 0
    assert end_of_turn("<|im_start|>user 6", begun=True) == 0


def test_mathematics_is_read_from_the_same_turn() -> None:
    assert find_answer("The answer is \\boxed{5}.<|endoftext|>The answer is \\boxed{6}.").readings == ("5",)
