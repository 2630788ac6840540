"""The real vLLM engine against transformers: same tokens, same log-probabilities, weights that really change."""

import copy
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    GemmaConfig,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
)

pytest.importorskip("vllm", reason="vLLM is not installed here; the transformers engine is what runs")

from rl.config.recipe import ModelSection
from rl.learner.export import export
from rl.learner.gap import gap_stats
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy, load_policy
from rl.models.source import load_model, load_tokenizer
from rl.models.tiny import save_tiny_model
from rl.rollout.engine import Completion, SamplingParams
from rl.rollout.transformers_engine import TransformersEngine
from rl.rollout.vllm_engine import VllmEngine, VllmSettings

pytestmark = pytest.mark.vllm

PROMPTS = [tuple(range(40, 80)), tuple(range(40, 80)) + (5, 6), (9, 8, 7)]
SEEDS = [[11, 12, 13], [21, 22, 23], [31, 32, 33]]
SAMPLED = SamplingParams(max_tokens=12, temperature=0.9)


def start(model: Path, max_lora_rank: int = 0) -> VllmEngine:
    settings = VllmSettings(
        device="cpu",
        dtype="float32",
        max_model_length=128,
        max_num_seqs=32,
        enforce_eager=True,
        kv_cache_gib=1,
        gpu_memory_utilization=0.4,
        enable_sleep_mode=False,
        max_lora_rank=max_lora_rank,
    )
    return VllmEngine(str(model), None, settings)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[VllmEngine]:
    started = start(tiny_model)
    yield started
    started.close()


@pytest.fixture(scope="module")
def oracle(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(str(tiny_model))


@pytest.fixture
def policy(tiny_model: Path) -> Policy:
    """A policy whose adapter does something."""
    learner = load_policy(
        ModelSection(name=str(tiny_model), lora_r=4), "cpu", torch.float32, seed=0, keep_reference=False
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in learner.trainable.items():
            if "lora_B" in name:
                parameter.normal_(std=0.2)
    return learner


def tokens(groups: list[list[Completion]]) -> list[list[tuple[int, ...]]]:
    return [[c.token_ids for c in group] for group in groups]


def gap(learner: Policy, groups: list[list[Completion]], temperature: float) -> float:
    """Mean |log p difference| between what the engine said and what the learner computes."""
    samples = [
        Sample(prompt, c.token_ids, c.logprobs, 0.0, True)
        for prompt, group in zip(PROMPTS, groups, strict=True)
        for c in group
    ]
    (batch,) = pack(samples, 10_000)
    return gap_stats(learner.logps(batch, temperature)[0], batch.engine_logps)["gap/mean"]


@pytest.mark.parametrize(
    "params",
    [
        SamplingParams(12, temperature=0.0),
        SAMPLED,
        SamplingParams(12, temperature=1.3, top_k=20),
        SamplingParams(12, top_p=0.7),
        SamplingParams(12, min_p=0.3),
    ],
)
def test_tokens_and_log_probabilities_are_those_of_transformers(
    engine: VllmEngine, oracle: TransformersEngine, params: SamplingParams
) -> None:
    ours, theirs = engine.generate(PROMPTS, params, SEEDS), oracle.generate(PROMPTS, params, SEEDS)
    assert tokens(ours) == tokens(theirs)
    for group, other in zip(ours, theirs, strict=True):
        for a, b in zip(group, other, strict=True):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)
            assert a.finish_reason == b.finish_reason


def test_completions_do_not_depend_on_what_else_is_asked(engine: VllmEngine) -> None:
    together = engine.generate(PROMPTS, SAMPLED, SEEDS)
    alone = engine.generate(PROMPTS[1:2], SAMPLED, [SEEDS[1][::-1]])
    assert tokens(alone)[0] == tokens(together)[1][::-1]


def test_more_prompt_tokens_than_one_pass_takes_with_seeds(engine: VllmEngine) -> None:
    """Chunked prefill with seeds crashes the CPU build; 60 prompts of 100 tokens would be chunked."""
    prompts = [tuple((i * 7 + j * 3) % 250 + 3 for j in range(100)) for i in range(60)]
    groups = engine.generate(prompts, SamplingParams(2), [[i] for i in range(60)])
    assert [len(group[0].token_ids) for group in groups] == [2] * 60


def test_stop_string_ends_with_its_token(engine: VllmEngine, oracle: TransformersEngine) -> None:
    free = engine.generate(PROMPTS, SamplingParams(12, temperature=0.0), [[0]] * 3)
    ids = free[2][0].token_ids
    stop = next(text for token in ids[2:] if (text := oracle.tokenizer.decode([token])).isascii())
    length = next(n for n in range(1, 13) if stop in oracle.tokenizer.decode(ids[:n]))
    stopped = engine.generate(PROMPTS, SamplingParams(12, temperature=0.0, stop=(stop,)), [[0]] * 3)[2][0]
    assert (stopped.token_ids, stopped.finish_reason) == (ids[:length], "stop")


def test_new_weights_reach_the_engine_and_no_cached_prefix_survives(engine: VllmEngine, policy: Policy) -> None:
    stale = engine.generate(PROMPTS, SAMPLED, SEEDS)
    assert gap(policy, stale, 0.9) > 0.01  # so a sync that does nothing would be seen
    engine.load_weights(policy.export())
    fresh = engine.generate(PROMPTS, SAMPLED, SEEDS)
    assert gap(policy, fresh, 0.9) < 1e-4
    with policy.model.disable_adapter():
        base = {name: value.clone() for name, value in policy.causal_lm.named_parameters() if "lora" not in name}
    engine.load_weights((name.replace(".base_layer", ""), value) for name, value in base.items())
    assert tokens(engine.generate(PROMPTS, SAMPLED, SEEDS)) == tokens(stale)


def assert_agree(engine: VllmEngine, model: PreTrainedModel) -> None:
    """The engine's log-probabilities, greedy and sampled, are those of a pass of the transformers model."""
    for params in (SamplingParams(8, temperature=0.0), SAMPLED):
        temperature = params.temperature or 1.0
        for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, params, SEEDS), strict=True):
            for completion in group:
                ids = torch.tensor([[*prompt, *completion.token_ids]])
                with torch.inference_mode():
                    logits = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1] / temperature
                chosen = logits.log_softmax(-1).gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
                assert completion.logprobs == pytest.approx(chosen.tolist(), abs=1e-4)


def test_every_weight_can_be_replaced(engine: VllmEngine, tiny_model: Path, tmp_path: Path) -> None:
    save_tiny_model(load_tokenizer(str(tiny_model)), tmp_path, seed=5)
    other, own = load_model(str(tmp_path)).eval(), load_model(str(tiny_model)).eval()
    for model in (other, own):  # and back, for the tests that follow
        engine.load_weights(model.named_parameters())
        assert_agree(engine, model)


def test_half_of_a_fused_layer_is_refused(engine: VllmEngine, tiny_model: Path) -> None:
    own = load_model(str(tiny_model)).get_parameter
    name = "model.layers.0.self_attn.{}_proj.weight"
    with pytest.raises(ValueError, match="self_attn.qkv_proj needs q_proj, k_proj, v_proj, but only q_proj, v_proj"):
        engine.load_weights((name.format(part), own(name.format(part))) for part in "qv")
    with pytest.raises(ValueError, match=r"o_proj has shape \(128, 128\), the new one \(1, 128\)"):
        engine.load_weights([(name.format("o"), torch.zeros(1, 128))])


SIZES = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "head_dim": 64}
HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.1}
FAMILIES: dict[str, Callable[..., PreTrainedConfig]] = {
    "llama, tied": partial(LlamaConfig, tie_word_embeddings=True),
    "qwen2, biases": Qwen2Config,
    "qwen3, tied, norms of q and k": partial(Qwen3Config, tie_word_embeddings=True),
    "gemma, tied": GemmaConfig,
}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_new_weights_of_other_families(
    family: Callable[..., PreTrainedConfig], tiny_model: Path, tmp_path: Path
) -> None:
    """Both ways: an adapter merged in, and all weights, with a head that is tied to the embeddings."""
    tokenizer = load_tokenizer(str(tiny_model))
    special = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = family(vocab_size=len(tokenizer), **SIZES, **HEADS, **special)
    first, second = (random_model(config, seed) for seed in (0, 1))
    first.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    engine = start(tmp_path)
    assert_agree(engine, first)
    adapted = get_peft_model(first, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)).eval()
    engine.load_weights(export(adapted.get_base_model()))
    assert_agree(engine, adapted)
    engine.load_weights(export(second))
    assert_agree(engine, second)
    engine.close()


def random_model(config: PreTrainedConfig, seed: int) -> PreTrainedModel:
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(copy.deepcopy(config)).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:  # biases and norms, constant in a fresh model
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model


@pytest.mark.slow
def test_an_adapter_is_as_good_as_merged_weights(tiny_model: Path, policy: Policy, tmp_path: Path) -> None:
    engine = start(tiny_model, max_lora_rank=8)
    plain = engine.generate(PROMPTS, SAMPLED, SEEDS)
    for number in (1, 2):  # the second must replace the first
        with torch.no_grad():
            for parameter in policy.trainable.values():
                parameter.mul_(0.9)
        policy.save(tmp_path / str(number))
        engine.load_adapter(str(tmp_path / str(number)))
        shutil.rmtree(tmp_path / str(number))  # nobody reads it any more
        completions = engine.generate(PROMPTS, SAMPLED, SEEDS)
        assert tokens(completions) != tokens(plain)
        assert gap(policy, completions, 0.9) < 1e-3
    engine.close()
