import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rl.run.checkpoints import best_checkpoint, latest_checkpoint, prune, rewind, save_checkpoint, set_best
from rl.run.evaluations import read_evaluations, write_evaluation
from rl.run.folder import RunFolder
from rl.run.metrics import MetricsLog, read_metrics
from rl.run.rollouts import rollout_steps, write_rollouts


def writes(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        (path / "adapter").mkdir()
        (path / "adapter" / "weights.bin").write_text(text)
        (path / "optimizer.bin").write_text(text * 2)

    return write


def names(folder: RunFolder) -> list[str]:
    return sorted(os.listdir(folder.checkpoints))


def test_the_newest_is_found_and_whole(folder: RunFolder) -> None:
    assert latest_checkpoint(folder) is None
    for step in (2, 10):
        save_checkpoint(folder, step, writes(str(step)))
    latest = latest_checkpoint(folder)
    assert latest is not None and latest.name == "step-000010"
    assert (latest / "adapter" / "weights.bin").read_text() == "10"


def spoil_size(path: Path) -> None:
    (path / "optimizer.bin").write_text("2")


def spoil_bits(path: Path) -> None:
    (path / "optimizer.bin").write_text("33")


def spoil_file(path: Path) -> None:
    (path / "adapter" / "weights.bin").unlink()


def spoil_marker(path: Path) -> None:
    (path / "complete.json").unlink()


def cut_marker(path: Path) -> None:
    (path / "complete.json").write_text('{"step": 2, "fi')


@pytest.mark.parametrize("spoil", [spoil_size, spoil_bits, spoil_file, spoil_marker, cut_marker])
def test_a_damaged_one_is_passed_over_and_can_be_written_again(
    folder: RunFolder, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (save_checkpoint(folder, step, writes(str(step))) for step in (1, 2))
    spoil(second)
    assert latest_checkpoint(folder) == first
    assert "step-000002 is damaged" in caplog.text
    save_checkpoint(folder, 2, writes("2"))
    assert latest_checkpoint(folder) == second


def test_a_failing_write_leaves_no_checkpoint(folder: RunFolder) -> None:
    def fail(path: Path) -> None:
        writes("1")(path)
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        save_checkpoint(folder, 1, fail)
    assert names(folder) == []


def test_pruning_keeps_the_last_and_the_best(folder: RunFolder) -> None:
    for step, rate in [(1, 0.2), (2, 0.6), (3, 0.6), (4, 0.5)]:
        save_checkpoint(folder, step, writes(str(step)))
        assert set_best(folder, step, rate) is (step <= 2)
        prune(folder, keep_last=1)
    assert names(folder) == ["best", "step-000002", "step-000004"]
    assert best_checkpoint(folder) == folder.checkpoints / "step-000002"


def test_rewinding_drops_what_came_later_and_leftovers_but_no_cost(folder: RunFolder) -> None:
    for step in (1, 2, 3):
        MetricsLog(folder).append({"step": step})
        write_rollouts(folder, step, [])
        write_evaluation(folder, step, {"pass@1": 0.1 * step, "ci95": [0, 1], "n": 1}, [])
        save_checkpoint(folder, step, writes(str(step)))
        set_best(folder, step, 0.1 * step)
    folder.ledger.write_text("{}\n{}\n{}\n")
    (folder.checkpoints / ".tmp-step-000004-ab").mkdir()
    (folder.rollouts / ".tmp-step-000004.parquet-ab").write_text("half")
    rewind(folder, 2)
    assert [row["step"] for row in read_metrics(folder)] == [1, 2]
    assert rollout_steps(folder) == [1, 2]
    assert [item["step"] for item in read_evaluations(folder)] == [1, 2]
    assert names(folder) == ["step-000001", "step-000002"]  # the best is gone, and so is its pointer
    assert sorted(os.listdir(folder.evaluations)) == [
        f"step-00000{n}.{kind}" for n in "12" for kind in ("json", "parquet")
    ]
    assert len(os.listdir(folder.rollouts)) == 2
    assert folder.ledger.read_text() == "{}\n{}\n{}\n"
