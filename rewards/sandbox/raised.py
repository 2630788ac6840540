"""Exceptions of a program, as its check script can catch them: by their class, or by one that this comes from."""

import builtins
import sys
from typing import Any

from rewards.sandbox.standins import Handle, Peer
from rewards.sandbox.talk import said_by

# Raised in the checker they would end its loops early and quietly instead of failing it.
NEVER_RAISED = (StopIteration, StopAsyncIteration, GeneratorExit)
# Exceptions of these mean "passed over" to those who run tests.
RUN_TESTS = {"unittest", "doctest", "bdb", "pdb"}


def mirrored(program: Peer, name: str, parents: list[type[BaseException]]) -> type[BaseException]:
    """Return a class of exceptions that stand for the program's."""

    def missing(self: Any, attribute: str) -> Any:
        if attribute == "_handle" or attribute.startswith("__"):
            raise AttributeError(attribute)
        if getattr(self, "_handle", None) is None:  # the script made it
            self._handle = program.call(name, list(self.args), {})
        return program.ask("get", self._handle, attribute)

    def text(self: Any) -> str:
        said = vars(self).get("_said")
        return parents[0].__str__(self) if said is None else str(said)

    body = {"__getattr__": missing, "__str__": text, "__module__": "__main__"}
    try:
        made = type(name, tuple(parents), body)
    except TypeError:  # these classes have no common descendants here
        made = type(name, (Exception,), body)
    return made


def rebuilt(
    program: Peer, exceptions: dict[str, type[BaseException]], name: str, text: str, handle: Handle
) -> BaseException:
    """Return the exception that the program raised, as one of the same class, as far as the script can know it."""
    own, module, path, said, arguments = program.ask("describe", handle)
    arguments = arguments if type(arguments) is list else [said if type(said) is str else text]
    if type(own) is str and own in exceptions:
        error = exceptions[own].__new__(exceptions[own], *arguments)
        vars(error).update(_handle=handle, _said=said)
        return error
    kind = None
    if str(module).partition(".")[0] in sys.stdlib_module_names - RUN_TESTS:
        kind = getattr(sys.modules.get(str(module)), str(path), None)  # only what the script has imported itself
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        kind = vars(builtins).get(name)
    if not isinstance(kind, type) or not issubclass(kind, BaseException) or issubclass(kind, NEVER_RAISED):
        return RuntimeError(text)
    for attempt in (arguments, [said if type(said) is str else text]):
        try:
            made = kind(*attempt)
        except TypeError:  # it takes something else
            continue
        if said_by(made) == said:
            return made
    return RuntimeError(text)
