import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from rl.base import atomic


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")
    atomic.write_text(path, "new, ü")
    assert path.read_bytes() == "new, ü".encode()
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    atomic.write_text(path, "old")

    def refuse(descriptor: int) -> None:
        raise OSError("disk is full")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="disk is full"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_json_round_trips_floats_and_has_null_for_what_json_has_not() -> None:
    value = {"third": 1 / 3, "tiny": 5e-324, "nan": float("nan"), "list": [float("inf"), True, 2, "ü"]}
    text = atomic.to_json(value)
    assert json.loads(text) == {"third": 1 / 3, "tiny": 5e-324, "nan": None, "list": [None, True, 2, "ü"]}


def test_a_folder_appears_only_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with atomic.folder(target) as temporary:
        (temporary / "inner").mkdir()
        (temporary / "inner" / "a").write_text("1")
        assert not target.exists()
    assert (target / "inner" / "a").read_text() == "1"
    assert os.listdir(tmp_path) == ["x"]


def test_a_folder_replaces_an_older_one(tmp_path: Path) -> None:
    target = tmp_path / "x"
    for name in ("old", "new"):
        with atomic.folder(target) as temporary:
            (temporary / name).write_text(name)
    assert os.listdir(target) == ["new"]
    assert os.listdir(tmp_path) == ["x"]


def test_an_interrupted_folder_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), atomic.folder(tmp_path / "x") as temporary:
        (temporary / "a").write_text("1")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_what_a_kill_leaves_is_hidden_and_can_be_removed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from rl.base import atomic\n"
        "with atomic.folder(Path(sys.argv[1]) / 'x') as temporary:\n"
        "    (temporary / 'a').write_text('1'); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    (tmp_path / "mine").write_text("")
    (tmp_path / f"{atomic.TEMPORARY}file").write_text("")
    assert len(os.listdir(tmp_path)) == 3 and not (tmp_path / "x").exists()
    atomic.remove_leftovers(tmp_path)
    assert os.listdir(tmp_path) == ["mine"]


@pytest.mark.parametrize(("umask", "of_files", "of_folders"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_rights_are_those_of_the_umask(tmp_path: Path, umask: int, of_files: int, of_folders: int) -> None:
    before = os.umask(umask)
    try:
        with atomic.folder(tmp_path / "whole") as place:
            (place / "inner").mkdir()
            save_file({"a": torch.zeros(1)}, place / "inner" / "weights.safetensors")  # 0600, whatever the umask
            (place / "tool").touch()
            (place / "tool").chmod(0o700)
        atomic.write_text(tmp_path / "note", "x")
    finally:
        os.umask(before)
    whole = tmp_path / "whole"
    assert {path.stat().st_mode & 0o777 for path in (whole, whole / "inner", whole / "tool")} == {of_folders}
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "note", whole / "inner" / "weights.safetensors")} == {
        of_files
    }
