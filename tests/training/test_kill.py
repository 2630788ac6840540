"""kill -9 in the middle of a run, several times, through the command line: the result is that of a run left alone."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rl.config.recipe import Recipe
from rl.config.recipe_file import dump_recipe
from rl.run.checkpoints import latest_checkpoint
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.run.rollouts import read_rollouts, rollout_steps

STEPS = 16
ROOT = Path(__file__).parents[2]
CLOCKED = ("time/", "tokens_per_second", "dollars", "sync/seconds")


def write_recipe(model: Path, engine: str, folder: Path, ahead: bool = False) -> Path:
    """A recipe whose run goes to `folder`; `ahead`: with dynamic sampling, and each batch sampled ahead."""
    reward = "first_is_low" if ahead else "share_of_low_letters"
    rollout = {"max_staleness": 1, "max_gap": 10} if ahead else {}
    recipe = Recipe.model_validate(
        {
            "name": "kill",
            "model": {"name": str(model), "lora_r": 4},
            "problems": {"source": "arithmetic", "size": 200, "chat_template": False},
            "rewards": {"functions": {f"{ROOT}/tests/training/letter_reward.py:{reward}": 1.0}},
            "rollout": {"engine": engine, "device": "cpu", "num_generations": 4, "max_completion_length": 24} | rollout,
            "algorithm": {"problems_per_step": 4, "num_iterations": 2, "dynamic_sampling": ahead},
            "optimizer": {"learning_rate": 0.01, "max_steps": STEPS, "lr_scheduler_type": "linear", "warmup_steps": 3},
            "evaluation": {"size": 10, "every": 5},
            "run": {"dir": str(folder), "save_steps": 3},
        }
    )
    path = folder.with_suffix(".yaml")
    path.write_text(dump_recipe(recipe))
    return path


def penny(*arguments: str) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    return subprocess.Popen([sys.executable, "-m", "rl.cli", "train", *arguments], env=environment)


def sessions(folder: Path) -> int:
    """How many times the run has come as far as having a model and an engine."""
    manifest = folder / "manifest.json"
    return manifest.read_text().count('"command"') if manifest.exists() else 0


def kill_in_training(process: subprocess.Popen, folder: Path, session: int, seconds: float) -> None:
    """SIGKILL some seconds after the training of this session began."""
    while sessions(folder) <= session and process.poll() is None:
        time.sleep(0.05)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, True], ids=["plain", "dynamic-ahead"])
@pytest.mark.parametrize("engine", ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)])
def test_killed_three_times_and_resumed(engine: str, ahead: bool, tiny_model: Path, tmp_path: Path) -> None:
    if engine == "vllm":
        pytest.importorskip("vllm", reason="vLLM is not installed here")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert penny(str(write_recipe(tiny_model, engine, whole, ahead))).wait() == 0
    moments = random.Random(os.environ.get("PENNY_TEST_SEED", "penny"))
    process = penny(str(write_recipe(tiny_model, engine, killed, ahead)))
    for session in range(3):
        kill_in_training(process, killed, session, moments.uniform(0, 4))
        process = penny("--resume", str(killed))
    assert process.wait() == 0
    assert same(RunFolder.open(whole), RunFolder.open(killed))


def same(one: RunFolder, other: RunFolder) -> bool:
    """Assert equality of metrics, rollouts and weights to the last bit."""
    metrics = [
        [{k: v for k, v in line.items() if not k.startswith(CLOCKED)} for line in read_metrics(run)]
        for run in (one, other)
    ]
    assert len(metrics[0]) == STEPS and metrics[0] == metrics[1]
    assert rollout_steps(one) == rollout_steps(other) == list(range(1, STEPS + 1))
    assert all(read_rollouts(one, step) == read_rollouts(other, step) for step in range(1, STEPS + 1))
    ours, theirs = (load_file(latest_checkpoint(run) / "policy/adapter_model.safetensors") for run in (one, other))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    states = [torch.load(latest_checkpoint(run) / "state.pt", weights_only=True) for run in (one, other)]
    moments = [state["optimizer"]["state"] for state in states]
    assert all(torch.equal(moments[0][i][k], moments[1][i][k]) for i in moments[0] for k in moments[0][i])
    return True


@pytest.mark.slow
def test_sigterm_saves_and_exits_cleanly(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = penny(str(write_recipe(tiny_model, "transformers", folder)))
    while not len(list(folder.glob("rollouts/step-*.parquet"))) >= 2 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    run = RunFolder.open(folder)
    steps = len(read_metrics(run))
    assert 2 <= steps < STEPS and latest_checkpoint(run).name == f"step-{steps:06d}"
