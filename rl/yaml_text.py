"""YAML as recipes use it: YAML 1.2 numbers such as `1e-5`, and no key twice in one mapping."""

import re
from collections.abc import Hashable
from typing import Any

import yaml

_NUMBER = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")  # what PyYAML, being YAML 1.1, reads as a string

_RARE_BREAKS = {"\r", "\x85", "\u2028", "\u2029"}


class _Loader(yaml.SafeLoader):  # PyYAML's one way to change its rules
    pass


class _Dumper(yaml.SafeDumper):
    pass


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[Hashable] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, Hashable) and key in seen:
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
    """Parse one YAML document. Raises yaml.YAMLError."""
    return yaml.load(text, Loader=_Loader)


def dump_yaml(value: Any) -> str:
    """Write plain data (dicts, lists, numbers, text) as YAML that `parse_yaml` reads back to equal data."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
