"""The inside of a grader process: one job a line in, one reply a line out, both JSON, over an inherited socket.

Run by `rewards.pool`, never by hand. JSON and not pickle, because the parent must not execute what a worker sends.

What holds here: memory, CPU time and core dumps are limited, the environment is empty, and the process dies with its
parent. What does not hold yet: a job that executes hostile code (reasoning-gym's scorers do) can still write files,
open sockets, signal its parent and forge its own reply. Grade only text, never programs, here.
"""

import contextlib
import ctypes
import importlib
import json
import math
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MEMORY_BYTES = 2 << 30
LONGEST_REASON = 500  # characters
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> None:
    """Serve jobs from the socket whose descriptor is the first argument, until the parent closes it."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _limit_resources()
    _die_with(parent)
    with socket.socket(fileno=descriptor) as connection, connection.makefile("rb") as requests:
        for line in requests:
            connection.sendall(_reply(line))


def load(function: str) -> None:
    """Import `module:qualname` and call the module's `warm_up()` if it has one, before any time limit runs."""
    _resolve(function)
    warm_up = getattr(sys.modules[function.partition(":")[0]], "warm_up", None)
    if warm_up is not None:
        warm_up()


def ready(*arguments: Any) -> bool:
    """The quickest job there is: tells whether a worker answers at all."""
    return True


def _reply(line: bytes) -> bytes:
    try:
        request = json.loads(line)
        _allow_cpu(request["seconds"])
        reply = json.dumps({"value": _resolve(request["function"])(*request["arguments"])})
    except BaseException as error:  # SystemExit too: whatever a job raises is the job's outcome, not the worker's end
        reply = json.dumps({"error": f"{type(error).__name__}: {error}"[:LONGEST_REASON]})
    return reply.encode() + b"\n"


def _resolve(function: str) -> Callable[..., Any]:
    module, _, qualname = function.partition(":")
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def _limit_resources() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text("1000")  # short of memory, take this process and not the trainer
    if sys.platform == "linux":  # macOS maps more than any sensible limit before a program starts
        _lower(resource.RLIMIT_AS, MEMORY_BYTES)


def _allow_cpu(seconds: float) -> None:
    """Let this process spend `seconds` more of CPU time: the last net, should the parent not be there to kill it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _lower(resource.RLIMIT_CPU, math.ceil(usage.ru_utime + usage.ru_stime + seconds) + 1)


def _lower(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when the thread that started it ends (Linux; elsewhere the socket's end)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        sys.exit()


if __name__ == "__main__":
    main()
