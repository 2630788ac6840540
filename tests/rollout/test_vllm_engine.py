"""The real vLLM engine against transformers: same tokens, same log-probabilities, weights that really change."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

pytest.importorskip("vllm", reason="vLLM is not installed here; the transformers engine is what runs")

from rl.learner.gap import gap_stats
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy, load_policy
from rl.recipe import ModelSection
from rl.rollout.engine import Completion, SamplingParams
from rl.rollout.transformers_engine import TransformersEngine
from rl.rollout.vllm_engine import VllmEngine, VllmSettings

pytestmark = pytest.mark.vllm

PROMPTS = [tuple(range(40, 80)), tuple(range(40, 80)) + (5, 6), (9, 8, 7)]
SEEDS = [[11, 12, 13], [21, 22, 23], [31, 32, 33]]
SAMPLED = SamplingParams(max_tokens=12, temperature=0.9)


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> Iterator[VllmEngine]:
    settings = VllmSettings(
        device="cpu",
        dtype="float32",
        max_model_length=128,
        max_num_seqs=32,
        enforce_eager=True,
        kv_cache_gib=1,
        gpu_memory_utilization=0.4,
        enable_sleep_mode=False,
        tensor_parallel_size=1,
        max_lora_rank=8,
    )
    started = VllmEngine(str(tiny_model), None, settings)
    yield started
    started.close()


@pytest.fixture(scope="module")
def oracle(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(str(tiny_model))


@pytest.fixture
def policy(tiny_model: Path, engine: VllmEngine) -> Policy:
    """A policy whose adapter does something; the engine has the base weights again afterwards."""
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


def test_an_adapter_is_as_good_as_merged_weights(engine: VllmEngine, policy: Policy, tmp_path: Path) -> None:
    for number in (1, 2):  # the second must replace the first
        with torch.no_grad():
            for parameter in policy.trainable.values():
                parameter.mul_(0.9)
        policy.save(tmp_path / str(number))
        engine.load_adapter(str(tmp_path / str(number)))
        assert gap(policy, engine.generate(PROMPTS, SAMPLED, SEEDS), 0.9) < 1e-3
