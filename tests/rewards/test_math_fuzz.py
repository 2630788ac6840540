"""No text makes extraction or the cheap rungs raise or take more than linear time."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.math import find_answer
from rewards.math.compare import compare
from rewards.math.grade import decide, gold_text, readable
from rewards.verdict import OUTCOMES

PIECES = [
    "\\boxed{", "\\fbox", "}", "{", "(", ")", "[", "]", "|", "!", "^", "_", ",", ";", ":", ".", "..", "$", "$$",
    "\\[", "\\]", "\\(", "\\)", "\\{", "\\}", "<", ">", "=", "\\le", "\\in", "\\cup", "\\pm", "\\frac",
    "\\sqrt", "\\text{", "\\begin{pmatrix}", "\\end{pmatrix}", "&", "\\\\", "\\left", "\\right", "\\infty",
    "\\pi", "\\sin", "\\log_", "\\overline{", "%", "\\%", "cm", "miles", "million", "and", "or", "is", "answer",
    "<answer>", "</answer>", "<think>", "</think>", "####", "0", "1", "2", "3.5", "1,234", "9^9^9", "x", "y",
    "A", "B", "½", "√", "²", "٣", "４", "答案是", "الجواب", "-", "+", "*", "/", "\\n", "**", "'", '"', " ", "\n",
]  # fmt: skip
soup = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
digits = st.text("0123456789.,-+/%eE^_{}()\\ ٣４", max_size=60)
anything = st.one_of(st.text(max_size=200), soup, digits)


def check(gold: str, completion: str) -> None:
    decided = decide(gold_text(gold), completion)
    if isinstance(decided, tuple):
        assert all(isinstance(part, str) for part in decided)
    else:
        assert decided.outcome in OUTCOMES and decided.reason


@settings(max_examples=600, deadline=None)
@given(anything, anything)
def test_every_text_ends_in_a_verdict_or_a_job(gold: str, text: str) -> None:
    check(gold, text)
    check(gold, f"\\boxed{{{text}}}")
    check("42", f"<answer>{text}</answer>")
    readable(gold)


@settings(max_examples=200, deadline=None)
@given(soup)
def test_an_answer_equals_itself(text: str) -> None:
    if text.strip(" .,;:!?*`\n") and find_answer(f"<answer>{text}</answer>").readings:
        assert compare(text, text)[0] is True


@settings(max_examples=200, deadline=None)
@given(soup, soup)
def test_equality_has_no_direction_among_plain_numbers(a: str, b: str) -> None:
    one, other = compare(a, b)[0], compare(b, a)[0]
    assert {one, other} != {True, False} or not (a.isdecimal() and b.isdecimal())


UNITS = [
    "1", ",234", "1,", "-", "1.", "1/", " ", "\n", "1e", "$ ", "$", "\\boxed{", "{", "}", "<think>", "</think>",
    "<answer>", "</answer>", "\\frac{1", "\\[", "\\(", "(", ")", "[", "|", "answer is ", "is 1 ", ". ",
    "the answer: ", "or ", "\\boxed{1} ", "\\boxed{1}, ", "####", "1 ", "٣", "½", "\\text{", "\\left", "^",
    "^{", "_", "!", "a", "*", "**", "=", "x", "\\sqrt", "\\\\", "\\", "final ", "1!", ".\n", "A", "\n\n",
    "option A", "%", "\\,", "~", "`", "\\pm", "±", "，", "∈", "$1$ and ", "1 and ", "'s ", "two ", "\\n", "{1",
    "(1,", "1;", "x=1,", "\\cup", "1:", "‹", "«",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    text = unit * (99_000 // len(unit))
    for completion in (text, "\\boxed{" + text + "}", "<answer>" + text[:1_900] + "</answer>"):
        started = time.process_time()
        check("42", completion)
        assert time.process_time() - started < 1  # quadratic time would be minutes
    started = time.process_time()
    check(text[:1_900], "\\boxed{42}")
    assert time.process_time() - started < 1
