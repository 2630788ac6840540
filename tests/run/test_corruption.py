"""Each file of a run's folder, damaged in every way: a command ends in one sentence, or does what it always does."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from rewards.errors import BadInput
from rl.cli import app
from rl.config.recipe import Recipe
from rl.evaluation.subject import find_subject
from rl.grading.regrade import regrade_run
from rl.models.source import resolve_model
from rl.run.checkpoints import best_checkpoint
from rl.run.folder import RunFolder
from rl.run.start import Start
from rl.training import launch
from rl.training.launch import run_recipe
from rl.training.resume import latest_unfinished, resumed_recipe
from tests.training.test_train import PowerCut, failing_after, recipe, same_run

STEPS = 5  # as `same_run` wants


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def garbled(file: Path) -> None:
    content = file.read_bytes()
    middle = len(content) // 2
    file.write_bytes(content[: middle - 40] + b"\xff\x00\x9b{" * 20 + content[middle + 40 :])


def null(file: Path) -> None:
    file.write_bytes(b"null\n")


def a_list(file: Path) -> None:
    file.write_bytes(b"[1]\n")


def an_object(file: Path) -> None:
    file.write_bytes(b"{}\n")


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside").touch()


def a_loop(file: Path) -> None:
    """What nobody can open, not even root."""
    file.unlink()
    file.symlink_to(file.name)


DAMAGES: list[Callable[[Path], None]] = [Path.unlink, emptied, cut, garbled, null, a_list, an_object, a_folder, a_loop]
FILES = (
    "recipe.yaml",
    "manifest.json",
    "metrics.jsonl",
    "ledger.jsonl",
    "summary.json",
    "data.parquet",
    "report.html",
    "evaluations/step-000000.json",
    "evaluations/step-000000.parquet",
    "evaluations/step-000004.json",
    "evaluations/step-000004.parquet",
    "rollouts/step-000003.parquet",
    "rollouts/step-000005.parquet",
    "checkpoints/best",
    "checkpoints/step-000004/complete.json",
    "checkpoints/step-000004/state.pt",
    "checkpoints/step-000004/policy/adapter_config.json",
    "checkpoints/step-000004/policy/adapter_model.safetensors",
    "checkpoints/step-000004/records/metrics.jsonl",
)
LINES = ("metrics.jsonl", "ledger.jsonl")


@pytest.fixture(scope="module")
def finished(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert run_recipe(recipe(tiny_model, folder)) == (0, folder)
    return folder


@pytest.fixture(scope="module")
def interrupted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its fifth step, so that its last checkpoint is that of the fourth."""
    folder = tmp_path_factory.mktemp("runs") / "killed"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(PowerCut):
        patch.setattr(launch, "build_engine", failing_after(7))
        run_recipe(recipe(tiny_model, folder))
    assert sorted(path.name for path in (folder / "checkpoints").glob("step-*")) == ["step-000002", "step-000004"]
    return folder


def copied(run: Path, place: Path) -> Path:
    return Path(shutil.copytree(run, place, symlinks=True))


def settled(run: Path, asked: Recipe) -> None:
    """Do what a resumed run does before a model loads."""
    launch.settled_records(Start(asked, RunFolder(run), run, False, {}, False))


def in_one_sentence(error: BaseException, file: Path) -> None:
    text = str(error)
    assert isinstance(error, BadInput) and text.count("\n") == str(file).count("\n")
    assert text.endswith((".", ")")) and len(text) < 600


READ_BY = {  # which commands read a file
    "recipe.yaml": ("report", "samples", "compare", "regrade"),
    "manifest.json": ("report", "compare"),
    "metrics.jsonl": ("report",),
    "ledger.jsonl": ("report",),
    "summary.json": ("report",),
    "report.html": ("report",),
    "evaluations/step-000000.json": ("report", "compare"),
    "evaluations/step-000000.parquet": ("report", "compare"),
    "rollouts/step-000005.parquet": ("samples", "regrade"),
}


def sometimes(damages: Sequence[Callable[[Path], None]]) -> list[Any]:
    """All damages; those that are not named here run with the slow tests."""
    others = [pytest.param(damage, marks=pytest.mark.slow) for damage in DAMAGES if damage not in damages]
    return [*damages, *others]


@pytest.mark.parametrize("damage", sometimes([cut]), ids=lambda damage: damage.__name__)
def test_commands_that_read_a_damaged_run_end_in_one_sentence(
    damage: Callable[[Path], None], finished: Path, tmp_path: Path
) -> None:
    for name, commands in READ_BY.items():
        run = copied(finished, tmp_path / name.replace("/", "-"))
        damage(run / name)
        for command in commands:
            result = CliRunner().invoke(app, [command, str(run)])
            assert isinstance(result.exception, SystemExit | None), (name, command, result.exception)
            if result.exit_code:
                [sentence] = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
                assert str(run) in sentence
                # A page that cannot be written is no mistake of the user's: it has the exit code of a full disk.
                assert result.exit_code == 2 or (result.exit_code == 1 and "cannot be written" in sentence)


@pytest.mark.parametrize("damage", sometimes([garbled]), ids=lambda damage: damage.__name__)
def test_the_weights_of_a_damaged_run_are_whole_or_refused(
    damage: Callable[[Path], None], interrupted: Path, tmp_path: Path
) -> None:
    """`penny eval`, `export`, `serve` and `chat` all begin with `find_subject`."""
    for name in (file for file in FILES if file.startswith(("checkpoints", "recipe"))):
        for checkpoint in ("last", "best", "4"):
            run = copied(interrupted, tmp_path / f"run-{len(list(tmp_path.iterdir()))}")
            damage(run / name)
            try:
                subject = find_subject(str(run), checkpoint)
                resolve_model(subject.model.name)  # without recipe.yaml the folder is taken for a model's
            except BadInput as error:
                in_one_sentence(error, run)
            else:
                expected = run / "checkpoints" / subject.checkpoint.split("/")[-2] / "policy"
                stored = load_file(expected / "adapter_model.safetensors")
                source = load_file(interrupted / expected.relative_to(run) / "adapter_model.safetensors")
                assert all(torch.equal(stored[key], source[key]) for key in source), (name, checkpoint)


@pytest.mark.parametrize("damage", sometimes([Path.unlink, garbled]), ids=lambda damage: damage.__name__)
def test_the_records_of_a_run_are_put_back_or_named(
    damage: Callable[[Path], None], interrupted: Path, tmp_path: Path
) -> None:
    """What goes on from the damaged folder has the same records as what goes on from the whole one."""
    whole = copied(interrupted, tmp_path / "whole")
    asked = resumed_recipe(whole)
    settled(whole, asked)
    records = ("manifest.json", *LINES, "evaluations/step-000000.json", "evaluations/step-000002.json")
    for name in (file for file in FILES if (interrupted / file).exists()):
        run = copied(interrupted, tmp_path / f"run-{len(list(tmp_path.iterdir()))}")
        damage(run / name)
        try:
            resumed_recipe(run)
            settled(run, asked)
        except BadInput as error:
            in_one_sentence(error, run)
            assert damage in (a_folder, a_loop) or name in ("recipe.yaml", "manifest.json"), (name, str(error))
            continue
        for record in records:
            expected, found = ((place / record).read_bytes() for place in (whole, run))
            if record == "metrics.jsonl":  # what the fifth step wrote is written again
                expected, found = (b"".join(text.splitlines(True)[:4]) for text in (expected, found))
            if record == "ledger.jsonl":  # a damaged line after the checkpoint is lost, and the others are not
                assert found.splitlines()[:5] == expected.splitlines()[:5], name
            elif record != "manifest.json" or damage is not an_object:
                assert found == expected, (name, record)


BOOKS = ["manifest.json", *LINES, "evaluations/step-000000.json", "checkpoints/best", "data.parquet"]
LAST = ["checkpoints/step-000004/complete.json", "rollouts/step-000003.parquet", "evaluations/step-000004.json"]


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        pytest.param(garbled, BOOKS, id="records garbled"),
        pytest.param(null, LAST, id="last checkpoint null", marks=pytest.mark.slow),
        pytest.param(Path.unlink, BOOKS, id="records deleted", marks=pytest.mark.slow),
        pytest.param(null, BOOKS, id="records null", marks=pytest.mark.slow),
        pytest.param(cut, LAST, id="last checkpoint cut", marks=pytest.mark.slow),
        pytest.param(Path.unlink, LAST, id="last checkpoint deleted", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_run_goes_on_bit_for_bit(
    damage: Callable[[Path], None], names: list[str], interrupted: Path, finished: Path, tmp_path: Path
) -> None:
    run = copied(interrupted, tmp_path / "a run, 作\n2")
    for name in names:
        if (run / name).exists():
            damage(run / name)
    for place, odd in (
        ("rollouts", "step-x.parquet"),
        ("evaluations", "step-000002 (copy).json"),
        ("checkpoints", ".b"),
    ):
        (run / place / odd).write_bytes(b"\x00")
    (run / "checkpoints" / "step-000004.old").mkdir()
    asked = resumed_recipe(run)
    assert run_recipe(asked, RunFolder.open(run))[0] == 0
    same_run(finished, run)
    best = [best_checkpoint(RunFolder(place)) for place in (finished, run)]
    assert best[0] and best[1] and best[0].name == best[1].name


def test_a_run_without_a_whole_checkpoint_is_not_begun_again_by_itself(interrupted: Path, tmp_path: Path) -> None:
    run = copied(interrupted, tmp_path / "run")
    for place in (run / "checkpoints").glob("step-*"):
        null(place / "complete.json")
    with pytest.raises(BadInput, match=r"All checkpoints of .*run are damaged \(steps 2, 4\): bring one back"):
        settled(run, resumed_recipe(run))
    assert (run / "metrics.jsonl").read_bytes() == (interrupted / "metrics.jsonl").read_bytes()


def test_a_damaged_run_without_any_checkpoint_begins_again(interrupted: Path, tmp_path: Path) -> None:
    run = copied(interrupted, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    garbled(run / "metrics.jsonl")
    garbled(run / "evaluations/step-000000.json")
    settled(run, resumed_recipe(run))
    assert (run / "metrics.jsonl").read_bytes() == b"" and (run / "checkpoints").is_dir()
    assert not (run / "evaluations/step-000000.json").exists()  # it is measured again


@pytest.mark.parametrize(("key", "command"), [("hardware", "report"), ("versions", "compare"), ("started", "report")])
def test_a_manifest_with_null_for_a_part_is_named_or_read(
    key: str, command: str, finished: Path, tmp_path: Path
) -> None:
    run = copied(finished, tmp_path / "run")
    manifest = json.loads((run / "manifest.json").read_text())
    for value, code in (({key: None}, 2), ({}, 0)):
        content = {name: part for name, part in manifest.items() if name != key} | value
        (run / "manifest.json").write_text(json.dumps(content))
        result = CliRunner().invoke(app, [command, str(run)])
        assert result.exit_code == code, result.output
        assert code == 0 or f"(its {key} is of another type)" in result.stderr


def test_an_edited_or_cut_recipe_does_not_regrade_silently(finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    file = run / "recipe.yaml"
    file.write_text(file.read_text().partition("\nevaluation:")[0] + "\n")  # what is left is a recipe, too
    with pytest.raises(BadInput, match=r"recipe\.yaml was edited: it says evaluation\."):
        regrade_run(run, [], "again")
    assert not (run / "regraded").exists()


def edit(run: Path, old: str, new: str) -> None:
    file = run / "recipe.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


@pytest.mark.parametrize("manifest", ["there", "lost"])
def test_an_edited_learning_rate_is_refused_by_its_name(manifest: str, interrupted: Path, tmp_path: Path) -> None:
    run = copied(interrupted, tmp_path / "run")
    edit(run, "learning_rate: 0.02", "learning_rate: 0.5")
    if manifest == "lost":
        (run / "manifest.json").unlink()
    said = (
        f"{run}/recipe.yaml was edited: it says optimizer.learning_rate = 0.5, and the run was trained with 0.02: put "
        f"0.02 back to go on, or train with 0.5 from the start by `penny train {run}/recipe.yaml run.dir=NEW`."
    )
    with pytest.raises(BadInput) as caught:
        resumed_recipe(run)
    assert str(caught.value) == said
    result = CliRunner().invoke(app, ["train", "--resume", str(run)])
    assert result.exit_code == 2 and said in result.stderr
    edit(run, "learning_rate: 0.5", "learning_rate: 0.02")
    assert resumed_recipe(run).optimizer.learning_rate == 0.02


@pytest.mark.slow
def test_an_edited_key_that_may_change_is_noted(interrupted: Path, finished: Path, tmp_path: Path) -> None:
    run = copied(interrupted, tmp_path / "run")
    edit(run, "save_steps: 2", "save_steps: 3")
    assert run_recipe(resumed_recipe(run), RunFolder.open(run))[0] == 0
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["sessions"][-1]["recipe_changed"] == {"run.save_steps": [2, 3]}
    assert manifest["settings"]["run"]["save_steps"] == 3 and "save_steps: 3" in (run / "recipe.yaml").read_text()
    same_run(finished, run)


def test_continue_names_the_edit_and_takes_a_run_whose_summary_is_damaged(finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    asked = resumed_recipe(run)
    assert latest_unfinished(asked) is None
    cut(run / "summary.json")
    edit(run, "learning_rate: 0.02", "learning_rate: 0.5")
    assert latest_unfinished(asked) == run
    with pytest.raises(BadInput, match="was edited"):
        resumed_recipe(run)


def test_a_refused_second_process_writes_nothing(finished: Path, tmp_path: Path) -> None:
    run = copied(finished, tmp_path / "run")
    asked = resumed_recipe(run, ["run.save_steps=1"])
    hold = "import sys, time; from pathlib import Path; from rl.run.folder import RunFolder\n"
    hold += "with RunFolder(Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, str(run)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
        for folder in (None, RunFolder(run)):
            with pytest.raises(BadInput, match=f"being trained by process {holder.pid}"):
                run_recipe(asked, folder)
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
        holder.kill()
