"""The one interface between the loop and whatever generates: `RolloutEngine`."""

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # takes seconds to import, and who only names samplings and completions does not need it
    import torch

FinishReason = Literal["stop", "length"]
NamedTensors = Iterable[tuple[str, "torch.Tensor"]]


@dataclass(frozen=True)
class SamplingParams:
    """How to sample. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 and `min_p` 0 switch truncation off.

    `stop` are strings; a completion ends with the token that completes one, and keeps that token.
    """

    max_tokens: int  # longest completion, in tokens
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()

    @property
    def truncates_support(self) -> bool:
        """True if some tokens of the vocabulary can never be sampled."""
        return self.top_p < 1 or self.top_k > 0 or self.min_p > 0


@dataclass(frozen=True)
class Completion:
    """One sampled answer, as tokens: what is trained on and stored.

    Attributes:
        token_ids: the sampled ids, the end-of-sequence token included if it was sampled. Length T >= 1.
        logprobs: natural log-probability of each id under the distribution it was drawn from: after temperature, and,
            where `top_p`, `top_k` or `min_p` cut the support, renormalised over what is left. Greedy: the model's own
            distribution at temperature 1. Length T.
        finish_reason: `stop` (end of sequence or a stop string) or `length` (cut at `max_tokens`).
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish_reason: FinishReason


IndexedCompletion = tuple[int, int, Completion]  # place of the prompt, place among its samples, and what was said
SampleRequest = tuple[Sequence[int], Sequence[int]]  # a prompt, and the seed of each of its samples
Refill = Callable[[], Sequence[SampleRequest]]  # what else is to be asked now


class RolloutEngine(Protocol):
    """Generates from token ids with weights that can be replaced.

    In-process vLLM, transformers, or a server: none knows of problems, rewards or the learner.
    """

    name: str

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        """Sample `len(seeds_P_G[p])` completions of each prompt, one per seed, in order.

        The same weights, prompts, params and seeds give the same completions, whatever was generated before.
        """
        ...

    def stream(
        self,
        prompts_P: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds_P_G: Sequence[Sequence[int]],
        refill: Refill | None = None,
    ) -> Generator[IndexedCompletion, None, None]:
        """The completions of `generate`, each as soon as it is there, with the places p and g of its seed.

        `refill` is called between two steps of the engine (or two batches, where it decodes by batches), when all that
        ended before was handed over. What it returns runs beside the rest, with the places that follow; the stream is
        over when nothing runs and it returns nothing. Whoever closes the stream drops what still runs.
        """
        ...

    def load_weights(self, weights: NamedTensors) -> None:
        """Replace the named weights (Hugging Face names, full tensors) and reuse nothing computed with the old ones."""
        ...

    def load_adapter(self, folder: str) -> None:
        """Use the LoRA adapter saved in `folder` (peft format) from now on, in place of any earlier one."""
        ...

    def sleep(self) -> None:
        """Free what memory can be freed until the next call; the learner works now."""
        ...

    def close(self) -> None:
        """Free the engine's memory."""
        ...


def in_order(stream: Iterable[IndexedCompletion], seeds_P_G: Sequence[Sequence[int]]) -> list[list[Completion]]:
    """What `stream` gave, as `generate` returns it."""
    found = {(p, g): completion for p, g, completion in stream}
    return [[found[p, g] for g in range(len(seeds_G))] for p, seeds_G in enumerate(seeds_P_G)]
