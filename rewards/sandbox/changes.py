"""What a call does to its arguments: which of their lists, dictionaries, sets and arrays it changed, and into what.

Both sides of a call hold trees of the same shape, so a container has the same place in the order of both. The program's
side says what each changed one holds now, and names the containers in it by their places; the other side makes its own
containers hold the same. So what was one object before the call is one object after it.
"""

import operator
import sys
from collections import deque
from collections.abc import Iterable
from typing import Any

PLAIN = {type(None), bool, int, float, complex, str, bytes, frozenset, range}  # nothing in them can be changed
BASES = (list, dict, set, bytearray, deque, tuple)
EXACT = frozenset(BASES)


class Place:
    """Stands for the container of a place."""

    def __init__(self, number: int) -> None:
        self.number = number


def containers(value: Any) -> list[Any]:
    """Return the containers in a value that can be changed, in order."""
    found: list[Any] = []
    _walk(value, found)
    return found


def _walk(value: Any, found: list[Any]) -> None:
    base = _base(value)
    if base is None:
        return
    if base is not tuple:
        found.append(value)
    if base in (list, tuple, deque):
        _walk_all(base.__iter__(value), found)
    elif base is dict:
        _walk_all(dict.values(value), found)


def _walk_all(values: Iterable[Any], found: list[Any]) -> None:
    items = list(values)
    if not PLAIN.issuperset(map(type, items)):
        for item in items:
            _walk(item, found)


def _base(value: Any) -> Any:
    """Return the kind of container that a value is; None for all else."""
    kind = type(value)
    if kind in PLAIN:
        return None
    if kind in EXACT:
        return kind
    if (numpy := sys.modules.get("numpy")) and kind is numpy.ndarray:
        return kind
    return next((base for base in type.mro(kind) if base in BASES), None)


class Snapshot:
    """Arguments of a call, as they were before it."""

    def __init__(self, value: Any) -> None:
        self.containers = containers(value)
        self.before = list(map(_held, self.containers))
        self.places = {id(container): place for place, container in enumerate(self.containers)}

    def changes(self) -> list[list[Any]]:
        """List the place and present content of each container that holds something else than before."""
        pairs = enumerate(zip(self.containers, self.before, strict=True))
        return [[place, self.named(_held(now))] for place, (now, before) in pairs if not _same(_held(now), before)]

    def named(self, value: Any) -> Any:
        """Return a value with the arguments' containers in it named by their places."""
        if (place := self.places.get(id(value))) is not None:
            return Place(place)
        if type(value) in (list, tuple):
            if {type(item) for item in value} <= PLAIN:
                return value
            return type(value)(map(self.named, value))
        return {key: self.named(item) for key, item in value.items()} if type(value) is dict else value


def _held(container: Any) -> Any:
    """Return what a container holds, in a new plain one."""
    if type(container) is list:
        return container[:]
    base = _base(container)
    if base in (list, deque):
        return list(base.__iter__(container))
    if base is dict:
        return dict(dict.items(container))
    if base is set:
        return set(set.__iter__(container))
    return bytes(container) if base is bytearray else container.copy()


def _same(now: Any, before: Any) -> bool:
    """Tell whether a container holds the very same objects."""
    if type(now) is list:
        return len(now) == len(before) and all(map(operator.is_, now, before))
    if type(now) is dict:
        return _same(list(now), list(before)) and _same(list(now.values()), list(before.values()))
    if type(now) in (set, bytes):
        return bool(now == before)
    return bool(now.dtype == before.dtype and now.shape == before.shape and now.tobytes() == before.tobytes())


def apply(mine: list[Any], changes: Any) -> None:
    """Make containers hold what those of the other side hold.

    Raises:
        ValueError, TypeError, IndexError: the changes are none for these.
    """
    for place, content in changes:
        container = mine[place]
        base = _base(container)
        if base is list:
            list.__setitem__(container, slice(None), content)
        elif base is deque:
            deque.clear(container)
            deque.extend(container, content)
        elif base is dict:
            fresh = dict(content)
            dict.clear(container)
            dict.update(container, fresh)
        elif base is set:
            set.clear(container)
            set.update(container, content)
        else:  # a bytearray, or an array of the same shape
            container[... if base is not bytearray else slice(None)] = content
