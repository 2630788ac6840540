"""Words that several readers of answers look for: alternatives, and what stands where an answer should be."""

import re

ALTERNATIVES = re.compile(
    r"\b(?:or|either|maybe|perhaps|possibly|alternatively|ou|oder|или|або|atau|veya|ya da|oppure|hoặc|lub|albo|quizás?"
    r"|tal vez|talvez|peut-être|vielleicht|forse|belki|mungkin)\b|(?<!\w)(?:یا|या|अथवा|বা|অথবা)(?!\w)"
    r"|或|أو|または|もしくは|あるいは|또는|혹은|아니면",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"\s*+(?:\\text\s*+\{)?+[\W_]*+(?:(?:the|my|your|final)[ _-]){0,3}(?:answer|result|number)(?:[ _-]here)?+[\W_]*+"
    r"|[\s*\"'\[{(]*+(?:_*+(?:\.{2,}|…|\\[lc]?dots)|_{2,})[\s*_\"'\]}).]*+",
    re.IGNORECASE,
)
_LONGEST_PLACEHOLDER = 100  # characters


def is_placeholder(text: str) -> bool:
    """Tell whether a text only says that an answer goes here: "your answer here", `...`, `____`."""
    return len(text) <= _LONGEST_PLACEHOLDER and _PLACEHOLDER.fullmatch(text) is not None
