import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.run.folder import RunFolder, default_path

ROOT = Path(__file__).parents[2]


def changed(recipe: Recipe, section: str, **values: object) -> Recipe:
    tree = recipe.model_dump()
    tree[section] |= values
    return Recipe.model_validate(tree)


def test_the_stored_recipe_is_complete_and_loads_as_the_same(folder: RunFolder, recipe: Recipe) -> None:
    assert Recipe.model_validate(yaml.safe_load(folder.recipe.read_text())) == recipe


def test_the_default_name_tells_recipe_and_time() -> None:
    assert default_path("sums", datetime(2026, 3, 4, 5, 6, 7)) == Path("runs/sums-20260304-050607")


def test_the_same_recipe_enters_its_folder_again(folder: RunFolder, recipe: Recipe) -> None:
    folder.metrics.write_text("{}\n")
    assert RunFolder.create(folder.path, changed(recipe, "run", max_dollars=3.0)) == folder
    assert folder.metrics.read_text() == "{}\n"
    assert yaml.safe_load(folder.recipe.read_text())["run"]["max_dollars"] == 3.0


def test_a_run_from_before_a_key_was_known_counts_it_at_its_default(folder: RunFolder, recipe: Recipe) -> None:
    stored = yaml.safe_load(folder.recipe.read_text())
    del stored["rewards"]["gated"]
    folder.recipe.write_text(yaml.safe_dump(stored))
    assert RunFolder.create(folder.path, recipe) == folder
    with pytest.raises(BadInput, match=r"rewards.gated = \[\], not \['format'\]"):
        RunFolder.create(folder.path, changed(recipe, "rewards", gated=["format"]))


def test_files_of_rewards_may_have_moved(folder: RunFolder, recipe: Recipe) -> None:
    moved = changed(recipe, "rewards", folder="/elsewhere")
    assert RunFolder.create(folder.path, moved) == folder
    assert yaml.safe_load(folder.recipe.read_text())["rewards"]["folder"] == "/elsewhere"


@pytest.mark.parametrize(
    ("section", "values", "key"),
    [
        ("optimizer", {"learning_rate": 0.5}, r"optimizer.learning_rate = 1e-05, not 0.5"),
        ("run", {"seed": 8}, r"run.seed = 7, not 8"),
        ("rewards", {"functions": {"number": 2.0}}, r"rewards.functions.number = 1.0, not 2.0"),
    ],
)
def test_another_recipe_is_refused(
    folder: RunFolder, recipe: Recipe, section: str, values: dict[str, object], key: str
) -> None:
    with pytest.raises(BadInput, match=key):
        RunFolder.create(folder.path, changed(recipe, section, **values))


def test_a_folder_of_other_files_is_refused(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(BadInput, match="other files but no run"):
        RunFolder.create(tmp_path, recipe)
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_folder_that_a_kill_left_half_made_is_taken(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "rollouts").mkdir()
    (tmp_path / ".tmp-recipe.yaml-1").write_text("name: su")
    (tmp_path / "libraries.log").write_text("a library said something")  # of a stage, which loads before its run begins
    RunFolder.create(tmp_path, recipe)


def test_a_file_in_the_way_is_named(tmp_path: Path, recipe: Recipe) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=f"{tmp_path / 'file'} is a file"):
        RunFolder.check(tmp_path / "file" / "run", recipe)


def test_an_unwritable_place_is_refused_before_anything_is_made(recipe: Recipe) -> None:
    with pytest.raises(BadInput, match="cannot be"):
        RunFolder.create(Path("/proc/self/run"), recipe)


def test_a_check_writes_nothing(tmp_path: Path, recipe: Recipe) -> None:
    RunFolder.check(tmp_path / "a" / "b", recipe)
    assert os.listdir(tmp_path) == []


def test_opening_a_run_that_is_not_there_names_the_nearest(folder: RunFolder) -> None:
    assert RunFolder.open(folder.path) == folder
    with pytest.raises(BadInput, match=rf"sumz does not exist; the nearest is {folder.path}\."):
        RunFolder.open(folder.path.with_name("sumz"))
    with pytest.raises(BadInput, match=rf"is not a run folder: it holds {folder.path}\."):
        RunFolder.open(folder.path.parent)


HOLD = (
    "import sys, time; from pathlib import Path; from rl.run.folder import RunFolder\n"
    "with RunFolder(Path(sys.argv[1])).lock():\n"
    "    print('held', flush=True); time.sleep(60)\n"
)


def test_two_processes_cannot_train_into_one_folder_and_death_frees_it(folder: RunFolder) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder.path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        with pytest.raises(BadInput, match=f"trained by process {holder.pid}"), folder.lock():
            pass
    finally:
        holder.kill()
        holder.wait()
    with folder.lock():
        pass


def test_a_forked_child_that_outlives_a_kill_does_not_hold_the_lock(folder: RunFolder) -> None:
    code = (
        "import os, sys, time; from pathlib import Path; from rl.run.folder import RunFolder\n"
        "with RunFolder(Path(sys.argv[1])).lock():\n"
        "    child = os.fork()\n"
        "    if child: print(child, flush=True); os.kill(os.getpid(), 9)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder.path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    parent.wait()
    try:
        with folder.lock():
            pass
    finally:
        os.kill(orphan, 9)
