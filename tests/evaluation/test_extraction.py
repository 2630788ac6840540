"""Strict and flexible scores of the same answers: in the rows, the results, the tables, and what others read."""

import json
from pathlib import Path
from typing import Any

import pytest

from rl.config.recipe import RewardsSection
from rl.evaluation import command, extraction
from rl.evaluation.command import EvaluationRequest
from rl.evaluation.compared import compare_evaluations
from rl.evaluation.extraction import extraction_of
from rl.evaluation.folder import EvaluationFolder
from rl.evaluation.regrading import regrade_evaluation
from rl.evaluation.show.interchange import model_index, write_harness
from rl.evaluation.show.table import results_markdown, results_text
from rl.evaluation.statistics.estimators import wilson
from rl.problems.benchmark import benchmark_table

# Two are marked, one of them wrong; two are plain prose, one of them wrong.
OUTPUTS = ["\\boxed{7}", "She has 15 apples.", "\\boxed{18}", "She has 23 apples."]
GOLDS = ["7", "15", "17", "22"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"question": f"Number {n}?", "answer": gold} for n, gold in enumerate(GOLDS)]
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rows = [{"index": n, "output": text} for n, text in enumerate(OUTPUTS)]
    Path("outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def evaluated(benchmark: str = "sums.jsonl", output: str = "out") -> tuple[EvaluationFolder, dict[str, Any]]:
    request = EvaluationRequest([benchmark], samples=Path("outputs.jsonl"), output=Path(output))
    path, results = command.evaluate(request)
    return EvaluationFolder(path), results


def own_benchmark(rewards: str) -> str:
    problems = 'problems: {source: jsonl, path: sums.jsonl, prompt: "{question}"}\n'
    Path("mine.yaml").write_text(f"{problems}rewards: {rewards}\n")
    return "mine.yaml"


def test_both_scores_stand_in_the_results_and_both_verdicts_in_the_rows() -> None:
    folder, results = evaluated()
    [result] = results["results"]
    assert (result["extraction"], result["pass@1"]) == ("flexible", 0.5)
    assert (result["pass@1_flexible"], result["pass@1_strict"]) == (0.5, 0.25)
    assert result["ci95_strict"] == list(wilson(1, 4)) and result["ci95_flexible"] == result["ci95"]
    rows = folder.rows(result)
    assert [row.verdict for row in rows] == [row.verdict_flexible for row in rows]
    assert [row.verdict_flexible for row in rows] == ["correct", "correct", "wrong", "wrong"]
    assert [row.verdict_strict == "correct" for row in rows] == [True, False, False, False]


def test_both_scores_are_shown_with_their_intervals() -> None:
    folder, results = evaluated()
    header, _, row = (line.strip("| ").split(" | ") for line in results_markdown(results).splitlines()[:3])
    assert header[1:5] == ["pass@1", "95 % interval", "strict", "95 % interval"]
    assert row[1:5] == ["50.0 %", "[15.0 %, 85.0 %]", "25.0 %", "[4.6 %, 69.9 %]"]
    assert "  strict         25.0 %" in results_text(results, 60).splitlines()
    page = folder.report.read_text()
    assert "strict: 25.0 % [4.6 %, 69.9 %]" in page and "<dt>flexible</dt><dd>correct</dd>" in page


def test_others_get_both_scores_under_their_names() -> None:
    folder, results = evaluated()
    [path, *_] = write_harness(folder, Path("harness"))
    scores = json.loads(path.read_text())["results"]["sums.jsonl"]
    kinds = ("exact_match,none", "exact_match,strict-match", "exact_match,flexible-extract")
    metric = "exact_match" if "exact_match,none" in scores else "pass@1"
    assert [scores[kind.replace("exact_match", metric)] for kind in kinds] == [0.5, 0.25, 0.5]
    card = model_index(results, "someone")["model-index"][0]["results"][0]["metrics"][0]
    assert (card["value"], card["args"]["extraction"], card["args"]["pass@1_strict"]) == (50.0, "flexible", 25.0)


def test_a_benchmark_of_ones_own_is_strict_and_shows_the_flexible_score() -> None:
    _, results = evaluated(own_benchmark("{functions: {math: 1.0}}"))
    [result] = results["results"]
    assert (result["extraction"], result["pass@1"], result["pass@1_flexible"]) == ("strict", 0.25, 0.5)
    assert "flexible" in results_markdown(results).splitlines()[0]


def test_other_rewards_have_one_score(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extraction, "grade_texts", lambda *_: pytest.fail("the answers were graded twice"))
    _, results = evaluated(own_benchmark("{functions: {exact_number: 1.0, math: 0.5}}"))
    [result] = results["results"]
    assert result["extraction"] is None and "pass@1_strict" not in result
    assert "strict" not in results_markdown(results)


def test_only_math_is_asked_twice() -> None:
    Path("mine.py").write_text(
        "from pathlib import Path\n"
        "def counted(completions, **_):\n"
        "    with Path('calls').open('a') as file: file.write('x' * len(completions))\n"
        "    return [0.0] * len(completions)\n"
    )
    evaluated(own_benchmark("{functions: {math: 1.0, 'mine.py:counted': 0.0}}"))
    assert Path("calls").read_text() == "x" * 4


def test_folders_from_before_still_open_compare_and_are_graded_again() -> None:
    folder, results = evaluated()
    new = {"extraction", "unanswered", "partly_answered", "missing", "pass@1_all", "ci95_all", "unknown_rows"}
    new |= {"pass@1_strict", "ci95_strict", "pass@1_flexible", "ci95_flexible"}
    [result] = results["results"]
    old = {**results, "results": [{name: value for name, value in result.items() if name not in new}]}
    folder.write_results(old)
    assert "strict" not in results_text(old) and "50.0 %" in results_text(old)
    evaluated(output="other")
    assert compare_evaluations(folder.path, Path("other"))[0]["tied"] == 4
    path, [change] = regrade_evaluation(folder.path, [], "again")
    assert (change.changed, EvaluationFolder(path).results()["results"][0]["pass@1_strict"]) == (0, 0.25)


def test_regrading_by_other_rewards_leaves_no_scores_of_the_old_ones() -> None:
    folder, _ = evaluated()
    path, [change] = regrade_evaluation(folder.path, ["rewards.functions={exact_number: 1.0}"], "numbers")
    again = EvaluationFolder(path).results()["results"][0]
    assert again["extraction"] is None and "pass@1_strict" not in again
    _, [change] = regrade_evaluation(folder.path, ["rewards.options={math: {extraction: strict}}"], "strict")
    assert (change.before, change.after) == (0.5, 0.25)


@pytest.mark.parametrize("name", [name for name, found in benchmark_table().items() if found.majority])
def test_every_benchmark_of_mathematics_says_flexible(name: str) -> None:
    assert benchmark_table()[name].rewards.options["math"]["extraction"] == "flexible"


def test_which_way_decides() -> None:
    assert extraction_of(RewardsSection(functions={"math": 1.0})) == "strict"
    assert extraction_of(RewardsSection(functions={"answer_format": 0.1, "math": 1.0})) is None
    assert extraction_of(RewardsSection(functions={"answer_format": 0.1, "math": 1.0}, accuracy="math")) == "strict"
