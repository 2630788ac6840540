import pytest

from rewards.math import math
from rewards.math.restated import restates
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
