"""Tries to break out of the sandbox, one layer after the other, as a hostile program would.

Each attempt (`rewards.sandbox.attempts`) runs in a program of its own and is judged from outside wherever there is
something to be seen there: whether bait was touched, whether a process still lives. What the program says of itself
only counts against it.
"""

import contextlib
import ctypes
import json
import os
import resource
import secrets
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rewards.sandbox.attempts import ATTEMPTS
from rewards.sandbox.greed import LIMITS, PATIENCE, SHARE_OF_TIME
from rewards.sandbox.host import Mode, Sandbox
from rewards.scratch import Scratch

ESCAPED = b"escaped"
IPC_RMID = 0
DATAGRAMS = "-datagrams"  # behind the name of a socket of that kind

Escape = Literal["held", "ESCAPED"]


@dataclass(frozen=True)
class Probe:
    """One layer: whether it is there, what it is, and what became of an attempt to get past it."""

    layer: str
    active: bool
    detail: str
    escape: Escape


def probe_all(mode: Mode = "auto") -> list[Probe]:
    """Try an escape for each layer of the sandbox that `mode` gives on this machine.

    Raises:
        BadInput: no sandbox of that kind can be had.
    """
    with Sandbox(mode, preload=[__name__]) as sandbox:
        attempts = {}
        for name in ATTEMPTS:
            with Bait() as bait:
                attempts[name] = attempt(sandbox, name, bait)
        layers = sandbox.layers
    return [
        Probe(name, bool(layers[key]), f"{words}: {layers[key] or 'nothing holds it'}", attempts[name])
        for name, (key, words, _) in ATTEMPTS.items()
    ]


class Bait:
    """What a program must not reach: a file, listening sockets, a process, a secret, and a key for shared memory."""

    def __enter__(self) -> "Bait":
        self.scratch = Scratch("bait")
        self.path = Path(self.scratch.path, "secret")
        self.path.write_text("bait")
        os.chmod(self.scratch.path, 0o777)
        os.chmod(self.path, 0o666)
        self.name = f"penny-bait-{secrets.token_hex(8)}"
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sockets = [self.listener, *self._listening(f"{self.scratch.path}/socket")]
        if sys.platform == "linux":
            self.sockets += self._listening("\0" + self.name)
        self.sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        self.key = secrets.randbits(30) | 1
        self.before = self._state()
        return self

    def __exit__(self, *_: object) -> None:
        self.sleeper.kill()
        self.sleeper.wait()
        for each in self.sockets:
            each.close()
        self.scratch.remove()

    def facts(self) -> dict[str, Any]:
        """What a program is told, so that it need not search."""
        port = self.listener.getsockname()[1]
        names = {"path": str(self.path), "socket": f"{self.scratch.path}/socket", "name": self.name}
        return names | {"port": port, "pid": self.sleeper.pid, "key": self.key}

    def touched(self) -> bool:
        """Whether anything was read, written, connected to, signaled or left behind where it should not be."""
        return (
            any(map(_has_news, self.sockets))
            or self.path.read_text() != "bait"
            or self.sleeper.poll() is not None
            or self._state() != self.before
            or self._left_memory()
        )

    def _listening(self, address: str) -> list[socket.socket]:
        """A socket that takes connections, and one that takes datagrams, both open to everybody."""
        stream, datagrams = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        stream.bind(address)
        stream.listen()
        datagrams.bind(address + DATAGRAMS)
        if not address.startswith("\0"):
            os.chmod(address, 0o777)
            os.chmod(address + DATAGRAMS, 0o777)
        return [stream, datagrams]

    def _state(self) -> list[Any]:
        """Attributes of the file, and what limits the process: all that somebody else could have changed."""
        file, folder = self.path.stat(), os.stat(self.scratch.path)
        state: list[Any] = [file.st_mode, file.st_uid, file.st_mtime_ns, folder.st_mode]
        if sys.platform == "linux":
            pid = self.sleeper.pid
            state += [os.listxattr(self.path), os.sched_getscheduler(pid), os.getpriority(os.PRIO_PROCESS, pid)]
            state += [resource.prlimit(pid, resource.RLIMIT_NOFILE), os.sched_getaffinity(pid)]
        return state

    def _left_memory(self) -> bool:
        libc = ctypes.CDLL(None)
        found = libc.shmget(self.key, 0, 0)
        if found >= 0:
            libc.shmctl(found, IPC_RMID, None)
        return found >= 0


def _has_news(listening: socket.socket) -> bool:
    """Whether a connection or a datagram has come."""
    listening.settimeout(0)
    with contextlib.suppress(BlockingIOError):
        if listening.type == socket.SOCK_DGRAM:
            listening.recv(1)
        else:
            listening.accept()
        return True
    return False


def attempt(sandbox: Sandbox, layer: str, bait: Bait) -> Escape:
    """Run one attempt and judge it. The program's life is a pipe: it ends with the last process that holds it."""
    ours, theirs = socket.socketpair()
    alive, held = os.pipe()
    with ours:
        with theirs:
            pid = sandbox.start(f"{__name__}:play", [theirs.fileno(), held], LIMITS)
        os.close(held)
        ours.sendall(json.dumps({"layer": layer, **bait.facts()}).encode() + b"\n")
        said = _listen(ours)
        ended = sandbox.end(pid, grace=1.0)
    os.set_blocking(alive, False)
    try:
        outlived = os.read(alive, 1) != b""
    except BlockingIOError:  # somebody still holds the other end
        outlived = True
    os.close(alive)
    uncounted = layer == "hidden time" and ended.cpu_seconds < SHARE_OF_TIME / 2
    return "ESCAPED" if said == ESCAPED or outlived or uncounted or bait.touched() else "held"


def _listen(channel: socket.socket) -> bytes:
    """What the program says until it ends or its time is over."""
    deadline = time.monotonic() + PATIENCE
    said = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while len(said) < 100 and (left := deadline - time.monotonic()) > 0:
            channel.settimeout(left)
            part = channel.recv(100)
            if not part:
                break
            said += part
    return said


def play(channel: int, life: int) -> None:
    """In the sandbox: learn which attempt to make, make it, and confess if it worked."""
    with socket.socket(fileno=channel) as line:
        facts = json.loads(line.makefile("rb").readline())
        _, _, try_it = ATTEMPTS[facts["layer"]]
        try:
            escaped = try_it(facts)
        except (OSError, MemoryError, RuntimeError):  # what a denied call raises; RuntimeError: no more threads
            escaped = False
        line.sendall(ESCAPED if escaped else b"held")
