"""What an answerer said."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Output:
    """One answer, before it is graded.

    Attributes:
        text: as said, without the prefill.
        token_ids, logprobs: length T; empty where unknown.
        num_tokens: T, known to some servers without the ids; None where unknown.
        finish_reason: `stop`, `length`, or None where unknown.
        prompt_tokens: that a server counted; None: those of the prompt, or from the cache.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    num_tokens: int | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
