import time
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.countdown import countdown, is_expression, judge, solves


def grade(answer: str, nums: list[int], target: int, **options: Any) -> float:
    return countdown([f"<think>so</think>\n<answer>{answer}</answer>"], nums=[nums], target=[target], **options)[0]


@pytest.mark.parametrize(
    "answer",
    ["(19 + 36) - 55 / 55 * 7 + 7", "19+36", "(19)+36", "36 - -19", " 19 + 36 = 55 ", "+19+36", "((19+36))"],
)
def test_right_expressions(answer: str) -> None:
    nums = [19, 36, 55, 55, 7, 7] if "/" in answer else [19, 36]
    assert grade(answer, nums, 55) == 1.0


def test_division_is_exact() -> None:
    assert grade("8 / (3 - 8 / 3)", [3, 3, 8, 8], 24) == 1.0  # floats give 23.999999999999989
    assert grade("1 / 3 * 3", [1, 3, 3], 1) == 1.0
    assert grade("100001 / 100000", [100001, 100000], 1) == 0.0  # within TinyZero's 1e-5, not equal


@pytest.mark.parametrize(
    "answer",
    [
        "19 + 35",  # another value, another number
        "19 + 36 + 0",  # a number not given
        "55",
        "19 * 36",
        "19 + 36 = 54",
        "19 + 19 + 36 - 19",  # a number used too often
        "36",  # a number not used
    ],
)
def test_wrong_expressions_earn_the_format_score_only(answer: str) -> None:
    assert grade(answer, [19, 36], 55) == 0.0
    assert grade(answer, [19, 36], 55, format_score=0.1) == 0.1


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "19 + ",
        "19 36",
        "(19 + 36",
        "19 + 36)",
        "19.36",  # a decimal would use up two numbers
        "19 ** 36",
        "19 // 36",
        "19 + 36 = x",
        "19 + 36 = 55 = 55",
        "__import__('os').system('true')",
        "1" * 501,
        "(" * 200 + "1" + ")" * 200,
        "-" * 400 + "1",
        "19\u00b2 + 36",
        "99**98**97",
    ],
)
def test_what_is_no_expression_earns_nothing(answer: str) -> None:
    assert grade(answer, [19, 36], 55, format_score=0.1) == 0.0


def test_the_last_answer_counts() -> None:
    texts = [
        "<answer>1+2</answer> <answer>1*2</answer>",
        "<answer>1*2</answer> <answer>1+2</answer>",
        "1+2",
        "<answer>1+2",
    ]
    assert countdown(texts, nums=[[1, 2]] * 4, target=[3] * 4, other=[0] * 4) == [0.0, 1.0, 0.0, 0.0]


def test_division_by_zero_is_an_expression_but_no_solution() -> None:
    assert is_expression("1 / (2 - 2)")
    assert not solves("1 / (2 - 2)", [1, 2, 2], 1)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, list[int], Fraction]:
    """Text, numbers used and value of an expression in full parentheses."""
    if depth == 0 or draw(st.booleans()):
        number = draw(st.integers(0, 99))
        return str(number), [number], Fraction(number)
    left, left_used, a = draw(expressions(depth - 1))
    right, right_used, b = draw(expressions(depth - 1))
    sign = draw(st.sampled_from("+-*/" if b else "+-*"))
    value = {"+": a + b, "-": a - b, "*": a * b}[sign] if sign != "/" else a / b
    return f"({left} {sign} {right})", left_used + right_used, value


@given(expressions())
def test_value_is_that_of_the_tree(case: tuple[str, list[int], Fraction]) -> None:
    text, used, value = case
    assert solves(text, used, value)
    assert not solves(text, used, value + 1)
    assert not solves(text, [*used, 1], value)


@given(st.lists(st.sampled_from(["+", "-", "*", "/", "7", "2", "(", ")"]), max_size=9).map("".join))
def test_precedence_and_grammar_are_pythons(text: str) -> None:
    if any(forbidden in text for forbidden in ("**", "//")):
        assert not is_expression(text)
        return
    try:
        expected: float | None = eval(text)  # the oracle; of nine such signs at most
    except ZeroDivisionError:
        assert is_expression(text)
        return
    except (SyntaxError, TypeError):  # "7(2)" is a call to Python
        assert not is_expression(text)
        return
    if not isinstance(expected, int | float):  # "()" is a tuple to Python
        assert not is_expression(text)
        return
    target = Fraction(expected).limit_denominator(10**6)
    used = [int(number) for number in "".join(c if c.isdigit() else " " for c in text).split()]
    assert solves(text, used, target)


@given(st.text())
def test_no_text_raises(text: str) -> None:
    grade(text, [1, 2], 3)


# d1's tasks are three numbers; its models write `<answer>` with a box in it.
D1 = [
    "<reasoning>\n100 - 30 = 70\n</reasoning>\n<answer>\n\\boxed{93 - (100 - 30)}\n</answer>",
    "<reasoning>...</reasoning><answer>93 - (100 - 30)</answer>",
    "<answer>\\boxed{93 - (100 - 30) = 23}</answer>",
    "So \\boxed{93 - (100 - 30)}",
    "Perhaps \\boxed{1 + 1}? No: \\boxed{93 - (100 - 30)}.",
    "<answer></answer> \\boxed{93 - (100 - 30)}",
    "<think>\\boxed{1 + 1}</think>\\boxed{93 - 100 + 30}",
    "<answer>$93 − \\left(100 - 30\\right)$</answer>",
    "<answer>93 - (100 - 30) = 23.</answer>",
    "<answer>93 - (100 - 30) = 23.0</answer>",
]


@pytest.mark.parametrize("completion", D1)
def test_the_format_of_d1_is_read(completion: str) -> None:
    assert countdown([completion], nums=[[30, 100, 93]], target=[23]) == [1.0]


@pytest.mark.parametrize(
    ("answer", "nums", "target"),
    [
        ("\\boxed{6 \\times 7}", [6, 7], 42),
        ("6\\cdot7", [6, 7], 42),
        ("6 × 7", [6, 7], 42),
        ("84 \\div 2", [84, 2], 42),
        ("84 ÷ 2", [84, 2], 42),
        ("\\dfrac{84}{2}", [84, 2], 42),
        ("\\frac{8}{3 - \\frac{8}{3}}", [8, 3, 8, 3], 24),
        ("\\frac{80 + 4}{2}", [80, 4, 2], 42),
        ("\\(6 \\times 7\\)", [6, 7], 42),
    ],
)
def test_signs_of_latex(answer: str, nums: list[int], target: int) -> None:
    assert grade(answer, nums, target) == 1.0
    assert grade(answer, nums, target + 1) == 0.0


@pytest.mark.parametrize(
    ("completion", "outcome", "reason"),
    [
        ("<answer>19 + 36</answer>", "correct", "the target is met"),
        ("I do not know.", "unparseable", "no expression in <answer> or in \\boxed{}"),
        ("<answer></answer>", "unparseable", "no expression in <answer> or in \\boxed{}"),
        ("<think>\\boxed{19 + 36}", "unparseable", "no expression in <answer> or in \\boxed{}"),
        ("<answer>nineteen</answer>", "unparseable", "'nineteen' is neither a number nor a sign"),
        ("<answer>19.5 + 36</answer>", "unparseable", "'.5 + 36' is neither"),
        ("<answer>19 +</answer>", "unparseable", "it is incomplete"),
        ("<answer>(19 + 36</answer>", "unparseable", "( is out of place"),
        ("<answer>19 36</answer>", "unparseable", "something follows the expression"),
        ("<answer>19 + 36 = x</answer>", "unparseable", "what follows = is no whole number"),
        ("<answer>\\timesx 3</answer>", "unparseable", "'\\\\timesx 3' is neither"),
        ("<answer>" + "1+" * 251 + "1</answer>", "unparseable", "it is too long"),
        ("<answer>19 + 19</answer>", "wrong", "it uses 19, 19, and must use 19, 36 once each"),
        ("<answer>36 - 19</answer>", "wrong", "it equals 17, not 55"),
        ("<answer>36 / 19</answer>", "wrong", "it equals 36/19, not 55"),
        ("<answer>36 / (19 - 19)</answer>", "wrong", "it divides by zero"),
        ("<answer>19 + 36 = 54</answer>", "wrong", "it says that the value is 54, not 55"),
    ],
)
def test_every_verdict_has_a_reason(completion: str, outcome: str, reason: str) -> None:
    verdict = judge(completion, [36, 19], 55)
    assert verdict.outcome == outcome and reason in verdict.reason


def test_verdicts_reasons_and_expressions_are_logged() -> None:
    extra: dict[str, list[str | None]] = {}
    metrics: dict[str, float] = {}
    completions = ["<answer> 3 * 4 </answer>", "3 * 4", "<answer>3 + 4</answer>", "<answer>four</answer>"]
    calls: dict[str, Any] = {"log_extra": extra.__setitem__, "log_metric": metrics.__setitem__, "format_score": 0.1}
    assert countdown(completions, nums=[[3, 4]] * 4, target=[12] * 4, **calls) == [1.0, 0.0, 0.1, 0.0]
    assert extra["countdown/answer"] == ["3 * 4", None, "3 + 4", "four"]
    assert extra["countdown/verdict"] == ["correct", "unparseable", "wrong", "unparseable"]
    assert all(extra["countdown/reason"])
    assert metrics["countdown/correct"] == 0.25 and metrics["countdown/unparseable"] == 0.5


def test_the_time_is_linear_in_the_length() -> None:
    began = time.perf_counter()
    for completion in ("\\boxed{" * 100_000, "<answer>" * 100_000, "\\frac{1}" * 100_000 + "</answer>"):
        judge(completion, [1, 2], 3)
    assert time.perf_counter() - began < 2.0
