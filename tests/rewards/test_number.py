import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.number import exact_number, gold_number, last_number


@pytest.mark.parametrize(
    ("completion", "number"),
    [
        ("The answer is 1,234.", 1234),
        ("x = -5.", -5),
        ("10-3", 3),  # a difference, not minus three
        ("1/2 ", Fraction(1, 2)),
        ("\\frac{1}{2}", Fraction(1, 2)),
        ("$12.50", Fraction(25, 2)),
        ("-\\$5", -5),
        ("12\\%", 12),
        ("3 × 4 = 12 %.", 12),
        ("答案是5", 5),
        ("٣٤", 34),
        ("３４", 34),
        ("12\\,345", 12345),
        ("1{,}234", 1234),
        ("1e3", 1000),
        ("1e99999", None),  # would take for ever to write out
        ("1,2345", 2345),
        ("1/0", None),
        ("x_2", None),
        ("none", None),
        ("<think>4</think> 5", 5),
        ("<think>4", None),
        ("4</think> five", None),
        ("<answer>3 apples</answer> in 2 bags", 3),
        ("<answer>3</answer> or <answer>4</answer>", 4),
        ("\\boxed{\\text{about } {7}} of 9", 7),
        ("\\boxed{5}, no, \\boxed{6", None),
        ("So it is 5.\n<answer></answer>", 5),
        ("So it is \\boxed{5} of 7.\n<answer>\n</answer>", 5),
        ("12 of 3 #### 72", 72),
        ("<think>\\boxed{1}</think><answer>so \\boxed{2} #### 3</answer> 4", 2),
    ],
)
def test_which_number_is_the_answer(completion: str, number: Fraction | None) -> None:
    assert last_number(completion) == number


@pytest.mark.parametrize(
    ("gold", "number"),
    [("72", 72), (72, 72), (0.1, Fraction(1, 10)), ("1,000", 1000), ("-3%", -3), ("$18.", 18), ("9 eggs #### 72", 72)],
)
def test_gold_numbers(gold: object, number: Fraction) -> None:
    assert gold_number(gold) == number


@pytest.mark.parametrize("gold", ["abc", "5 apples", "", None, True, "1/0", "9" * 400])
def test_a_gold_answer_that_is_no_number_is_ungradable(gold: object) -> None:
    assert exact_number(["5"], answer=[gold]) == [None]


def test_equality_is_exact() -> None:
    completions = ["0.5", "0.50000000000000001", "1/2", "<think>0.5"]
    assert exact_number(completions, answer=["1/2"] * 4, prompts=[""] * 4) == [1.0, 0.0, 1.0, 0.0]


def test_the_number_that_was_read_is_logged() -> None:
    extra: dict[str, list[str | None]] = {}
    completions = ["It is $1,234.", "\\boxed{1/2} of 7", "none", "so 12\nA: -90,000"]
    exact_number(completions, answer=[1] * 4, log_extra=extra.__setitem__)
    assert extra == {"exact_number/answer": ["$1,234", "1/2", None, "-90,000"]}


@pytest.mark.parametrize(("line", "number"), [("A: 90,000", 90_000), ("A: -129025", -129_025), ("A: $1.50", 1.5)])
def test_the_last_line_of_a_worked_solution(line: str, number: float) -> None:
    assert last_number(f"He has 3*4=<<3*4=12>>12.\n{line}") == number


@given(st.integers(-(10**12), 10**12), st.integers(0, 999))
def test_a_number_written_out_is_found(whole: int, thousandths: int) -> None:
    written = f"I think {whole:,}.{thousandths:03} is it."
    value = abs(whole) + Fraction(thousandths, 1000)
    assert last_number(written) == (-value if written.startswith("I think -") else value)


@given(st.text("0123456789.,-+/$%eE \\{}#<>"))
def test_no_text_raises(text: str) -> None:
    last_number(text)
    last_number(f"<answer>{text}")
    gold_number(text)


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        ",234",
        "1,",
        "-",
        "1.",
        "1/",
        " ",
        "1e",
        "$ ",
        "\\boxed{",
        "{",
        "<think>",
        "<answer>",
        "</answer>",
        "\\frac{1",
    ],
)
def test_time_is_linear_in_hostile_text(unit: str) -> None:
    text = "\\boxed{" + unit * (300_000 // len(unit))
    started = time.process_time()
    last_number(text)
    last_number(text[7:])
    assert time.process_time() - started < 5  # quadratic time would be minutes
