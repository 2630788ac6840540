"""YAML as recipes use it: YAML 1.2 numbers such as `1e-5`, no key twice in one mapping, and a limit to its size.

A few lines of aliases of aliases can stand for more values than a machine can hold, so values are counted as often as
they stand for something before any is made.
"""

import itertools
import re
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

_NUMBER = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")  # what PyYAML, being YAML 1.1, reads as a string

LARGEST = 2**22  # characters of a file: what a recipe stands for, written out again, has fewer
MOST_VALUES = 50_000  # with those that aliases repeat
CHARACTERS = 20  # of a text, that count as one value
DEEPEST = 100  # levels of lists and mappings

_RARE_BREAKS = {"\r", "\x85", "\u2028", "\u2029"}


class _Loader(yaml.SafeLoader):  # PyYAML's one way to change its rules
    composed = 0  # values so far
    level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.composed += 1
        self.level += 1
        if self.composed > MOST_VALUES:
            raise TooMuch(f"it has more than {MOST_VALUES:,} values")
        if self.level > DEEPEST:
            raise TooMuch(f"its lists and mappings are nested more than {DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.level -= 1
        return node


class _Dumper(yaml.SafeDumper):
    pass


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str | int | float | None):
            fault = f"a key is a {type(key).__name__}, not text (quotation marks make it one)"
            raise yaml.constructor.ConstructorError(None, None, fault, key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text.strip("\n") else None
    if _RARE_BREAKS & set(text):
        style = '"'  # the only style that escapes them; in the others they come back as spaces
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))  # quotes the text '1e-5'
_Dumper.add_representer(str, _text)


def parse_yaml(text: str) -> Any:
    """Parse one YAML document. Raises yaml.YAMLError, also where it is too large or has a value that cannot be."""
    if len(text) > LARGEST:
        raise TooMuch(f"it has {len(text):,} characters, more than {LARGEST:,}")
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _count(node, {}, DEEPEST)
        return loader.construct_document(node)
    except (ValueError, OverflowError) as error:  # of a date such as 2001-99-99, or a number with thousands of digits
        raise TooMuch(f"a value cannot be read ({error})") from error
    finally:
        loader.dispose()


class TooMuch(yaml.YAMLError):
    """A document is too large, or has a value that cannot be; its text says which."""


def _count(node: yaml.Node, known: dict[int, int], levels: int) -> int:
    """Count the values that a node stands for, aliases each time. Raises `TooMuch` beyond the limits."""
    if levels < 0:
        raise TooMuch(f"its lists and mappings are nested more than {DEEPEST} levels deep, or hold themselves")
    if id(node) in known:
        return known[id(node)]
    inner: Iterable[yaml.Node] = ()
    if isinstance(node, yaml.SequenceNode):
        inner = node.value
    elif isinstance(node, yaml.MappingNode):
        inner = itertools.chain.from_iterable(node.value)
    # Long text counts as several values, since aliases repeat text, too.
    values = 1 + (len(node.value) // CHARACTERS if isinstance(node, yaml.ScalarNode) else 0)
    for part in inner:
        values += _count(part, known, levels - 1)
        if values > MOST_VALUES:
            raise TooMuch(f"it stands for more than {MOST_VALUES:,} values, aliases counted each time")
    known[id(node)] = values
    return values


def dump_yaml(value: Any) -> str:
    """Write plain data (dicts, lists, numbers, text) as YAML that `parse_yaml` reads back to equal data."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
