"""Folders of programs are measured, however deep they are and whatever moves in them."""

import os
from pathlib import Path

import pytest

from rewards.sandbox import disk
from rewards.sandbox.disk import BLOCK, folder_bytes
from rewards.scratch import remove_tree

MUCH = 1 << 40


def dig(folder: Path, depth: int) -> None:
    """Nest folders, deeper than a path can be long."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        there = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = there
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_sizes_are_added_up(tmp_path: Path) -> None:
    Path(tmp_path, "large").write_bytes(b"x" * 10 * BLOCK)
    Path(tmp_path, "empty").touch()
    Path(tmp_path, "folder").mkdir()
    Path(tmp_path, "folder", "small").write_bytes(b"x")
    of_folder = max(os.lstat(tmp_path / "folder").st_size, BLOCK)
    assert folder_bytes(str(tmp_path), MUCH) == (10 + 1 + 1) * BLOCK + of_folder


def test_links_are_not_followed(tmp_path: Path) -> None:
    Path(tmp_path, "up").symlink_to("/usr")
    assert folder_bytes(str(tmp_path), MUCH) == BLOCK


def test_counting_ends_where_it_is_too_much(tmp_path: Path) -> None:
    for number in range(50):
        Path(tmp_path, str(number)).touch()
    assert 10 * BLOCK < folder_bytes(str(tmp_path), 10 * BLOCK) <= 11 * BLOCK


def test_a_folder_that_has_gone_holds_nothing(tmp_path: Path) -> None:
    assert folder_bytes(str(tmp_path / "gone"), MUCH) == 0


def test_deep_folders_are_measured(tmp_path: Path) -> None:
    dig(tmp_path, 2500)
    assert folder_bytes(str(tmp_path), MUCH) >= 2501 * BLOCK
    remove_tree(str(tmp_path))  # pytest cannot


def test_a_folder_that_is_moved_while_it_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way back leads elsewhere: the count begins anew. If that happens every time, it is too much."""
    folder, other = tmp_path / "folder", tmp_path / "folder" / "other"
    (folder / "moving").mkdir(parents=True)
    other.mkdir()
    change, moves = disk.change_folder, []

    def moved(here: int, name: str) -> int:
        there = change(here, name)
        if name == "moving" and len(moves) < often:
            moves.append(name)
            os.rename(folder / "moving", other / "moving")
        elif name == ".." and (other / "moving").exists():
            os.rename(other / "moving", folder / "moving")
        return there

    monkeypatch.setattr(disk, "change_folder", moved)
    often = 1
    assert folder_bytes(str(folder), MUCH) == sum(max(os.lstat(path).st_size, BLOCK) for path in folder.iterdir())
    often = 100
    assert folder_bytes(str(folder), 10 * BLOCK) == 10 * BLOCK + 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_what_cannot_be_looked_into_is_too_much(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(0o300)
    assert folder_bytes(str(tmp_path), 100) > 100
    assert folder_bytes(str(closed), 100) > 100


@pytest.mark.parametrize(("later", "charged"), [(b"", 0), (None, 0), ("mapped", MUCH)])
def test_a_mapped_file_that_is_not_open_is_looked_at_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: bytes | str | None, charged: int
) -> None:
    """Between the looks at mappings and at descriptors a process may end, or give the file up."""
    mapped = b"7f00-7f10 rw-s 00000000 00:1b 77    " + os.fsencode(tmp_path) + b"/file (deleted)\n"
    looks = iter([mapped, mapped if later == "mapped" else later])
    monkeypatch.setattr(disk, "read", lambda process, name: next(looks))
    monkeypatch.setattr(disk, "links", lambda process: {})
    assert disk.unnamed_bytes(str(tmp_path), [1], MUCH) == charged
