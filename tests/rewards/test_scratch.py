"""Temporary folders: removed however deep, and swept when their owner was killed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rewards import scratch
from rewards.scratch import Scratch, remove_tree, scratch_folder, sweep


def nest(top: Path, depth: int, name: str = "d") -> None:
    """Folders in folders, with a file in each, deeper than a path may be long."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_tree_deeper_than_recursion_and_paths_is_removed(tmp_path: Path) -> None:
    memory = Path("/dev/shm")  # where a disk would take seconds
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        tree = Path(folder, "tree")
        tree.mkdir()
        nest(tree, 2500)
        nest(tree, 30, "n" * 255)
        before = len(os.listdir("/proc/self/fd"))
        remove_tree(str(tree))
        assert not tree.exists() and len(os.listdir("/proc/self/fd")) == before


def test_links_are_removed_and_not_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "link").symlink_to(kept)
    (tree / "loop").symlink_to(tree)
    os.mkfifo(tree / "pipe")
    remove_tree(str(tree))
    assert not tree.exists() and (kept / "file").exists()
    link = tmp_path / "link"
    link.symlink_to(kept)
    remove_tree(str(link))
    assert (kept / "file").exists()


def test_what_is_not_there_is_removed_without_an_error(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "nothing"))


CLOSED = """
import os, sys
from rewards.scratch import remove_tree
top = sys.argv[1] + "/tree"
os.makedirs(top + "/a/b")
os.chmod(top + "/a/b", 0), os.chmod(top + "/a", 0), os.chmod(top, 0)
remove_tree(top)
print(os.path.lexists(top))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_folders_closed_to_their_own_user_are_removed(tmp_path: Path) -> None:
    copy = tmp_path / "rewards"
    copy.mkdir()
    for name in ("__init__.py", "errors.py", "scratch.py"):
        (copy / name).write_bytes((Path(scratch.__file__).parent / name).read_bytes())
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o777)
        done = subprocess.run(
            ["/usr/bin/python3", "-c", CLOSED, folder],
            env={"PYTHONPATH": opened(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
            user=12345,
            group=12345,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "False\n", done.stderr


def opened(folder: Path) -> str:
    """A folder, after everybody has been let into it."""
    for each in [folder, *folder.parents]:
        if not each.stat().st_mode & 1:
            each.chmod(each.stat().st_mode | 0o55)
    return str(folder)


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary folders, whose age does not matter."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", -1.0)
    return tmp_path


def test_what_is_held_is_not_swept_and_what_is_left_is(temporary: Path) -> None:
    mine = Scratch("mine")
    (temporary / "penny-scratch-left-abc" / "below").mkdir(parents=True)
    (temporary / "penny-other").mkdir()
    (temporary / "penny-scratch-file").touch()
    with scratch_folder("second") as second:
        assert sorted(os.listdir(temporary)) == sorted(
            [Path(mine.path).name, Path(second).name, "penny-other", "penny-scratch-file"]
        )
    mine.remove()
    mine.remove()
    assert sorted(os.listdir(temporary)) == ["penny-other", "penny-scratch-file"]


def test_a_folder_that_was_made_just_now_is_not_swept(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its owner has had no time to lock it."""
    (temporary / "penny-scratch-new").mkdir()
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", 60.0)
    sweep(str(temporary))
    assert os.listdir(temporary) == ["penny-scratch-new"]


def test_the_folder_of_a_killed_process_is_swept(temporary: Path) -> None:
    code = "from rewards.scratch import Scratch; made = Scratch('x'); print(made.path, flush=True); input()"
    owner = subprocess.Popen(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    folder = owner.stdout.readline().strip()
    sweep(str(temporary))
    assert Path(folder).is_dir()
    owner.kill()
    owner.wait()
    sweep(str(temporary))
    assert not Path(folder).exists()
