"""A run that is gone on with asks the problems that it was begun with, or says which are others."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.run.checkpoints import best_checkpoint
from rl.run.evaluations import read_evaluations
from rl.run.folder import RunFolder
from rl.run.rollouts import read_rollouts
from rl.run.summary import read_summary
from rl.training import launch
from rl.training.launch import run_recipe
from tests.training.test_train import recipe
from tests.training.test_train_ends import interrupt, interrupted_after
from tests.training.test_train_modes import AHEAD


def rows(first: int, count: int, **changed: str) -> list[dict[str, str]]:
    return [{"question": changed.get(f"q{n}", f"{n} + 1"), "answer": str(n + 1)} for n in range(first, first + count)]


def write(path: Path, content: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    training, held_out = tmp_path / "training.jsonl", tmp_path / "held_out.jsonl"
    write(training, rows(0, 30))
    write(held_out, rows(100, 10))
    return training, held_out


def on_files(model: Path, folder: Path, files: tuple[Path, Path], **sections: dict[str, Any]) -> Recipe:
    training, held_out = files
    problems = {"source": "jsonl", "path": str(training), "size": None}
    evaluation = {"problems": {"path": str(held_out)}, "every": 0, "band": {"min_gain": -1.0, "intervals_apart": False}}
    base: dict[str, Any] = {"problems": problems, "evaluation": evaluation, "optimizer": {"max_steps": 2}}
    return recipe(model, folder, **base | sections)


def test_a_changed_file_is_refused_before_the_model_loads(
    tiny_model: Path, tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = on_files(tiny_model, tmp_path / "run", files)
    run_recipe(whole)
    run = RunFolder(tmp_path / "run")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path != run.ledger}
    write(files[0], rows(0, 30, q3="3 + 3", q7="7 + 7"))
    monkeypatch.setattr(launch, "build_engine", lambda recipe: pytest.fail("the engine was started"))
    with pytest.raises(BadInput, match="2 of 30 rows of the training problems differ; bring the old data back"):
        run_recipe(whole, run)
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file() and path != run.ledger}
    assert before == after


@pytest.mark.slow
def test_accepted_held_out_problems_are_not_compared_with_the_old_ones(
    tiny_model: Path, tmp_path: Path, files: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run_recipe(on_files(tiny_model, tmp_path / "run", files))
    run = RunFolder(tmp_path / "run")
    assert (read_summary(run) or {})["band_met"] is True and best_checkpoint(run) is not None
    write(files[1], rows(200, 10))
    longer = on_files(tiny_model, tmp_path / "run", files, optimizer={"max_steps": 3})
    assert run_recipe(longer, run, accept_changed_data=True)[0] == 0
    summary = read_summary(run) or {}
    assert (summary["same_problems"], summary["band_met"]) == (False, None)
    sentence = "before and after are not of the same questions"
    assert sentence in summary["band_reason"] and sentence in run.report.read_text()
    assert sentence in capsys.readouterr().out
    session = json.loads(run.manifest.read_text())["sessions"][1]
    assert session["accepted_changed_data"] == {"step": 2, "rows": {"held_out": 10}}
    assert (best_checkpoint(run) or Path()).name == "step-000003"  # though step 2 was better, or as good, on others
    hashes = [evaluation["problems_sha256"] for evaluation in read_evaluations(run)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert run_recipe(longer, run)[0] == 0  # accepted once, asked no more


def test_batches_of_the_old_problems_are_not_learned_from(
    tiny_model: Path, tmp_path: Path, files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    order = {"difficulty": {"order": "informative_first"}, **AHEAD}
    stopped = on_files(tiny_model, tmp_path / "run", files, optimizer={"max_steps": 4}, **order)
    monkeypatch.setattr(launch, "build_engine", interrupted_after(3, interrupt))  # while the third batch is sampled
    assert run_recipe(stopped)[0] == 130
    monkeypatch.undo()
    run = RunFolder(tmp_path / "run")
    state = torch.load(run.checkpoints / "step-000002" / "state.pt", weights_only=True)
    assert len(state["batches"]) == 1 and state["curriculum"]["settled"]
    write(files[0], rows(40, 12))
    assert run_recipe(stopped, run, accept_changed_data=True)[0] == 0
    asked = [row.prompt for step in (3, 4) for row in read_rollouts(run, step)]
    assert {int(prompt.split()[0]) for prompt in asked} <= set(range(40, 52))
