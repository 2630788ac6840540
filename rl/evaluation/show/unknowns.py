"""What was not measured, and what is not known of how it was measured, in words.

`result` is one of the `results` in `results.json` (`rl.evaluation.folder`); those of older folders lack some fields.
"""

from collections.abc import Mapping
from typing import Any

from rl.run.summary import interval, percent

Result = Mapping[str, Any]

STORED = "stored"  # the template of outputs that were there already
NOT_STATED = "not stated"


def coverage(result: Result) -> str:
    """How many problems have a grade, and of how many where that is not all: `1,319`, or `2 of 4`."""
    return f"{result['n']:,}" if result["n"] == result["problems"] else f"{result['n']:,} of {result['problems']:,}"


def over_all(result: Result) -> str:
    """pass@1 and its interval with each missing answer as not solved; empty where no answer is missing."""
    if not result.get("missing"):
        return ""
    return f"{percent(result['pass@1_all'])} {interval({'ci95': result['ci95_all']})}"


def missing_answers(result: Result, name: str) -> str:
    """The sentence on the answers that are missing of the benchmark `name`; empty where none is."""
    if not result.get("missing"):
        return ""
    parts = []
    if none := result["unanswered"]:
        parts.append(f"{none:,} of {result['problems']:,} problems {_have(none)} no answer")
    if few := result["partly_answered"]:
        of = "" if parts else f" of {result['problems']:,} problems"
        parts.append(f"{few:,}{of} {_have(few)} fewer than {result['num_samples']:,} answers")
    return (
        f"Not complete: {' and '.join(parts)} in {name}. pass@1 is of the {result['samples']:,} answers that are "
        f"there; with each of the {result['missing']:,} missing answers as not solved it is {over_all(result)}."
    )


def unknown_rows(result: Result, name: str) -> str:
    """The sentence on rows of a file of outputs that name no problem of the benchmark `name`; empty where none does."""
    count = result.get("unknown_rows")
    if not count:
        return ""
    rows = f"{count:,} row of the file names" if count == 1 else f"{count:,} rows of the file name"
    return f"{rows} no problem of {name}, and {_have(count, 'be')} left out."


def drawn(result: Result) -> str:
    """How the answers were drawn; `not stated` for what a file of outputs does not say."""
    temperature, *others = (_stated(result, name) for name in ("temperature", "top_p", "top_k", "min_p"))
    if temperature is None and not any(others):
        return NOT_STATED
    if temperature == 0:
        return "greedy"
    parts = [f"temperature {NOT_STATED if temperature is None else temperature}"]
    parts += [f"{name} {value}" for name, value in zip(("top p", "top k", "min p"), others, strict=True) if value]
    return ", ".join(parts if is_stored(result) else [*parts, f"seed {result['seed']}"])


def token_limit(result: Result) -> str:
    """The longest completion that was allowed, in tokens; `not stated` where a file of outputs does not say it."""
    limit = _stated(result, "max_tokens")
    return NOT_STATED if limit is None else f"{limit:,}"


def is_stored(result: Result) -> bool:
    """Whether the answers are outputs that were there already, so that only their file can say how they were drawn."""
    return bool(result["template"] == STORED)


def _stated(result: Result, name: str) -> Any:
    """A setting of sampling, None where it is unknown. Older folders give stored outputs the benchmark's settings."""
    return None if is_stored(result) and "unanswered" not in result else result[name]


def _have(count: int, verb: str = "have") -> str:
    forms = {"have": ("has", "have"), "be": ("is", "are")}
    return forms[verb][count != 1]
