"""Sections of keys as YAML: read, changed by `section.key=value`, checked against a schema.

Everything the user can get wrong here ends as one `BadInput` sentence that names the key, the file and what is allowed.
YAML is read with two mends: `1e-5` is a number (PyYAML takes it for a string), and a key given twice is an error.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from rewards.errors import BadInput
from rl.config.keys import meant_key
from rl.config.recipe import Section
from rl.config.yaml_text import LARGEST, TooMuch, parse_yaml

Tree = dict[str, Any]  # sections of keys before they are checked
Origins = Sequence[tuple[str, str]]  # (dotted key, where it was set): for error messages, last wins
LONGEST_SHOWN = 120  # characters of a value in a sentence
Schema = TypeVar("Schema", bound=Section)


def check(schema: type[Schema], tree: Tree, where: str, origins: Origins = ()) -> Schema:
    """Check keys and values. Raises BadInput for the first problem; unknown keys come first."""
    try:
        # Strict, so that `yes` is no number; by way of JSON, so that lists are accepted where tuples are meant.
        return schema.model_validate_json(json.dumps(tree, default=str), strict=True)
    except TypeError as error:  # of a key that JSON cannot have, such as a date
        raise BadInput(f"A key is no text: {error}; put it in quotation marks ({where}).") from error
    except ValidationError as failure:
        errors = failure.errors()
        first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
        dotted = _dotted(first, tree)
        origin = next((o for key, o in reversed(origins) if _touches(key, dotted)), where)
        raise BadInput(f"{_sentence(schema, first, dotted)} ({origin})") from None


def parse_override(schema: type[Section], text: str) -> tuple[str, Any]:
    """Split `section.key=value` and read the value as YAML; the value of a text option stays text. Raises BadInput."""
    dotted, equals, raw = text.partition("=")
    if not equals or not dotted.strip():
        raise BadInput(f"{text!r} is not an override; write it as section.key=value.")
    dotted = dotted.strip()
    if dotted in _text_keys(schema) and raw[:1] not in ("'", '"'):
        # `problems.prompt={question}` is a mapping to YAML, `model.revision=12e5` a number: here they are text.
        return dotted, None if raw in ("null", "") else raw
    try:
        return dotted, parse_yaml(raw)
    except TooMuch as error:
        raise BadInput(f"The value of {dotted} cannot be taken: {error}; correct it (command line).") from error
    except yaml.YAMLError as error:
        raise BadInput(
            f"The value of {dotted} is not YAML: {_short(raw)}; quote it if it is text (command line)."
        ) from error


def _touches(key: str, other: str) -> bool:
    """True if one dotted key is the other, or a section that holds it."""
    return f"{other}.".startswith(f"{key}.") or f"{key}.".startswith(f"{other}.")


def known_keys(schema: type[Section]) -> list[str]:
    """Every key with its section, e.g. `optimizer.learning_rate`."""
    return [dotted for dotted, _ in _walk_keys(schema)]


def _walk_keys(section: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, field in section.model_fields.items():
        yield prefix + key, field.annotation
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, Section):
                yield from _walk_keys(kind, f"{prefix}{key}.")


def _text_keys(schema: type[Section]) -> set[str]:
    return {dotted for dotted, kind in _walk_keys(schema) if kind is str or set(get_args(kind)) == {str, type(None)}}


def read_tree(path: Path) -> Tree:
    """The sections of a YAML file, not checked. Raises BadInput."""
    try:
        with path.open(encoding="utf-8") as file:
            tree = parse_yaml(file.read(LARGEST + 1))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        fault = error.problem or error.context or ""
        if fault.startswith("but ") and error.context:  # the second half of a sentence
            fault = f"{error.context}, {fault}"
        raise BadInput(f"Not valid YAML: {fault} ({shown(path)}{line}).") from error
    except OSError as error:
        raise BadInput(f"{shown(path)} cannot be read ({error.strerror}).") from error
    except TooMuch as error:
        raise BadInput(f"The YAML file cannot be taken: {error}; correct it ({shown(path)}).") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"Not a YAML text file ({shown(path)}).") from error
    if not isinstance(tree, dict):
        raise BadInput(f"A recipe is a YAML mapping of sections, and this is none ({shown(path)}).")
    if (odd := next((key for key in tree if not isinstance(key, str)), "")) != "":
        raise BadInput(f"{odd!r} is a number or nothing, and the name of a section is text ({shown(path)}).")
    return tree


def shown(path: Path) -> str:
    """The path as a reader would write it: relative to the working folder where it is inside."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def assign(tree: Tree, dotted: str, value: Any) -> None:
    """Set a dotted key, making the sections that are missing."""
    *sections, key = dotted.split(".")
    for section in sections:
        if not isinstance(tree.get(section), dict):
            tree[section] = {}
        tree = tree[section]
    tree[key] = value


def _dotted(error: ErrorDetails, tree: Tree) -> str:
    """The key an error is about; pydantic appends union branches to its location, which are no keys."""
    parts: list[str] = []
    value: Any = tree
    for part in error["loc"]:
        present = part in value if isinstance(value, Mapping) else isinstance(value, list) and isinstance(part, int)
        if not present and not (error["type"] == "missing" and part == error["loc"][-1]):
            break
        parts.append(str(part))
        value = value[part] if present else None
    return ".".join(parts)


def _sentence(schema: type[Section], error: ErrorDetails, dotted: str) -> str:
    match error["type"]:
        case "extra_forbidden":
            return f"{dotted}: unknown key; {_suggestion(schema, dotted)}"
        case "missing":
            return f"{dotted} is missing; add it."
        case "model_type" | "model_attributes_type":
            like = f"; write {dotted}.name={error['input']}" if f"{dotted}.name" in known_keys(schema) else ""
            return f"{dotted or 'The recipe'} must be a section of keys, not {_short(error['input'])}{like}."
        case "key_variable":  # what was given may be a secret
            return f"{dotted} {error['msg']}"
        case "dict_type":
            return f"{dotted} must be keys with values, like {{name: 1.0}}, not {_short(error['input'])}."
    message = error["msg"]
    for ours, theirs in (("must be ", "Input should be "), ("must ", "String should "), ("must ", "Input should ")):
        message = message.replace(theirs, ours)
    return f"{dotted} {message[:1].lower()}{message[1:]}, not {_short(error['input'])}."


def _short(value: Any) -> str:
    """Write a value for a sentence; of a long one the beginning."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…"


def _suggestion(schema: type[Section], dotted: str) -> str:
    """Return the key that is meant, or else those of the same section."""
    known = known_keys(schema)
    if (found := meant_key(dotted, known)) is not None:
        return f"did you mean {found}?"
    section = dotted.rpartition(".")[0]
    return f"known here: {', '.join(key for key in known if key.rpartition('.')[0] == section)}."
