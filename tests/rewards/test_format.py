import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.format import answer_format, answer_part, last_boxed, last_tagged

GOOD = "<think>so</think><answer>4</answer>"


@pytest.mark.parametrize("text", [GOOD, f"\n {GOOD}\n", "<think>\na < b\n</think>\n\n<answer>\n4\n</answer>"])
def test_the_format_pays(text: str) -> None:
    assert answer_format([text], answer=["4"]) == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        f"{GOOD} and more",
        f"Well, {GOOD}",
        GOOD + GOOD,
        GOOD + "\n<think>b</think><answer>5</answer>",
        GOOD.replace("</think>", "</think> so "),
        "<think></think><answer>4</answer>",
        "<think>so</think><answer> </answer>",
        "<answer>4</answer><think>so</think>",
        "<think>so <answer>4</answer></think>",
        "<think>so</think><answer>4",
        "<think>so</think><answer>4<answer></answer>",
        "<THINK>so</THINK><ANSWER>4</ANSWER>",
        "<think><answer>so</think></answer>",
    ],
)
def test_anything_else_does_not(text: str) -> None:
    assert answer_format([text]) == [0.0]


def test_the_answer_part() -> None:
    assert answer_part("a <think>b</think> c") == " c"
    assert answer_part("b</think>c</think>d") == "d"
    assert answer_part("plain") == "plain"
    assert answer_part("<think>b") is None
    assert answer_part("<think>b</think>c<think>d") is None


def test_the_last_tagged_answer() -> None:
    assert last_tagged("<answer>1</answer><answer> 2 </answer>3") == "2"
    assert last_tagged("<answer>1</answer><answer>2") == "1"
    assert last_tagged("<answer>1") is None
    assert last_tagged("1</answer>") is None


def test_the_last_box() -> None:
    assert last_boxed("\\boxed{1} \\boxed{\\frac{1}{2}} x") == "\\frac{1}{2}"
    assert last_boxed("\\boxed{\\{1\\}}") == "\\{1\\}"
    assert last_boxed("\\boxed{1} \\boxed{2") == ""
    assert last_boxed("2") is None


@given(st.text().filter(str.strip), st.text().filter(str.strip))
def test_any_text_without_tags_may_be_thought_and_answered(thought: str, answer: str) -> None:
    assert answer_format([f"<think>{thought}</think><answer>{answer}</answer>"]) == [1.0]
