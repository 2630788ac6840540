"""Every fast path of the learner against the slow one, on tiny models of the families that recipes use.

Fast: prefix trees, block attention, fused adapters, chunked vocabulary projection. Slow: one padded row a sequence
through transformers' own forward pass, peft's own adapters, logits of everything.
"""

import copy
from typing import Any

import peft
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
)

from rl.config.recipe import AlgorithmSection, OptimizerSection
from rl.learner.lora import fuse_adapters
from rl.learner.packing import Sample
from rl.learner.policy import Policy
from rl.learner.selfcheck import made_up, pick_layout
from rl.learner.step import LearnerSettings, learn

SIZES: dict[str, Any] = {
    "vocab_size": 101,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
CONFIGS = {
    "llama": LlamaConfig(**SIZES),
    "qwen2": Qwen2Config(**SIZES),
    "qwen3": Qwen3Config(**SIZES, head_dim=16),
    "gemma": GemmaConfig(**SIZES, head_dim=8),
    "gemma3": Gemma3TextConfig(**SIZES, head_dim=8, query_pre_attn_scalar=8, sliding_window=64),
    "qwen3-moe": Qwen3MoeConfig(**SIZES, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16),
}
LONGEST = 40


def build(config: Any, *, lora: bool, fast: bool) -> Policy:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    for parameter in model.parameters():  # away from the flat distributions of an untrained model
        parameter.data *= 3 if parameter.ndim > 1 else 1
    reference = None if lora else copy.deepcopy(model).requires_grad_(False)
    if not lora:
        for parameter in model.parameters():  # or else the KL would be 0
            parameter.data += 0.1 * torch.randn_like(parameter)
        return Policy(model, has_adapter=False, reference=reference)
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    if fast:
        assert fuse_adapters(adapted) > 0
    return Policy(adapted, has_adapter=True)


def rollouts() -> list[Sample]:
    """The self-check's sequences with advantages of both signs, one of them not counted."""
    samples = made_up(101)
    advantages = [1.0, -0.5, 0.7, -1.2, 0.3, 0.9]
    return [
        Sample(s.prompt_ids, s.completion_ids, (-4.0,) * len(s.completion_ids), a, i != 4)
        for i, (s, a) in enumerate(zip(samples, advantages, strict=True))
    ]


def updated(policy: Policy, algorithm: AlgorithmSection) -> tuple[dict[str, float], dict[int, list[float]], list[Any]]:
    """Metrics, log-probabilities and gradients of one step."""
    optimizer = torch.optim.SGD(policy.trainable.values(), lr=0.0)
    section = OptimizerSection(max_grad_norm=0, micro_batch_tokens=60)  # two micro-batches or more
    update = learn(policy, optimizer, rollouts(), algorithm, section, LearnerSettings(0.8, 16, 100.0))
    return update.metrics, update.logps, [p.grad.clone() for p in policy.trainable.values() if p.grad is not None]


@pytest.mark.parametrize("beta", [0.0, 0.05], ids=["no KL", "KL"])
@pytest.mark.parametrize("lora", [True, False], ids=["LoRA", "full"])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_step_is_that_of_the_slow_path(family: str, lora: bool, beta: float) -> None:
    algorithm = AlgorithmSection(beta=beta, loss_type="grpo", importance_sampling_correction="token_truncate")
    results = []
    for fast in (True, False):
        policy = build(CONFIGS[family], lora=lora, fast=fast)
        if not fast:
            policy.use_layout("padded", "whole")
        results.append(updated(policy, algorithm))
    (metrics, logps, grads), (slow_metrics, slow_logps, slow_grads) = results
    for computed in (metrics, slow_metrics):  # the load of experts counts what is computed: padding, too
        assert ("moe/max_load" in computed) == (family == "qwen3-moe")
        computed.pop("moe/max_load", None)
        computed.pop("moe/idle_experts", None)
    assert metrics == pytest.approx(slow_metrics, abs=1e-5, rel=1e-5)
    assert (metrics.get("kl", 0.0) > 1e-3) == (beta > 0)
    assert logps.keys() == slow_logps.keys()
    for index, values in logps.items():
        assert values == pytest.approx(slow_logps[index], abs=1e-5)
    assert len(grads) == len(slow_grads)
    for one, other in zip(grads, slow_grads, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("lora", [True, False], ids=["LoRA", "full"])
def test_the_self_check_lets_these_be_packed(family: str, lora: bool) -> None:
    policy = build(CONFIGS[family], lora=lora, fast=True)
    state = torch.get_rng_state()
    assert pick_layout(policy, LONGEST) is None
    assert policy.layout == "tree"
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in policy.trainable.values())


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (MistralConfig(**SIZES, sliding_window=16), "its attention looks back 16 tokens"),
        (MambaConfig(vocab_size=101, hidden_size=32, num_hidden_layers=2, state_size=8, eos_token_id=2), "differ by"),
    ],
    ids=["sliding window", "state space"],
)
def test_the_self_check_falls_back_to_padded_rows(config: Any, reason: str) -> None:
    policy = build(config, lora=False, fast=True)
    found = pick_layout(policy, LONGEST)
    assert found is not None and reason in found
    assert policy.layout == "padded"
    metrics, logps, _ = updated(policy, AlgorithmSection(importance_sampling_correction="none"))
    sample = rollouts()[0]
    ids = torch.tensor([sample.prompt_ids + sample.completion_ids])
    with torch.no_grad():  # the model alone, one sequence
        table = torch.log_softmax(policy.causal_lm(ids).logits[0, len(sample.prompt_ids) - 1 : -1] / 0.8, -1)
    expected = table[range(len(sample.completion_ids)), list(sample.completion_ids)]
    assert logps[0] == pytest.approx(expected.tolist(), abs=1e-4)
    assert metrics["gap/mean"] > 0
