"""A reward in a file of its own, for tests of the Python API."""


def low_letters(completions, **_):
    return [sum(c < "m" for c in text) / max(len(text), 1) for text in completions]
