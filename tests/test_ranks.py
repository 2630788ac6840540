"""Two ranks under torchrun train as one process does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rl.recipe_file import dump_recipe
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.run.rollouts import read_rollouts
from tests.test_train import recipe

ROOT = Path(__file__).parents[1]
BATCH = ("reward/mean", "pass_rate", "completions/mean_length", "tokens", "groups/no_signal")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_two_ranks_train_as_one(engine: str, tiny_model: Path, tmp_path: Path) -> None:
    if engine == "vllm":
        pytest.importorskip("vllm", reason="vLLM is not installed here")
    runs = []
    for ranks in (1, 2):
        folder = tmp_path / f"ranks-{ranks}"
        file = folder.with_suffix(".yaml")
        file.write_text(dump_recipe(recipe(tiny_model, folder, rollout={"engine": engine})))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(ranks)]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
        subprocess.run([*command, "-m", "rl.cli", "train", str(file)], check=True, env=environment, timeout=400)
        runs.append(RunFolder.open(folder))
    one, two = (read_metrics(run) for run in runs)
    assert len(one) == len(two) == 5
    for ours, theirs in zip(one, two, strict=True):
        assert [ours[key] for key in BATCH] == [theirs[key] for key in BATCH]
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)
    tokens = [[row.token_ids for row in read_rollouts(run, 5)] for run in runs]
    assert tokens[0] == tokens[1]
