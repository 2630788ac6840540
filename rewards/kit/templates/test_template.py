"""Tests of `my_reward`, called as training calls it. Run: python -m pytest test_my_reward.py"""

from pathlib import Path

from rewards import load_reward

my_reward = load_reward(f"{Path(__file__).with_name('my_reward.py')}:my_reward")


def test_the_right_answer_is_paid() -> None:
    right = ["<answer>Paris</answer>", "<think>Rome? No.</think> <answer> paris </answer>"]
    assert my_reward(completions=right, answer=["Paris", "Paris"]) == [1.0, 1.0]


def test_nothing_else_is_paid() -> None:
    wrong = [
        "",
        "Paris",  # not marked as the answer
        "<answer>Rome</answer>",
        "<answer>Paris or Rome</answer>",
        "<answer>Paris</answer> No: <answer>Rome</answer>",  # the last one counts
        "<answer>" * 1000,
    ]
    assert my_reward(completions=wrong, answer=["Paris"] * len(wrong)) == [0.0] * len(wrong)


def test_a_problem_without_answer_is_our_fault() -> None:
    assert my_reward(completions=["<answer>Paris</answer>"], answer=[""]) == [None]


def test_options_are_taken() -> None:
    assert my_reward(completions=["<answer>paris</answer>"], answer=["Paris"], any_case=False) == [0.0]
