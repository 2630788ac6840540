import pytest

from rewards.math import math
from rewards.math.compare import compare
from rewards.math.restated import is_unevaluated, restates
from rewards.pool import GraderPool


@pytest.mark.parametrize(
    ("answer", "problem", "gold"),
    [
        (r"123 \cdot 456", "What is 123 * 456?", "56088"),
        (r"\sqrt{50}", r"Simplify $\sqrt{50}$.", r"5\sqrt{2}"),
        ("(x+1)^2", "Expand $(x + 1)^2$.", "x^2+2x+1"),
        ("2^{10}", "Compute $2^{10}$", "1024"),
        (r"\int_0^7 dx", r"Find $\int_0^7 \, dx$", "7"),
        ("5!", "What is 5!?", "120"),
    ],
)
def test_a_problem_as_its_own_answer(answer: str, problem: str, gold: str) -> None:
    assert restates(f"So it is $\\boxed{{{answer}}}$.", problem, gold)


@pytest.mark.parametrize(
    ("answer", "problem", "gold"),
    [
        ("56088", "What is 123 * 456?", "56088"),
        (r"\frac{1}{2}", r"Which is larger, $\frac{1}{2}$ or $\frac13$?", "0.5"),
        ("x^2+1", "Let $f = x^2+1$. What is f?", "x^2 + 1"),
        ("2+3", "What is 12+34?", "46"),
        ("2+3", "What is 2+3.5?", "5"),
        ("-3", "From 7 take 10, not -3", "-3"),
        ("(1,2)", "Which of (1,2) and (3,4)?", "(1, 2)"),
        ("Evelyn", "Evelyn or Ann?", r"\text{Evelyn}"),
    ],
)
def test_worked_out_answers_and_those_that_must_stand_in_the_problem(answer: str, problem: str, gold: str) -> None:
    assert not restates(f"\\boxed{{{answer}}}", problem, gold)


def test_the_reward_does_not_pay_for_it_where_it_knows_the_problem() -> None:
    said = [r"\boxed{123 \cdot 456}", r"\boxed{56088}"]
    with GraderPool(workers=1, timeout=5) as pool:
        assert math(said, ["56088"] * 2, question=["What is 123 * 456?"] * 2, grader_pool=pool) == [0.0, 1.0]
        assert math(said, ["56088"] * 2, grader_pool=pool) == [1.0, 1.0]


PRODUCT = [
    r"(123\times456)",
    r"456 \times 123",
    "123*456",
    "123(456)",
    "(123)(456)",
    r"\left(123 \cdot 456\right)",
    "123 × 456",
    r"123\times456+0",
    r"\frac{123\times456}{1}",
    r"\frac{112176}{2}",
    "112176/2",
    r"2\cdot28044",
    r"100\times456+23\times456",
    r"x = 123\times 456",
    "123*456=456*123",
    r"\text{123}\times 456",
    "56088^1",
    "56088+0",
    r"56088 \cdot 1",
    r"\sqrt{56088^2}",
    "((123)*(456))",
    "123·456",
    "123 ∗ 456",
    r"123\ast456",
    r"\binom{56088}{1}",
    "|56088|",
    r"\sum_{k=1}^{1}56088",
    r"\prod_{k=1}^1 56088",
    r"$123 \cdot 456$",
    r"456\cdot(120+3)",
    r"{123}\times{456}",
    "123**1*456",
    r"-(-56088)",
    r"60000-3912",
    r"\frac{56088}{1}",
    r"\max(56088,1)",
    r"\gcd(56088,0)",
    r"56088\,\cdot\,1",
]


@pytest.mark.parametrize("answer", PRODUCT)
def test_an_expression_is_no_answer_to_a_plain_number(answer: str) -> None:
    assert is_unevaluated("56088", answer)
    assert is_unevaluated("$56{,}088$", answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("120", "5!"),
        ("1024", "2^{10}"),
        ("3", r"\log_2 8"),
        ("1", r"\sin\frac{\pi}{2}"),
        ("-1", r"e^{i\pi}"),
        ("5", "|3+4i|"),
        ("10", r"\binom{5}{2}"),
        ("5", "2+3"),
        ("5", "8-3"),
        ("42", r"\frac{84}{2}"),
        ("42", "84/2"),
        ("12", r"\sqrt{144}"),
        ("2", r"\sqrt[3]{8}"),
        ("5/6", r"\frac12+\frac13"),
        ("0.5", r"1-\frac12"),
        ("7", r"\int_0^7 dx"),
        ("385", r"\sum_{k=1}^{10}k^2"),
        ("1", r"\sin^2 x+\cos^2 x"),
        ("60", r"5 \cdot 12 \text{ km}"),
        (r"3\times 10^5", "300*1000"),
    ],
)
def test_other_expressions_for_plain_numbers(gold: str, answer: str) -> None:
    assert is_unevaluated(gold, answer)


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("42", "42"),
        ("42", "42.0"),
        ("42", "$42"),
        ("42", r"\$42"),
        ("42", r"42\text{ apples}"),
        ("42", "+42"),
        ("-3", "-3"),
        ("300000", r"3\times 10^5"),
        ("300000", "3e5"),
        ("1000000", "10^6"),
        ("0.001", "10^{-3}"),
        ("0.5", r"\frac12"),
        ("1/2", "0.5"),
        ("1/3", "2/6"),
        ("-1/2", r"-\frac{1}{2}"),
        ("7.5", r"7\frac12"),
        ("7.5", "7 1/2"),
        ("0.25", r"25\%"),
        ("1.41421356", r"\sqrt2"),
        ("3.14159", r"\pi"),
        ("42", r"6\times 7=42"),
        ("42", "42 = 6*7"),
        ("42", "x=42"),
        ("62", "a+b+c = 12+25+25 = 62"),
        ("42", "forty-two"),
        ("42", "(42)"),
        ("42", "{42}"),
        ("90", r"90^\circ"),
        ("42", r"\text{42}"),
        ("1234", "1,234"),
        ("1234", r"1{,}234"),
        ("1234", r"1\,234"),
        ("2^{10}", "2^{10}"),
        (r"2^{10}", "1024"),
        ("5!", "120"),
        (r"5\sqrt{2}", r"\sqrt{50}"),
        ("x^2", r"x\cdot x"),
        ("12.5", r"12\frac{1}{2}\%"),
        ("20", r"20\,\text{m/s}"),
        ("20", "20 m^2"),
        ("7", r"7 \text{ (since 3+4)}"),
        ("(1,2)", "(1,1+1)"),
        ("7 million", "7000000"),
        ("5+3i", "3i+5"),
        (r"2+\sqrt{3}", r"\sqrt{3}+2"),
        (r"3\pi", r"\pi\cdot 3"),
        ("4:30", "4:30"),
        ("B", "B"),
        (r"\frac{7}{3}", r"2\frac{1}{3}"),
        ("0.333...", r"\frac13"),
        ("1/3", r"0.\overline{3}"),
        ("-7", "−7"),
        ("42", "42."),
        ("5", r"\textbf{5}"),
        ("5", r"\approx 5"),
        ("100", r"1.0\times10^{2}"),
        ("3000", "3 thousand"),
        ("12", r"12 \text{ cm}^2"),
        ("12", "12 (twelve)"),
        ("1", "1 : 1"),
    ],
)
def test_answers_that_are_worked_out(gold: str, answer: str) -> None:
    assert not is_unevaluated(gold, answer)


def test_the_reward_refuses_every_spelling_of_the_problem() -> None:
    paid_without_the_problem = [answer for answer in PRODUCT if compare("56088", answer)[0]]
    assert len(paid_without_the_problem) > 25
    said = [f"So \\boxed{{{answer}}}" for answer in paid_without_the_problem]
    columns = {"question": ["What is 123 * 456?"] * len(said)}
    with GraderPool(workers=1, timeout=5) as pool:
        assert set(math(said, ["56088"] * len(said), grader_pool=pool, **columns)) == {0.0}  # type: ignore[arg-type]
        assert math(said[:1], ["56088"], prompts=["3 * 4 = 12. 123 * 456 ="], grader_pool=pool) == [0.0]
