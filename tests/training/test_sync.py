"""What the engine gets after a step: the policy's weights, whole or as an adapter, and what that cost."""

from pathlib import Path
from typing import Any

import pytest
import torch

from rl.config.recipe import ModelSection, RolloutSection
from rl.learner.policy import load_policy
from rl.rollout.build import pick_sync
from rl.rollout.engine import SamplingParams
from rl.rollout.transformers_engine import TransformersEngine
from rl.training.sync import WeightSync, in_memory

PROMPT = tuple(range(40, 60))
LINEAR = 128 * 128 + 2 * 64 * 128 + 128 * 128 + 3 * 128 * 256  # q; k and v; o; gate, up and down: weights of a layer
ADAPTER = 4 * ((128 + 128) + 2 * (128 + 64) + (128 + 128) + 3 * (128 + 256))  # of rank 4 on each of them


def weight_sync(tiny_model: Path, scratch: Path, rollout: RolloutSection, engine: Any = None) -> WeightSync:
    """A policy that has learned something, and an engine that does not know it yet."""
    model = ModelSection(name=str(tiny_model), lora_r=4)
    policy = load_policy(model, "cpu", torch.float32, seed=0, keep_reference=False)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in policy.trainable.items():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return WeightSync(policy, engine or TransformersEngine(str(tiny_model)), rollout, scratch)


def agree(sync: WeightSync) -> bool:
    """Whether the engine says of its own completions what the policy says of them."""
    [[completion]] = sync.engine.generate([PROMPT], SamplingParams(12), [[3]])
    ids = torch.tensor([[*PROMPT, *completion.token_ids]])
    policy = sync.policy
    policy.use_layout("padded")
    with torch.no_grad():
        logits = policy.causal_lm(input_ids=ids, use_cache=False).logits[0, len(PROMPT) - 1 : -1]
    chosen = logits.log_softmax(-1).gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
    return completion.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)


@pytest.mark.parametrize(
    ("way", "size"), [("auto", 4 * 2 * LINEAR), ("merged", 4 * 2 * LINEAR), ("adapter", 4 * 2 * ADAPTER)]
)
def test_the_engine_gets_the_policys_weights(tiny_model: Path, tmp_path: Path, way: Any, size: int) -> None:
    rollout = RolloutSection(weight_sync=way, engine="transformers")
    with weight_sync(tiny_model, tmp_path, rollout) as sync:
        assert not agree(sync)
        metrics = sync.hand_over()
        assert agree(sync)
        assert metrics.keys() == {"sync/seconds", "sync/bytes"}
        assert metrics["sync/bytes"] == size and 0 < metrics["sync/seconds"] < 60
        assert list(tmp_path.iterdir()) == []
        assert pick_sync(rollout) == ("adapter" if way == "adapter" else "merged")


class Keeping:
    """An engine that notes which folders are there whenever it gets a new one, and takes no folder when `broken`."""

    def __init__(self) -> None:
        self.given: list[Path] = []
        self.there: list[list[bool]] = []
        self.broken = False

    def load_adapter(self, folder: str) -> None:
        self.given.append(Path(folder))
        self.there.append([(place / "adapter_model.safetensors").is_file() for place in self.given])
        if self.broken:
            raise RuntimeError("not taken")


@pytest.mark.parametrize("shared", [False, True])
def test_an_adapters_folder_stays_until_the_engine_has_the_next(tiny_model: Path, tmp_path: Path, shared: bool) -> None:
    engine, place = Keeping(), str(tmp_path) if shared else None
    rollout = RolloutSection(weight_sync="adapter", engine="transformers", server_folder=place)
    with weight_sync(tiny_model, tmp_path, rollout, engine) as sync:
        for _ in range(3):
            sync.hand_over()
        assert engine.there == [[True], [True, True], [False, True, True]]
        assert [place.exists() for place in engine.given] == [False, False, True]
        engine.broken = True
        with pytest.raises(RuntimeError, match="not taken"):
            sync.hand_over()
        assert [place.exists() for place in engine.given] == [False, False, True, False]
    assert not any(place.exists() for place in engine.given)
    with weight_sync(tiny_model, tmp_path, rollout, engine):
        pass  # a run that ends before its first sync has no folder


def test_what_does_not_fit_into_memory_goes_to_the_disk(tmp_path: Path) -> None:
    assert in_memory(tmp_path, 1 << 60) == tmp_path
