"""The token budget of a micro-batch: laws of the choice, and measured bytes against the memory model."""

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, LlamaConfig

from rewards.errors import BadInput
from rl.learner import budget
from rl.learner.budget import STEP, PeakBytes, auto_budget, choose_budget, measure_pass, synthetic_samples
from rl.learner.packing import pack
from rl.learner.policy import Policy

CONFIG = LlamaConfig(
    vocab_size=50,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=3,
    num_attention_heads=2,
    num_key_value_heads=1,
)


def lora_policy(checkpointing: bool = False) -> Policy:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIG, attn_implementation="sdpa")
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    adapter = peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    return Policy(peft.get_peft_model(model, adapter).train(), has_adapter=True)


def test_budgets_worked_out_by_hand() -> None:
    assert choose_budget(free_bytes=10_000, fixed=0, bytes_per_token=10) == 768  # 1000 fit, 3 x 256 are a multiple
    assert choose_budget(free_bytes=10_000, fixed=5_000, bytes_per_token=10) == 256
    assert choose_budget(free_bytes=10_000, fixed=8_000, bytes_per_token=10) == 0
    assert choose_budget(free_bytes=10_000, fixed=0, bytes_per_token=1, most=1000) == 768
    with pytest.raises(ValueError, match="0 bytes"):
        choose_budget(1000, 0, 0)


sizes = st.floats(0, 1e12)


@given(sizes, sizes, st.floats(1, 1e7), st.integers(256, 100_000))
def test_a_budget_fits_and_no_larger_one_does(free: float, fixed: float, each: float, most: int) -> None:
    tokens = choose_budget(free, fixed, each, most)
    assert tokens % STEP == 0 and 0 <= tokens <= most
    assert tokens == 0 or tokens * each <= (free - fixed) * (1 + 1e-9)
    assert tokens + STEP > most or (tokens + STEP) * each > (free - fixed) * (1 - 1e-9)


@given(sizes, sizes, sizes, st.floats(1, 1e7))
def test_more_memory_never_means_fewer_tokens(free: float, more: float, fixed: float, each: float) -> None:
    assert choose_budget(free + more, fixed, each) >= choose_budget(free, fixed, each)


@pytest.mark.parametrize("tokens", [256, 768, 7])
def test_synthetic_samples_have_the_tokens_that_were_asked(tokens: int) -> None:
    [batch] = pack(synthetic_samples(tokens, 50), 10_000)
    assert abs(batch.input_ids.numel() - tokens) <= 1


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
    _, each = measure_pass(lora_policy(), 50)
    assert each == pytest.approx((3 * 1088 + 384) * 4, rel=0.15)
    _, kept = measure_pass(lora_policy(checkpointing=True), 50)
    assert kept == pytest.approx((3 * 64 + 384 + 1088) * 4, rel=0.25)


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
