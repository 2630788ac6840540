"""How a model is computed: what the self-check lets pass, what it refuses, in float32 and in half precision."""

import copy
from typing import Any

import peft
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GraniteConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
)

from rl.config.recipe import OptimizerSection
from rl.learner import head as head_module
from rl.learner.own_head import own_head
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy
from rl.learner.selfcheck import apart, computed, pick_layout, tolerance
from rl.learner.step import pack_useful

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
GEMMA: dict[str, Any] = {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 64}
LLAMA = LlamaConfig(**SIZES)
WINDOW = MistralConfig(**SIZES, sliding_window=16)
CHANGED = {  # models that do something to their logits
    "gemma2": Gemma2Config(**GEMMA, final_logit_softcapping=5.0),
    "gemma3": Gemma3TextConfig(**GEMMA, final_logit_softcapping=5.0),
    "granite": GraniteConfig(**SIZES, logits_scaling=4.0),
    "cohere": CohereConfig(**SIZES, logit_scale=0.25),
}
LONGEST = 40


def learner(config: Any, dtype: torch.dtype = torch.float32, *, lora: bool = True, kind: Any = None) -> Policy:
    """A random model with an adapter that does something, its base in `dtype`; or whole, in autocast to `dtype`."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config)) if kind is None else kind(copy.deepcopy(config))
    for parameter in model.parameters():
        parameter.data *= 3 if parameter.ndim > 1 else 1
    if not lora:
        return Policy(model, has_adapter=False, autocast=None if dtype == torch.float32 else dtype)
    adapted = peft.get_peft_model(
        model.to(dtype), peft.LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM")
    )
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.05)
    return Policy(adapted, has_adapter=True)


def test_what_is_allowed_worked_out_by_hand() -> None:
    assert tolerance(torch.float32, (0.0, 0.0)) == (1e-4, 1e-3)  # the least
    assert tolerance(torch.float32, (0.01, 0.02)) == (0.05, 0.1)  # 5 times the noise
    assert tolerance(torch.bfloat16, (0.3, 0.2)) == (0.5, 0.5)  # the most
    assert tolerance(torch.float16, (0.0, 0.01)) == (1e-3, 0.05)


def test_distances_worked_out_by_hand() -> None:
    ours, theirs = (
        (torch.tensor([0.0, 3.0]), [torch.tensor([1.0, 1.0])]),
        (torch.tensor([4.0, 0.0]), [torch.tensor([1.0, 0.0])]),
    )
    assert apart(ours, theirs) == (pytest.approx((25 / 2) ** 0.5), pytest.approx(1.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_what_rounding_does_is_let_pass_and_a_short_window_is_not(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window of 16 moves few log-probabilities of so small a model; in bfloat16 by 0.18 at most."""
    assert pick_layout(learner(LLAMA, dtype), LONGEST) is None
    monkeypatch.setattr("rl.learner.selfcheck.window_too_short", lambda *_: None)
    found = pick_layout(learner(WINDOW, dtype), LONGEST)
    assert found is not None and "log-probabilities differ by" in found


def test_a_whole_model_that_learns_in_bfloat16_is_packed() -> None:
    policy = learner(LLAMA, torch.bfloat16, lora=False)
    assert policy.compute_dtype == torch.bfloat16
    assert pick_layout(policy, LONGEST) is None


@pytest.mark.parametrize("family", CHANGED)
def test_logits_are_made_as_the_model_makes_them(family: str) -> None:
    policy = learner(CHANGED[family])
    found = pick_layout(policy, LONGEST)
    assert policy.head == "own"
    assert (policy.layout == "tree") == (family != "gemma2") == (found is None)  # gemma2 caps its scores, too
    rows = computed(policy, "padded", "whole")
    for head in ("own", "plain"):
        ours = computed(policy, "padded", head)
        close = torch.allclose(ours[0], rows[0], atol=1e-5) and all(
            torch.allclose(one, other, atol=1e-6) for one, other in zip(ours[1], rows[1], strict=True)
        )
        assert close == (head == "own")


def test_a_plain_model_has_the_plain_head_also_on_padded_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rl.learner.selfcheck.window_too_short", lambda *_: "its window is short")
    policy = learner(LLAMA)
    assert pick_layout(policy, LONGEST) == "its window is short"
    assert (policy.layout, policy.head) == ("padded", "plain")


class Largest(TorchDispatchMode):
    """Notes the most elements of a tensor with the vocabulary as its last dimension."""

    rows = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **kwargs or {})
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.ndim > 1 and tensor.shape[-1] == 101:
                self.rows = max(self.rows, tensor.numel() // 101)
        return made


@pytest.mark.parametrize("config", [LLAMA, CHANGED["gemma2"]], ids=["plain", "own"])
def test_padded_rows_never_have_all_logits_at_once(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(head_module.CHUNK_ELEMENTS, "cpu", 16 * 101)
    policy = learner(config)
    policy.use_layout("padded")
    policy.use_layout("padded", policy.find_head())
    [batch] = pack(
        [Sample((1, 2), tuple(range(i, i + 40)), (0.0,) * 40, 1.0, True) for i in range(6)], 10_000, None, "padded"
    )
    with Largest() as seen:
        policy.logps(batch, 1.0)[0].sum().backward()
    assert (
        seen.rows == 32
    )  # 16 logits, and their exponentials in the same tensor; or those of the width 32 of the model


class Position(LlamaForCausalLM):
    """A model whose logits depend on more than its hidden states."""

    def forward(self, input_ids: Tensor, position_ids: Tensor | None = None, **options: Any) -> Any:
        made = super().forward(input_ids=input_ids, position_ids=position_ids, **options)
        if position_ids is not None:
            made.logits = made.logits / (1 + position_ids[..., None])
        return made


def test_a_model_whose_logits_cannot_be_made_apart_gets_them_at_once_in_smaller_passes() -> None:
    policy = learner(LLAMA, kind=Position)
    found = pick_layout(policy, LONGEST)
    assert found is not None and "passes are smaller" in found
    assert (policy.layout, policy.head) == ("padded", "whole")
    assert policy.most_tokens == 2 * (2**24 // 101)


def test_passes_have_no_more_tokens_than_a_model_allows() -> None:
    samples = [Sample((1, 2), (3, 4, 5), (0.0,) * 3, 1.0, True)] * 6
    section = OptimizerSection(micro_batch_tokens=1000)
    assert [len(b.indices) for b in pack_useful(samples, section, "padded", True, 10**9)] == [6]
    assert [len(b.indices) for b in pack_useful(samples, section, "padded", True, 8)] == [2, 2, 2]


def test_a_stand_in_is_taken_away_again() -> None:
    policy = learner(LLAMA)
    policy.use_layout("padded")
    model: Any = policy.causal_lm
    decoder, ids = model.get_decoder(), torch.tensor([[1, 2, 3]])
    before, states = model(ids).logits, decoder(ids)
    assert torch.allclose(own_head(model, type(states))(states.last_hidden_state[0]), before[0])
    assert "forward" not in vars(decoder)

    def refuses(*_: Any) -> None:
        raise ValueError("no")

    model.lm_head.register_forward_pre_hook(refuses)
    with pytest.raises(ValueError, match="no"):
        own_head(model, type(states))(states.last_hidden_state[0])
    assert "forward" not in vars(decoder)
