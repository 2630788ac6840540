"""Generated problems: right by construction, distinct, a function of the seed."""

import ast
import json
from fractions import Fraction
from typing import Any

import pytest
import reasoning_gym
from hypothesis import given, settings
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.problems.generated import arithmetic_key, countdown_key
from rl.problems.problem import Problem
from rl.problems.sources import load_problems


def load(source: str, seed: int = 0, **keys: Any) -> list[Problem]:
    return load_problems(ProblemsSection.model_validate({"source": source, **keys}), seed=seed)


def exact(node: ast.AST, leaves: list[int], inner: list[Fraction]) -> Fraction:
    """Value of an expression in fractions; collects its numbers and all its intermediate values."""
    if isinstance(node, ast.Expression):
        return exact(node.body, leaves, inner)
    if isinstance(node, ast.Constant):
        assert isinstance(node.value, int)
        leaves.append(node.value)
        return Fraction(node.value)
    if isinstance(node, ast.UnaryOp):
        return -exact(node.operand, leaves, inner)
    assert isinstance(node, ast.BinOp)
    a, b = exact(node.left, leaves, inner), exact(node.right, leaves, inner)
    value = {ast.Add: a + b, ast.Sub: a - b, ast.Mult: a * b, ast.Div: a / b if b else None}[type(node.op)]
    assert value is not None
    inner.append(value)
    return value


def test_countdown_targets_can_be_reached() -> None:
    problems = load("countdown", size=500)
    for problem in problems:
        nums, target = problem.columns["nums"], problem.columns["target"]
        leaves: list[int] = []
        inner: list[Fraction] = []
        assert exact(ast.parse(problem.columns["solution"], mode="eval"), leaves, inner) == target
        assert sorted(leaves) == sorted(nums) and len(nums) in (3, 4)
        assert all(value > 0 and value.denominator == 1 for value in inner)
        assert all(1 <= number <= 99 for number in nums) and 10 <= target <= 100
        assert str(nums) in problem.columns["question"] and f" {target} " in problem.columns["question"]
    sizes = [len(problem.columns["nums"]) for problem in problems]
    assert 150 < sizes.count(3) < 350
    operators = "".join(problem.columns["solution"] for problem in problems)
    assert all(operators.count(operator) > 50 for operator in "+-*/")
    assert len({countdown_key(p.columns["nums"], p.columns["target"]) for p in problems}) == 500


def test_countdown_options_are_kept() -> None:
    options = {"min_numbers": 2, "max_numbers": 2, "low": 5, "high": 7, "min_target": 1, "max_target": 20}
    # By hand, pairs of 5, 6, 7: sums 10 to 14 (5 + 7 and 6 + 6 differ in numbers): 6; differences 1, 2, 1: 3;
    # quotients 5/5, 6/6, 7/7 = 1: 3; products are 25 and more.
    problems = load("countdown", size=12, options=options)
    assert {(tuple(sorted(p.columns["nums"])), p.columns["target"]) for p in problems} == {
        *[((a, b), a + b) for a in (5, 6, 7) for b in (5, 6, 7) if a <= b],
        *[((5, 6), 1), ((6, 7), 1), ((5, 7), 2)],
        *[((a, a), 1) for a in (5, 6, 7)],
    }
    with pytest.raises(BadInput, match="asks for 13 distinct countdown problems, and with these options only 12"):
        load("countdown", size=13, options=options)


@pytest.mark.parametrize("source", ["countdown", "arithmetic"])
def test_the_seed_decides(source: str) -> None:
    assert load(source, size=50, seed=3) == load(source, size=50, seed=3)
    one, other = ([dict(p.columns) for p in load(source, size=50, seed=seed)] for seed in (3, 4))
    assert sum(row in one for row in other) < 10
    assert len({problem.id for problem in load(source, size=50)}) == 50
    assert load(source, size=50)[:20] == load(source, size=20)  # more problems leave the first ones as they are


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.sampled_from("+-*"), min_size=1, max_size=3),
    st.integers(2, 4),
    st.integers(-20, 20),
    st.integers(5, 40),
)
def test_arithmetic_is_right_and_distinct(operators: list[str], operands: int, low: int, width: int) -> None:
    options = {"operators": operators, "operands": operands, "low": low, "high": low + width}
    problems = load("arithmetic", size=10, options=options)
    keys = set()
    for problem in problems:
        columns = problem.columns
        leaves: list[int] = []
        assert exact(ast.parse(columns["question"], mode="eval"), leaves, []) == int(columns["answer"])
        assert list(map(abs, leaves)) == list(map(abs, columns["operands"])) and len(leaves) == operands
        assert set(columns["operators"]) <= set(operators)
        assert all(low <= operand <= low + width for operand in columns["operands"])
        keys.add(arithmetic_key(columns["operands"], columns["operators"]))
    assert len(keys) == 10


def test_arithmetic_uses_up_its_space_exactly() -> None:
    # Unordered pairs of 1..9 with repetition: 9 * 10 / 2 = 45.
    problems = load("arithmetic", size=45, options={"high": 9})
    assert len({frozenset(p.columns["operands"]) for p in problems}) == 45
    with pytest.raises(BadInput, match="asks for 46 distinct arithmetic problems, and with these options only 45"):
        load("arithmetic", size=46, options={"high": 9})
    # Threes of 1..40: 40 * 41 * 42 / 6. Random draws would hardly ever meet the last ones, such as 7 + 7 + 7.
    assert len(load("arithmetic", seed=1, size=11480, options={"high": 40, "operands": 3})) == 11480
    # Differences keep their order: 81.
    assert len(load("arithmetic", size=81, options={"high": 9, "operators": ["-"]})) == 81


def test_arithmetic_text() -> None:
    assert load("arithmetic", size=1, options={"low": [23, 45], "high": [23, 45]})[0] == Problem(
        "arithmetic/0/0",
        {"question": "23 + 45", "answer": "68", "operands": [23, 45], "operators": ["+"], "worked": "23 + 45 = 68"},
    )
    negative = load("arithmetic", size=1, options={"low": -5, "high": -5, "operands": 3, "operators": ["*"]})[0]
    assert negative.columns["question"] == "-5 * (-5) * (-5)" and negative.columns["answer"] == "-125"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (([2, 3], "+"), ([3, 2], "+"), True),
        (([2, 3], "*"), ([3, 2], "*"), True),
        (([5, 3], "-"), ([3, 5], "-"), False),
        (([2, 3], "+"), ([2, 3], "*"), False),
        (([1, 4], "+"), ([2, 3], "+"), False),  # equal results, different problems
        (([4, 5, 1], "*+"), ([1, 5, 4], "+*"), True),
        (([4, 5, 1], "*+"), ([5, 1, 4], "*+"), False),
        (([9, 2, 3], "--"), ([9, 3, 2], "--"), True),
        (([3, 5], "-"), ([-5, 3], "+"), True),
        (([-2, -3], "*"), ([2, 3], "*"), True),
        (([0, 7], "*"), ([0, 8], "*"), False),
    ],
)
def test_arithmetic_keys(one: tuple[list[int], str], other: tuple[list[int], str], same: bool) -> None:
    assert (arithmetic_key(*one) == arithmetic_key(*other)) is same


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"source": "arithmetic"}, r"problems\.size is missing"),
        ({"source": "countdown"}, r"problems\.size is missing"),
        ({"source": "arithmetic", "options": {"hihg": 3}}, "no option 'hihg'; did you mean high?"),
        ({"source": "arithmetic", "options": {"operators": ["/"]}}, r"problems\.options\.operators.*'/'"),
        ({"source": "arithmetic", "options": {"operands": 1}}, r"problems\.options\.operands.*not 1"),
        ({"source": "arithmetic", "options": {"low": 5, "high": 4}}, "low is 5, above high = 4"),
        ({"source": "arithmetic", "options": {"low": [1, 2, 3]}}, "low has 3 values for 2 operands"),
        ({"source": "countdown", "options": {"max_targt": 3}}, "did you mean max_target?"),
        ({"source": "countdown", "options": {"min_numbers": 5}}, "min_numbers is 5, above max_numbers = 4"),
        ({"source": "countdown", "size": 1, "options": {"min_target": 10**9, "max_target": 10**9}}, "only 0 were"),
        ({"source": "reasoning_gym", "name": "countdown"}, r"problems\.size is missing"),
        ({"source": "reasoning_gym", "name": "basic_arithmetics", "size": 1}, "did you mean basic_arithmetic?"),
        (
            {"source": "reasoning_gym", "name": "leg_counting", "size": 1, "options": {"min_animal": 1}},
            "leg_counting has no option 'min_animal'; did you mean min_animals?",
        ),
        (
            {"source": "reasoning_gym", "name": "leg_counting", "size": 1, "options": {"seed": 1}},
            "no option 'seed'; known: .*max_animals",
        ),
        (
            {"source": "reasoning_gym", "name": "leg_counting", "size": 1, "options": {"min_animals": 99}},
            r"refuses them \(max_animals must be",
        ),
        ({"source": "reasoning_gym", "name": "composite", "size": 1}, "refuses them"),
    ],
)
def test_wrong_options_are_bad_input(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        load(**keys)


def test_reasoning_gym_items_as_made() -> None:
    problems = load("reasoning_gym", name="leg_counting", size=5, seed=9, options={"max_animals": 4})
    made = list(reasoning_gym.create_dataset("leg_counting", size=5, seed=9, max_animals=4))
    for index, (problem, item) in enumerate(zip(problems, made, strict=True)):
        assert problem.id == f"leg_counting/9/{index}"
        assert problem.columns["entry"] == item
        assert {key: problem.columns[key] for key in item} == item  # question, answer, metadata
        assert problem.columns["task"] == "leg_counting" and problem.columns["task_config"] == {"max_animals": 4}


@pytest.mark.parametrize("task", ["arc_agi", "rubiks_cube", "game_of_life"])  # tuples; no single answer; drawings
def test_reasoning_gym_scorers_accept_what_is_handed_on(task: str) -> None:
    columns = load("reasoning_gym", name=task, size=1)[0].columns
    dataset = reasoning_gym.create_dataset(columns["task"], **columns["task_config"])
    answer = columns["answer"] if columns["answer"] is not None else columns["metadata"]["example_correct_answer"]
    assert dataset.score_answer(answer, columns["entry"]) == 1
    json.dumps(columns)  # what a run stores


def test_reasoning_gym_composite_names_the_task_of_each_problem() -> None:
    parts = [{"name": "leg_counting", "config": {"max_animals": 4}}, {"name": "gcd", "weight": 2}]
    problems = load("reasoning_gym", name="composite", size=20, options={"datasets": parts})
    assert {p.columns["task"] for p in problems} == {"leg_counting", "gcd"}
    assert all(p.columns["task_config"] == ({} if p.columns["task"] == "gcd" else {"max_animals": 4}) for p in problems)
    assert len({p.id for p in problems}) == 20
