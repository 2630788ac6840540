"""Two ranks under torchrun train as one process does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rl.recipe import Recipe
from rl.recipe_file import dump_recipe
from rl.run.checkpoints import rewind
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.run.rollouts import read_rollouts
from tests.test_train import recipe, without_clock
from tests.test_train_modes import AHEAD, DYNAMIC

ROOT = Path(__file__).parents[1]
BATCH = ("reward/mean", "pass_rate", "completions/mean_length", "tokens", "groups/no_signal")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_two_ranks_train_as_one(engine: str, tiny_model: Path, tmp_path: Path) -> None:
    if engine == "vllm":
        pytest.importorskip("vllm", reason="vLLM is not installed here")
    runs = []
    for ranks in (1, 2):
        whole = recipe(tiny_model, tmp_path / f"ranks-{ranks}", rollout={"engine": engine})
        runs.append(torchrun(ranks, write(whole)))
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


def torchrun(ranks: int, *arguments: str) -> RunFolder:
    """Train with so many processes; returns the folder of the run."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "-m", "rl.cli", "train", *arguments], check=True, env=environment, timeout=400)
    return RunFolder.open(Path(arguments[-1]).with_suffix(""))
