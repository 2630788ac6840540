"""What gold answers may be: text and finite numbers. All else is ungradable, whatever the completion."""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from rewards.code import code
from rewards.countdown import countdown
from rewards.errors import BadInput
from rewards.gold import gold_check, type_fault
from rewards.grading import Grader
from rewards.gym import reasoning_gym
from rewards.kit.rows import answers_of
from rewards.math import math
from rewards.number import exact_number
from rewards.pool import GraderPool

HUGE = 10**5000
BAD = [None, True, False, [], ["5"], [1, 2], {}, {"a": 5}, float("nan"), float("inf"), -float("inf"), b"5", HUGE]


@pytest.mark.parametrize("gold", BAD, ids=lambda gold: str(type(gold)))
@pytest.mark.parametrize("reward", [math, exact_number])
def test_bad_golds_are_ungradable_and_lose_nothing(reward: Callable[..., Any], gold: Any) -> None:
    said = ["\\boxed{nan}", "nan", "[1, 2]", "5", "None", "True"]
    assert reward(completions=said, answer=[gold] * len(said)) == [None] * len(said)
    assert reward(completions=["5", "nan", "5"], answer=["5", gold, 6]) == [1.0, None, 0.0]


@pytest.mark.parametrize("gold", ["5", " 5 ", 5, 5.0, np.int64(5), np.float32(5), Fraction(5), Decimal("5.0")])
@pytest.mark.parametrize("reward", [math, exact_number])
def test_texts_and_numbers_are_golds(reward: Callable[..., Any], gold: Any) -> None:
    assert type_fault(gold) is None
    assert reward(completions=["\\boxed{5}", "\\boxed{6}"], answer=[gold] * 2) == [1.0, 0.0]


@pytest.mark.parametrize(
    ("nums", "target"),
    [
        (None, 5), ([], 5), ("23", 5), ([2, None], 5), ([2, "3"], 5), ([2, [3]], 5), ([2, True], 5), ({"a": 2}, 5),
        ([2, float("nan")], 5), ([2, 3.5], 5), ([2, 3], None), ([2, 3], "5"), ([2, 3], [5]), ([2, 3], float("inf")),
        ([2, 3], 5.5),
    ],
)  # fmt: skip
def test_countdown_without_numbers_is_ungradable(nums: Any, target: Any) -> None:
    said = ["<answer>2 + 3</answer>", "no", "<answer>2 + 3</answer>"]
    assert countdown(completions=said, nums=[nums, nums, [2, 3]], target=[target, target, 5]) == [None, None, 1.0]


def test_whole_numbers_of_tables_are_numbers() -> None:
    columns: dict[str, Any] = {"nums": [[2.0, 3.0]], "target": [5.0]}
    assert countdown(completions=["<answer>2 + 3</answer>"], **columns) == [1.0]


def test_the_check_before_training_tells_what_is_no_number() -> None:
    check = gold_check(exact_number)
    assert check is not None
    with GraderPool(1, 1.0) as pool:
        assert check({"answer": ["5", 6, "x", [5]]}, pool, {}) == [
            None, None, "no number", "it is a list, neither text nor a number",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("reward", "columns", "fault"),
    [
        ("math", {"answer": ["1", ["2"]]}, "'answer' of problem rows/1: it is a list, neither text nor a number"),
        ("math", {"answer": ["1", {"a": 2}]}, "it is an object"),
        ("math", {"answer": [float("nan"), "2"]}, "problem rows/0: it is nan, no finite number"),
        ("exact_number", {"answer": [1, False]}, "'answer' of problem rows/1: it is a truth value"),
        ("countdown", {"nums": [[1], [2, "3"]], "target": [1, 5]}, "'nums' of problem rows/1: of one of its numbers"),
        ("countdown", {"nums": [[1], [2, 3]], "target": [1, "5"]}, "'target' of problem rows/1: it is a text"),
        ("reasoning_gym", {"task": ["a", "b"], "entry": [{"question": "q", "answer": "a", "metadata": {}}, 5]},
         "'entry' of problem rows/1: it is a number, not an entry"),
        ("reasoning_gym", {"task": ["a", "b"], "entry": [{"question": "q"}, {}]}, "rows/0: it has no answer"),
    ],
)  # fmt: skip
def test_columns_are_refused_with_row_and_column(reward: str, columns: dict[str, list[Any]], fault: str) -> None:
    settings: dict[str, Any] = {"timeout": 1.0, "workers": 1, "accuracy": None, "correct_above": 0.5}
    with Grader({reward: 1.0}, **settings) as grader, pytest.raises(BadInput) as refused:
        grader.check_types(columns, ["rows/0", "rows/1"])
    assert f"the reward {reward!r} cannot use the column " in str(refused.value) and fault in str(refused.value)


def test_missing_golds_and_other_columns_are_not_its_business() -> None:
    settings: dict[str, Any] = {"timeout": 1.0, "workers": 1, "accuracy": None, "correct_above": 0.5}
    with Grader({"math": 1.0, "answer_format": 0.1}, **settings) as grader:
        grader.check_types({"answer": [None, "1"], "other": [[], {}]}, ["a", "b"])
        grader.check_types({}, ["a", "b"])


@pytest.mark.parametrize("bad", [None, 5, "x", [], [5], {}, [[]], [{"args": 5}], "[", "[" * 3000])
def test_programs_without_tests_are_ungradable(bad: Any) -> None:
    with GraderPool(1, 1.0) as pool:
        assert code(completions=["def f(): pass"], tests=[bad], entry_point=["f"], grader_pool=pool) == [None]


@pytest.mark.parametrize("bad", [None, 5, [], "entry"])
def test_entries_of_another_type_are_ungradable(bad: Any) -> None:
    with GraderPool(1, 5.0) as pool:
        given: dict[str, Any] = {"task": ["chain_sum"], "task_config": [None], "entry": [bad], "grader_pool": pool}
        assert reasoning_gym(completions=["5"], **given) == [None]


def test_an_audit_takes_no_answers_of_other_types() -> None:
    assert answers_of([{"answer": "#### 72"}, {"answer": 5}], []) == ["72", "5"]
    for bad in (float("nan"), True, None, ["5"]):
        assert answers_of([{"answer": "1"}, {"answer": bad}], []) is None
