"""Training problems that are in a benchmark: reported, left out or refused, and never trained on unchecked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, Recipe
from rl.config.recipe_file import list_recipes, load_recipe
from rl.planner import dry_run
from rl.problems import decontaminate as module
from rl.problems.audit import audit
from rl.problems.benchmark import Benchmark, benchmark_table
from rl.problems.decontaminate import (
    EXAMPLES,
    contamination_report,
    decontaminate,
    found_columns,
    left_out_text,
    named_benchmark,
    question_columns,
    report_text,
)
from rl.problems.problem import Problem
from rl.problems.sources import load_problems
from rl.training import checks

TEST = [
    "A train travels 1200 miles in 3 hours. How many more hours would it take to travel an additional 2000 miles?",
    "Anna has twelve red apples and gives three of them to her brother. How many apples does she have left now?",
    "Compute 5 + 3.",
]
TRAINING = [
    "A TRAIN travels $1200$ miles in \\(3\\) hours.\nHow many more hours would it take to travel an additional "
    "2000 miles?",
    "Anna has twelve red apples and gives three of them to her sister. What fraction of her apples does she keep?",
    "Compute 5 - 3.",
    "Compute 5+3. Think step by step.",
]


def problems_of(texts: list[str], column: str = "question") -> list[Problem]:
    return [Problem(f"train/{index}", {column: text, "answer": "1"}) for index, text in enumerate(texts)]


def make_benchmark(name: str, texts: list[str], template: str = "{question}", **columns: Any) -> Benchmark:
    rows = [Problem(f"{name}/{index}", {"question": text, **columns}) for index, text in enumerate(texts)]
    tree = {"problems": {"source": "jsonl", "prompt": template}, "rewards": {"functions": {"math": 1.0}}}
    return Benchmark.model_validate({"name": name, **tree, "loader": lambda: rows})


def broken() -> list[Problem]:
    raise BadInput("The hub cannot be reached.")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of three: one to be near to, one that nothing is near to, one that cannot be loaded."""
    far = make_benchmark("far", ["Nothing that anybody asks here has eight words like these in a row."])
    table = {"near": make_benchmark("near", TEST), "far": far, "gone": far.model_copy(update={"loader": broken})}
    table["gone"] = table["gone"].model_copy(update={"name": "gone"})
    monkeypatch.setattr(module, "benchmark_table", lambda: table)


def section(**keys: Any) -> ProblemsSection:
    return ProblemsSection.model_validate({"source": "jsonl", "path": "x.jsonl", **keys})


def test_a_report_counts_training_problems_and_those_of_the_benchmark() -> None:
    # The first is a copy in other type. Of the second's benchmark problem 14 8-grams, the first 5 are shared.
    report = contamination_report(problems_of(TRAINING), ["question"], [make_benchmark("near", TEST)], 8)
    [found] = report.benchmarks
    assert found.training == ("train/0", "train/3") and report.training() == {"train/0", "train/3"}
    assert (found.problems, found.touched, found.share) == (3, 2, 2 / 3)
    assert [(pair.training, pair.benchmark) for pair in found.worst] == [("train/0", "near/0"), ("train/3", "near/2")]
    any_shared = contamination_report(problems_of(TRAINING), ["question"], [make_benchmark("near", TEST)], 8, 0.0)
    [weak] = [pair for pair in any_shared.benchmarks[0].worst if pair.training == "train/1"]
    assert weak.coverage == 5 / 14 and weak.shared == "anna has twelve red apples and gives three of them to her"


def test_a_report_for_machines_and_for_people() -> None:
    report = contamination_report(problems_of(TRAINING), ["question"], [make_benchmark("near", TEST)], 8)
    tree = json.loads(json.dumps(report.as_dict()))
    assert tree["contaminated"] == 2 and tree["benchmarks"][0]["worst"][0]["coverage"] == 1.0
    assert report.counts() == {"near": 2}
    text = report_text(report)
    assert "2 of 4 training problems are too near to a benchmark's (at least 50% of its 8-grams)." in text
    assert "| near | 3 | 2 | 66.7% | 2 |" in text
    assert "- train/0 has 100% of near/0: a train travels 1200 miles" in text
    assert left_out_text(report) == "2 training problem(s) are left out, too near to near (2)"
    none = contamination_report(problems_of(["nothing"]), ["question"], [make_benchmark("near", TEST)], 8, 0.0)
    assert "0 of 1 training problems" in report_text(none) and "(any of its 8-grams)" in report_text(none)
    assert "nearest" not in report_text(none)


def test_a_report_shows_each_problem_of_the_benchmark_once() -> None:
    report = contamination_report(problems_of([TEST[0]] * 9), ["question"], [make_benchmark("near", TEST)])
    assert len(report.benchmarks[0].training) == 9 and len(report.benchmarks[0].worst) == 1
    many = [f"question number {index} " + "asks for the sum of all of its digits" for index in range(9)]
    report = contamination_report(problems_of(many), ["question"], [make_benchmark("near", many)])
    assert len(report.benchmarks[0].worst) == EXAMPLES


def test_which_columns_ask() -> None:
    assert question_columns("{question}\nOne of the tests: {example}") == ["question"]
    assert question_columns("{a} by {b}") == ["a", "b"]
    assert found_columns(["id", "text", "problem"]) == ["problem"]
    with pytest.raises(BadInput, match="No column is called question, problem, prompt or text; the columns are q, a"):
        found_columns(["q", "a"])
    with pytest.raises(BadInput, match="train/0 has no column 'q' to compare; its columns: question, answer"):
        contamination_report(problems_of(TRAINING), ["q"], [])


def test_messages_of_a_chat_are_compared_by_what_the_user_says() -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": TEST[0]}]
    problems = [Problem("train/0", {"prompt": chat})]
    report = contamination_report(problems, ["prompt"], [make_benchmark("near", TEST)])
    assert report.benchmarks[0].worst[0].coverage == 1.0


def test_tasks_that_differ_in_a_word_are_told_apart_by_their_asserts() -> None:
    def task(name: str) -> Problem:
        asserts = "\n".join(f"assert {name}_area({n}) == {len(name) * n}" for n in (20, 31, 42))
        return Problem(name, {"question": f"Write a function to find the area of a {name}.", "asserts": asserts})

    benchmark = make_benchmark("tasks", []).model_copy(update={"loader": lambda: [task("pentagon")]})
    report = contamination_report([task("rhombus"), task("pentagon")], ["question"], [benchmark])
    assert report.benchmarks[0].training == ("pentagon",)


def test_generated_problems_are_compared_without_regard_to_order() -> None:
    def countdown(nums: list[int], target: int) -> Problem:
        question = f"Using the numbers {nums}, make an equation that equals {target}, with each of them once at most."
        return Problem(f"{nums}", {"nums": nums, "target": target, "question": question})

    benchmark = make_benchmark("c", []).model_copy(update={"loader": lambda: [countdown([3, 1, 2], 6)]})
    report = contamination_report([countdown([1, 2, 3], 6), countdown([1, 2, 4], 6)], ["question"], [benchmark])
    assert report.benchmarks[0].training == ("[1, 2, 3]",)


@pytest.mark.usefixtures("benchmarks")
def test_the_gate_leaves_out_or_refuses() -> None:
    problems = problems_of(TRAINING)
    assert decontaminate(section(), problems) == (problems, None)
    kept, report = decontaminate(section(decontaminate=["near", "far", "near"]), problems)
    assert kept == problems[1:3] and report is not None and report.counts() == {"near": 2, "far": 0}
    strict = section(decontaminate=["far", "near"], contaminated="refuse")
    with pytest.raises(BadInput, match=r"^2 training.* near \(2\); .*train/0 has 100% of near's near/0 \('a train"):
        decontaminate(strict, problems)
    assert decontaminate(strict, problems[1:3])[0] == problems[1:3]


@pytest.mark.usefixtures("benchmarks")
def test_longer_ngrams_find_less() -> None:
    asked = problems_of([TEST[1].replace("red", "green")])  # the fourth of 21 words: 10 of 14 8-grams, 1 of 5 17-grams
    for n, count in ((8, 0), (17, 1)):
        assert len(decontaminate(section(decontaminate=["near"], decontaminate_ngram=n), asked)[0]) == count


@pytest.mark.usefixtures("benchmarks")
def test_a_benchmark_that_is_not_there_is_never_passed_over() -> None:
    with pytest.raises(BadInput, match="no benchmark 'neer' .*; did you mean near"):
        decontaminate(section(decontaminate=["neer"]), problems_of(TRAINING))
    with pytest.raises(BadInput, match="no benchmark 'xyz' .*; the benchmarks are near, far, gone"):
        named_benchmark("xyz")
    with pytest.raises(BadInput, match=r"gone cannot be loaded.*The hub cannot be reached.*problems\.decontaminate"):
        decontaminate(section(decontaminate=["near", "gone"]), problems_of(TRAINING))


@pytest.fixture
def recipe_file(tmp_path: Path, tiny_model: Path) -> Path:
    rows = "".join(json.dumps({"question": text, "answer": "1"}) + "\n" for text in [*TRAINING, "What is one?"])
    (tmp_path / "rows.jsonl").write_text(rows)
    tree = {
        "name": "mine",
        "model": {"name": str(tiny_model)},
        "problems": {"source": "jsonl", "path": str(tmp_path / "rows.jsonl"), "decontaminate": ["near", "far"]},
        "rewards": {"functions": {"exact_number": 1.0}},
        "rollout": {"engine": "transformers", "device": "cpu", "max_completion_length": 8},
        "evaluation": {"size": 1},
    }
    path = tmp_path / "mine.yaml"
    path.write_text(json.dumps(tree))  # JSON is YAML
    return path


@pytest.mark.usefixtures("benchmarks")
def test_the_plan_and_the_checks_say_what_is_left_out(
    recipe_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(str(recipe_file))
    assert checks.check_recipe(recipe) == ["2 training problem(s) are left out, too near to near (2) (decontaminate)."]
    made = dry_run.make_plan(recipe)
    assert made.contaminated_problems == {"near": 2, "far": 0} and made.training_problems == 2
    assert "left out  too near to a benchmark's: 2 of near, 0 of far" in dry_run.plan_text(made)
    unchecked = dry_run.make_plan(load_recipe(str(recipe_file), ["problems.decontaminate=[]"]))
    assert unchecked.contaminated_problems == {} and "left out" not in dry_run.plan_text(unchecked)


def test_an_unknown_benchmark_is_refused_before_anything_is_read(make_recipe: Callable[..., Recipe]) -> None:
    recipe = make_recipe({"source": "jsonl", "path": "nowhere.jsonl", "decontaminate": ["gsm8"]})
    with pytest.raises(BadInput, match="did you mean gsm8k"):
        checks.check_decontamination(recipe)


@pytest.mark.usefixtures("benchmarks")
def test_a_file_or_a_recipe_is_audited_before_anything_is_left_out(recipe_file: Path, tmp_path: Path) -> None:
    rows = str(tmp_path / "rows.jsonl")
    for target, names in ((rows, ["near"]), (str(recipe_file), [])):
        report = audit(target, names)
        assert report.counts()["near"] == 2 and report.ngram == 8
    assert audit(rows, ["near"], column="answer").counts() == {"near": 0}
    assert audit(rows, ["near"], n=17, min_coverage=0.1).ngram == 17
    assert audit(str(recipe_file), ["far"]).counts() == {"far": 0}
    with pytest.raises(BadInput, match="Say which benchmarks"):
        audit(rows)
    with pytest.raises(BadInput, match="no column 'nothing'"):
        audit(rows, ["near"], column="nothing")
    with pytest.raises(BadInput, match="named for a file only"):
        audit(str(recipe_file), column="answer")


def test_recipes_name_benchmarks_that_exist_and_smoke_needs_none() -> None:
    for recipe in list_recipes():
        assert set(recipe.problems.decontaminate) <= benchmark_table().keys(), recipe.name
        assert load_recipe(recipe.name, smoke=True).problems.decontaminate == []
    assert {recipe.name for recipe in list_recipes() if recipe.problems.decontaminate} >= {"gsm8k", "math", "code"}


def report_on(name: str, benchmarks: list[str], limit: float, template: str = "{question}") -> dict[str, int]:
    hub = ProblemsSection(source="hub", name=name, prompt=template)
    names = [benchmark_table()[benchmark] for benchmark in benchmarks]
    return contamination_report(load_problems(hub), question_columns(template), names, 8, limit).counts()


@pytest.mark.slow
@pytest.mark.usefixtures("benchmark_data")
def test_what_the_known_training_sets_have_of_benchmarks() -> None:
    """The numbers of docs/decontamination.md. Read by hand: OlympiadBench's six are the same problems."""
    assert report_on("openai/gsm8k", ["gsm8k"], 0.5) == {"gsm8k": 2}
    olympiads = ["aime24", "aime25", "amc23", "minerva", "olympiadbench"]
    found = report_on("DigitalLearningGmbH/MATH-lighteval", ["math500", *olympiads], 0.5, "{problem}")
    assert found == {"math500": 59, "aime24": 0, "aime25": 0, "amc23": 0, "minerva": 0, "olympiadbench": 6}


@pytest.mark.usefixtures("benchmark_data")
def test_most_tasks_of_mbpps_training_split_that_are_in_mbppplus_are_found() -> None:
    training = load_problems(ProblemsSection(source="hub", name="google-research-datasets/mbpp"))
    benchmark = benchmark_table()["mbppplus"]
    known = {problem.columns["task_id"] for problem in benchmark.load()}
    report = contamination_report(training, ["question"], [benchmark])
    same = {problem.id for problem in training if problem.columns["task_id"] in known}
    assert len(same) == 108 and len(report.training() & same) == 84 and len(report.training() - same) == 2
