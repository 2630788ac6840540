"""Training by difficulty: the band decides what is asked, the order decides when, and a killed run asks the same."""

import json
from pathlib import Path

import pytest

from rewards.errors import BadInput
from rl.problems.difficulty import DifficultyStore, Rate, asked_key, problem_key
from rl.problems.sets import load_sets
from rl.run.folder import RunFolder
from rl.run.rollouts import read_rollouts
from rl.training import launch
from rl.training.launch import run_recipe
from tests.training.test_train import PowerCut, failing_after, recipe, same_run


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENNY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def known(whole: object, cache: Path, solved: int, skip: int = 0) -> list[str]:
    """Have the first `solved` training problems after `skip` known as solved half of the time, the others never."""
    problems = load_sets(whole)[0]  # type: ignore[arg-type]
    template = "{question} ="
    rates = {
        problem_key(problem, template): Rate(1 if skip <= place < skip + solved else 0, 2)
        for place, problem in enumerate(problems)
    }
    with DifficultyStore(cache) as store:
        store.keep(asked_key(whole), rates)  # type: ignore[arg-type]
    return [problem.id for problem in problems[skip : skip + solved]]


def asked(folder: Path, step: int) -> set[str]:
    return {row.problem_id for row in read_rollouts(RunFolder.open(folder), step)}


def test_only_problems_inside_the_band_are_asked(tiny_model: Path, tmp_path: Path, cache: Path) -> None:
    whole = recipe(tiny_model, tmp_path / "run", difficulty={"min_pass_rate": 0.1})
    inside = known(whole, cache, solved=6)
    assert run_recipe(whole)[0] == 0
    assert set().union(*(asked(tmp_path / "run", step) for step in range(1, 6))) == set(inside)


def test_a_band_that_nobody_has_measured_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="run `penny difficulty`"):
        run_recipe(recipe(tiny_model, tmp_path / "run", difficulty={"max_pass_rate": 0.9}))


def test_informative_problems_come_first_and_a_killed_run_asks_the_same(
    tiny_model: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sections = {"difficulty": {"order": "informative_first"}, "problems": {"size": 22}}  # an epoch is three steps
    whole = recipe(tiny_model, tmp_path / "run", **sections)
    first = known(whole, cache, solved=4, skip=5)
    assert run_recipe(whole)[0] == 0
    assert asked(tmp_path / "run", 1) == set(first)
    assert json.loads((tmp_path / "run" / "difficulty.json").read_text())[first[0]] == 0.5

    cut = recipe(tiny_model, tmp_path / "cut", **sections)
    with monkeypatch.context() as patch:
        patch.setattr(launch, "build_engine", failing_after(6))
        with pytest.raises(PowerCut):
            run_recipe(cut)
    known(whole, cache, solved=4, skip=0)  # what is measured since changes nothing
    assert run_recipe(cut, RunFolder.open(tmp_path / "cut"))[0] == 0
    same_run(tmp_path / "run", tmp_path / "cut")
