"""vLLM in this process, as a `RolloutEngine`: the same code on a CPU and on a GPU.

Weights arrive by the public RPC `reload_weights`, on a CPU most of them by a shorter way (`vllm_weights.py`), and are
copied in any case, so the engine never shares memory with the learner. vLLM is imported
by the constructor, after the environment variables that it reads at import time are set.
"""

import os
import warnings
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from rl.base.allocator import keep_freed_memory
from rl.rollout.engine import (
    Completion,
    FinishReason,
    IndexedCompletion,
    NamedTensors,
    Refill,
    SampleRequest,
    SamplingParams,
    in_order,
)
from rl.rollout.vllm_sampler import install_sampler
from rl.rollout.vllm_weights import pack_head, replace_linear_layers

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM makes room for; an adapter of a lower rank fits, too


@dataclass(frozen=True)
class VllmSettings:
    """Where and how the engine runs.

    `kv_cache_gib` counts on a CPU; `gpu_memory_utilization` and `enable_sleep_mode` on a GPU.
    `max_lora_rank` is one of `LORA_RANKS` (`served_rank`); 0 keeps adapters off.
    """

    device: str
    dtype: str
    max_model_length: int
    max_num_seqs: int
    enforce_eager: bool
    kv_cache_gib: float
    gpu_memory_utilization: float
    enable_sleep_mode: bool
    max_lora_rank: int = 0


def served_rank(rank: int) -> int | None:
    """Return the smallest of `LORA_RANKS` that has room for an adapter of this rank; None if none has."""
    return next((served for served in LORA_RANKS if served >= rank), None)


def set_environment(settings: VllmSettings) -> None:
    """Say in the environment what vLLM only reads there; a value that the user has set stays."""
    defaults = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    if settings.device == "cpu":
        # By default the CPU build reserves a core for itself and binds its threads beside the learner's.
        defaults |= {
            "VLLM_CPU_KVCACHE_SPACE": str(max(1, round(settings.kv_cache_gib))),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
        }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def device_options(settings: VllmSettings) -> dict[str, Any]:
    """Engine arguments that differ between a CPU and a GPU."""
    if settings.device == "cpu":
        # A prompt that is prefilled in two parts crashes the CPU build when its request carries a seed ("CPU Generator
        # does not use offset"), so prompts are never split. Blocks of 32 tokens let short prompts share their prefix.
        return {
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(settings.max_model_length, 4096),
            "block_size": 32,
        }
    return {
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "enable_sleep_mode": settings.enable_sleep_mode,
    }


class VllmEngine:
    """See `RolloutEngine`. Completions of one prompt share its prefill through the prefix cache."""

    name = "vllm"

    def __init__(self, model: str, revision: str | None, settings: VllmSettings) -> None:
        set_environment(settings)
        if settings.device == "cpu":
            keep_freed_memory()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # vLLM 0.31 uses a name that torch 2.13 deprecates
            from vllm import LLM

        self._settings = settings
        self._adapter: Any = None
        self._adapters_loaded = 0
        self._asleep = False
        lora = {"enable_lora": True, "max_lora_rank": settings.max_lora_rank} if settings.max_lora_rank else {}
        self._llm = LLM(
            model=model,
            revision=revision,
            trust_remote_code=False,
            load_format="safetensors",  # pickles are not opened
            dtype=settings.dtype,
            max_model_len=settings.max_model_length,
            max_num_seqs=settings.max_num_seqs,
            enforce_eager=settings.enforce_eager,
            enable_prefix_caching=True,
            logprobs_mode="processed_logprobs",  # of the distribution sampled from: after temperature and truncation
            disable_log_stats=True,
            use_tqdm_on_load=False,
            **device_options(settings),
            **lora,
        )
        if settings.device == "cpu":
            self._llm.collective_rpc(install_sampler)

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        """Sample one completion of prompt p for each seed in `seeds_P_G[p]`."""
        return in_order(self.stream(prompts_P, params, seeds_P_G), seeds_P_G)

    def stream(
        self,
        prompts_P: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds_P_G: Sequence[Sequence[int]],
        refill: Refill | None = None,
    ) -> Generator[IndexedCompletion, None, None]:
        """Yield (p, g, completion) the moment that one ends; `refill` is called between two engine steps."""
        self._wake()
        engine = self._llm.llm_engine
        waiting: dict[str, tuple[int, int]] = {}  # the place of each request that runs
        asked: Sequence[SampleRequest] = list(zip(prompts_P, seeds_P_G, strict=True))
        first = 0  # place of the first of them
        try:
            while True:
                if asked:
                    waiting |= self._admit(asked, first, params)
                    first += len(asked)
                if not waiting:
                    return
                for output in engine.step():
                    if output.finished:
                        yield *waiting.pop(output.request_id), to_completion(output.outputs[0])
                asked = refill() if refill else ()
        finally:
            engine.abort_request(list(waiting))

    def load_weights(self, weights: NamedTensors) -> None:
        """Replace the named weights and forget every cached prefix.

        Raises:
            ValueError: of linear layers that vLLM fuses (q, k, v; gate, up) not all came: the rest would be garbage.
        """
        self._wake()
        if self._settings.device == "cpu":
            [weights] = self._llm.apply_model(partial(replace_linear_layers, weights=weights))
        if weights:
            self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
            if self._settings.device == "cpu":
                self._llm.apply_model(pack_head)
        self._forget_prefixes()

    def load_adapter(self, folder: str) -> None:
        """Use the adapter in `folder` from now on, and read it now. A new id each time, since vLLM caches by id."""
        from vllm.lora.request import LoRARequest

        self._wake()
        engine = self._llm.llm_engine
        if self._adapter is not None:
            engine.remove_lora(self._adapter.lora_int_id)
        self._adapters_loaded += 1
        self._adapter = LoRARequest(f"step-{self._adapters_loaded}", self._adapters_loaded, folder)
        engine.add_lora(self._adapter)
        self._forget_prefixes()

    def sleep(self) -> None:
        """Free the GPU memory of weights and cache until the next call; does nothing without `enable_sleep_mode`."""
        if self._settings.enable_sleep_mode and self._settings.device != "cpu":
            self._llm.sleep(level=1)
            self._asleep = True

    def close(self) -> None:
        """Shut the engine down and free its memory."""
        self._wake()  # vLLM's allocator unmaps what it frees, and a sleeping engine's memory is unmapped already
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _admit(self, asked: Sequence[SampleRequest], first: int, params: SamplingParams) -> dict[str, tuple[int, int]]:
        """Queue a request a seed, and return the place of each: the prompt's, counted from `first`, and the sample's.

        Long prompts go first: where not all run at once, the short ones then fill the gaps at the end.
        """
        by_length = sorted(range(len(asked)), key=lambda p: -len(asked[p][0]))
        places = [(p, g) for p in by_length for g in range(len(asked[p][1]))]
        queued = self._llm.enqueue(
            [{"prompt_token_ids": list(asked[p][0])} for p, _ in places],
            [self._sampling(params, asked[p][1][g]) for p, g in places],
            use_tqdm=False,
            lora_request=self._adapter,
        )
        # What `enqueue` returns is the number that outputs carry, a dash, and random letters.
        return {name.rpartition("-")[0]: (first + p, g) for name, (p, g) in zip(queued, places, strict=True)}

    def _wake(self) -> None:
        """Bring weights and cache back to the GPU, if they are not there."""
        if self._asleep:
            torch.cuda.empty_cache()  # of what the learner freed; vLLM's own allocator cannot take it from torch's
            self._llm.wake_up()
            self._asleep = False

    def _forget_prefixes(self) -> None:
        """Drop every cached prefix. Raises RuntimeError if vLLM keeps them, since they belong to older weights."""
        if not self._llm.reset_prefix_cache():
            raise RuntimeError(
                "vLLM did not forget its cached prefixes, which belong to older weights: some request still holds them"
            )

    def _sampling(self, params: SamplingParams, seed: int) -> Any:
        from vllm import SamplingParams as VllmSamplingParams

        greedy = params.temperature == 0
        return VllmSamplingParams(
            temperature=params.temperature,
            top_p=params.top_p,
            top_k=params.top_k,
            min_p=params.min_p,
            max_tokens=params.max_tokens,
            stop=list(params.stop) or None,
            seed=None if greedy else seed,
            logprobs=0,  # of the sampled token alone
            flat_logprobs=True,  # in one list, not in a dict a token, all of which Python's garbage collector visits
            detokenize=bool(params.stop),
            skip_special_tokens=False,  # a stop string may be a special token
        )


def to_completion(output: Any) -> Completion:
    """vLLM's `CompletionOutput` as a `Completion`."""
    token_ids, flat = tuple(output.token_ids), output.logprobs
    # At each place the sampled token comes first, and here alone.
    assert tuple(flat.token_ids) == token_ids, "vLLM gave log-probabilities of other tokens than it sampled"
    logprobs = tuple(map(float, flat.logprobs))
    reason: FinishReason = "length" if output.finish_reason == "length" else "stop"
    return Completion(token_ids, logprobs, reason)
