"""Reward functions for tests, written as a user would write them."""


def share_of_low_letters(completions: list[str], **columns: list) -> list[float]:
    """Share of characters below `m`: a random model scores about half and can learn to score more."""
    return [sum(character < "m" for character in text) / max(len(text), 1) for text in completions]


def never_gradable(completions: list[str], **columns: list) -> list[None]:
    """A grader that is broken."""
    return [None for _ in completions]
