import hashlib
import subprocess
from importlib import metadata
from pathlib import Path

from rl.config.recipe import Recipe
from rl.problems.problem import Problem
from rl.run.folder import RunFolder
from rl.run.manifest import git_state, hash_files, hash_problems, read_manifest, write_manifest


def git(path: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run(
        ["git", "-C", str(path), *identity, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_what_a_run_was_made_with_is_kept(folder: RunFolder, recipe: Recipe) -> None:
    write_manifest(folder, recipe, {"model": {"name": "tiny"}, "data": {"train": "ab"}})
    manifest = read_manifest(folder)
    assert manifest["seed"] == 7 and manifest["model"] == {"name": "tiny"}
    assert manifest["versions"]["torch"] == metadata.version("torch")
    assert manifest["hardware"]["cores"] >= 1 and manifest["hardware"]["memory_gib"] > 0
    assert manifest["sessions"] == [{"started": manifest["started"], "command": manifest["command"], "changed": {}}]


def test_a_resumed_session_tells_what_changed(folder: RunFolder, recipe: Recipe) -> None:
    first = write_manifest(folder, recipe, {"data": {"train": "ab"}, "ranks": (0, 1)})
    write_manifest(folder, recipe, {"data": {"train": "XX"}, "ranks": (0, 1)})
    manifest = read_manifest(folder)
    assert [session["changed"] for session in manifest["sessions"]] == [{}, {"data": {"train": "XX"}}]
    assert manifest["data"] == {"train": "ab"} and manifest["started"] == first["started"]


def test_git_state_tells_revision_and_dirt(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "a").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    assert git_state(tmp_path) == {"revision": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    (tmp_path / "inside" / "a").write_text("2")
    assert (git_state(tmp_path) or {})["dirty"] is True
    assert git_state(tmp_path / "inside") is None  # somebody else's checkout


def test_problem_hashes_follow_order_and_content() -> None:
    one, two = Problem("1", {"a": 1, "b": 2}), Problem("2", {"a": 3})
    assert hash_problems([one, two]) == hash_problems([Problem("1", {"b": 2, "a": 1}), two])
    others = [[two, one], [one], [one, Problem("2", {"a": 4})], [one, Problem("3", {"a": 3})]]
    assert len({hash_problems(problems) for problems in [[one, two], *others]}) == 5


def test_files_are_hashed_by_name(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"weights")
    assert hash_files([tmp_path / "w.bin"]) == {"w.bin": hashlib.sha256(b"weights").hexdigest()}
