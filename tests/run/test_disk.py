"""A full disk: one sentence with the file's name, old files whole, logs that can be gone on with."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rl.base import atomic, jsonl
from rl.base.disk import writing
from rl.base.errors import RunStopped, WriteFailed
from rl.config.recipe import Recipe
from rl.run.checkpoints import latest_checkpoint, save_checkpoint
from rl.run.failures import ended
from rl.run.folder import RunFolder
from tests.conftest import byte_tokenizer, fill

FULL = os.strerror(errno.ENOSPC)
NUMBERS = torch.zeros(2**20)


def weights(place: Path) -> None:
    save_file({"a": NUMBERS}, str(place / "weights.safetensors"))


def state(place: Path) -> None:
    torch.save({"a": NUMBERS}, place / "state.pt")


def text(place: Path) -> None:
    (place / "text").write_text("x" * 2**21)


def tokenizer(place: Path) -> None:
    fill(place)
    byte_tokenizer().save_pretrained(place)


@pytest.mark.parametrize("write", [weights, state, text, tokenizer])
def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(
    small_disk: Path, recipe: Recipe, write: Callable[[Path], None]
) -> None:
    folder = RunFolder.create(small_disk / "run", recipe)
    before = save_checkpoint(folder, 1, lambda place: (place / "a").write_bytes(b"x" * 100_000))
    with pytest.raises(WriteFailed) as caught:
        save_checkpoint(folder, 2, write)
    sentence = str(caught.value)
    assert sentence.startswith(f"{folder.checkpoints}/step-000002 cannot be written: {FULL} (it takes 98 KiB, and ")
    assert sentence.endswith("are free there)") and "\n" not in sentence
    assert latest_checkpoint(folder) == before
    assert os.listdir(folder.checkpoints) == ["step-000001"]


def test_what_a_library_raises_after_the_files_own_error(tmp_path: Path) -> None:
    with pytest.raises(WriteFailed, match=f"state.pt cannot be written: {FULL}"), writing(tmp_path / "state.pt"):
        try:
            raise OSError(errno.ENOSPC, FULL)
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904


def test_a_file_that_does_not_fit_leaves_the_old_one(small_disk: Path) -> None:
    atomic.write_text(small_disk / "report.html", "old")
    fill(small_disk)
    with pytest.raises(
        WriteFailed, match=f"report.html cannot be written: {FULL} .it takes 20 KiB, and 0 KiB are free"
    ):
        atomic.write_text(small_disk / "report.html", "n" * 20_000)
    assert sorted(os.listdir(small_disk)) == ["filler", "report.html"]
    assert (small_disk / "report.html").read_text() == "old"


def test_a_line_that_does_not_fit_spoils_no_later_one(small_disk: Path) -> None:
    log = small_disk / "metrics.jsonl"
    jsonl.append(log, {"step": 1})
    fill(small_disk)
    with pytest.raises(WriteFailed, match="metrics.jsonl cannot be written"):
        jsonl.append(log, {"step": 2, "long": "x" * 10_000})
    (small_disk / "filler").unlink()
    jsonl.append(log, {"step": 3})
    assert jsonl.read(log) == [{"step": 1}, {"step": 3}]


def test_a_run_on_a_full_disk_is_not_locked(small_disk: Path, recipe: Recipe) -> None:
    folder = RunFolder.create(small_disk / "run", recipe)
    fill(small_disk)
    with pytest.raises(WriteFailed, match="lock cannot be written"), folder.lock():
        pass


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_every_refusal_of_a_disk_ends_a_run_in_one_sentence(
    number: int, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    save_checkpoint(folder, 3, lambda place: (place / "a").write_text("1"))
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(RunStopped) as caught, ended(folder):
        atomic.write_text(folder.report, "new")
    sentence = str(caught.value)
    assert sentence.startswith(f"{folder.report} cannot be written: {os.strerror(number)}")
    cure = "make room" if number in (errno.ENOSPC, errno.EDQUOT) else "make it writable"
    assert sentence.endswith(f"; step 3 is saved: {cure}, then go on with: penny train --resume {folder.path}")


def test_what_has_nothing_to_do_with_the_disk_stays_as_it_is(folder: RunFolder) -> None:
    with pytest.raises(FileNotFoundError), atomic.folder(folder.path / "made"):
        (folder.path / "nowhere").read_text()
    with pytest.raises(ValueError, match="mine"), writing(folder.report):
        raise ValueError("mine")
    with pytest.raises(FileNotFoundError), ended(folder):
        (folder.path / "nowhere").read_text()
    assert not (folder.path / "made").exists()
