"""Templates such as `What is {question}?`, filled with the columns of a row."""

import functools
import math
import re
import string
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

from rewards.errors import BadInput
from rewards.gold import kind_of
from rl.problems.conversation import is_conversation, user_text

QUESTION_COLUMNS = ("question", "problem", "prompt", "text")
WRITABLE = (str, int, float, Decimal, date, time)
WIDEST = 1000  # characters of a format, such as `{x:>8}`
FEW_FIELDS = 100  # no row is so long that fewer fields of it do not fit
LONGEST = 10**7  # characters of a text
_READ = string.Formatter().get_field


def fill(template: str, columns: Mapping[str, Any], where: str, option: str = "problems.prompt") -> str:
    """Put a row's columns into a template such as `What is {question}?`, by the rules of `str.format_map`.

    `{{` and `}}` stand for braces, `{operands[0]}` for an element, a list of numbers is written as `[1, 2, 3]`, and of
    a conversation what the user says.

    Raises:
        BadInput: the template is malformed, or names something that the row does not have, or that is no text or
            number; names `where` and `option`.
    """
    check_named(template, columns, where, option)
    _check_size(template, columns, where, option)
    try:
        values = {field: _READ(field, (), columns)[0] for field in _fields(template, option)}
        said = {field: user_text(value) for field, value in values.items() if is_conversation(value)}
        filled = template.format_map({**columns, **said} if said else columns)
    except (LookupError, AttributeError, ValueError, TypeError) as error:  # {nums[9]}, {nums.x}, {target:q}, {nums:3}
        raise BadInput(
            f"{option} does not fit {where} ({type(error).__name__}: {error}); correct {template!r}."
        ) from error
    for field, value in values.items():
        if fault := _fault(value, question=field in QUESTION_COLUMNS):
            raise BadInput(
                f"{where}: {field} is {fault}, which cannot be put into {option}; correct it, or leave the row out."
            )
    return filled


def check_named(template: str, columns: Mapping[str, Any], where: str, option: str = "problems.prompt") -> None:
    """Raise BadInput if a template names a column that a row does not have."""
    missing = [name for name in template_columns(template, option) if name not in columns]
    if missing:
        raise BadInput(
            f"{option} names the column {missing[0]!r}, which {where} does not have; its columns: "
            f"{', '.join(columns)} (a brace that is meant as one is written twice)."
        )


@functools.lru_cache(maxsize=64)
def template_columns(template: str, option: str = "problems.prompt") -> tuple[str, ...]:
    """The columns that a prompt template names, in order, each once. Raises BadInput if it is malformed."""
    names = tuple(dict.fromkeys(re.split(r"[.\[]", field, maxsplit=1)[0] for field in _fields(template, option)))
    if any(not name or name.isdigit() for name in names):
        raise BadInput(
            f"{option} has braces without a column name: {template!r}; write {{question}} for a column, and "
            "a brace that is meant as one twice."
        )
    return names


@functools.lru_cache(maxsize=64)
def _fields(template: str, option: str) -> tuple[str, ...]:
    """What stands in the braces of a template, such as `operands[0]`, without conversions and formats.

    Raises:
        BadInput: the template is malformed, reads an attribute, or has a format that is wide or is filled itself.
    """
    try:
        parts = [(field, form or "") for _, field, form, _ in string.Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise BadInput(
            f"{option} is malformed ({error}): {template!r}; write a brace that is meant as one twice."
        ) from error
    for field, form in parts:
        if "." in re.sub(r"\[[^]]*\]", "", field):
            raise BadInput(
                f"{option} does not fit: {field!r} reads an attribute, and columns have elements alone, as in nums[0]."
            )
        if "{" in form:
            raise BadInput(f"{option}: the format of {field} has braces in it; write the format itself.")
        # A number of many digits need not be read: that takes long, too.
        if any(len(number) > 4 or int(number) > WIDEST for number in re.findall(r"\d+", form)):
            raise BadInput(f"{option}: the format of {field} is wider than {WIDEST} characters; make it narrower.")
    return tuple(field for field, _ in parts)


def _check_size(template: str, columns: Mapping[str, Any], where: str, option: str) -> None:
    """Raise BadInput if a template repeats long columns so often that the text would not fit the memory."""
    if len(fields := _fields(template, option)) < FEW_FIELDS:
        return
    names = (re.split(r"[.\[]", field, maxsplit=1)[0] for field in fields)
    sizes = {name: len(str(value)) for name, value in columns.items()}
    if sum(sizes[name] for name in names) > LONGEST:
        raise BadInput(f"{option} makes a text of more than {LONGEST:,} characters for {where}; shorten it.")


def _fault(value: Any, question: bool) -> str:
    """What a value is that cannot be asked; empty if it can. A question itself is no truth value and no mere list."""
    if isinstance(value, bool) and question:
        return kind_of(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}, no finite number"
    if isinstance(value, WRITABLE) or is_conversation(value):
        return ""
    if isinstance(value, list | tuple) and not question:
        return next((f"a list with {fault} in it" for item in value if (fault := _fault(item, question))), "")
    return kind_of(value)
