"""Mixtures of experts: what learns, how even they are used, and that engines get what was learned."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, Qwen3MoeConfig, Qwen3MoeForCausalLM

from rl.config.recipe import ModelSection
from rl.learner.experts import RouterWatch, find_routers, load_metrics
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy, load_policy
from rl.models.source import load_model
from rl.models.tiny import SIZES, save_tiny_mixture
from rl.rollout.engine import RolloutEngine, SamplingParams
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics
from rl.training.launch import run_recipe
from tests.conftest import byte_tokenizer
from tests.training.test_train import recipe

SHARED = (*SIZES, "vocab_size", "num_experts", "num_experts_per_tok", "bos_token_id", "eos_token_id", "pad_token_id")


@pytest.fixture(scope="module", params=["qwen3-moe", "olmoe"])
def mixture(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random mixture of experts, two layers, with a tokenizer of single bytes."""
    tokenizer = byte_tokenizer()
    folder = tmp_path_factory.mktemp("models") / request.param
    save_tiny_mixture(tokenizer, folder)
    if request.param == "qwen3-moe":
        plain = AutoConfig.from_pretrained(folder).to_dict()
        shared = {name: plain[name] for name in SHARED}
        torch.manual_seed(0)
        config = Qwen3MoeConfig(**shared, moe_intermediate_size=64, num_key_value_heads=1, head_dim=64)
        Qwen3MoeForCausalLM(config).save_pretrained(folder)
    return folder


def policy(folder: Path, engine_dtype: torch.dtype | None = None, **keys: Any) -> Policy:
    section = ModelSection(name=str(folder), lora_r=4, **keys)
    return load_policy(section, "cpu", torch.float32, seed=0, keep_reference=False, engine_dtype=engine_dtype)


def shaken(learner: Policy) -> Policy:
    """The policy as if it had learned: everything that learns is moved."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in learner.trainable.values():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return learner


def test_adapters_are_on_the_experts_and_not_on_the_router(mixture: Path) -> None:
    names = policy(mixture).trainable
    assert any("mlp.experts" in name for name in names) and any("q_proj" in name for name in names)
    assert not any("gate.lora" in name or "lm_head" in name for name in names)
    assert any("mlp.gate" in name for name in policy(mixture, train_router=True).trainable)
    attention = policy(mixture, lora_target_modules=["q_proj"]).trainable
    assert attention and all("q_proj" in name for name in attention)


def test_full_fine_tuning_leaves_the_router_as_it_was(mixture: Path) -> None:
    names = policy(mixture, use_peft=False).trainable
    assert any("experts.gate_up_proj" in name for name in names) and not any("mlp.gate." in name for name in names)
    assert any("mlp.gate." in name for name in policy(mixture, use_peft=False, train_router=True).trainable)


@pytest.mark.parametrize("keys", [{}, {"use_peft": False}, {"train_router": True}], ids=["lora", "full", "router"])
def test_what_is_exported_is_what_was_learned(mixture: Path, keys: dict[str, Any]) -> None:
    learner = shaken(policy(mixture, **keys))
    learner.model.eval()
    plain = load_model(str(mixture))
    weights = dict(learner.export())
    assert not plain.load_state_dict(weights, strict=False).unexpected_keys
    ids = torch.arange(3, 60)[None]
    learner.use_layout("padded")
    with torch.no_grad():
        ours, theirs = learner.causal_lm(ids).logits, plain(ids).logits
        assert torch.allclose(ours, theirs, atol=1e-4)
        assert not torch.allclose(theirs, load_model(str(mixture))(ids).logits, atol=1e-2)


def engines() -> list[Any]:
    return ["transformers", pytest.param("vllm", marks=pytest.mark.vllm)]


@pytest.fixture(params=engines())
def engine(request: pytest.FixtureRequest, mixture: Path) -> Iterator[RolloutEngine]:
    if request.param == "transformers":
        from rl.rollout.transformers_engine import TransformersEngine

        running: RolloutEngine = TransformersEngine(str(mixture), None, torch.float32, "cpu", 8)
    else:
        pytest.importorskip("vllm")
        from rl.rollout.vllm_engine import VllmEngine, VllmSettings

        settings = VllmSettings(
            device="cpu", dtype="float32", max_model_length=128, max_num_seqs=8, enforce_eager=True, kv_cache_gib=0.25,
            gpu_memory_utilization=0.4, enable_sleep_mode=False, max_lora_rank=0,
        )  # fmt: skip
        running = VllmEngine(str(mixture), None, settings)
    yield running
    running.close()


@pytest.mark.slow
def test_no_gap_between_engine_and_learner_before_and_after_learning(mixture: Path, engine: RolloutEngine) -> None:
    prompt = (5, 6, 7, 8)
    for learner in (policy(mixture), shaken(policy(mixture)), shaken(policy(mixture, torch.float32))):
        engine.load_weights(learner.export())
        [group] = engine.generate([prompt], SamplingParams(12), [[1, 2, 3]])
        samples = [Sample(prompt, c.token_ids, c.logprobs, 1.0, True) for c in group]
        [batch] = pack(samples, 4096, layout=learner.layout)
        logps = learner.frozen_logps(batch, 1.0)
        assert torch.allclose(logps, batch.engine_logps, atol=1e-4)


@pytest.mark.slow
def test_an_engine_keeps_weights_of_its_own(mixture: Path, engine: RolloutEngine) -> None:
    learner = shaken(policy(mixture, torch.float32))
    said = []
    for sync in (True, False, True):
        shared = dict(learner.export())
        if sync:
            engine.load_weights(shared.items())
        said.append(engine.generate([(5, 6, 7, 8)], SamplingParams(12), [[1, 2, 3]]))
        shaken(learner)
    assert said[0] == said[1] != said[2]


def test_counts_and_loss_of_the_balance_by_hand(mixture: Path) -> None:
    model = load_model(str(mixture))
    watch = RouterWatch(model)
    ids = torch.arange(3, 40)[None]
    with watch.opened(), torch.no_grad():
        logits = model.model(ids, output_router_logits=True).router_logits
    model.model(ids)  # not watched
    share, mean = torch.zeros(2), torch.zeros(2)
    every = torch.cat(list(logits))  # [2 T, 4]: the library looks at all layers together
    chosen = every.topk(2, dim=-1).indices
    share = torch.stack([(chosen == expert).any(dim=-1).float().mean() for expert in range(4)])
    mean = every.softmax(-1).mean(dim=0)
    assert float(watch.balance_loss()) == pytest.approx(float(4 * (share * mean).sum()), rel=1e-5)
    counts = watch.take_counts()
    assert list(counts) == list(find_routers(model)) and all(int(c.sum()) == 2 * 37 for c in counts.values())
    first = torch.stack([(logits[0].topk(2, dim=-1).indices == expert).sum() for expert in range(4)])
    assert torch.equal(next(iter(counts.values())), first)
    assert watch.take_counts() == {}


def test_load_metrics_by_hand() -> None:
    counts = [
        {"a": torch.tensor([6, 2, 0, 0]), "b": torch.tensor([1, 1, 1, 1])},
        {"a": torch.tensor([0, 0, 0, 0]), "b": torch.tensor([1, 1, 1, 1])},
    ]
    # a: 6 of 8 is 3 times the even 2 of 8, and two of four are idle; b: even
    assert load_metrics(counts) == {"moe/max_load": (3.0 + 1.0) / 2, "moe/idle_experts": 2 / 8}
    assert load_metrics([{}]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("coefficient", [0.0, 0.01])
def test_a_mixture_learns_end_to_end(mixture: Path, tmp_path: Path, coefficient: float) -> None:
    keys = {"router_aux_loss_coef": coefficient, "train_router": coefficient > 0}
    whole = recipe(mixture, tmp_path / "run", evaluation={"every": 0})
    whole = whole.model_copy(update={"model": whole.model.model_copy(update=keys)})
    assert run_recipe(whole)[0] == 0
    metrics = read_metrics(RunFolder(tmp_path / "run"))
    assert max(line["gap/mean"] for line in metrics) < 1e-4
    assert all(1 <= line["moe/max_load"] <= 4 and 0 <= line["moe/idle_experts"] < 1 for line in metrics)
    assert all(("moe/balance_loss" in line) == (coefficient > 0) for line in metrics)
    assert metrics[-1]["reward/mean"] > metrics[0]["reward/mean"]
