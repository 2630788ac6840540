"""What a check script gives to the program besides plain values: functions, iterators, objects of its own classes.

They stay in the checker. The program gets to know of them only what it is for: it calls a function, takes the next of
an iterator, and uses the public attributes and operators of an object. Nothing leads to the script's own variables.
"""

import sys
import types
from typing import Any, NoReturn

from rewards.sandbox import values
from rewards.sandbox.standins import SPECIAL
from rewards.sandbox.talk import SCRIPTS, built_in, plain

FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type)
# Of these a program could find its way to the script.
NEVER_GIVEN = (
    types.ModuleType,
    types.FrameType,
    types.TracebackType,
    types.CodeType,
    types.CoroutineType,
    types.AsyncGeneratorType,
)


class Given:
    """The script's objects that the program knows.

    Attributes:
        refused: what cannot be given, if the script tried to.
    """

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}
        self.refused = ""

    def number(self, thing: Any) -> int:
        """Return the number of an object, which the program may use from now on."""
        if isinstance(thing, NEVER_GIVEN):
            self.refuse(f"a {type(thing).__name__}")
        if id(thing) not in self.numbers:
            self.numbers[id(thing)] = SCRIPTS - len(self.objects)
            self.objects.append(thing)
        return self.numbers[id(thing)]

    def refuse(self, what: str) -> NoReturn:
        """Say that the script cannot be run as it is, whatever the program."""
        self.refused = f"{what} cannot be given to a program"
        raise values.CodecError(self.refused)

    def object_of(self, number: int) -> Any:
        """Return the object of a number."""
        return self.objects[SCRIPTS - number]

    def do(self, action: Any, *operands: Any) -> Any:
        """Do with an object what the program asks, if its kind allows that."""
        if action == "what":
            return self.what(self.object_of(operands[0]))
        if action == "special":
            return self._special(*operands)
        thing, *others = operands
        kind = self.what(thing)[0]
        if action == "call" and kind != "name" and callable(thing):
            return thing(*others[0], **others[1])
        if action == "kind":
            return kind
        if kind == "object" and action in ("get", "set") and not str(others[0]).startswith("_"):
            return getattr(thing, *others) if action == "get" else setattr(thing, *others)
        raise AttributeError(f"a program cannot use that of a {type(thing).__name__} of the check script")

    def _special(self, name: str, *operands: Any) -> Any:
        kinds = [self.what(operand)[0] for operand in operands if id(operand) in self.numbers]
        if "object" in kinds or (name == "next" and "iterator" in kinds):
            return SPECIAL[name](*operands)
        raise TypeError(f"a program cannot do that with a {kinds} of the check script")

    def what(self, thing: Any) -> list[Any]:
        """Return what an object is to the program: its kind and what goes with it."""
        if isinstance(thing, BaseException):
            own = type(thing).__name__ if type(thing).__module__ == "__main__" else None
            arguments = [str(thing)] if plain(list(thing.args)) is None else list(thing.args)
            return ["error", own, built_in(type(thing)), arguments]
        name = getattr(thing, "__qualname__", None)
        if isinstance(thing, FUNCTIONS) and isinstance(name, str):
            module = getattr(thing, "__module__", None) or ""
            is_known = module.partition(".")[0] in sys.stdlib_module_names
            found = getattr(sys.modules.get(module), name, None) if is_known else None
            return ["name", module, name] if found is thing else ["function", name]
        return ["iterator"] if hasattr(type(thing), "__next__") and not callable(thing) else ["object"]  # a mock
