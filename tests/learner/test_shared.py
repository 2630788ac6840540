"""The weights that learner and engine share, against the adapter that is computed beside its base."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig

from rl.config.recipe import AlgorithmSection, ModelSection, OptimizerSection
from rl.learner import shared
from rl.learner.experts import adapter_targets
from rl.learner.lora import fuse_adapters
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy, load_policy
from rl.learner.scaling import build_scaler, update_weights
from rl.learner.shared import SharedWeights
from rl.learner.step import LearnerSettings, learn
from rl.models.tiny import save_tiny_mixture, save_tiny_model
from rl.rollout.engine import SamplingParams
from rl.rollout.transformers_engine import TransformersEngine
from rl.training.learners import why_apart
from tests.conftest import byte_tokenizer
from tests.learner.test_exactness import CONFIGS, SIZES, rollouts, updated


def adapted(config: Any, dtype: torch.dtype = torch.float32, **options: Any) -> Any:
    """A model with an adapter that does something, on a mixture's experts and router, too; A and B are float32."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config)).to(dtype)
    for parameter in model.parameters():  # away from the flat distributions of an untrained model
        parameter.data *= 3 if parameter.ndim > 1 else 1
    targets = adapter_targets(model, True) if "Moe" in type(config).__name__ else {"target_modules": "all-linear"}
    found = peft.get_peft_model(model, peft.LoraConfig(r=4, task_type="CAUSAL_LM", **targets, **options))
    for name, parameter in found.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
            nn.init.normal_(parameter, std=0.05)
    fuse_adapters(found)
    return found


def policy(model: Any, engine_dtype: torch.dtype | None) -> Policy:
    return Policy(model, has_adapter=True, shared=None if engine_dtype is None else SharedWeights(model, engine_dtype))


def layers(learner: Policy) -> dict[str, Tensor]:
    """W' by Hugging Face's name, as the learner computes with it."""
    return {
        f"{name}.{kind}": weight
        for name, module in learner.causal_lm.named_modules()
        for kind, weight in (shared.shared_weights(module) or {}).items()
        if not name.endswith("base_layer")
    }


@pytest.mark.parametrize("beta", [0.0, 0.05], ids=["no KL", "KL"])
@pytest.mark.parametrize("family", CONFIGS)
def test_in_float32_a_step_is_that_of_adapters_beside_their_base(family: str, beta: float) -> None:
    algorithm = AlgorithmSection(beta=beta, loss_type="grpo", importance_sampling_correction="token_truncate")
    ours, theirs = (updated(policy(adapted(CONFIGS[family]), dtype), algorithm) for dtype in (torch.float32, None))
    assert ours[0] == pytest.approx(theirs[0], abs=1e-5, rel=1e-5)
    assert ours[0].get("kl", 1) > 1e-4
    for index, values in ours[1].items():
        assert values == pytest.approx(theirs[1][index], abs=1e-5)
    assert len(ours[2]) == len(theirs[2])
    for one, other in zip(ours[2], theirs[2], strict=True):
        assert float(other.abs().max()) > 0
        assert float((one - other).abs().max()) <= 1e-5 * max(1.0, float(other.abs().max()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("family", ["qwen2", "qwen3-moe"])
def test_the_engine_gets_the_very_tensors_rounded_once_from_float32(family: str, dtype: torch.dtype) -> None:
    learner = policy(adapted(CONFIGS[family], dtype), dtype)
    before = {name: parameter.clone() for name, parameter in learner.model.named_parameters()}
    sent = dict(learner.export())
    mine = layers(learner)
    assert mine and mine.keys() <= sent.keys()
    assert all(sent[name].data_ptr() == weight.data_ptr() for name, weight in mine.items())
    whole = copy.deepcopy(learner.model).float()
    for module in whole.modules():  # peft's own forward passes and merges
        module.__dict__.pop("forward", None)
    oracle = dict(whole.merge_and_unload().named_parameters())
    for name, weight in sent.items():
        assert weight.dtype == dtype
        torch.testing.assert_close(weight.float(), oracle[name], rtol=2.0**-8, atol=1e-6)
        assert (weight != oracle[name].to(dtype)).float().mean() < 0.01  # sums in another order, at ties
    assert all(torch.equal(parameter, before[name]) for name, parameter in learner.model.named_parameters())


def test_the_gradient_passes_straight_through_the_rounding() -> None:
    """Autograd's own gradient of x (M + stop(round(M) - M)).T, M = W + s B A."""
    learner = policy(adapted(CONFIGS["qwen2"]), torch.bfloat16)  # a float32 learner of a bfloat16 engine
    assert learner.shared is not None
    learner.shared.refresh()
    layer = learner.causal_lm.model.layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    weights = torch.linspace(-1, 1, 2 * 5 * 32).view(2, 5, 32)
    merged = layer.base_layer.weight + layer.scaling["default"] * b @ a
    rounded = merged + (merged.to(torch.bfloat16).float() - merged).detach()
    expected = nn.functional.linear(x, rounded, layer.base_layer.bias)
    found = layer(x)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(found, nn.functional.linear(x, merged, layer.base_layer.bias), atol=1e-4)
    for one, other in zip(
        torch.autograd.grad((found * weights).sum(), (x, a, b)),
        torch.autograd.grad((expected * weights).sum(), (x, a, b)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["llama", "qwen3-moe"])
def test_the_base_answers_where_the_adapter_is_switched_off(family: str) -> None:
    learner, plain = policy(adapted(CONFIGS[family]), torch.bfloat16), adapted(CONFIGS[family]).unload()
    learner.use_layout("padded")
    [batch] = pack(rollouts(), 10**6, layout="padded")
    expected = Policy(plain, has_adapter=False)
    expected.use_layout("padded")
    with torch.no_grad():
        base = expected.logps(batch, 1.0)[0]
        assert torch.equal(learner.reference_logps(batch, 1.0), base)
        assert not torch.allclose(learner.logps(batch, 1.0)[0], base, atol=1e-2)


def test_matrices_are_merged_once_an_update(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = policy(adapted(CONFIGS["llama"]), torch.bfloat16)
    merged, made = [], shared.merged_of
    monkeypatch.setattr(shared, "merged_of", lambda forward: (merged.append(forward), made(forward))[1])
    assert learner.shared is not None and len(learner.shared) == 2 * 7
    optimizer = torch.optim.AdamW(learner.trainable.values(), lr=1e-3)
    section = OptimizerSection(micro_batch_tokens=60)  # two micro-batches or more
    learn(learner, optimizer, rollouts(), AlgorithmSection(num_iterations=3), section, LearnerSettings(0.8, 16, 100.0))
    assert len(merged) == 3 * 2 * 7  # for three iterations; what the last one has left is merged when it is needed
    for _ in range(2):
        assert dict(learner.export())
    assert len(merged) == 4 * 2 * 7
    before = {name: weight.clone() for name, weight in layers(learner).items()}
    with torch.no_grad():
        next(p for name, p in learner.trainable.items() if "lora_B" in name).add_(1.0)
    learner.export()
    assert len(merged) == 4 * 2 * 7 + 1
    assert sum(not torch.equal(weight, before[name]) for name, weight in layers(learner).items()) == 1


def test_a_loaded_adapter_is_merged(tiny_model: Path, tmp_path: Path) -> None:
    section = ModelSection(name=str(tiny_model), lora_r=4)
    first, second = (
        load_policy(section, "cpu", torch.bfloat16, seed=s, keep_reference=False, engine_dtype=torch.bfloat16)
        for s in (0, 1)
    )
    with torch.no_grad():
        for parameter in first.trainable.values():
            parameter.add_(0.1)
    assert second.shared
    second.export()
    first.save(tmp_path)
    second.load(tmp_path)
    mine = dict(second.export())
    assert all(torch.equal(weight, mine[name]) for name, weight in first.export())


@pytest.mark.parametrize("family", ["qwen2", "qwen3-moe"])
def test_checkpointing_gives_the_same_gradients(family: str) -> None:
    algorithm = AlgorithmSection()
    results = []
    for checkpointing in (False, True):
        learner = policy(adapted(CONFIGS[family]), torch.bfloat16)
        if checkpointing:
            learner.causal_lm.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            learner.causal_lm.enable_input_require_grads()
        results.append(updated(learner, algorithm)[2])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"use_dora": True}])
def test_layers_that_are_more_than_a_sum_of_matrices_stay_with_peft(options: dict[str, Any]) -> None:
    model = adapted(LlamaConfig(**SIZES), **options)
    learner = policy(model, torch.bfloat16)
    assert not learner.shared and learner.shared is not None and learner.shared.left == 2 * 7
    assert all(weight.dtype == torch.float32 for weight in dict(learner.export()).values())
    assert why_apart(learner) is None  # in float32
    model.to(torch.bfloat16)
    assert "14 of 14 adapted layers are more than a sum of matrices" in str(why_apart(learner))


def test_what_is_computed_is_said() -> None:
    model = adapted(LlamaConfig(**SIZES), torch.bfloat16)
    assert "rollout.weight_sync=adapter" in str(why_apart(policy(model, None)))
    assert why_apart(policy(model, torch.bfloat16)) is None


@pytest.mark.parametrize("save", [save_tiny_model, save_tiny_mixture])
def test_in_bfloat16_the_gap_is_that_of_equal_weights(save: Callable[..., None], tmp_path: Path) -> None:
    """An engine with merged weights: to the learner that shares them it is as near as before it learned."""
    folder = str(tmp_path)
    save(byte_tokenizer(), tmp_path)
    section = ModelSection(name=folder, lora_r=4)

    def gap(engine_dtype: torch.dtype | None, learned: bool) -> float:
        learner = load_policy(section, "cpu", torch.bfloat16, seed=0, keep_reference=False, engine_dtype=engine_dtype)
        torch.manual_seed(1)
        with torch.no_grad():
            for name, parameter in learner.trainable.items():
                if learned and "lora_B" in name:
                    parameter.normal_(std=0.01)
        engine = TransformersEngine(folder, None, torch.bfloat16)
        engine.load_weights(learner.export())
        prompts = [tuple(range(5 + i, 25 + i)) for i in range(8)]
        groups = engine.generate(prompts, SamplingParams(24), [[i, i + 100] for i in range(8)])
        samples = [
            Sample(prompt, c.token_ids, c.logprobs, 1.0, True)
            for prompt, group in zip(prompts, groups, strict=True)
            for c in group
        ]
        learner.use_layout("padded")
        [batch] = pack(samples, 10**6, layout="padded")
        with torch.no_grad():
            return float((learner.logps(batch, 1.0)[0] - batch.engine_logps).abs().mean())

    floor = gap(torch.bfloat16, learned=False)
    assert gap(torch.bfloat16, learned=True) < 1.5 * floor
    assert gap(None, learned=True) > 1.7 * floor


class Uncounted(torch.optim.SGD):
    """Changes weights behind the tensors' backs, as kernels that are not torch's own may do."""

    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.copy_(parameter.data - group["lr"] * parameter.grad)


def test_an_update_that_tensors_do_not_count_reaches_both_sides() -> None:
    learner = policy(adapted(CONFIGS["llama"]), torch.float32)
    before = {name: weight.clone() for name, weight in learner.export()}
    optimizer = Uncounted(learner.trainable.values(), lr=1.0)
    for parameter in learner.trainable.values():
        parameter.grad = torch.ones_like(parameter)
    update_weights(learner, optimizer, build_scaler(learner), max_grad_norm=0.0)
    after = dict(learner.export())
    assert all(not torch.equal(after[name], before[name]) for name in after)
    expected = policy(learner.model, torch.float32)  # merges everything anew
    assert all(torch.equal(weight, after[name]) for name, weight in expected.export())
