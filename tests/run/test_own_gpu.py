"""Each process sees the one GPU that is its own, whatever started it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rewards.errors import BadInput
from rl.cli import app
from rl.run import own_gpu
from rl.run.own_gpu import count_gpus, take_own_gpu


def variables(visible: str | None, rank: int | None = None) -> dict[str, str]:
    """The variables of a process; with a rank, as torchrun sets them on the second of two machines."""
    ranked = {} if rank is None else {"LOCAL_RANK": str(rank), "RANK": str(8 + rank), "WORLD_SIZE": "16"}
    return ranked | ({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible})


def not_asked() -> int:
    raise AssertionError("the driver is asked only under torchrun")


@pytest.mark.parametrize(
    ("visible", "gpus", "expected"),
    [
        (None, 4, ["0", "1", "2", "3"]),
        ("2,3", 2, ["2", "3"]),
        ("3, 1", 2, ["3", "1"]),
        ("GPU-8f2c,GPU-77aa", 2, ["GPU-8f2c", "GPU-77aa"]),
        ("MIG-1b,MIG-2c,MIG-3d", 3, ["MIG-1b", "MIG-2c", "MIG-3d"]),
        ("1,-1,0", 1, ["1"]),  # what comes after a number below zero is hidden
        ("5", 1, ["5"]),
    ],
)
def test_each_rank_sees_its_own_gpu(visible: str | None, gpus: int, expected: list[str]) -> None:
    found = []
    for rank in range(len(expected)):
        environment = variables(visible, rank)
        take_own_gpu(environment, lambda: gpus)
        found.append(environment["CUDA_VISIBLE_DEVICES"])
        assert environment["LOCAL_RANK"] == "0"  # the number of the only GPU that is left
        take_own_gpu(environment, lambda: 1)
        assert environment["CUDA_VISIBLE_DEVICES"] == found[-1]  # twice is once
    assert found == expected


@pytest.mark.parametrize(
    ("visible", "rank", "gpus", "said"),
    [
        (None, 2, 2, "process 3 on this machine, and it needs a GPU of its own, but 2 GPUs can be seen: start"),
        (None, 1, 1, "but 1 GPU can be seen: start torchrun with --nproc_per_node 1,"),
        ("1", 1, 1, r"but 1 GPU can be seen \(CUDA_VISIBLE_DEVICES=1\): start"),
        ("0,-1,1", 1, 1, r"1 GPU can be seen \(CUDA_VISIBLE_DEVICES=0,-1,1\)"),
    ],
)
def test_a_rank_without_a_gpu_is_refused(visible: str | None, rank: int, gpus: int, said: str) -> None:
    environment = variables(visible, rank)
    before = dict(environment)
    with pytest.raises(BadInput, match=said):
        take_own_gpu(environment, lambda: gpus)
    assert environment == before


@pytest.mark.parametrize("visible", [None, "", "0,1"])
def test_ranks_without_any_gpu_keep_their_environment(visible: str | None) -> None:
    environment = variables(visible, 1)
    before = dict(environment)
    take_own_gpu(environment, lambda: 0)
    assert environment == before


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, "0"), ("", ""), ("-1", "-1"), ("1", "1"), ("3,1", "3"), ("GPU-8f2c, GPU-77aa", "GPU-8f2c"), ("-1,0", "-1")],
)
def test_a_process_on_its_own_sees_the_first_gpu(visible: str | None, expected: str) -> None:
    environment = variables(visible)
    take_own_gpu(environment, not_asked)
    assert environment == {"CUDA_VISIBLE_DEVICES": expected}


def test_a_local_rank_below_zero_is_none() -> None:
    environment = {"LOCAL_RANK": "-1"}
    take_own_gpu(environment, not_asked)
    assert environment == {"LOCAL_RANK": "-1", "CUDA_VISIBLE_DEVICES": "0"}


@pytest.mark.parametrize(("answer", "gpus"), [("print(3)", 3), ("raise OSError('libcuda.so.1')", 0)])
def test_a_process_of_its_own_asks_the_driver(answer: str, gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_gpu, "COUNT", answer)
    assert count_gpus() == gpus


@pytest.mark.parametrize("command", [["train", "quickstart", "--dry-run"], ["stage", "runs/none", "sft"]])
def test_the_gpu_is_chosen_before_torch_loads(command: list[str]) -> None:
    code = f"""
import sys, rl.cli, rl.commands.pipeline
def chosen(environment): sys.exit(7 + ("torch" in sys.modules))
rl.cli.take_own_gpu = rl.commands.pipeline.take_own_gpu = chosen
rl.cli.main({command})
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 7


def test_a_rank_without_a_gpu_ends_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.setattr("rl.cli.take_own_gpu", lambda environment: take_own_gpu(environment, lambda: 2))
    result = CliRunner().invoke(app, ["train", "quickstart", "--smoke", "--dry-run"])
    assert result.exit_code == 2
    assert "start torchrun with --nproc_per_node 2" in result.stderr


def test_ranks_on_cpus_need_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.cli.take_own_gpu", lambda environment: not_asked())
    arguments = ["train", "quickstart", "--smoke", "--dry-run", "rollout.device=cpu", "model.name=nowhere/at all"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2 and "model" in result.stderr  # it came as far as the model


DRIVER = """
int cuInit(unsigned int flags) { return INIT; }
int cuDeviceGetCount(int *count) { *count = 3; return 0; }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize(("init", "gpus"), [(0, 3), (100, 0)])  # 100: CUDA_ERROR_NO_DEVICE
def test_the_driver_is_asked_as_cuda_asks_it(
    init: int, gpus: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a library that stands in for NVIDIA's."""
    (tmp_path / "driver.c").write_text(DRIVER.replace("INIT", str(init)))
    build = ["cc", "-shared", "-fPIC", "-o", str(tmp_path / "libcuda.so.1"), str(tmp_path / "driver.c")]
    subprocess.run(build, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    assert count_gpus() == gpus
