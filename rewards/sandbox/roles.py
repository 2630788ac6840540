"""What the programs' own processes do: answer calls (`serve`), or read and write as a script (`stdio`).

Both are called in a process that is shut in already and that holds nothing but the program: no test, no expected value.
The program can change all of this at will, and so deceives nobody but itself.
"""

import atexit
import contextlib
import os
import socket
import sys
from types import ModuleType
from typing import Any, NoReturn

from rewards.sandbox import frames, values
from rewards.sandbox.script import furnish
from rewards.sandbox.server import FILE, Server
from rewards.sandbox.talk import text_of


def serve(channel: int) -> None:
    """Run a program as a module, then do with what it defined as asked, until the channel closes.

    The first message holds the preamble, the program, and whether the other side takes handles of objects that are no
    plain values; the others are requests (see `rewards.sandbox.talk`), which `Server` answers.
    """
    connection = socket.socket(fileno=channel)
    preamble, program, handles = values.decode(frames.receive(connection))
    sys.set_int_max_str_digits(0)  # as in the Pythons for which the benchmarks were written
    server = Server(connection, handles)
    process = os.getpid()
    reply = server.loaded(preamble, program)
    while os.getpid() == process:  # not in a child that the program forked and let run on
        frames.send(connection, reply)
        reply = server.reply(frames.receive(connection))
    os._exit(0)


def stdio(channel: int, stdin: int, stdout: int) -> NoReturn:
    """Run a program as a script from one descriptor to another, and end as the interpreter would."""
    connection = socket.socket(fileno=channel)
    preamble, program = values.decode(frames.receive(connection))
    for descriptor, standard in ((stdin, 0), (stdout, 1)):
        os.dup2(descriptor, standard)
        os.close(descriptor)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115 - the program closes it
    sys.stdout = output = open(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.argv = ["program.py"]
    sys.set_int_max_str_digits(0)  # as in the Pythons for which the benchmarks were written
    module = sys.modules["__main__"] = ModuleType("__main__")
    furnish(module, program, sys.argv[0], FILE)
    process = os.getpid()
    code = 0
    try:
        exec(preamble, module.__dict__)
        exec(compile(program, FILE, "exec"), module.__dict__)
    except SystemExit as error:
        code = _status(error.code)
    except BaseException as error:  # the interpreter would print it and end with 1
        code = 1
        with contextlib.suppress(BaseException):  # nobody has to hear of it
            frames.send(connection, values.encode(text_of(error)))
    os._exit(_finish(code, module, output) if os.getpid() == process else code)


def _status(code: Any) -> int:
    """The exit status of `sys.exit(code)`."""
    if code is None:
        return 0
    return code & 0xFF if isinstance(code, int) else 1


def _finish(code: int, module: ModuleType, output: Any) -> int:
    """What the interpreter does at its end: wait for threads, call exit handlers, write out what is buffered."""
    try:
        if threads := sys.modules.get("threading"):  # not imported here: every fork would pay for it
            threads._shutdown()
        atexit._run_exitfuncs()
        for file in (sys.stdout, output, sys.__stdout__):
            if file is not None and not file.closed:
                file.flush()
        module.__dict__.clear()  # files that the program left open are closed by this
    except BaseException:  # the interpreter's own end reports this status
        return 120
    return code
