"""What generating a batch takes, in counts: decode steps, tokens, what they look back at, and prompts."""

from dataclasses import dataclass

import numpy as np

from rl.planner import lengths
from rl.planner.lengths import Survival

PREFIX_BLOCK = {"cpu": 32, "cuda": 16}  # tokens that vLLM's prefix cache shares at a time


@dataclass(frozen=True)
class RolloutCounts:
    """Counts of one call of the engine.

    Attributes:
        steps: forward passes of the whole batch, one for each place of a token.
        tokens: sampled tokens.
        contexts: earlier tokens that these looked back at, summed.
        prefill: prompt tokens that are computed.
    """

    steps: float
    tokens: float
    contexts: float
    prefill: float

    def vector(self) -> np.ndarray:  # [4]
        """The counts in the order of `rl.planner.rates.DecodeRates`."""
        return np.array([self.steps, self.tokens, self.contexts, self.prefill])


@dataclass(frozen=True)
class Demand:
    """What an engine is asked: `problems` prompts of `prompt` tokens, the first `shared` in common, `group` each."""

    problems: float
    group: int
    prompt: float
    shared: float


def prefill_tokens(demand: Demand, engine: str, device: str) -> float:
    """Prompt tokens that are computed.

    transformers runs each distinct prompt once. vLLM shares whole blocks that it has computed before, and at least the
    last token of a prompt is computed for each completion.
    """
    if engine == "transformers":
        return demand.problems * demand.prompt
    block = PREFIX_BLOCK[device]
    common = demand.shared // block * block
    cached = max((demand.prompt - 1) // block * block, common)
    return common + demand.problems * (cached - common) + demand.problems * demand.group * (demand.prompt - cached)


def expect_rollouts(demand: Demand, survival: Survival, at_once: float, engine: str, device: str) -> RolloutCounts:
    """Expected counts of a batch of which at most `at_once` completions run together.

    vLLM admits the next one as soon as one ends; transformers takes them in batches, each as long as its longest.
    """
    sequences, mean = demand.problems * demand.group, lengths.mean_length(survival)
    together = min(at_once, sequences)
    longest = lengths.longest_of(survival, together)
    if engine == "transformers":
        steps = longest * np.ceil(sequences / together)
    else:
        steps = mean * sequences / together + longest - mean  # filled up, then the last ones run out
    return RolloutCounts(
        steps=float(steps),
        tokens=sequences * mean,
        contexts=sequences * lengths.contexts(survival, demand.prompt),
        prefill=prefill_tokens(demand, engine, device),
    )


def seen_rollouts(demand: Demand, completion_lengths: list[int], engine: str, device: str) -> RolloutCounts:
    """Counts of a batch that was generated, all of it at once."""
    long = np.asarray(completion_lengths)
    return RolloutCounts(
        steps=float(long.max()),
        tokens=float(long.sum()),
        contexts=float((long * demand.prompt + long * (long - 1) / 2).sum()),
        prefill=prefill_tokens(demand, engine, device),
    )
