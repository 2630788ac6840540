"""Two ranks under torchrun train as one process does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rl.base import ranks
from rl.config.recipe import Recipe
from rl.config.recipe_file import dump_recipe
from rl.run.checkpoints import rewind
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.run.rollouts import read_rollouts
from tests.training.test_train import recipe, without_clock
from tests.training.test_train_modes import AHEAD, DYNAMIC

ROOT = Path(__file__).parents[2]
BATCH = ("reward/mean", "pass_rate", "completions/mean_length", "tokens", "groups/no_signal")


def add_as_two(monkeypatch: pytest.MonkeyPatch, parameters: list[torch.nn.Parameter]) -> list[torch.Tensor]:
    """Add gradients to those of a second rank that has the same ones; returns what was sent, in its messages."""
    sent: list[torch.Tensor] = []

    def all_reduce(tensor: torch.Tensor) -> None:
        sent.append(tensor.clone())
        tensor.mul_(2)

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("rl.base.ranks.dist.all_reduce", all_reduce)
    ranks.add_gradients(iter(parameters))
    return sent


def parameter(values: Any, dtype: torch.dtype = torch.float32, gradient: bool = True) -> torch.nn.Parameter:
    """A parameter whose gradient has these values, or that has none."""
    made = torch.nn.Parameter(torch.zeros_like(torch.tensor(values, dtype=dtype)))
    made.grad = torch.tensor(values, dtype=dtype) if gradient else None
    return made


def test_gradients_are_added_in_one_message_a_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    turned = parameter([[0.0, 0.0], [0.0, 0.0]])
    turned.grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).T  # in another order in memory
    parameters = [
        parameter([[1.0, 2.0, 3.0]]),
        parameter([0.5], torch.bfloat16),
        turned,
        parameter(7.0),
        parameter([9.0, 9.0], gradient=False),
        parameter([]),
        parameter([4.0], torch.bfloat16),
    ]
    sent = add_as_two(monkeypatch, parameters)
    assert [tensor.tolist() for tensor in sent] == [[1, 2, 3, 1, 3, 2, 4, 7, 0, 0], [0.5, 4]]
    sums = [p.grad.tolist() for p in parameters if p.grad is not None]
    assert sums == [[[2, 4, 6]], [1], [[2, 6], [4, 8]], 14, [0, 0], [], [8]]
    assert [p.grad.dtype for p in parameters if p.grad is not None] == [p.dtype for p in parameters]


def test_gradients_of_many_bytes_go_in_several_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.base.ranks.BUCKET", 12)  # three numbers
    parameters = [parameter([1.0, 2.0]), parameter([3.0]), parameter([4.0]), parameter([5.0] * 5), parameter([6.0])]
    sent = add_as_two(monkeypatch, parameters)
    assert [tensor.tolist() for tensor in sent] == [[1, 2, 3], [4], [5] * 5, [6]]
    assert [p.grad.tolist() for p in parameters if p.grad is not None] == [[2, 4], [6], [8], [10] * 5, [12]]


def test_a_rank_on_its_own_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = parameter([9.0], gradient=False)
    ranks.add_gradients([alone])
    assert alone.grad is None


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_two_ranks_train_as_one(engine: str, tiny_model: Path, tmp_path: Path) -> None:
    if engine == "vllm":
        pytest.importorskip("vllm", reason="vLLM is not installed here")
    runs = []
    for count in (1, 2):
        whole = recipe(tiny_model, tmp_path / f"ranks-{count}", rollout={"engine": engine}, model={"dtype": "float32"})
        runs.append(torchrun(count, write(whole)))
    one, two = (read_metrics(run) for run in runs)
    assert len(one) == len(two) == 5
    for ours, theirs in zip(one, two, strict=True):
        assert [ours[key] for key in BATCH] == [theirs[key] for key in BATCH]
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
    tokens = [[row.token_ids for row in read_rollouts(run, 5)] for run in runs]
    assert tokens[0] == tokens[1]


@pytest.mark.slow
def test_two_ranks_sample_dynamically_and_ahead_and_resume_exactly(tiny_model: Path, tmp_path: Path) -> None:
    """The second run takes up a checkpoint of the first, with the batches that both ranks had sampled ahead."""
    whole = recipe(
        tiny_model, tmp_path / "run", **DYNAMIC | AHEAD, run={"dir": str(tmp_path / "run"), "save_total_limit": 9}
    )
    run = torchrun(2, write(whole))
    lines = without_clock(read_metrics(run))
    assert [line["staleness"] for line in lines] == [0, 1, 1, 1, 1]
    assert [line["groups/no_signal"] for line in lines] == [0] * 5
    assert sum(line["sampling/groups_tried"] for line in lines) > 20
    batches = [read_rollouts(run, step) for step in range(1, 6)]
    asked = [row.problem_id for rows in batches for row in rows[::4]]
    assert len(asked) == len(set(asked)) == 20
    rewind(run, 4)
    torchrun(2, "--resume", str(run.path))
    assert without_clock(read_metrics(run)) == lines
    assert [read_rollouts(run, step) for step in range(1, 6)] == batches


def write(whole: Recipe) -> str:
    """The file of a recipe, beside its run."""
    file = Path(str(whole.run.dir)).with_suffix(".yaml")
    file.write_text(dump_recipe(whole))
    return str(file)


def torchrun(count: int, *arguments: str) -> RunFolder:
    """Train with so many processes; returns the folder of the run."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "-m", "rl.cli", "train", *arguments], check=True, env=environment, timeout=400)
    return RunFolder.open(Path(arguments[-1]).with_suffix(""))
