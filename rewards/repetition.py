"""The repetition penalty: n-grams said again cost.

Source: arXiv 2502.03373, appendix C.2, as one number a completion, as open-r1 and TRL have it: `max_penalty * (1 -
distinct n-grams / n-grams)`. Deviation from the paper: it puts the penalty on each repeated token.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

from rewards.completions import texts
from rewards.errors import BadInput
from rewards.words import CHARACTERS_A_WORD, SCRIPTS

_UNSPACED = "".join(SCRIPTS[script] for script in CHARACTERS_A_WORD)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]++")


def repetition_penalty(
    completions: Sequence[Any],
    completion_ids: Sequence[Sequence[int]] | None = None,
    ngram_size: int = 3,
    max_penalty: float = -1.0,
    unit: Literal["tokens", "words"] = "tokens",
    **columns: Any,
) -> list[float]:
    """From 0 where no n-gram occurs twice down to `max_penalty`; 0 for fewer than `ngram_size` tokens or words.

    Args:
        completions: plain or conversational.
        completion_ids: the sampled tokens of each, needed for `unit="tokens"`.
        ngram_size: tokens or words of an n-gram.
        max_penalty: at most 0.
        unit: `tokens`, as the paper and TRL: fair to every language, but a word may be several, so n-grams say little.
            `words`, as open-r1: what stands between white space, whatever its case; in Chinese, Japanese, Thai, Lao,
            Burmese and Khmer, which put no spaces, each character.

    Raises:
        BadInput: an option is out of its range, or there are no tokens.
    """
    if isinstance(ngram_size, bool) or not isinstance(ngram_size, int) or ngram_size < 1:
        raise BadInput(
            f"ngram_size={ngram_size!r} of the reward 'repetition_penalty' is no size; give a whole number from 1"
        )
    if not max_penalty <= 0:
        raise BadInput(f"max_penalty={max_penalty} of the reward 'repetition_penalty' would pay; give 0 or less")
    if unit not in ("tokens", "words"):
        raise BadInput(f"unit={unit!r} of the reward 'repetition_penalty' is not known; give 'tokens' or 'words'")
    if unit == "words":
        return [_penalty(_WORD.findall(text.lower()), ngram_size, max_penalty) for text in texts(completions)]
    if completion_ids is None:
        raise BadInput("the reward 'repetition_penalty' has no completion_ids to count; give them, or unit='words'")
    return [_penalty(ids, ngram_size, max_penalty) for ids in completion_ids]


def _penalty(items: Sequence[int] | Sequence[str], size: int, max_penalty: float) -> float:
    ngrams = list(zip(*(items[start:] for start in range(size)), strict=False))
    repeated = 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0
    return max_penalty * repeated if repeated else 0.0
