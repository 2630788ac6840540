"""From logits to sampled ids: the arithmetic of the transformers engine.

Truncation is applied in the order of vLLM's V1 sampler (temperature, min_p, top_k, top_p), and the noise is the one
its seeded requests get (one exponential variate a token of the vocabulary, drawn from the row's own generator), so the
two engines can be compared completion by completion. Deviation from what vLLM reports by default: the
log-probabilities here are those of the distribution that is sampled from, not the model's raw ones.
"""

import math
from collections.abc import Sequence

import torch


def process_logits(
    logits: torch.Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0
) -> torch.Tensor:
    """Log-probabilities of the distribution that tokens are drawn from.

    The kept support sums to one; every other token has -inf. `min_p` keeps tokens at least that fraction as likely as
    the likeliest (Nguyen et al. 2024, arXiv:2407.01082); `top_k` keeps the k likeliest and whatever ties with the last
    of them; `top_p` then keeps the smallest set of likeliest tokens whose mass reaches p (Holtzman et al. 2020,
    arXiv:1904.09751), the mass taken after the other two.

    Args:
        logits: float32 [B, V].
        temperature: divides the logits; 0 is greedy, whose distribution is the model's own, untruncated, at 1.
        top_k, top_p, min_p: 0, 1 and 0 switch them off.

    Returns:
        float32 [B, V].
    """
    if temperature == 0:
        return logits.log_softmax(-1)
    scores = logits / temperature  # [B, V]
    if min_p > 0:
        floor = scores.amax(-1, keepdim=True) + math.log(min_p)  # [B, 1]
        scores = scores.masked_fill(scores < floor, -math.inf)
    if 0 < top_k < scores.shape[-1]:
        kth = scores.topk(top_k).values[:, -1:]  # [B, 1]
        scores = scores.masked_fill(scores < kth, -math.inf)
    if top_p < 1:
        ascending, order = scores.sort(-1)  # both [B, V]
        tail = ascending.softmax(-1).cumsum(-1) <= 1 - top_p  # True: outside the nucleus
        tail[:, -1] = False  # the likeliest token always stays
        scores = scores.masked_fill(torch.zeros_like(tail).scatter(-1, order, tail), -math.inf)
    return scores.log_softmax(-1)


def draw(logprobs: torch.Tensor, generators: Sequence[torch.Generator]) -> torch.Tensor:
    """Sample one id per row, each row with randomness of its own.

    An exponential race: the token with the largest p / e wins, e ~ Exp(1), which happens with probability p. A row's
    id depends on its log-probabilities and its generator only, and small float noise in the former rarely changes it.

    Args:
        logprobs: float32 [B, V], normalised; -inf is never drawn.
        generators: B generators on the device of `logprobs`; each advances by one draw.

    Returns:
        int64 [B].
    """
    race = torch.empty_like(logprobs)  # [B, V]
    for row, generator in zip(race, generators, strict=True):
        row.exponential_(generator=generator)
    # A variate that rounds to zero would turn a forbidden token's 0 / 0 into NaN, which argmax takes for the largest.
    race.clamp_min_(torch.finfo(race.dtype).tiny)
    return (logprobs.exp() / race).argmax(-1)
