"""How stored outputs were drawn, where their file says it: temperature, truncation, and the limit of tokens.

A row may say it itself, in a column such as `sampling_params` or `generation_kwargs`, or in the `arguments` that
lm-evaluation-harness logs. What a file does not say stays unknown: a benchmark's own protocol says nothing of outputs
that somebody else drew.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

SPELLINGS = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "min_p": ("min_p",),
    "max_tokens": ("max_tokens", "max_gen_toks", "max_new_tokens", "max_completion_tokens", "max_completion_length"),
}
COLUMNS = ("sampling_params", "sampling", "generation_kwargs", "gen_kwargs", "generation_config")


def stated_sampling(row: Mapping[str, Any]) -> dict[str, float]:
    """What a row of a file says of how its outputs were drawn, by the names of `SPELLINGS`."""
    found: dict[str, float] = {}
    for place in _places(row):
        for name, spellings in SPELLINGS.items():
            value = next((place[spelling] for spelling in spellings if spelling in place), None)
            if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
                found.setdefault(name, value)
        if place.get("do_sample") is False:
            found["temperature"] = 0.0
    if found.get("top_k", 0) < 0:  # vLLM's way to say: all tokens
        found["top_k"] = 0
    return found


def in_common(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What all rows say alike."""
    first = rows[0] if rows else {}
    return {name: value for name, value in first.items() if all(row.get(name) == value for row in rows)}


def _places(row: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield row
    yield from (row[column] for column in COLUMNS if isinstance(row.get(column), Mapping))
    for request in _parts(row.get("arguments")):
        yield from (part for part in _parts(request) if isinstance(part, Mapping))


def _parts(value: Any) -> Iterable[Any]:
    """What a list or an object holds; nothing for all else."""
    return value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
