"""Training on rollouts of a vLLM server that really runs: its words are those of the weights that it was given."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed here")

import torch

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.config.recipe import ModelSection, RolloutSection
from rl.learner.gap import gap_stats
from rl.learner.packing import Sample, pack
from rl.learner.policy import load_policy
from rl.rollout.engine import SamplingParams
from rl.rollout.server_engine import open_server
from rl.rollout.transformers_engine import TransformersEngine
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.training.checks import check_recipe
from rl.training.launch import run_recipe
from tests.training.test_train import STEPS, recipe
from tests.vllm_server import Server, serving

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

PROMPTS = [tuple(range(40, 50)), tuple(range(60, 100))]
SEEDS = [[1, 2, 3], [4]]
SAMPLED = SamplingParams(12, temperature=0.9)


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Server]:
    with serving(
        str(tiny_model), ("--enable-lora", "--max-lora-rank", "8"), {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True"}
    ) as running:
        yield running


def test_each_adapter_speaks_for_itself(server: Server, tiny_model: Path, tmp_path: Path) -> None:
    with contextlib.closing(open_server(RolloutSection(engine="server", server_url=server.url))) as engine:
        greedy = SamplingParams(12, temperature=0.0)
        expected = TransformersEngine(str(tiny_model)).generate(PROMPTS, greedy, SEEDS)
        for ours, theirs in zip(engine.generate(PROMPTS, greedy, SEEDS), expected, strict=True):
            assert [c.token_ids for c in ours] == [c.token_ids for c in theirs]
        section = ModelSection(name=str(tiny_model), lora_r=4)
        policy = load_policy(section, "cpu", torch.float32, seed=0, keep_reference=False)
        said = [engine.generate(PROMPTS, SAMPLED, SEEDS)]
        for number in (1, 2):  # the second must replace the first
            with torch.no_grad():
                for name, parameter in policy.trainable.items():
                    if "lora_B" in name:
                        parameter.normal_(std=0.2, generator=torch.Generator().manual_seed(number))
            policy.save(tmp_path / str(number))
            engine.load_adapter(str(tmp_path / str(number)))
            shutil.rmtree(tmp_path / str(number))  # nobody reads it any more
            said.append(engine.generate(PROMPTS, SAMPLED, SEEDS))
            samples = [
                Sample(prompt, completion.token_ids, completion.logprobs, 0.0, True)
                for prompt, group in zip(PROMPTS, said[-1], strict=True)
                for completion in group
            ]
            (batch,) = pack(samples, 10_000)
            assert gap_stats(policy.logps(batch, 0.9)[0], batch.engine_logps)["gap/mean"] < 1e-3
        assert len({str([[c.token_ids for c in group] for group in groups]) for groups in said}) == 3


@pytest.mark.parametrize("ahead", [0, 1])
def test_a_run_learns_from_a_server(server: Server, tiny_model: Path, tmp_path: Path, ahead: int) -> None:
    rollout = {"engine": "server", "server_url": server.url, "max_staleness": ahead, "max_gap": 10 * ahead or 1e-3}
    whole = recipe(tiny_model, tmp_path / "run", rollout=rollout)
    check_recipe(whole)
    code, folder = run_recipe(whole)
    metrics = read_metrics(RunFolder.open(folder))
    assert code == 0 and len(metrics) == STEPS
    assert [line["staleness"] for line in metrics] == [0] + [ahead] * (STEPS - 1)
    # Paid for low letters, it says more of them, as it does on any engine.
    rewards = [line["reward/mean"] for line in metrics]
    assert sum(rewards[-2:]) > sum(rewards[:2])


def test_servers_that_were_started_otherwise(server: Server, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No server answers"):
        check_recipe(recipe(tiny_model, tmp_path, rollout={"engine": "server", "server_url": "http://127.0.0.1:9/v1"}))
    with contextlib.closing(open_server(RolloutSection(engine="server", server_url=server.url))) as engine:
        big = load_policy(
            ModelSection(name=str(tiny_model), lora_r=16), "cpu", torch.float32, seed=0, keep_reference=False
        )
        big.save(tmp_path / "big")
        with pytest.raises(BadInput, match="does not take the adapter; it says: .*rank"):
            engine.load_adapter(str(tmp_path / "big"))
        server.kill()
        with pytest.raises(RunStopped, match="start it again, and go on with penny train --resume"):
            list(engine.stream(PROMPTS, SAMPLED, SEEDS))
