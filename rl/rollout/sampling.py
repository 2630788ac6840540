"""From logits to sampled ids: the arithmetic of the transformers engine.

Truncation is applied in the order of vLLM's V1 sampler (temperature, min_p, top_k, top_p). On a CPU vLLM draws with
`draw` too (`vllm_sampler.py`), so there the two engines can be compared completion by completion; on a GPU it draws by
its own means from the same distribution. Deviation from what vLLM reports by default: the log-probabilities here are
those of the distribution that is sampled from, not the model's raw ones.
"""

import math
from collections.abc import Sequence

import torch

BLOCK = 256  # neighboring tokens of the vocabulary that are drawn together first: about the root of its size


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

    The inverse of the cumulative distribution, twice: first a block of `BLOCK` neighboring tokens, then one of its
    tokens, each by a uniform number of its own. Over the whole vocabulary at once there would be tens of thousands of
    bounds that float noise moves, and of a thousand tokens drawn one or two with them; here there are hundreds. So a
    row's id depends on its log-probabilities and its generator only, and noise in the former rarely changes it.

    Args:
        logprobs: float32 [B, V], normalised; -inf is never drawn.
        generators: B generators on the device of `logprobs`; each advances by two numbers.

    Returns:
        int64 [B].

    Raises:
        ValueError: not one generator a row.
    """
    rows, size = logprobs.shape
    if len(generators) != rows:
        raise ValueError(f"{rows} rows, but {len(generators)} generators")
    if size % BLOCK:
        logprobs = torch.nn.functional.pad(logprobs, (0, -size % BLOCK), value=-math.inf)
    p = logprobs.exp().view(rows, -1, BLOCK)  # [B, V / BLOCK, BLOCK]
    device = logprobs.device
    u = torch.stack([torch.rand(2, generator=g, dtype=torch.float64, device=device) for g in generators])  # [B, 2]
    block = invert(p.sum(-1), u[:, 0])  # [B]
    within = invert(p[torch.arange(rows, device=device), block], u[:, 1])  # [B]
    return (block * BLOCK + within).clamp_max(size - 1)  # the padding has no mass, unless a model gives NaN


def invert(mass: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """The place in each row at which the running sum of `mass` [B, N] first exceeds `u` [B] times the whole: int64 [B].

    `u` is in [0, 1). A place without mass never exceeds what stood before it, so it is never the answer: not the first
    ones at u = 0, since 0 does not exceed 0, and not the last ones, since u times the whole is below the whole.
    """
    upto = mass.cumsum(-1, dtype=torch.float64)  # [B, N]
    place = torch.searchsorted(upto, u[:, None] * upto[:, -1:], right=True)[:, 0]
    return place.clamp_max(mass.shape[-1] - 1)  # in bounds even where mass is NaN
