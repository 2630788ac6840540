"""The name of the environment variable that holds a server's key, and never the key itself."""

import os
import re

from pydantic_core import PydanticCustomError

from rewards.errors import BadInput

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# How keys of the usual services begin, and what random text looks like: long, of letters and digits.
BEGINNINGS = re.compile(
    r"(?:sk|pk|rk|hf|gsk|ghp|gho|github_pat|glpat|r8|xai|pplx|nvapi|AIza|AKIA|ya29|eyJ)[-_A-Z0-9a-z]{12,}"
)
RANDOM = re.compile(r"(?=(?:.*[0-9]){3})(?=.*[a-zA-Z])[A-Za-z0-9]{20,}|[A-Za-z0-9_]{64,}")
FAULT = (
    "takes the name of an environment variable, such as OPENAI_API_KEY, and this looks like a key or is no name (it is "
    "not shown, in case it is a key): put the key into a variable and give the variable's name."
)


def is_key_variable(name: str) -> bool:
    """Tell the name of a variable from a key that was given by mistake; a variable that is set is a name."""
    if not NAME.fullmatch(name):
        return False
    return name in os.environ or not looks_like_key(name)


def looks_like_key(text: str) -> bool:
    """Tell whether a text may be a key, which no message may show."""
    return bool(BEGINNINGS.fullmatch(text) or RANDOM.fullmatch(text))


def check_key_variable(name: str, option: str) -> None:
    """Refuse what is not the name of a variable. Raises BadInput, whose sentence does not hold what was given."""
    if not is_key_variable(name):
        raise BadInput(f"{option} {FAULT}")


def key_variable(name: str) -> str:
    """Check a value of a recipe in the same way. Raises PydanticCustomError."""
    if not is_key_variable(name):
        raise PydanticCustomError("key_variable", FAULT)
    return name
