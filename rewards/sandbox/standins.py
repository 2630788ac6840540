"""Stand-ins for objects of another process: what is done with one is done there, with the object itself.

Both the process of a program and that of its check script use them. What may be asked of the other side is for the
`Peer` to say.
"""

import copy
import math
import operator
import types
from collections.abc import Callable
from typing import Any, Protocol

# Operators and functions with special methods. Those of two operands have a form with exchanged ones, too.
TWO: dict[str, Callable[[Any, Any], Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "matmul": operator.matmul,
    "truediv": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "divmod": divmod,
    "pow": operator.pow,
    "lshift": operator.lshift,
    "rshift": operator.rshift,
    "and": operator.and_,
    "or": operator.or_,
    "xor": operator.xor,
}
IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    f"i{name}": getattr(operator, f"__i{name}__") for name in TWO if name != "divmod"
}
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}
ONE: dict[str, Callable[..., Any]] = {
    "neg": operator.neg,
    "pos": operator.pos,
    "abs": operator.abs,
    "invert": operator.invert,
    "int": int,
    "float": float,
    "complex": complex,
    "index": operator.index,
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "bool": bool,
    "hash": hash,
    "str": str,
    "repr": repr,
    "format": format,
    "bytes": bytes,
}
ITEMS: dict[str, Callable[..., Any]] = {
    "len": len,
    "getitem": operator.getitem,
    "contains": operator.contains,
    "reversed": reversed,
    "iter": iter,
}
OTHERS: dict[str, Callable[..., Any]] = {
    "setitem": operator.setitem,
    "delitem": operator.delitem,
    "next": next,
    "enter": lambda thing: type(thing).__enter__(thing),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}
SPECIAL = TWO | IN_PLACE | COMPARISONS | ONE | ITEMS | OTHERS
KINDS: dict[str, type] = {
    "generator": types.GeneratorType,
    "function": types.FunctionType,
    "method": types.MethodType,
    "type": type,
}


class Peer(Protocol):
    """The other side, as a stand-in sees it."""

    def special(self, name: str, thing: "Handle", *operands: Any) -> Any:
        """Return the result of an operator or function with special methods; `thing` is one of the operands."""

    def get(self, thing: "Handle", name: str) -> Any:
        """Return an attribute."""

    def call(self, thing: Any, arguments: list[Any], keywords: dict[str, Any]) -> Any:
        """Return what a call returns."""

    def ask(self, action: str, *operands: Any) -> Any:
        """Return the result of any other action."""


class Handle:
    """An object of the other side's, which stays there.

    Attributes:
        _made: it was made by this side, which called a class by its name.
        _face: its items, as they were when they were first asked for (see `Remote.special`).
    """

    __slots__ = ("_face", "_kind", "_made", "_number", "_peer")

    def __init__(self, peer: Peer, number: int) -> None:
        for name, value in (("_peer", peer), ("_number", number), ("_made", False), ("_face", None), ("_kind", None)):
            object.__setattr__(self, name, value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the object that this one stands for."""
        return self._peer.call(self, list(arguments), keywords)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__array") or name in ("_ipython_display_", "__wrapped__"):  # others look for protocols
            raise AttributeError(name)
        return self._peer.get(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._peer.ask("delete", self, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """For `isinstance`: a generator is one on both sides."""
        if self._kind is None:
            object.__setattr__(self, "_kind", Handle)  # meanwhile: the encoder may ask what this is
            object.__setattr__(self, "_kind", KINDS.get(str(self._peer.ask("kind", self)), Handle))
        return self._kind

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        return bool(self._peer.ask("exit", self, error))

    def __iter__(self) -> Any:
        return self._peer.special("iter", self)

    def __next__(self) -> Any:
        return self._peer.special("next", self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a stand-in for an object of another process cannot be pickled")


def _with_special_methods() -> None:
    """Give `Handle` the methods of all operators and functions."""

    def forward(name: str) -> Callable[..., Any]:
        return lambda self, *operands: self._peer.special(name, self, *operands)

    def backward(name: str) -> Callable[..., Any]:
        return lambda self, other: self._peer.special(name, other, self)

    for name in (*TWO, *IN_PLACE, *COMPARISONS, *ONE, *ITEMS.keys() - {"iter"}, *OTHERS.keys() - {"next"}):
        setattr(Handle, f"__{name}__", forward(name))
    for name in TWO:
        setattr(Handle, f"__r{name}__", backward(name))
    Handle.__deepcopy__ = lambda self, memory: self._peer.special("deepcopy", self)  # type: ignore[attr-defined]


_with_special_methods()
