"""What is told to the engine against peft's own merge, on a copy of the whole model."""

import copy
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedModel, Qwen2Config, Qwen3Config

from rl.learner.export import export, is_plain
from rl.learner.lora import fuse_adapters

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 8,
}
LLAMA = LlamaConfig(**SIZES, tie_word_embeddings=False)
FAMILIES = {"llama": LLAMA, "qwen2 with biases": Qwen2Config(**SIZES), "qwen3": Qwen3Config(**SIZES)}
ATTENTION = [f"self_attn.{part}.weight" for part in ("q_proj", "k_proj", "v_proj", "o_proj")]
MLP = [f"mlp.{part}.weight" for part in ("gate_proj", "up_proj", "down_proj")]


def build(config: Any) -> PreTrainedModel:
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(config))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):  # zero in a fresh model
            nn.init.normal_(parameter)
    return model


def adapt(model: PreTrainedModel, **options: Any) -> Any:
    """The model with a LoRA adapter that does something."""
    settings = {"r": 3, "lora_alpha": 8, "target_modules": "all-linear", "task_type": "CAUSAL_LM"} | options
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    return adapted


def exported(adapted: Any) -> dict[str, Tensor]:
    pairs = [(name, tensor.clone()) for name, tensor in export(adapted.get_base_model())]
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def merged_by_peft(adapted: Any) -> dict[str, Tensor]:
    """Every parameter of a copy of the model after peft's `merge_and_unload`, in float32."""
    return dict(copy.deepcopy(adapted).float().merge_and_unload().named_parameters())


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True, "r": 4, "lora_alpha": 1},
        {"lora_dropout": 0.3},
        {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"down_proj": 3}},
        {"use_dora": True},
        {"target_modules": ["q_proj", "up_proj"]},
    ],
    ids=["plain", "rslora", "dropout", "patterns", "dora", "two targets"],
)
def test_merged_weights_are_those_of_peft(config: Any, options: dict[str, Any]) -> None:
    adapted = adapt(build(config), **options)
    oracle = merged_by_peft(adapted)
    ours = exported(adapted)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, oracle[name], rtol=1e-6, atol=1e-6)
    before = dict(build(config).named_parameters())
    changed = {name for name in oracle if not torch.equal(oracle[name], before[name])}
    assert changed <= ours.keys() and changed


def test_bias_of_the_adapter_is_merged_too() -> None:
    adapted = adapt(build(FAMILIES["qwen2 with biases"]), target_modules=["q_proj"], lora_bias=True)
    name = "model.layers.1.self_attn.q_proj.bias"
    torch.testing.assert_close(exported(adapted)[name], merged_by_peft(adapted)[name])


def test_layers_that_keep_their_matrix_transposed_are_left_to_peft() -> None:
    adapted = adapt(build(GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2)), target_modules=["c_proj"])
    oracle = merged_by_peft(adapted)
    ours = exported(adapted)
    assert ours.keys() == {
        f"transformer.h.0.{at}.c_proj.{kind}" for at in ("attn", "mlp") for kind in ("weight", "bias")
    }
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, oracle[name])


def test_of_a_model_with_an_adapter_only_linear_layers_are_sent() -> None:
    ours = exported(adapt(build(LLAMA)))
    assert list(ours) == [f"model.layers.{i}.{name}" for i in range(2) for name in ATTENTION + MLP]


def test_what_an_engine_fuses_with_an_adapted_layer_comes_with_it() -> None:
    model = build(LLAMA)
    plain = {name: parameter.clone() for name, parameter in model.named_parameters()}
    ours = exported(adapt(model, target_modules=r".*layers\.1\.self_attn\.v_proj"))
    assert list(ours) == [f"model.layers.1.{name}" for name in ATTENTION]
    for part in ("q_proj", "k_proj", "o_proj"):
        name = f"model.layers.1.self_attn.{part}.weight"
        assert torch.equal(ours[name], plain[name])


def test_the_base_is_not_touched_and_a_second_export_is_the_same() -> None:
    adapted = adapt(build(LLAMA))
    before = {name: parameter.clone() for name, parameter in adapted.named_parameters()}
    first, second = exported(adapted), exported(adapted)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(torch.equal(parameter, before[name]) for name, parameter in adapted.named_parameters())
    assert all(not tensor.requires_grad for tensor in first.values())


def test_a_base_in_bfloat16_is_merged_in_float32() -> None:
    adapted = adapt(build(LLAMA).bfloat16())
    for name, tensor in exported(adapted).items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, merged_by_peft(adapted)[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("use_dora", [False, True])
def test_fused_adapters_are_exported_alike(use_dora: bool) -> None:
    adapted = adapt(build(LLAMA), use_dora=use_dora)
    plain = exported(adapted)
    fuse_adapters(adapted)
    fused = exported(adapted)
    assert all(torch.equal(fused[name], tensor) for name, tensor in plain.items())


def test_which_layers_are_merged_in_one_pass() -> None:
    def plain(**options: Any) -> bool:
        layer = adapt(build(LLAMA), **options).get_base_model().model.layers[0].mlp.up_proj
        return is_plain(layer)

    assert plain() and plain(use_rslora=True) and plain(lora_dropout=0.1)
    assert not plain(use_dora=True)


@pytest.mark.parametrize("tied", [False, True])
def test_full_fine_tuning_sends_what_learns_and_shared_weights_once(tied: bool) -> None:
    model = build(LlamaConfig(**SIZES, tie_word_embeddings=tied))
    model.get_input_embeddings().weight.requires_grad_(tied)
    sent = dict(export(model))
    everything = [name for name, _ in model.named_parameters()]
    assert ("lm_head.weight" in everything) != tied
    assert list(sent) == [name for name in everything if tied or name != "model.embed_tokens.weight"]
    assert all(tensor.data_ptr() == model.get_parameter(name).data_ptr() for name, tensor in sent.items())
