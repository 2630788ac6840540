"""Training and held-out sets: never a problem in common."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.problems import decontaminate
from rl.problems.benchmark import Benchmark
from rl.problems.problem import Problem
from rl.problems.sets import Sets, content_key, held_out_section, load_sets, prepare_sets

Make = Callable[..., Recipe]
Write = Callable[[list[Any]], str]


def make_benchmark(name: str, texts: list[str]) -> Benchmark:
    rows = [Problem(f"{name}/{index}", {"question": text}) for index, text in enumerate(texts)]
    tree = {"problems": {"source": "jsonl"}, "rewards": {"functions": {"math": 1.0}}, "loader": lambda: rows}
    return Benchmark.model_validate({"name": name, **tree})


def bare(text: str) -> str:
    return "".join(text.split()).lower()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("aAbB \n", min_size=1), min_size=2, max_size=30), st.integers(1, 5))
def test_no_question_is_in_both_sets(make_recipe: Make, questions: list[str], size: int) -> None:
    distinct = {bare(question) for question in questions}
    assume(len(distinct) > size)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.jsonl"
        path.write_text("".join(json.dumps({"question": question}) + "\n" for question in questions))
        training, held_out = load_sets(make_recipe({"source": "jsonl", "path": str(path)}, size=size))
    asked_T = {bare(problem.columns["question"]) for problem in training}
    asked_H = {bare(problem.columns["question"]) for problem in held_out}
    assert len(held_out) == len(asked_H) == size  # no question is measured twice
    assert asked_T | asked_H == distinct and not asked_T & asked_H  # and nothing else is lost
    assert len(training) == sum(bare(question) in asked_T for question in questions)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.booleans(), st.data())
def test_no_sum_is_in_both_sets(make_recipe: Make, high: int, high_H: int, separate: bool, data: st.DataObject) -> None:
    space, space_H = high * (high + 1) // 2, high_H * (high_H + 1) // 2
    size = data.draw(st.integers(1, (space_H if separate else space) - 1))
    problems = {"source": "arithmetic", "size": space, "options": {"high": high}}
    other = {"size": space_H, "options": {"high": high_H}} if separate else {}
    try:
        training, held_out = load_sets(make_recipe(problems, size=size, problems=other))
    except BadInput as error:
        assert separate and high < high_H and "No problem is left" in str(error)
        return
    pairs_T = {frozenset(problem.columns["operands"]) for problem in training}
    pairs_H = {frozenset(problem.columns["operands"]) for problem in held_out}
    assert not pairs_T & pairs_H and len(pairs_H) == size
    assert len(training) == space - len([pair for pair in pairs_H if max(pair) <= high])


@pytest.mark.parametrize(
    "problems",
    [
        {"source": "countdown", "size": 60, "options": {"high": 9, "max_numbers": 3}},
        {"source": "reasoning_gym", "name": "gcd", "size": 60},
    ],
)
@pytest.mark.parametrize("other", [{}, {"size": 40}])
def test_generated_sets(problems: dict[str, Any], other: dict[str, Any], make_recipe: Make) -> None:
    recipe = make_recipe(problems, size=20, problems=other)
    training, held_out = load_sets(recipe)
    assert len(held_out) == 20
    assert len(training) > 50 if other else len(training) == 40  # made apart, they hardly meet; else `size` holds both
    assert not {content_key(problem) for problem in training} & {content_key(problem) for problem in held_out}
    assert not {problem.id for problem in training} & {problem.id for problem in held_out}


def test_every_run_seed_is_measured_on_the_same_problems(make_recipe: Make) -> None:
    problems = {"source": "countdown", "size": 50}
    assert load_sets(make_recipe(problems, seed=1, size=10)) == load_sets(make_recipe(problems, seed=2, size=10))


def test_held_out_problems_are_chosen_from_all_over(make_recipe: Make, write_jsonl: Write) -> None:
    path = write_jsonl([{"question": str(index)} for index in range(1000)])
    _, held_out = load_sets(make_recipe({"source": "jsonl", "path": path}, size=100))
    chosen = [int(problem.columns["question"]) for problem in held_out]
    assert chosen == sorted(chosen) and 400 < sum(chosen) / 100 < 600  # mean 499.5, deviation 27


def test_another_file_is_held_out_and_its_copies_are_not_trained_on(
    make_recipe: Make, write_jsonl: Write, tmp_path: Path
) -> None:
    path = write_jsonl([{"question": question} for question in ("What is  ONE?", "Two?", "Three?")])
    other = tmp_path / "other.jsonl"
    other.write_text('{"task": "what is one?"}\n{"task": "Four?"}\n')
    held = {"path": str(other), "prompt": "Answer this: {task}"}
    training, held_out = load_sets(make_recipe({"source": "jsonl", "path": path}, size=2, problems=held))
    assert [problem.columns["question"] for problem in training] == ["Two?", "Three?"]
    assert [problem.columns["task"] for problem in held_out] == ["what is one?", "Four?"]


def test_too_few_problems_are_bad_input(make_recipe: Make, write_jsonl: Write) -> None:
    path = write_jsonl([{"question": question} for question in ("a", "A", "b")])
    with pytest.raises(BadInput, match=r"evaluation\.size asks for 3 .* only 2 distinct"):
        load_sets(make_recipe({"source": "jsonl", "path": path}, size=3))
    with pytest.raises(BadInput, match="No problem is left to train on: all 3 are among the 2 held out"):
        load_sets(make_recipe({"source": "jsonl", "path": path}, size=2))


def test_problems_of_a_benchmark_are_not_trained_on_and_held_out_ones_stay(
    make_recipe: Make, write_jsonl: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"What is {n} plus one?"} for n in range(6)]
    held = make_recipe({"source": "jsonl", "path": write_jsonl(rows)}, size=2)
    first, second = load_sets(held)[1]
    near = make_benchmark("near", [first.columns["question"], rows[0]["question"], rows[3]["question"]])
    monkeypatch.setattr(decontaminate, "benchmark_table", lambda: {"near": near})
    path = held.problems.path

    def sets(**keys: Any) -> Sets:
        return prepare_sets(make_recipe({"source": "jsonl", "path": path, "decontaminate": ["near"], **keys}, size=2))

    dropped = sets()
    assert dropped.held_out == [first, second] and dropped.report is not None
    taken = {first.columns["question"], second.columns["question"]}
    left = [
        row["question"] for row in rows if row["question"] not in taken | {rows[0]["question"], rows[3]["question"]}
    ]
    assert [problem.columns["question"] for problem in dropped.training] == left
    assert dropped.report.problems == 4  # what is held out is not looked at
    assert prepare_sets(held).report is None and sets() == dropped
    with pytest.raises(BadInput, match="too near to near"):
        sets(contaminated="refuse")
    everything = make_benchmark("near", [row["question"] for row in rows])
    monkeypatch.setattr(decontaminate, "benchmark_table", lambda: {"near": everything})
    with pytest.raises(BadInput, match="No problem is left to train on: all 4 are too near to those of near"):
        sets()
    with pytest.raises(BadInput, match=r"evaluation\.problems\.decontaminate would do nothing"):
        load_sets(make_recipe({"source": "jsonl", "path": path}, size=2, problems={"decontaminate": ["near"]}))


def test_held_out_section(make_recipe: Make) -> None:
    recipe = make_recipe({"source": "hub", "name": "x/y", "prompt": "{q}"}, problems={"split": "test"})
    assert held_out_section(recipe) == recipe.problems.model_copy(update={"split": "test"})
    assert (
        held_out_section(make_recipe({"source": "hub", "name": "x/y"}))
        == make_recipe({"source": "hub", "name": "x/y"}).problems
    )
    with pytest.raises(BadInput, match=r"splitt: unknown key; did you mean problems\.split\?.*evaluation\.problems"):
        held_out_section(make_recipe({"source": "hub", "name": "x/y"}, problems={"splitt": "test"}))


def test_content_keys() -> None:
    def key(template: str = "{question}", **columns: Any) -> str:
        return content_key(Problem("p", columns), template)

    assert key(question="Is  It\n½?") == key(question="is it 1⁄2?")
    assert key(question="a") != key(question="b")
    assert key(nums=[1, 2, 3], target=6) == key(nums=[3, 1, 2], target=6) != key(nums=[1, 2, 3], target=5)
    assert key(operands=[1, 2], operators=["+"]) == key(operands=[2, 1], operators=["+"], question="other words")
    assert key("{a} by {b}", a="x", b="y", c="z") == key("{a} and {b}", a="x", b="y", c="w")
    with pytest.raises(BadInput, match="'question'.*columns: problem"):
        key(problem="a")


def test_gsm8k_splits(make_recipe: Make, benchmark_data: Path) -> None:
    gsm8k = {"source": "hub", "name": "openai/gsm8k", "config": "main"}
    training, held_out = load_sets(make_recipe(gsm8k, problems={"split": "test"}, size=200))
    assert len(training) == 7473 and len(held_out) == 200
