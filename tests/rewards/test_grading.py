from pathlib import Path
from typing import Any

import pytest

from rewards import BadInput, Graded, Grader

SETTINGS: dict[str, Any] = {"timeout": 5.0, "workers": 1, "accuracy": None, "correct_above": 0.999}

REWARDS = """
import numpy
def halves(completions): return [None if c == "?" else 0.5 for c in completions]
def tuned(completions, scale=1.0, **columns): return tuple(scale * len(c) for c in completions)
def seen(completions, prompts, level, **columns):
    assert prompts == ["p", "q"] and columns["answer"] == ["1", "2"]
    return level
def array(completions): return numpy.ones(len(completions), dtype=numpy.float32)
def short(completions): return [1.0]
def text(completions): return ["1"] * len(completions)
def nan(completions): return [float("nan")] * len(completions)
def number(completions): return 1.0
def bug(completions): raise KeyError("mine")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "r.py").write_text(REWARDS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def grade(functions: dict[str, float], completions: list[str], **settings: Any) -> list[Graded]:
    columns: dict[str, list[Any]] = {"answer": ["1", "2"], "level": [3, 4]}
    with Grader(functions, **(SETTINGS | settings)) as grader:
        grader.check_columns(columns)
        return grader.grade(completions, ["p", "q"], columns)


def test_a_reward_is_the_weighted_sum_of_its_parts(folder: Path) -> None:
    graded = grade({"exact_number": 2.0, "r.py:halves": -1.0, "r.py:array": 0.25}, ["1", "3"])
    assert graded == [
        Graded(1.75, {"exact_number": 1.0, "r.py:halves": 0.5, "r.py:array": 1.0}, True),
        Graded(-0.25, {"exact_number": 0.0, "r.py:halves": 0.5, "r.py:array": 1.0}, False),
    ]


def test_none_is_contagious_unless_its_weight_is_zero(folder: Path) -> None:
    counted, ignored = ({"exact_number": 1.0, "r.py:halves": weight} for weight in (1.0, 0.0))
    assert [graded.reward for graded in grade(counted, ["1", "?"])] == [1.5, None]
    assert [graded.reward for graded in grade(ignored, ["1", "?"])] == [1.0, 0.0]


def test_solved_follows_the_accuracy_function(folder: Path) -> None:
    functions = {"exact_number": 1.0, "r.py:halves": 1.0}
    assert [graded.solved for graded in grade(functions, ["1", "?"])] == [True, False]
    halves = grade(functions, ["1", "?"], accuracy="r.py:halves", correct_above=0.4)
    assert [graded.solved for graded in halves] == [True, None]
    assert grade(functions, ["1", "?"], accuracy="r.py:halves", correct_above=0.5)[0].solved is False


def test_functions_get_prompts_columns_and_options(folder: Path) -> None:
    graded = grade({"r.py:seen": 1.0, "r.py:tuned": 1.0}, ["ab", "c"], options={"r.py:tuned": {"scale": 10}})
    assert [part.parts for part in graded] == [{"r.py:seen": 3, "r.py:tuned": 20}, {"r.py:seen": 4, "r.py:tuned": 10}]


def test_process_isolated_rewards_use_the_graders_pool() -> None:
    functions = {"math_verify": 1.0, "answer_format": 0.1}
    graded = grade(functions, ["<think>a</think><answer>\\frac{2}{2}</answer>", "3"])
    assert [part.reward for part in graded] == [pytest.approx(1.1), 0.0]


@pytest.mark.parametrize(
    ("functions", "settings", "said"),
    [
        ({}, {}, "no reward function is given"),
        ({"cuontdown": 1.0}, {}, "did you mean 'countdown'"),
        ({"countdown": float("nan")}, {}, "weight of the reward 'countdown' is nan"),
        ({"countdown": 1.0}, {"accuracy": "math_verify"}, "rewards.accuracy names 'math_verify'"),
        ({"countdown": 1.0}, {"options": {"math_verify": {}}}, "rewards.options names 'math_verify'"),
        ({"countdown": 1.0}, {"options": {"countdown": {"format": 1}}}, "no option 'format'; it has format_score"),
        ({"math_verify": 1.0}, {"options": {"math_verify": {"grader_pool": 1}}}, "it has none"),
    ],
)
def test_bad_settings(functions: dict[str, float], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Grader(functions, **(SETTINGS | settings))


def test_a_missing_column_is_named_with_those_present() -> None:
    with Grader({"countdown": 1.0, "answer_format": 1.0}, **SETTINGS) as grader:
        grader.check_columns({"nums", "target"})
        with pytest.raises(BadInput, match="'countdown' needs the column 'target'.*they have answer, nums"):
            grader.check_columns(["nums", "answer"])


@pytest.mark.parametrize(
    ("name", "said"),
    [("short", "returned 1 items for 2"), ("text", "returned '1'"), ("nan", "returned 'nan'"), ("number", "a float")],
)
def test_a_function_that_does_not_return_numbers_is_named(folder: Path, name: str, said: str) -> None:
    with pytest.raises(BadInput, match=f"r.py:{name}' {said}" if said.startswith("returned") else said):
        grade({f"r.py:{name}": 1.0}, ["a", "b"])


def test_a_bug_in_a_function_keeps_its_own_traceback(folder: Path) -> None:
    with pytest.raises(KeyError, match="mine"):
        grade({"r.py:bug": 1.0}, ["a", "b"])


def test_no_completions_no_grades() -> None:
    with Grader({"math_verify": 1.0}, **SETTINGS) as grader:
        assert grader.grade([], [], {"answer": []}) == []
