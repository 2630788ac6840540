"""One call of a function in a fresh sandboxed process: JSON in, JSON out, and an end to it after so many seconds."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

from rewards.fairness import allowed_seconds, was_starved
from rewards.sandbox.control import is_starved
from rewards.sandbox.host import Exit, Sandbox, SandboxError
from rewards.sandbox.limits import Limits

LARGEST_REPLY = 1 << 20  # bytes


class ErrandFailed(RuntimeError):
    """The function did not return a value: it ran out of time, raised, or its process ended."""


class _Starved(Exception):
    """The process says that it had no processor."""


def run_errand(sandbox: Sandbox, role: str, request: Any, limits: Limits) -> Any:
    """Call `role(descriptor)` in a new process of the sandbox, give it `request`, and return what it answers.

    Args:
        sandbox: with the role's module preloaded.
        role: `module:function`, made of an ordinary function by `answering`.
        request: JSON-like.
        limits: of these, `seconds` is also the time on the clock that the call may take.

    Raises:
        ErrandFailed: the function's fault, or that of what it was given.
        SandboxError: ours, or the machine's.
    """
    try:
        reply, ended = _asked(sandbox, role, json.dumps(request).encode() + b"\n", limits)
    except _Starved as error:
        if is_starved(sandbox, limits):
            raise SandboxError(str(error)) from None
        raise ErrandFailed(f"no result within {limits.seconds:g} s") from None
    try:
        return json.loads(reply)["value"]
    except (ValueError, KeyError, TypeError, RecursionError):
        why = f"it used too much of its {ended.exceeded}" if ended.exceeded else "it sent no valid reply"
        raise ErrandFailed(why) from None


def answering(function: Callable[..., Any], descriptor: int) -> None:
    """In the sandbox: take the request from a socket, call the function with it, send what it returns."""
    with socket.socket(fileno=descriptor) as channel:
        with channel.makefile("rb") as lines:
            arguments = json.loads(lines.readline())
        channel.sendall(json.dumps({"value": function(*arguments)}).encode() + b"\n")


def _asked(sandbox: Sandbox, role: str, request: bytes, limits: Limits) -> tuple[bytes, Exit]:
    """Start the process, ask it, and end it."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            pid = sandbox.start(role, [theirs.fileno()], limits)
        try:
            reply = _exchange(sandbox, pid, ours, request, limits.seconds)
        finally:
            ended = sandbox.end(pid)
    return reply, ended


def _exchange(sandbox: Sandbox, pid: int, channel: socket.socket, request: bytes, limit: float) -> bytes:
    """Send the request and return the line that comes back, or what came before the process ended."""
    started = time.monotonic()
    deadline = started + limit
    reply = bytearray()
    try:
        channel.settimeout(limit)
        channel.sendall(request)
        while not reply.endswith(b"\n") and len(reply) <= LARGEST_REPLY:
            channel.settimeout(max(deadline - time.monotonic(), 0.0001))
            try:
                part = channel.recv(1 << 16)
            except TimeoutError:
                deadline = started + _more_seconds(sandbox, pid, limit, time.monotonic() - started)
                continue
            if not part:
                break
            reply += part
    except OSError as error:  # it hung up in the middle
        raise ErrandFailed(f"it broke off: {error}") from error
    return bytes(reply)


def _more_seconds(sandbox: Sandbox, pid: int, limit: float, elapsed: float) -> float:
    """How long the call may take in all, now that its time is over: more where the machine was too busy to run it."""
    usage = sandbox.usage(pid)
    waited, used = usage.waited_seconds or 0.0, usage.cpu_seconds or 0.0
    allowed = allowed_seconds(limit, elapsed, waited, used)
    if allowed is not None:
        return allowed
    if was_starved(limit, waited, used):
        raise _Starved(f"it waited {waited:.1f} of {elapsed:.1f} s for a processor")
    raise ErrandFailed(f"no result within {limit:g} s")
