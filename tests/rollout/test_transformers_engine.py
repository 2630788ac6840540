from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    MinPLogitsWarper,
    PreTrainedModel,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from rewards.errors import BadInput
from rl.models.source import load_model, load_tokenizer
from rl.models.tiny import save_tiny_model
from rl.rollout.engine import Completion, SamplingParams
from rl.rollout.transformers_engine import TransformersEngine, stop_completed

PROMPTS = [[10, 20, 30, 40, 50, 60, 70], [99], [11, 12, 13], [200, 100]]
SEEDS = [[10 * p + g for g in range(3)] for p in range(4)]
END = 2  # id of <|im_end|>


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> TransformersEngine:
    return TransformersEngine(str(tiny_model))


@pytest.fixture
def own_engine(tiny_model: Path) -> TransformersEngine:
    """An engine whose weights the test may change."""
    return TransformersEngine(str(tiny_model))


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> PreTrainedModel:
    return load_model(str(tiny_model)).eval()


def tokens(groups: list[list[Completion]]) -> list[list[tuple[int, ...]]]:
    return [[completion.token_ids for completion in group] for group in groups]


def decode(engine: TransformersEngine, token_ids: Sequence[int]) -> str:
    text = engine.tokenizer.decode(list(token_ids))
    assert isinstance(text, str)
    return text


@torch.inference_mode()
def full_forward(model: torch.nn.Module, prompt: list[int], completion: Completion) -> torch.Tensor:
    """Logits [T, V] that predict each token of the completion, from one unpadded pass without a cache."""
    ids = torch.tensor([prompt + list(completion.token_ids)])
    return model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]


def check_against(model: torch.nn.Module, completions: list[list[Completion]], temperature: float = 1.0) -> None:
    for prompt, group in zip(PROMPTS, completions, strict=True):
        for completion in group:
            expected = (full_forward(model, prompt, completion) / temperature).log_softmax(-1)
            expected = expected.gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            np.testing.assert_allclose(completion.logprobs, expected, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_logprobs_are_those_of_a_full_forward_pass(
    engine: TransformersEngine, model: PreTrainedModel, temperature: float
) -> None:
    completions = engine.generate(PROMPTS, SamplingParams(max_tokens=24, temperature=temperature), SEEDS)
    assert [len(group) for group in completions] == [3, 3, 3, 3]
    check_against(model, completions, temperature)


def test_truncated_logprobs_are_those_of_the_kept_support(engine: TransformersEngine, model: PreTrainedModel) -> None:
    params = SamplingParams(max_tokens=16, temperature=0.8, top_k=40, top_p=0.9, min_p=0.05)
    warpers = [TemperatureLogitsWarper(0.8), MinPLogitsWarper(0.05), TopKLogitsWarper(40), TopPLogitsWarper(0.9)]
    for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, params, SEEDS), strict=True):
        for completion in group:
            scores = full_forward(model, prompt, completion)
            for warper in warpers:
                scores = warper(None, scores)
            expected = scores.log_softmax(-1).gather(-1, torch.tensor(completion.token_ids)[:, None])[:, 0]
            np.testing.assert_allclose(completion.logprobs, expected, atol=1e-5)


def test_greedy_is_what_generate_gives(engine: TransformersEngine, model: PreTrainedModel) -> None:
    completions = engine.generate(PROMPTS, SamplingParams(max_tokens=24, temperature=0), [[0]] * 4)
    for prompt, [completion] in zip(PROMPTS, completions, strict=True):
        ids = torch.tensor([prompt])
        expected = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)
        assert list(completion.token_ids) == expected[0, len(prompt) :].tolist()
    check_against(model, completions)


def test_ends_at_the_end_of_sequence_or_the_limit(engine: TransformersEngine) -> None:
    seeds = [list(range(40))]
    [group] = engine.generate([[99]], SamplingParams(max_tokens=100), seeds)
    ended = [c for c in group if c.finish_reason == "stop"]
    assert 0 < len(ended) < len(group)
    assert all(c.token_ids[-1] == END for c in ended)
    assert all(len(c.token_ids) == 100 for c in group if c.finish_reason == "length")
    assert all(END not in c.token_ids[:-1] for c in group)


def test_every_end_id_of_the_generation_config_ends(tiny_model: Path, tmp_path: Path) -> None:
    model, tokenizer = load_model(str(tiny_model)), load_tokenizer(str(tiny_model))
    [[free]] = TransformersEngine(str(tiny_model)).generate([[99]], SamplingParams(8), [[0]])
    model.generation_config.eos_token_id = [free.token_ids[3], 77]
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    [[completion]] = TransformersEngine(str(tmp_path)).generate([[99]], SamplingParams(8), [[0]])
    assert completion.token_ids == free.token_ids[: free.token_ids.index(free.token_ids[3]) + 1]
    assert completion.finish_reason == "stop"


def test_stops_with_the_token_that_completes_a_stop_string(engine: TransformersEngine) -> None:
    [[free]] = engine.generate([[99]], SamplingParams(40), [[5]])
    text = decode(engine, free.token_ids)
    stop = next(text[i : i + 2] for i in range(10, 40) if text[i : i + 2].isascii())
    [[completion]] = engine.generate([[99]], SamplingParams(40, stop=("never seen", stop)), [[5]])
    first = next(n for n in range(40) if stop in decode(engine, free.token_ids[:n]))
    assert completion.token_ids == free.token_ids[:first]
    assert completion.finish_reason == "stop"
    assert completion.logprobs == pytest.approx(free.logprobs[: len(completion.logprobs)], abs=1e-5)


@pytest.mark.parametrize("stop", ["</réponse>", "語<", "<|im_start|>", "\n\n"])
def test_stop_strings_of_many_bytes_and_special_tokens(engine: TransformersEngine, stop: str) -> None:
    ids = engine.tokenizer("日本語</réponse>\n<|im_start|>\n\n").input_ids
    whole = next(n for n in range(1, 99) if stop in decode(engine, ids[:n]))
    assert next(n for n in range(1, 99) if stop_completed(engine.tokenizer, ids[:n], ("absent", stop))) == whole


def test_a_stop_string_in_the_prompt_does_not_count(engine: TransformersEngine) -> None:
    prompt = engine.tokenizer("stop").input_ids
    params = SamplingParams(6, stop=("stop",))
    assert tokens(engine.generate([prompt], params, [[0]])) == tokens(
        engine.generate([prompt], SamplingParams(6), [[0]])
    )


def test_seeds_decide(engine: TransformersEngine) -> None:
    params = SamplingParams(max_tokens=16)
    first = engine.generate(PROMPTS, params, SEEDS)
    assert engine.generate(PROMPTS, params, SEEDS) == first
    [[a, b, c]] = engine.generate(PROMPTS[:1], params, [[1, 2, 1]])
    assert a.token_ids == c.token_ids != b.token_ids


def test_a_group_does_not_depend_on_its_company(engine: TransformersEngine) -> None:
    params = SamplingParams(max_tokens=16)
    together = engine.generate(PROMPTS, params, SEEDS)
    for prompt, seeds, group in zip(PROMPTS, SEEDS, together, strict=True):
        [alone] = engine.generate([prompt], params, [seeds[:2]])
        for one, other in zip(alone, group[:2], strict=True):
            assert one.token_ids == other.token_ids
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_small_batches_change_nothing(engine: TransformersEngine, tiny_model: Path) -> None:
    params = SamplingParams(max_tokens=16)
    seeds = [[1, 2, 3, 4, 5], [6], [], [7, 8]]  # groups need not be of one size
    in_twos = TransformersEngine(str(tiny_model), max_num_seqs=2)
    completions = engine.generate(PROMPTS, params, seeds)
    assert [len(group) for group in completions] == [5, 1, 0, 2]
    assert tokens(in_twos.generate(PROMPTS, params, seeds)) == tokens(completions)


def test_each_distinct_prompt_is_prefilled_once(engine: TransformersEngine) -> None:
    shapes = []
    hook = engine.model.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    engine.generate([[5, 6, 7], [8], [5, 6, 7]], SamplingParams(max_tokens=2), [[0, 1], [2, 3], [4]])
    hook.remove()
    assert shapes[0] == (2, 3)
    assert shapes[1] == (5, 1)


def test_new_weights_take_effect(own_engine: TransformersEngine, tiny_model: Path, tmp_path: Path) -> None:
    save_tiny_model(load_tokenizer(str(tiny_model)), tmp_path, seed=1)
    other = load_model(str(tmp_path)).eval()
    before = own_engine.generate(PROMPTS, SamplingParams(16), SEEDS)
    own_engine.load_weights(other.named_parameters())
    after = own_engine.generate(PROMPTS, SamplingParams(16), SEEDS)
    assert tokens(after) != tokens(before)
    check_against(other, after)


def test_unfit_weights_are_refused(own_engine: TransformersEngine) -> None:
    with pytest.raises(ValueError, match="no weight named 'model.nothing.weight'"):
        own_engine.load_weights([("model.nothing.weight", torch.zeros(1))])
    with pytest.raises(ValueError, match="shape"):
        own_engine.load_weights([("model.norm.weight", torch.zeros(1))])


def save_adapter(folder: Path, tiny_model: Path, seed: int) -> PeftModel:
    """A LoRA adapter with random A and B, saved; the model that wears it."""
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=0.5, target_modules="all-linear", task_type="CAUSAL_LM")
    policy = get_peft_model(load_model(str(tiny_model)), config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in policy.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    policy.save_pretrained(str(folder))
    return policy.eval()


def test_an_adapter_takes_the_place_of_the_one_before(
    own_engine: TransformersEngine, model: PreTrainedModel, tiny_model: Path, tmp_path: Path
) -> None:
    params = SamplingParams(16)
    plain = own_engine.generate(PROMPTS, params, SEEDS)
    for seed in (1, 2):
        policy = save_adapter(tmp_path / str(seed), tiny_model, seed)
        own_engine.load_adapter(str(tmp_path / str(seed)))
        completions = own_engine.generate(PROMPTS, params, SEEDS)
        assert tokens(completions) != tokens(plain)
        check_against(policy, completions)
    own_engine.load_weights(model.named_parameters())
    assert own_engine.generate(PROMPTS, params, SEEDS) == plain


def test_bad_input_is_one_sentence(engine: TransformersEngine, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no adapter_config.json"):
        engine.load_adapter(str(tmp_path))
    with pytest.raises(BadInput, match="no tokens"):
        engine.generate([[]], SamplingParams(4), [[0]])
    with pytest.raises(BadInput, match="context of 8192"):
        engine.generate([[5] * 8190], SamplingParams(4), [[0]])
