"""Reward functions for tests, written as a user would write them."""

from collections.abc import Callable


def share_of_low_letters(completions: list[str], **columns: list) -> list[float]:
    """Share of characters below `m`: a random model scores about half and can learn to score more."""
    return [sum(character < "m" for character in text) / max(len(text), 1) for text in completions]


def never_gradable(completions: list[str], **columns: list) -> list[None]:
    """A grader that is broken."""
    return [None for _ in completions]


def ends_in_seven(completions: list[str], log_metric: Callable[[str, float], None], **columns: list) -> list[float]:
    """Whether the last character is a 7."""
    grades = [float(text.endswith("7")) for text in completions]
    log_metric("sevens", sum(grades) / len(grades))
    return grades


def first_is_low(completions: list[str], **columns: list) -> list[float]:
    """1 if the first character is below `m`: groups are often all right or all wrong."""
    return [float(text[:1] < "m") for text in completions]


def broken(completions: list[str], **columns: list) -> list[float]:
    """A bug."""
    raise KeyError("mine")
