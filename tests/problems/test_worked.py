"""Steps of expressions, against values worked out by hand and by Python itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.config.recipe import ProblemsSection
from rl.problems import load_problems
from rl.problems.worked import worked


@pytest.mark.parametrize(
    ("expression", "steps"),
    [
        ("23 + 48 - 17", "23 + 48 = 71; 71 - 17 = 54"),
        ("2 + 3 * 4", "3 * 4 = 12; 2 + 12 = 14"),
        ("(3 + 4) * (9 - 2)", "3 + 4 = 7; 9 - 2 = 7; 7 * 7 = 49"),
        ("10 / 4", "10 / 4 = 5/2"),
        ("5 - (-3)", "5 - (-3) = 8"),
        ("3 - 5 + 4", "3 - 5 = -2; -2 + 4 = 2"),
        ("7", ""),
    ],
)
def test_steps_worked_out_by_hand(expression: str, steps: str) -> None:
    assert worked(expression) == steps


@pytest.mark.parametrize("expression", ["x + 1", "2 ** 3", "f(2)", "1.5 + 1"])
def test_anything_but_whole_numbers_and_four_signs_is_refused(expression: str) -> None:
    with pytest.raises(ValueError):
        worked(expression)


@given(st.lists(st.integers(0, 99), min_size=2, max_size=5), st.data())
def test_the_last_result_is_pythons(numbers: list[int], data: st.DataObject) -> None:
    signs = [data.draw(st.sampled_from("+-*")) for _ in numbers[1:]]
    expression = str(numbers[0]) + "".join(f" {s} {n}" for s, n in zip(signs, numbers[1:], strict=True))
    steps = worked(expression).split("; ")
    assert len(steps) == len(signs)
    assert int(steps[-1].rpartition(" = ")[2]) == eval(expression)  # made of digits and signs above


@pytest.mark.parametrize("source", ["arithmetic", "countdown"])
def test_generated_problems_come_with_their_steps(source: str) -> None:
    for problem in load_problems(ProblemsSection(source=source, size=50)):
        columns = problem.columns
        result = columns["worked"].rpartition(" = ")[2]
        assert result == str(columns.get("answer") or columns["target"])
