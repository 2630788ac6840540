"""The way that a GPU takes in vLLM, on a CPU: no packed layers, `reload_weights` for all, vLLM's own sampler."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here; the transformers engine is what runs")

from rl.config.recipe import ModelSection
from rl.learner.policy import load_policy
from rl.rollout import vllm_engine
from rl.rollout.vllm_engine import VllmEngine, VllmSettings
from tests.rollout.test_vllm_engine import PROMPTS, SAMPLED, SEEDS, gap, tokens

pytestmark = [pytest.mark.vllm, pytest.mark.slow]

FLOOR = {"float32": 1e-5, "bfloat16": 0.04}  # of the gap: what rounding alone makes of it
STALE = 0.1  # a gap that the adapter of these tests makes where the engine does not know of it


def plain_linear(layer: Any, remove_weight: bool) -> None:
    """Stand in for the packing of the CPU build: a layer computes with its own weight, as on a GPU."""
    layer.cpu_linear = torch.nn.functional.linear


@pytest.fixture(params=[("float32", False), ("bfloat16", False), ("bfloat16", True)], ids=str)
def way(request: pytest.FixtureRequest, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An engine in a precision, with asynchronous scheduling or without, none of Penny's shortcuts being taken."""
    dtype, asynchronous = request.param
    monkeypatch.setattr("vllm.model_executor.layers.utils.dispatch_cpu_unquantized_gemm", plain_linear)
    monkeypatch.setattr(vllm_engine, "replace_linear_layers", lambda model, weights: list(weights))
    monkeypatch.setattr(vllm_engine, "pack_head", lambda model: None)
    monkeypatch.setattr(vllm_engine, "install_sampler", lambda worker: None)
    if asynchronous:
        let_it_schedule_ahead(monkeypatch)
    engine = VllmEngine(str(tiny_model), None, VllmSettings("cpu", dtype, 128, 32, True, 1.0, 0.4, False))
    assert engine._llm.llm_engine.vllm_config.scheduler_config.async_scheduling is asynchronous
    yield engine, dtype
    engine.close()


def let_it_schedule_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take back that the CPU build switches asynchronous scheduling off."""
    from vllm.platforms.cpu import CpuPlatform

    before = CpuPlatform.check_and_update_config

    def kept(config: Any) -> None:
        before(config)
        config.scheduler_config.async_scheduling = True

    monkeypatch.setattr(CpuPlatform, "check_and_update_config", staticmethod(kept))


def test_weights_reach_a_model_that_packs_nothing(way: Any, tiny_model: Path) -> None:
    """First an adapter's layers, then every weight of the model, the head and what is tied to it included."""
    engine, name = way
    dtype = getattr(torch, name)
    adapted = load_policy(
        ModelSection(name=str(tiny_model), lora_r=4), "cpu", dtype, seed=0, keep_reference=False, engine_dtype=dtype
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for key, parameter in adapted.trainable.items():
            if "lora_B" in key:
                parameter.normal_(std=0.2)
    plain = engine.generate(PROMPTS, SAMPLED, SEEDS)
    assert gap(adapted, plain, 0.9) > STALE > FLOOR[name]
    engine.load_weights(adapted.export())
    assert gap(adapted, engine.generate(PROMPTS, SAMPLED, SEEDS), 0.9) < FLOOR[name]

    whole = load_policy(ModelSection(name=str(tiny_model), use_peft=False), "cpu", dtype, seed=0, keep_reference=False)
    with torch.no_grad():
        for parameter in whole.trainable.values():
            parameter.mul_(1.2)
    before = engine.generate(PROMPTS, SAMPLED, SEEDS)
    assert gap(whole, before, 0.9) > STALE
    engine.load_weights(whole.export())
    fresh = engine.generate(PROMPTS, SAMPLED, SEEDS)
    assert gap(whole, fresh, 0.9) < FLOOR[name]
    assert tokens(engine.generate(PROMPTS, SAMPLED, SEEDS)) == tokens(fresh)  # prefixes now come from the cache


def test_a_closed_stream_leaves_nothing_behind(way: Any, tiny_model: Path) -> None:
    """What was dropped in the middle of a step keeps no prefix, and changes nothing of what is asked next."""
    engine, _ = way
    expected = engine.generate(PROMPTS, SAMPLED, SEEDS)
    steps = count_refills(engine)
    stream = engine.stream(PROMPTS, SAMPLED, SEEDS)
    next(stream)
    stream.close()
    engine.load_weights([])  # raises if a request still holds a prefix
    assert tokens(engine.generate(PROMPTS, SAMPLED, SEEDS)) == tokens(expected)
    assert count_refills(engine) == steps


def count_refills(engine: VllmEngine) -> list[int]:
    """How often the engine asks for more until each completion has ended, which must not depend on what was before."""
    asked = 0

    def refill() -> list[Any]:
        nonlocal asked
        asked += 1
        return []

    return [asked for _ in engine.stream(PROMPTS, SAMPLED, SEEDS, refill)]
