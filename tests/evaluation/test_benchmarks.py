"""Every benchmark loads, is graded as right by its own gold answers, and a wrong name finds its neighbor."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rewards.grading import Graded, Grader
from rl.config.recipe_file import load_recipe
from rl.evaluation.benchmarks import describe, find_benchmark, find_suite
from rl.problems.benchmark import Benchmark, Sampling, benchmark_table, suite_table
from rl.problems.problem import Problem
from rl.problems.sets import content_key, load_sets
from rl.problems.template import fill


def grade(benchmark: Benchmark, problems: list[Problem], texts: list[str]) -> list[Graded]:
    rewards = benchmark.rewards
    names = set.intersection(*(set(problem.columns) for problem in problems))
    with Grader(
        rewards.functions, timeout=rewards.timeout, workers=1, accuracy=None, correct_above=rewards.correct_above
    ) as grader:
        grader.check_columns(names)
        return grader.grade(
            texts, [""] * len(texts), {name: [problem.columns[name] for problem in problems] for name in names}
        )


@pytest.mark.parametrize(("name", "count"), [("gsm8k", 1319), ("math500", 500)])
def test_the_hubs_benchmarks_are_whole_and_accept_their_gold_answers(name: str, count: int) -> None:
    if not os.environ.get("PENNY_DATA"):
        pytest.skip("PENNY_DATA is not set: no local benchmark files to check against")
    benchmark = find_benchmark(name)
    problems = benchmark.load()
    assert len(problems) == count
    some = problems[:20]
    assert all(fill(benchmark.problems.prompt, problem.columns, "").endswith("\\boxed{}.") for problem in some)
    right = [f"So it is $\\boxed{{{problem.columns['answer']}}}$." for problem in some]
    assert [graded.solved for graded in grade(benchmark, some, right)] == [True] * 20
    shifted = right[1:] + ["I do not know."]
    equal = [a.columns["answer"] == b.columns["answer"] for a, b in zip(some, some[1:], strict=False)]
    assert [graded.solved for graded in grade(benchmark, some, shifted)] == [*equal, False]


@pytest.mark.parametrize(
    ("name", "count", "shown", "hidden"),
    [
        ("humaneval", 164, "```python\nfrom typing import List", "assert"),
        ("humanevalplus", 163, "```python\nfrom typing import List", "assert"),
        ("mbpp", 500, 'assert remove_Occ("PHP","P") == "H"\n\n', "def "),
        ("mbppplus", 378, "\nassert set(similar_elements((3, 4, 5, 6),(5, 7, 4, 10))) == set((4, 5))\n\n", "(11, 12"),
    ],
)
def test_sets_of_programs_are_whole_and_accept_their_own_solutions(
    name: str, count: int, shown: str, hidden: str
) -> None:
    if not os.environ.get("PENNY_DATA"):
        pytest.skip("PENNY_DATA is not set: no local benchmark files to check against")
    benchmark = find_benchmark(name)
    problems = benchmark.load()
    assert len(problems) == count
    prompt = fill(benchmark.problems.prompt, problems[0].columns, "")
    assert shown in prompt and hidden not in prompt and prompt.endswith("into one ```python block.")
    some = problems[:2]
    right = [f"So:\n```python\n{problem.columns['solution']}\n```" for problem in some]
    assert [graded.solved for graded in grade(benchmark, some, right)] == [True, True]
    assert [graded.solved for graded in grade(benchmark, some, right[::-1])] == [False, False]


def test_countdown_is_always_the_same_and_can_be_solved() -> None:
    benchmark = find_benchmark("countdown")
    problems = benchmark.load()
    assert problems == benchmark.load()
    assert len(problems) == 256
    assert {len(problem.columns["nums"]) for problem in problems} == {3, 4}
    texts = [f"<answer>{problem.columns['solution']}</answer>" for problem in problems]
    assert all(graded.solved for graded in grade(benchmark, problems, texts))
    assert "for example <answer>(1 + 2) / 3</answer>." in fill(benchmark.problems.prompt, problems[0].columns, "")


def test_arithmetic_is_what_the_quickstart_never_trained_on() -> None:
    benchmark, (training, held_out) = find_benchmark("arithmetic"), load_sets(load_recipe("quickstart"))
    assert benchmark.name == "arithmetic"
    assert benchmark.load() == held_out
    assert not {content_key(p) for p in benchmark.load()} & {content_key(p) for p in training}


def test_any_task_of_reasoning_gym_with_its_own_scorer() -> None:
    benchmark = find_benchmark("reasoning_gym:chain_sum")
    problems = benchmark.load()
    assert len(problems) == 200
    some = problems[:3]
    texts = [f"Hm. <answer>{problem.columns['answer']}</answer>" for problem in some[:2]] + ["<answer>no</answer>"]
    assert [graded.solved for graded in grade(benchmark, some, texts)] == [True, True, False]


def test_an_unknown_task_finds_its_neighbor() -> None:
    with pytest.raises(BadInput, match="no task 'chain_sums'; did you mean chain_sum"):
        find_benchmark("reasoning_gym:chain_sums").load()


def test_a_file_of_questions_and_answers(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "Half of {1}?", "answer": "0.5"},
        {"question": "b", "answer": "Think.\n#### 72"},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    benchmark = find_benchmark(str(path))
    problems = benchmark.load()
    assert fill(benchmark.problems.prompt, problems[0].columns, "").startswith("Half of {1}?\nThink step by step")
    assert [graded.solved for graded in grade(benchmark, problems, ["\\boxed{1/2}", "72"])] == [True, True]


@pytest.mark.parametrize("name", ["recipe:quickstart", "quickstart"])
def test_a_recipes_held_out_problems_rewards_and_limits(name: str) -> None:
    benchmark, recipe = find_benchmark(name), load_recipe("quickstart")
    assert benchmark.name == name
    assert benchmark.load() == load_sets(recipe)[1]
    assert benchmark.rewards == recipe.rewards
    assert benchmark.problems.prompt == recipe.problems.prompt
    assert benchmark.max_completion_length == recipe.rollout.max_completion_length == 6


def test_a_recipe_given_by_path_with_its_own_limits_for_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "name: mine\nmodel: {name: tiny}\nproblems: {source: arithmetic, size: 30}\n"
        "rewards: {functions: {exact_number: 1.0}}\nrollout: {max_completion_length: 9, stop: ['.']}\n"
        "evaluation: {size: 4, max_completion_length: 5, problems: {prompt: '{question} ='}}\n"
    )
    for name in (str(path), f"recipe:{path}"):
        benchmark = find_benchmark(name)
        assert (benchmark.max_completion_length, benchmark.stop) == (5, ["."])
        assert benchmark.problems.prompt == "{question} ="
        assert len(benchmark.load()) == 4


def test_a_benchmark_goes_before_a_recipe_of_its_name() -> None:
    assert load_recipe("gsm8k").name == "gsm8k"
    assert find_benchmark("gsm8k") is benchmark_table()["gsm8k"]
    assert find_benchmark("recipe:gsm8k").description == "held-out problems of the recipe gsm8k"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("gsm8", "did you mean gsm8k?"),
        ("math_500", "did you mean math500?"),
        ("quikstart", "did you mean quickstart?"),
        ("reasoning-gym:chain_sum", "did you mean reasoning_gym:<task>?"),
        ("recipe:gsm", "did you mean gsm8k"),
        ("mgsm_es", "did you mean mgsm-es?"),
        ("maths", "did you mean math?"),
        ("zzz", "known: gsm8k, math500, aime24, aime25, amc23"),
    ],
)
def test_a_wrong_name_finds_its_neighbor(wrong: str, right: str) -> None:
    with pytest.raises(BadInput) as failure:
        find_benchmark(wrong)
    assert right in str(failure.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing.jsonl cannot be read"):
        find_benchmark(str(tmp_path / "nothing.jsonl")).load()


def test_a_window_of_contests_follows_the_name() -> None:
    benchmark = find_benchmark("livecodebench:2024-08..2025-01")
    assert benchmark.name == "livecodebench:2024-08..2025-01"
    assert benchmark.problems.options == {"from": "2024-08-01", "to": "2025-02-01"}
    with pytest.raises(BadInput, match="gsm8k has no release windows"):
        find_benchmark("gsm8k:v5")


def test_a_suite_is_its_benchmarks_each_once_in_order() -> None:
    assert [benchmark.name for benchmark in find_suite(["math"])] == suite_table()["math"]
    named = ["aime25,gsm8k", "reasoning_gym:chain_sum , mgsm", "math", "gsm8k"]
    expected = ["aime25", "gsm8k", "reasoning_gym:chain_sum", *suite_table()["mgsm"], *suite_table()["math"]]
    assert [benchmark.name for benchmark in find_suite(named)] == list(dict.fromkeys(expected))
    assert find_suite(["countdown"])[0] is benchmark_table()["countdown"]


def test_a_suite_goes_before_a_recipe_of_its_name() -> None:
    assert load_recipe("math").name == "math"
    assert [benchmark.name for benchmark in find_suite(["recipe:math"])] == ["recipe:math"]
    assert len(find_suite(["math"])) == 7


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "No benchmark is named; name one, or a suite: math, code, r1"),
        ([" , "], "No benchmark is named"),
        (["gsm8k,gsm9k"], "no benchmark 'gsm9k'; did you mean gsm8k?"),
        (["gsm8k", "zzz"], "the suites math, code, r1, mgsm, or a path to a .jsonl or .yaml file"),
    ],
)
def test_a_wrong_suite_is_bad_input(names: list[str], sentence: str) -> None:
    with pytest.raises(BadInput) as failure:
        find_suite(names)
    assert sentence in str(failure.value)


def test_a_recipes_own_protocol_of_evaluation(tmp_path: Path) -> None:
    path = tmp_path / "sampled.yaml"
    path.write_text(
        "name: sampled\nmodel: {name: tiny}\nproblems: {source: arithmetic, size: 30}\n"
        "rewards: {functions: {exact_number: 1.0}}\nevaluation: {num_samples: 4, temperature: 0.7, size: 3}\n"
    )
    assert find_benchmark(str(path)).sampling == Sampling(num_samples=4, temperature=0.7)
    assert find_benchmark("quickstart").sampling == Sampling()


def test_a_yaml_file_can_hold_a_benchmark_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "sums.jsonl").write_text('{"question": "1 + 1", "answer": "2"}\n{"question": "b", "answer": "3"}\n')
    path = tmp_path / "sums.yaml"
    path.write_text(
        "description: my sums\n"
        "problems: {source: jsonl, path: sums.jsonl, prompt: 'What is {question}?'}\n"
        "rewards: {functions: {math: 1.0}}\n"
    )
    (benchmark,) = find_suite([str(path)])
    assert (benchmark.name, benchmark.description) == (str(path), "my sums")
    problems = benchmark.load()
    assert fill(benchmark.problems.prompt, problems[0].columns, "") == "What is 1 + 1?"
    assert [graded.solved for graded in grade(benchmark, problems, ["\\boxed{2}", "\\boxed{2}"])] == [True, False]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "description: nothing\n",
            "neither a benchmark nor a recipe: a benchmark has the sections problems and rewards",
        ),
        ("problems: {source: jsonl}\n", "rewards is missing"),
        ("problems: {source: jsonl}\nrewards: {functions: {math: 1}}\nbare_: x\n", "did you mean bare?"),
        ("problems: {source: jsonl}\nmodel: {name: tiny}\n", "name is missing"),  # a recipe: its sentences
        ("- 1\n", "holds no mapping"),
    ],
)
def test_a_yaml_file_that_is_neither_is_bad_input(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    with pytest.raises(BadInput) as failure:
        find_benchmark(str(path))
    assert sentence in str(failure.value)


def test_a_yaml_file_that_is_not_there_is_looked_for_among_recipes(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No recipe .*none.yaml'"):
        find_benchmark(str(tmp_path / "none.yaml"))


def test_a_benchmark_in_words() -> None:
    assert describe(benchmark_table()["aime24"]) == {
        "name": "aime24",
        "description": "AIME 2024, I and II: 30 problems, answers 0 to 999",
        "source": "hub HuggingFaceH4/aime_2024 train @ 2fe88a2f1091",
        "grader": "math",
        "protocol": "64 samples, temperature 0.6, top_p 0.95",
        "max_completion_length": 32768,
        "note": benchmark_table()["aime24"].note,
    }
    assert describe(benchmark_table()["gsm8k"])["protocol"] == "greedy"
    assert describe(benchmark_table()["gsm8k"])["source"] == "hub openai/gsm8k main test @ 740312add88f"
    assert describe(find_benchmark("reasoning_gym:chain_sum"))["source"] == "reasoning_gym chain_sum"
    assert describe(find_benchmark("mine.jsonl"))["source"] == "jsonl mine.jsonl"
    two = find_benchmark("quickstart").model_copy(update={"sampling": Sampling(num_samples=2, temperature=1.0)})
    assert describe(two)["protocol"] == "2 samples, temperature 1"
    assert describe(two)["grader"] == "exact_number"
