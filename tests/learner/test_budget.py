"""The token budget of a micro-batch: laws of the choice, and measured bytes against the memory model."""

import copy
from types import SimpleNamespace
from typing import Any

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig

from rewards.errors import BadInput
from rl.learner import budget
from rl.learner import head as head_module
from rl.learner.budget import (
    MOST_TOKENS,
    SPARE,
    STEP,
    PassCost,
    PeakBytes,
    auto_budget,
    choose_budget,
    measure_pass,
    synthetic_samples,
)
from rl.learner.packing import Layout, MicroBatch, pack
from rl.learner.policy import Policy

CONFIG = LlamaConfig(
    vocab_size=50,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=3,
    num_attention_heads=2,
    num_key_value_heads=1,
)


def lora_policy(checkpointing: bool = False, vocabulary: int = 50) -> Policy:
    torch.manual_seed(0)
    config = copy.deepcopy(CONFIG)
    config.vocab_size = vocabulary
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    return Policy(peft.get_peft_model(model, adapter).train(), has_adapter=True)


def test_budgets_worked_out_by_hand() -> None:
    assert choose_budget(10_000, PassCost(0, 10)) == 768  # 1000 fit, 3 x 256 are a multiple
    assert choose_budget(10_000, PassCost(5_000, 10)) == 256
    assert choose_budget(10_000, PassCost(8_000, 10)) == 0
    assert choose_budget(10_000, PassCost(0, 1), most=1000) == 768
    assert choose_budget(10_000, PassCost(0, 5, row=5, rows=2000)) == 768  # logits of all 1000
    assert choose_budget(10_000, PassCost(0, 5, row=50, rows=100)) == 1000 // 256 * 256  # 5000 for logits
    assert choose_budget(10_000, PassCost(0, 5, row=25, rows=100)) == 1500 // 256 * 256  # 2500 for logits
    with pytest.raises(ValueError, match="0 bytes"):
        choose_budget(1000, PassCost(0, 0))


sizes = st.floats(0, 1e12)
costs = st.builds(PassCost, sizes, st.floats(1, 1e7), st.floats(0, 1e7), st.integers(0, 10_000))


@given(sizes, costs, st.integers(256, 100_000))
def test_a_budget_fits_and_no_larger_one_does(free: float, cost: PassCost, most: int) -> None:
    tokens = choose_budget(free, cost, most)
    assert tokens % STEP == 0 and 0 <= tokens <= most
    assert tokens == 0 or cost.of(tokens) <= free * (1 + 1e-9)
    assert tokens + STEP > most or cost.of(tokens + STEP) > free * (1 - 1e-9)


@given(sizes, sizes, costs)
def test_more_memory_never_means_fewer_tokens(free: float, more: float, cost: PassCost) -> None:
    assert choose_budget(free + more, cost) >= choose_budget(free, cost)


@pytest.mark.parametrize(("tokens", "predicted"), [(256, 3), (768, 3), (768, 767), (7, 5)])
def test_synthetic_samples_have_the_tokens_that_were_asked(tokens: int, predicted: int) -> None:
    [batch] = pack(synthetic_samples(tokens, 50, predicted), 10_000)
    assert batch.input_ids.numel() == tokens
    assert len(batch.source.unique()) == predicted


@pytest.mark.parametrize("vocabulary", [151_936, 49_152, 1000])
@pytest.mark.parametrize("free", [2e9, 8e9, 20e9])
def test_the_budget_is_what_fits_although_the_head_takes_more_than_the_layers(
    free: float, vocabulary: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GPU's memory as a formula: 0.3 MB a token in the layers, and float32 logits three times for a chunk of them."""
    rows = 2**27 // vocabulary

    def bytes_of(tokens: int, predicted: int) -> float:
        return 1e8 + 3e5 * tokens + max(12.0 * vocabulary * min(predicted, rows), 2e4 * tokens)  # the head, then layers

    def measured(_policy: Any, batch: MicroBatch, _entropy: bool) -> float:
        return bytes_of(batch.input_ids.numel(), len(batch.source.unique()))

    monkeypatch.setattr(budget, "pass_bytes", measured)
    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=vocabulary))
    fake: Any = SimpleNamespace(
        causal_lm=SimpleNamespace(config=config), device=torch.device("cuda"), trainable={}, layout="tree", head="plain"
    )
    best = max(n for n in range(0, MOST_TOKENS + 1, STEP) if n == 0 or bytes_of(n, n) <= free * (1 - SPARE))
    found = auto_budget(fake, free)
    assert 0.9 * best - STEP <= found <= best


def test_bytes_alive_are_counted_once_and_given_back() -> None:
    """Two of 4000 bytes and a view alive at once; then one is dropped, and a third made."""
    model = torch.nn.Linear(1, 1)
    with PeakBytes(model) as alive:
        first = torch.zeros(1000)
        second = first + 1
        view = second[:10]
        assert alive.peak == 8000
        del first
        third = view.new_zeros(500)
    assert alive.peak == 8000 and len(third) == 500


def test_measured_bytes_are_those_of_the_memory_model() -> None:
    """Numbers a token, by hand: in each of 3 layers 6 x 64 + 2 x 64 + 2 x 32 + 4 x 128 = 1088; beside them 384."""
    each = measure_pass(lora_policy()).token
    assert each == pytest.approx((3 * 1088 + 384) * 4, rel=0.15)
    kept = measure_pass(lora_policy(checkpointing=True)).token
    assert kept == pytest.approx((3 * 64 + 384 + 1088) * 4, rel=0.25)


@pytest.mark.parametrize("layout", ["tree", "padded"])
def test_a_measured_cost_foretells_larger_passes(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 16 rows of 2000 logits at once: the head is beyond its chunk in every pass."""
    monkeypatch.setitem(head_module.CHUNK_ELEMENTS, "cpu", 16 * 2000)
    policy = lora_policy(vocabulary=2000)
    policy.use_layout(layout)
    cost = measure_pass(policy)
    batch = budget.made_up_batch(policy, synthetic_samples(2048, 2000, 2047))
    assert cost.of(batch.input_ids.numel()) == pytest.approx(budget.pass_bytes(policy, batch, False), rel=0.1)


def test_the_budget_follows_what_is_free_and_leaves_no_gradient() -> None:
    policy = lora_policy()
    assert auto_budget(policy, 2**30, most=2048) == 2048
    tight, loose = auto_budget(policy, 20e6), auto_budget(policy, 40e6)
    assert 0 < tight < loose
    assert auto_budget(policy, 20e6) == tight
    assert all(p.grad is None for p in policy.trainable.values())
    with pytest.raises(BadInput, match="gradient_checkpointing"):
        auto_budget(policy, 1e6)


def test_something_is_available_here() -> None:
    assert budget.available_bytes("cpu") > 1e8
