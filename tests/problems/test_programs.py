"""Sets of programs: the columns that the reward `code` takes, made from the fields of each set."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pytest

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection
from rl.problems.problem import Problem
from rl.problems.programs import HUMANEVAL, HUMANEVAL_PLUS, MBPP, MBPP_PLUS, Row, with_program_columns
from rl.problems.sources import load_problems

TREE_TASK: Row = {  # like MBPP 367: its set-up needs a class of the program
    "task_id": 620,
    "text": "Count the nodes of a tree.",
    "code": "class Node:\n    kids = ()\n\n\ndef count(node):\n    return 1 + sum(map(count, node.kids))\n",
    "test_setup_code": "root = Node()\nroot.kids = [Node(), Node()]",
    "test_list": ["assert count(root) == 3", "assert count(Node()) == 1"],
    "challenge_test_list": [],
}
ROOT_TASK: Row = {  # as the sanitized configuration has it
    "source_file": "x.ipynb",
    "task_id": 700,
    "prompt": "Return the square root.",
    "code": "def root(n):\n    return n**0.5\n",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(root(9), 3)", "assert root(0) == 0"],
}
HEAD_TASK: Row = {  # like HumanEval 32: its test uses a function of the head
    "task_id": "HumanEval/900",
    "prompt": 'def twice(x):\n    return 2 * x\n\n\ndef half(x):\n    """Undo twice."""\n',
    "canonical_solution": "    return x / 2\n",
    "test": "\n\ndef check(candidate):\n    assert twice(candidate(7)) == 7\n",
    "entry_point": "half",
}


def columns(name: str, row: Row) -> Row:
    ((_, made),) = with_program_columns(name, iter([("x/0", row)]))
    return made


def load(name: str, **keys: Any) -> list[Problem]:
    return load_problems(ProblemsSection.model_validate({"source": "hub", "name": name} | keys))


def passes(made: Row, call: str = "") -> bool:
    """Whether the solution and then the check script run through, in an interpreter of their own."""
    program = f"{made['solution']}\n{made['check']}\n{call}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30).returncode == 0


def task_ids(problems: Iterable[Problem]) -> list[Any]:
    return [problem.columns["task_id"] for problem in problems]


def test_mbpp_is_checked_by_its_set_up_and_asserts_in_that_order() -> None:
    made = columns(MBPP, TREE_TASK)
    assert made["question"] == "Count the nodes of a tree."
    assert (made["kind"], made["entry_point"], made["tests"]) == ("check", "count", [])
    assert made["check"] == (
        "root = Node()\nroot.kids = [Node(), Node()]\nassert count(root) == 3\nassert count(Node()) == 1\n"
    )
    assert made["solution"] == TREE_TASK["code"] and passes(made)
    assert made["example"] == "assert count(root) == 3"
    assert made["asserts"] == "assert count(root) == 3\nassert count(Node()) == 1"
    assert made.items() >= TREE_TASK.items()


def test_sanitized_mbpp_has_other_fields() -> None:
    made = columns(MBPP, ROOT_TASK)
    assert (made["question"], made["entry_point"]) == ("Return the square root.", "root")
    assert made["check"] == "import math\nassert math.isclose(root(9), 3)\nassert root(0) == 0\n"
    assert passes(made)


def test_mbpp_plus_is_checked_by_its_longer_script() -> None:
    made = columns(MBPP_PLUS, {**ROOT_TASK, "test": "for n in range(9):\n    assert root(n * n) == n"})
    assert made["check"] == "import math\nfor n in range(9):\n    assert root(n * n) == n\n"
    assert made["example"] == "assert math.isclose(root(9), 3)" and passes(made)


def test_humaneval_is_checked_by_its_head_and_its_test() -> None:
    made = columns(HUMANEVAL, HEAD_TASK)
    assert (made["question"], made["entry_point"]) == (HEAD_TASK["prompt"], "half")
    assert made["prefix"] == HEAD_TASK["prompt"]
    assert "def twice" in made["preamble"] and "def half" not in made["preamble"]
    assert made["solution"].endswith('"""Undo twice."""\n    return x / 2\n')
    assert made["check"].index("def twice") < made["check"].index("def check(candidate)")
    assert passes(made, f"{made['solution']}\ncheck(half)")


def test_the_program_does_not_replace_the_heads_functions() -> None:
    made = columns(HUMANEVAL, HEAD_TASK)
    cheat = made | {"solution": "def twice(x):\n    return 7\n"}
    assert not passes(cheat, "def half(x):\n    return 0\ncheck(half)")


@pytest.mark.parametrize(
    ("code", "asserts", "name"),
    [
        ("def f(x): return x", ["assert f(1) == 1"], "f"),
        ("def f(x): return g(x)\ndef g(x): return x", ["assert f(1) == 1"], "f"),
        ("def f(x): return x\ndef g(x): return x", ["assert f(1) == 1", "assert g(1) == 1"], None),
        ("f = abs", ["assert f(-1) == 1"], None),
        ("class P: pass\ndef f(p): return p", ["assert f(P())"], "f"),
        ("def f(x) return x", ["assert f(1) == 1"], None),  # no Python: grading it will tell
    ],
)
def test_the_entry_point_is_the_one_function_that_the_asserts_call(
    code: str, asserts: list[str], name: str | None
) -> None:
    assert columns(MBPP, {**TREE_TASK, "code": code, "test_list": asserts})["entry_point"] == name


def test_slow_tasks_have_more_time() -> None:
    assert columns(MBPP, {**TREE_TASK, "task_id": 123})["time_limit_s"] > columns(MBPP, TREE_TASK)["time_limit_s"]


def test_a_broken_row_is_dropped_where_it_is_broken_and_the_others_keep_their_ids() -> None:
    rows = [("a/0", {**HEAD_TASK, "task_id": "HumanEval/32"}), ("a/1", HEAD_TASK)]
    assert [name for name, _ in with_program_columns(HUMANEVAL_PLUS, iter(rows))] == ["a/1"]
    assert [name for name, _ in with_program_columns(HUMANEVAL, iter(rows))] == ["a/0", "a/1"]


def test_other_sets_stay_as_they_are() -> None:
    assert columns("me/tasks", TREE_TASK) is TREE_TASK


def test_a_missing_field_is_bad_input() -> None:
    row = {key: value for key, value in TREE_TASK.items() if key != "test_list"}
    with pytest.raises(BadInput, match="Row x/0 of .*mbpp has no field 'test_list', only task_id, text.*config"):
        columns(MBPP, row)


def test_rows_of_the_hub_and_of_a_local_file_are_the_same_problems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [{**TREE_TASK, "task_id": task_id} for task_id in (10, 600)]
    table = datasets.Dataset.from_list([TREE_TASK])
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: table)
    monkeypatch.delenv("PENNY_DATA", raising=False)
    hub = load(MBPP, config="full", split="train")
    table.to_json(tmp_path / "one.jsonl")
    datasets.Dataset.from_list([*others, TREE_TASK]).to_json(tmp_path / "mbpp.jsonl")
    monkeypatch.setenv("PENNY_DATA", str(tmp_path))
    local = load(MBPP, config="full", split="train")
    assert hub == local and hub[0].id == "mbpp/train/0"
    assert hub[0].columns["check"].startswith("root = Node()")
    assert task_ids(load(MBPP, split="prompt")) == [10] and task_ids(load(MBPP, split="validation")) == [600]


def test_a_file_of_ones_own_brings_the_columns_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"question": "q", "kind": "stdio", "tests": [{"stdin": "", "stdout": "1"}], "solution": "#### 1"}')
    (problem,) = load_problems(ProblemsSection(source="jsonl", path=str(path)))
    assert problem.columns["tests"] == [{"stdin": "", "stdout": "1"}]


@pytest.mark.parametrize(
    ("name", "config", "counts"),
    [
        (MBPP, "full", {"prompt": 10, "test": 500, "validation": 90, "train": 374}),
        (MBPP, "sanitized", {"prompt": 7, "test": 257, "validation": 43, "train": 120}),
        (MBPP_PLUS, None, {"test": 378}),
        (HUMANEVAL, None, {"test": 164}),
        (HUMANEVAL_PLUS, None, {"test": 163}),
    ],
)
def test_the_real_sets(name: str, config: str | None, counts: dict[str, int], benchmark_data: Path) -> None:
    for split, count in counts.items():
        problems = load(name, config=config, split=split)
        assert len(problems) == count
        assert all(problem.columns["entry_point"] for problem in problems)
        assert all(problem.columns["entry_point"] in problem.columns["solution"] for problem in problems)


def test_the_two_tasks_of_mbpp_whose_set_up_needs_the_program(benchmark_data: Path) -> None:
    problems = [p for split in ("test", "train") for p in load(MBPP, split=split, where={"task_id": [367, 927]})]
    assert task_ids(problems) == [367, 927]
    assert all(passes(dict(problem.columns)) for problem in problems)
