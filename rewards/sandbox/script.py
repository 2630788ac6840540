"""What a program that runs as a script finds besides its text: its own file, and `/dev/stdin` and the like.

The system finds those devices through /proc, which programs do not have, so the functions that open files know them.
Only a program that mentions one of these things gets it: it is paid for in each process.
"""

import builtins
import io
import linecache
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

DEVICES = {
    path: number
    for number, name in enumerate(("stdin", "stdout", "stderr"))
    for path in (f"/dev/{name}", f"/dev/fd/{number}", f"/proc/self/fd/{number}")
}


def furnish(module: ModuleType, program: str, name: str, shown_as: str) -> None:
    """Give a program's module its file's name, and what its text asks for.

    Args:
        module: where the program will run.
        program: its text.
        name: of its file, in the working directory.
        shown_as: the name of the file in its compiled code.
    """
    module.__file__ = os.path.join(os.getcwd(), name)
    if "__file__" in program or "argv" in program:
        with open(module.__file__, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(program)
    if "inspect" in program or "traceback" in program:
        linecache.cache[shown_as] = (len(program), None, program.splitlines(keepends=True), shown_as)
    if "/dev/" in program or "/fd/" in program:
        _offer_devices()


def _offer_devices() -> None:
    """Let the program open and find the devices by every function of Python that takes a path."""
    builtins.open = io.open = opened = _with_devices(io.open, _opened)
    os.open = _with_devices(os.open, lambda number, *_, **__: os.dup(number))
    os.stat = _with_devices(os.stat, lambda number, *_, **__: os.fstat(number))
    os.lstat = _with_devices(os.lstat, lambda number, *_, **__: os.fstat(number))
    os.access = _with_devices(os.access, lambda *_, **__: True)
    if numpy := sys.modules.get("numpy.lib._datasource"):  # it has taken `open` already
        numpy._file_openers._file_openers[None] = opened


def _opened(number: int, *arguments: Any, **keywords: Any) -> Any:
    return open(os.dup(number), *arguments, **keywords)


def _with_devices(plain: Callable[..., Any], of_device: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of a path that calls another one, with a descriptor, where the path is that of a device."""

    def function(path: Any, *arguments: Any, **keywords: Any) -> Any:
        number = DEVICES.get(os.fspath(path)) if isinstance(path, str | os.PathLike) else None
        if number is None:
            return plain(path, *arguments, **keywords)
        return of_device(number, *arguments, **keywords)

    return function
