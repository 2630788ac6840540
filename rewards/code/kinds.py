"""The three kinds of tests: calls, standard input and output, and check scripts. Each returns the share that passed."""

import os
import select
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.code.compare import same_output, shown
from rewards.code.script import Script
from rewards.code.trial import SHORTEST_WAIT, Failed, Trial
from rewards.sandbox import frames, values

LARGEST_OUTPUT = 16 << 20  # bytes of standard output
SERVE = "rewards.sandbox.roles:serve"
STDIO = "rewards.sandbox.roles:stdio"
CHECK = "rewards.sandbox.checker:check"
SYNTAX = ("SyntaxError", "IndentationError", "TabError")
LONGEST_WORDS = 1 << 12  # bytes of an exception's text
PIECE = 1 << 16  # bytes read at once
Tests = Sequence[Mapping[str, Any]]


class Unusable(ValueError):
    """The row's own tests are at fault."""


class NotPython(Failed):
    """The program does not compile."""


@dataclass(frozen=True)
class Source:
    """A program, and the statements that run before it."""

    program: str
    preamble: str = ""


def by_calls(
    trial: Trial, source: Source, entry_point: str, tests: Tests, partial: bool, matches: Callable[[Any, Any], bool]
) -> None:
    """Call a function with each test's arguments, in one process, and compare what it returns.

    Args:
        trial: starts the process.
        source: the program.
        entry_point: the function.
        tests: its arguments and what it is to return.
        partial: go on after a test that failed.
        matches: whether what it returned is what was expected.

    Raises:
        Failed: not all tests passed.
    """
    channel, theirs = socket.socketpair()
    with channel:
        pid = trial.start(SERVE, [theirs.detach()])

        def ask(request: list[Any]) -> Any:
            reply = _exchanged(trial, channel, pid, values.encode(request))
            if reply[0] == "value":
                return reply[1]
            failure = NotPython if reply[1] in SYNTAX and request[0] != "ask" else Failed
            raise failure(str(reply[-1]), final=False)

        def call(test: Mapping[str, Any]) -> None:
            returned = ask(["ask", "call", entry_point, list(test["args"]), test.get("kwargs") or {}])
            if not matches(returned, test["expected"]):
                raise Failed(f"returned {shown(returned)}, expected {shown(test['expected'])}", final=False)

        ask([source.preamble, source.program, False])
        _each(tests, call, partial)


def _exchanged(trial: Trial, channel: socket.socket, pid: int, request: bytes) -> list[Any]:
    """The reply of a program to a request."""
    try:
        _send(trial, channel, request)
        reply = values.decode(frames.receive(channel, remaining=trial.remaining), clock=trial.remaining)
    except (frames.FrameError, OSError) as error:
        raise trial.failure(pid) from error
    except values.CodecError as error:
        raise Failed(f"it sent no valid reply: {error}") from error
    if type(reply) is not list or len(reply) < 2 or reply[0] not in ("value", "error"):
        raise Failed("it sent no valid reply")
    return reply


def _send(trial: Trial, channel: socket.socket, message: bytes) -> None:
    try:
        channel.settimeout(trial.remaining())
        frames.send(channel, message)
    except TimeoutError:  # it does not read
        trial.remaining()
        raise Failed("it took no message in time") from None


def _each(tests: Tests, run: Callable[[Mapping[str, Any]], None], partial: bool) -> None:
    """Run the tests, up to the first that fails unless the share is asked for; raise that failure, if any."""
    first: Failed | None = None
    passed = 0
    for number, test in enumerate(tests, 1):
        try:
            run(test)
            passed += 1
        except Failed as failure:
            if first is None:
                failure.args = (f"test {number}: {failure}",)
                first = failure
            if failure.final or not partial:
                break
    if first is not None:
        first.share = passed / len(tests)
        raise first


def by_output(trial: Trial, source: Source, tests: Tests, partial: bool) -> None:
    """Run the program anew for each test, and compare what it writes.

    Raises:
        Failed: not all tests passed.
    """

    def run(test: Mapping[str, Any]) -> None:
        output = _run_script(trial, source, test["stdin"].encode("utf-8", "surrogatepass"))
        if not same_output(output, test["stdout"]):
            wrote = shown(output.decode("utf-8", "replace"))
            raise Failed(f"wrote {wrote}, expected {shown(test['stdout'])}", final=False)

    _each(tests, run, partial)


def _run_script(trial: Trial, source: Source, given: bytes) -> bytes:
    """What a program writes; it must end with status 0."""
    channel, theirs = socket.socketpair()
    stdin = _file_of(given)
    drain, stdout = os.pipe()
    with channel, open(drain, "rb", buffering=0) as reading:
        pid = trial.start(STDIO, [theirs.detach(), stdin, stdout])
        try:
            _send(trial, channel, values.encode([source.preamble, source.program]))
        except OSError as error:  # it ended at once, or does not even read
            raise Failed(f"it did not start: {error}") from error
        output = _read(trial, reading)
        ended = trial.end(pid, trial.remaining())
        trial.remaining()  # it may have been killed by the end of its time
        if ended.exceeded or ended.exit_code is None:
            raise Failed(trial.cause(ended), final=False)
        if ended.exit_code != 0:
            raise Failed(f"it ended with exit status {ended.exit_code}{_last_words(channel)}", final=False)
    return output


def _last_words(channel: socket.socket) -> str:
    """The exception that a program reports at its end; empty if it reports none."""
    channel.settimeout(SHORTEST_WAIT)
    try:
        said = values.decode(frames.receive(channel, LONGEST_WORDS))
    except (frames.FrameError, OSError, values.CodecError):  # it may send what it likes
        return ""
    return f": {said}" if isinstance(said, str) else ""


def _file_of(content: bytes) -> int:
    """A descriptor of a file in memory with this content, to read from alone: a program may seek in it, or map it."""
    if not hasattr(os, "memfd_create"):  # not Linux
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            return os.open(file.name, os.O_RDONLY)
    with open(os.memfd_create("stdin"), "wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        return os.open(f"/proc/self/fd/{file.fileno()}", os.O_RDONLY)


def _read(trial: Trial, reading: Any) -> bytes:
    """What a program writes until it closes its output."""
    output = bytearray()
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    while True:
        if poll.poll(1 + 1000 * trial.remaining()):
            if not (part := reading.read(PIECE)):
                return bytes(output)
            output += part
            if len(output) > LARGEST_OUTPUT:
                raise Failed(f"it wrote more than {LARGEST_OUTPUT >> 20} MiB", final=False)


def by_script(trial: Trial, source: Source, script: Script) -> None:
    """Run a check script in a second process, which calls the program in the first.

    Raises:
        Failed: the script failed.
        Unusable: it failed, or ended, without having used the program.
    """
    channel, theirs = socket.socketpair()
    asking, answering = socket.socketpair()
    with channel:
        serving = trial.start(SERVE, [answering.detach()])
        checking = trial.start(CHECK, [theirs.detach(), asking.detach()])
        try:
            _send(trial, channel, values.encode([source.preamble, source.program, script.names, script.entry_point]))
            _send(trial, channel, script.code)
            outcome, reason, line = values.decode(frames.receive(channel, remaining=trial.remaining))
        except (frames.FrameError, OSError) as error:
            raise Failed(f"the check was ended: {trial.failure(checking)}") from error
        if outcome == "gone" and reason.startswith("the program ended"):
            reason = str(trial.failure(serving))
    at = f"{script.line(line)}: " if line else ""
    if outcome == "broken":
        raise Unusable(f"the check script itself fails: {at}{reason}")
    if outcome == "silent":
        raise Unusable("the check script never uses the program")
    if outcome != "passed":
        if not line and reason.startswith(SYNTAX):
            raise NotPython(reason)
        raise Failed(f"{at}{reason}")
