import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.rewards import think_format_reward

from rewards.format import answer_format, answer_part, last_boxed, last_tagged, soft_format, tag_count

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


def test_conversational_completions_are_read() -> None:
    messages = [{"role": "assistant", "content": GOOD}]
    for function in (answer_format, soft_format, tag_count):
        assert function([messages, [{"role": "assistant", "content": "4"}]]) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "pay"),
    [
        ("<think>so</think>4", 1.0),
        ("\n<think>so</think> <answer>4</answer>\n", 1.0),
        ("<think>so</think>", 0.0),
        ("<think> </think>4", 0.0),
        ("Well, <think>so</think>4", 0.0),
        ("so</think>4", 0.0),
        ("<think>so", 0.0),
        ("<think>a</think>4<think>b</think>5", 0.0),
        ("<think>a</think>4</think>5", 0.0),
        ("</think><think>4", 0.0),
    ],
)
def test_an_answer_without_tags(text: str, pay: float) -> None:
    assert answer_format([text], think_only=True) == [pay]


@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "a", "\n"]), max_size=8).map("".join))
def test_whoever_earns_the_think_format_here_does_at_trl_too(text: str) -> None:
    """The other way round does not hold: TRL pays for empty parts and for a second closing tag."""
    if answer_format([text], think_only=True) == [1.0]:
        assert think_format_reward([[{"content": text.strip()}]]) == [1.0]


def test_what_trl_pays_for_and_this_does_not() -> None:
    for text in ("<think></think>4", "<think>so</think>", "<think>a</think>4</think>5"):
        assert think_format_reward([[{"content": text}]]) == [1.0]
        assert answer_format([text], think_only=True) == [0.0]


@pytest.mark.parametrize(
    ("text", "pay"),
    [
        (GOOD, 1.0),
        (f"Well, {GOOD.replace('</think>', '</think> so ')} and more", 1.0),
        (GOOD + GOOD, 0.0),
        (GOOD + "<answer>", 0.0),
        ("<answer>4</answer><think>so</think>", 0.0),
        ("<think>so <answer>4</answer></think>", 0.0),
        ("<think></think><answer>4</answer>", 0.0),
        ("<think>so</think><answer>\n</answer>", 0.0),
        ("<think>so</think>4", 0.0),
        ("", 0.0),
    ],
)
def test_the_soft_format(text: str, pay: float) -> None:
    assert soft_format([text]) == [pay]


@pytest.mark.parametrize(
    ("text", "pay"),
    [
        (GOOD, 1.0),
        ("x <think>\nso\n</think> y <answer>4</answer> z", 1.0),
        ("<think>so</think>4", 0.5),
        ("<think>so", 0.25),
        ("4</answer>", 0.25),
        ("<think>so</think><answer>4", 0.75),
        ("<think><think>so</think><answer>4</answer>", 0.75),  # what occurs twice is not paid
        ("<think>" * 50, 0.0),
        (GOOD * 3, 0.0),
        ("</answer><answer></think><think>", 0.0),  # nor is the wrong order
        ("</think>so<think>", 0.0),
        ("4", 0.0),
    ],
)
def test_tags_are_counted(text: str, pay: float) -> None:
    assert tag_count([text]) == [pay]


tagged_text = st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "a", " "]) | st.text()).map(
    "".join
)


@given(tagged_text)
def test_the_stricter_format_is_paid_less_often(text: str) -> None:
    strict, soft, tags = answer_format([text])[0], soft_format([text])[0], tag_count([text])[0]
    assert {strict, soft} <= {0.0, 1.0} and tags in (0.0, 0.25, 0.5, 0.75, 1.0)
    assert strict <= soft <= tags


@pytest.mark.parametrize("part", ["<think>", "<", "</think><think>", "<answer>a</answer>", " "])
def test_time_is_linear(part: str) -> None:
    text = part * (200_000 // len(part))
    started = time.perf_counter()
    answer_format([text]), soft_format([text]), tag_count([text]), answer_part(text), last_tagged(text)
    assert time.perf_counter() - started < 1  # quadratic: minutes
