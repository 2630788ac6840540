"""Runs and evaluations against each other: who asked the same, and one sentence where nobody did."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rewards.errors import BadInput
from rewards.verdict import Outcome
from rl.cli import app
from rl.config.recipe_file import load_recipe
from rl.evaluation.compared import compare_evaluations
from rl.evaluation.show.page import write_page
from rl.evaluation.sides import asked_alike, open_sides
from rl.evaluation.statistics.measures import measures
from rl.run.evaluations import EvaluationRow, write_evaluation
from rl.run.folder import RunFolder
from tests.stored_evaluations import made_folder, made_result, made_row


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def answers(right: Sequence[int], count: int = 8, plus: int = 1, shell: str = "{}") -> list[EvaluationRow]:
    """Answers to `n + plus`, of which those to `right` are correct; `shell` is the template of the prompt."""
    return [
        made_row(n, verdict(n in right), prompt=shell.format(f"What is {n} + {plus}?"), gold=str(n + plus))
        for n in range(count)
    ]


def verdict(right: bool) -> Outcome:
    return "correct" if right else "wrong"


def run(name: str, *evaluations: Sequence[EvaluationRow], **recipe: Any) -> Path:
    """A run that was measured at the steps 0, 30, ..."""
    overrides = [f"{key}={value}" for key, value in recipe.items()]
    folder = RunFolder.create(Path(name), load_recipe("quickstart", overrides))
    for number, rows in enumerate(evaluations):
        write_evaluation(folder, 30 * number, {**measures(rows, majority=False), "seconds": 1.0}, rows)
    return Path(name)


def evaluation(name: str, rows: Sequence[EvaluationRow], benchmark: str = "arithmetic") -> Path:
    return made_folder(Path(name), [(made_result(rows, benchmark=benchmark), rows)]).path


def test_a_run_is_compared_with_itself_before_and_after() -> None:
    mine = run("runs/mine", answers([0]), answers([4]), answers([0, 1, 2, 3]))
    for paths in ([mine], [mine, mine]):
        [found] = compare_evaluations(*paths)
        assert (found["n"], found["pass_a"], found["pass_b"]) == (8, 0.125, 0.5)
        assert (found["won"], found["lost"], found["tied"]) == (3, 0, 5)
        assert (found["first"], found["second"]) == ("runs/mine before training", "runs/mine after step 60")


def test_two_runs_are_compared_by_their_last_answers() -> None:
    one = run("runs/one", answers([]), answers([0, 1]))
    two = run("runs/two", answers([]), answers([0, 2, 3]), **{"run.seed": 1})
    [found] = compare_evaluations(one, two)
    assert (found["benchmark"], found["won"], found["lost"]) == ("quickstart", 2, 1)


def test_a_run_is_compared_with_an_evaluation_under_its_name() -> None:
    mine = run("runs/mine", answers([]), answers([0, 1, 2]))
    base = evaluation("base", answers([0], count=6, shell="Be brief. {} Answer:"))  # the first problems, otherwise put
    [found] = compare_evaluations(base, mine)
    assert (found["benchmark"], found["n"], found["won"], found["lost"]) == ("arithmetic", 6, 2, 0)
    assert found["warnings"] == [
        "arithmetic was not measured alike: other problems and templates and limits of length."
    ]
    [found] = compare_evaluations(mine, base)
    assert (found["won"], found["lost"], found["second"]) == (0, 2, "base")


def test_what_asked_something_else_is_refused_in_one_sentence() -> None:
    mine = run("runs/mine", answers([0]), answers([0]))
    once = run("runs/once", answers([0]))
    new = run("runs/new")
    other = evaluation("other", answers([0], plus=2), "gsm8k")
    Path("empty").mkdir()
    for paths, sentence in (
        (
            [mine, other],
            r"runs/mine measured its own held-out problems, and other asked others \(gsm8k\): measure the run",
        ),
        ([other, mine], "runs/mine measured its own held-out problems"),
        ([mine, run("runs/far", answers([0], plus=5))], "runs/far measured its own held-out problems, and runs/mine"),
        ([once], "runs/once was measured once, at step 0"),
        ([new], "runs/new has not been measured yet"),
        ([other], "other is one evaluation: name another one"),
        ([mine, Path("nowhere")], "nowhere does not exist"),
        ([mine, Path("empty")], "empty holds neither an evaluation nor a run"),
    ):
        with pytest.raises(BadInput, match=sentence) as caught:
            compare_evaluations(*paths)
        assert "\n" not in str(caught.value)


def test_equal_ids_and_answers_are_not_yet_equal_problems() -> None:
    one = [made_row(0, prompt="Add 3 and 4.", gold=""), made_row(1, prompt="Add 5 and 9.", gold="")]
    assert asked_alike(one, [made_row(1, prompt="Now! Add 5 and  9. Go.", gold="")])
    assert not asked_alike(one, [made_row(1, prompt="Now! Add 5 and 8. Go.", gold="")])
    assert not asked_alike(one, [made_row(2, prompt="Add 5 and 9.", gold="")])
    assert not asked_alike(one, [made_row(1, prompt="Add 5 and 9.", gold="14")])


def test_runs_stand_on_a_page_beside_evaluations() -> None:
    mine = run("runs/mine", answers([0]), answers([0, 1, 2]))
    base = evaluation("base", answers([0]))
    first, *others = open_sides([mine, base])
    path = write_page(first, others)
    assert path == Path("runs/mine/comparison.html")  # the run's own report stays
    page = path.read_text()
    assert "runs/mine after step 30" in page and "arithmetic" in page and "-25.0" in page
    first, *others = open_sides([mine, mine])
    assert "+25.0" in write_page(first, others).read_text()


def test_the_commands_take_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    mine = run("runs/mine", answers([]), answers(range(8)))
    base = evaluation("base", answers([0]))
    result = CliRunner().invoke(app, ["compare", str(mine)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == "quickstart" and max(map(len, lines)) <= 60
    assert lines[1:6] == [
        "  problems            8",
        "  first               0.0 %",
        "  second              100.0 %",
        "  difference, points  +100.0",
        "  95 % interval       +35.1 to +100.0",
    ]
    assert "first: runs/mine before training" in lines and "second: runs/mine after step 30" in lines
    reported = CliRunner().invoke(app, ["report", str(base), str(mine), "--json"])
    assert json.loads(reported.stdout) == {"report": "base/report.html"}
