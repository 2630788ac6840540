"""Cheap sampling for vLLM's CPU build, where noise for seeded requests costs more than the model.

For each token vLLM draws two exponential variates for every entry of the vocabulary, one of them from the request's own
generator, entry by entry. Here the sampler of a running engine gets `rl.rollout.sampling.draw` in place of that, which
needs two numbers a token, and stops counting the rank of the sampled token in the vocabulary, which nobody reads. Only
the two methods of that one sampler object are replaced, in this process. On a GPU vLLM's own way is left as it is.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import torch

from rl.rollout.sampling import draw

VERSIONS = ("0.31", "0.32")  # of vLLM, whose samplers were read and run with this
FORWARD = ["logits", "generators", "k", "p"]  # parameters of its `TopKTopPSampler.forward`
GATHER = ["logprobs", "num_logprobs", "token_ids"]  # parameters of its `Sampler.gather_logprobs`


def install_sampler(worker: Any) -> None:
    """Make the sampler of a vLLM worker draw as above; with one warning leave it as it is where it is not as expected.

    For `LLM.collective_rpc`, in an engine whose `logprobs_mode` is `processed_logprobs`.
    """
    import vllm

    runner = getattr(worker, "model_runner", None)
    sampler = getattr(runner, "sampler", None)
    inner = getattr(sampler, "topk_topp_sampler", None)
    odd = misfit(vllm.__version__, getattr(inner, "forward", None), getattr(sampler, "gather_logprobs", None))
    if odd is not None:
        warnings.warn(f"{odd}: sampling with seeds is left to vLLM and takes longer.", stacklevel=2)
        return
    assert sampler is not None and inner is not None and inner.logprobs_mode == "processed_logprobs"
    inner.forward = seeded_forward(inner.forward)
    sampler.gather_logprobs = unranked_gather(sampler.gather_logprobs)


def misfit(version: str, forward: Callable[..., Any] | None, gather: Callable[..., Any] | None) -> str | None:
    """Why the two methods of vLLM's sampler cannot be replaced, in words; None if they can."""
    if not version.startswith(tuple(f"{known}." for known in VERSIONS)):
        return f"vLLM {version} is not one of {', '.join(VERSIONS)}, whose samplers are known here"
    for method, parameters in ((forward, FORWARD), (gather, GATHER)):
        if method is None or list(inspect.signature(method).parameters) != parameters:
            return f"The sampler of vLLM {version} has no method with the parameters {', '.join(parameters)}"
    return None


def seeded_forward(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """`TopKTopPSampler.forward` for batches in which each request has a generator; others go to `otherwise`."""
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p

    def forward(
        logits: torch.Tensor,
        generators: dict[int, torch.Generator],
        k: torch.Tensor | None,
        p: torch.Tensor | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Ids int64 [B] and log-probabilities float32 [B, V] from logits [B, V] after temperature."""
        if len(generators) != len(logits):
            result: tuple[torch.Tensor, torch.Tensor | None] = otherwise(logits, generators, k, p)
            return result
        logprobs = apply_top_k_top_p(logits, k, p).log_softmax(-1, dtype=torch.float32)
        return draw(logprobs, [generators[row] for row in range(len(logits))]), logprobs

    return forward


def unranked_gather(otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """`Sampler.gather_logprobs` that gives no ranks where only the sampled token is asked for."""
    from vllm.v1.outputs import LogprobsTensors

    def gather(logprobs: torch.Tensor, num_logprobs: int, token_ids: torch.Tensor) -> Any:
        """Log-probabilities [B, 1] of `token_ids` [B] in `logprobs` [B, V], with rank 0 for unknown."""
        if num_logprobs:
            return otherwise(logprobs, num_logprobs, token_ids)
        chosen = token_ids[:, None]  # [B, 1]
        return LogprobsTensors(chosen.int(), logprobs.gather(-1, chosen), torch.zeros_like(token_ids))

    return gather
