"""Tries to break out of the sandbox, one layer after the other, as a hostile program would.

Each attempt runs in a program of its own and is judged from outside wherever there is something to be seen there:
whether bait was touched, whether a process still lives. What the program says of itself only counts against it.
"""

import contextlib
import ctypes
import json
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rewards.sandbox.host import Mode, Sandbox
from rewards.sandbox.limits import Limits

LIMITS = Limits(seconds=1, memory_mib=256, disk_mib=8, processes=32)
PATIENCE = 10.0  # seconds that an attempt may take before it is ended
ESCAPED = b"escaped"
IPC_CREAT, IPC_RMID = 0o1000, 0
FORKS = 200

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
    """What a program must not reach: a file, a listening port, a process, a secret, and a key for shared memory."""

    def __enter__(self) -> "Bait":
        self.folder = tempfile.TemporaryDirectory(prefix="penny-bait-")
        self.path = Path(self.folder.name, "secret")
        self.path.write_text("bait")
        os.chmod(self.folder.name, 0o777)
        os.chmod(self.path, 0o666)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
        self.key = secrets.randbits(30) | 1
        return self

    def __exit__(self, *_: object) -> None:
        self.sleeper.kill()
        self.sleeper.wait()
        self.listener.close()
        self.folder.cleanup()

    def facts(self) -> dict[str, Any]:
        """What a program is told, so that it need not search."""
        port = self.listener.getsockname()[1]
        return {"path": str(self.path), "port": port, "pid": self.sleeper.pid, "key": self.key}

    def touched(self) -> bool:
        """Whether anything was read, written, connected to, signaled or left behind where it should not be."""
        self.listener.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            self.listener.accept()
            return True
        return self.path.read_text() != "bait" or self.sleeper.poll() is not None or self._left_memory()

    def _left_memory(self) -> bool:
        libc = ctypes.CDLL(None)
        found = libc.shmget(self.key, 0, 0)
        if found >= 0:
            libc.shmctl(found, IPC_RMID, None)
        return found >= 0


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
        sandbox.end(pid)
    os.set_blocking(alive, False)
    try:
        outlived = os.read(alive, 1) != b""
    except BlockingIOError:  # somebody still holds the other end
        outlived = True
    os.close(alive)
    return "ESCAPED" if said == ESCAPED or outlived or bait.touched() else "held"


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


def reads_files(facts: dict[str, Any]) -> bool:
    """A file of the user's."""
    return Path(facts["path"]).read_text() == "bait"


def writes_files(facts: dict[str, Any]) -> bool:
    """The same, and the interpreter's own."""
    with contextlib.suppress(OSError):
        Path(facts["path"]).write_text("gone")
    own = Path(os.__file__).with_name("penny_probe.tmp")
    own.write_text("left behind")
    own.unlink()
    return True


def connects(facts: dict[str, Any]) -> bool:
    """A port of this machine."""
    socket.create_connection(("127.0.0.1", facts["port"]), 1).close()
    return True


def signals(facts: dict[str, Any]) -> bool:
    """A process of the user's: by signal, and by the debugger's call."""
    libc = ctypes.CDLL(None, use_errno=True)
    attach = 16
    if libc.ptrace(attach, facts["pid"], None, None) == 0:
        return True
    os.kill(facts["pid"], signal.SIGKILL)
    return True


def gains_rights(facts: dict[str, Any]) -> bool:
    """Those of root, at least in a user namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_user_and_mounts = 0x10000000 | 0x00020000
    becomes_root = os.getuid() != 0 and libc.setuid(0) == 0
    return becomes_root or libc.unshare(new_user_and_mounts) == 0 or libc.chroot(b"/") == 0


def shares_memory(facts: dict[str, Any]) -> bool:
    """A System V segment that stays behind; seen from outside."""
    ctypes.CDLL(None).shmget(facts["key"], 4096, IPC_CREAT | 0o666)
    return False


def hides_memory(facts: dict[str, Any]) -> bool:
    """Memory in files that have no name and are not mapped: no account of a process shows it."""
    kept = [os.memfd_create("hidden") for _ in range(64)]
    block = b"x" * (LIMITS.disk_mib << 20)
    for descriptor in kept:
        os.write(descriptor, block)
    time.sleep(0.5)
    return True


def knows_environment(facts: dict[str, Any]) -> bool:
    """More in the environment than was put there for programs."""
    return bool(set(os.environ) - {"PATH", "LANG", "HOME", "TMPDIR", "PYTHONHASHSEED", "LC_CTYPE"})


def takes_memory(facts: dict[str, Any]) -> bool:
    """Four times its share, by four processes that each stay below."""
    for _ in range(8):
        if os.fork() == 0:
            taken = bytearray(b"x") * (LIMITS.memory_mib << 19)
            time.sleep(1.5)
            os._exit(len(taken) and 0)
    time.sleep(1.5)
    return True


def fills_disk(facts: dict[str, Any]) -> bool:
    """Four times its share, in several files."""
    block = b"x" * (LIMITS.disk_mib << 20)
    for number in range(4):
        Path(os.environ["TMPDIR"], f"{number}").write_bytes(block)
    time.sleep(0.5)  # a watch may need a moment
    return True


def multiplies(facts: dict[str, Any]) -> bool:
    """Many more processes than it may have."""
    for _ in range(FORKS):
        if os.fork() == 0:
            time.sleep(600)
    time.sleep(0.5)
    return True


def spins(facts: dict[str, Any]) -> bool:
    """A loop that no signal ends, in several threads, for longer than its CPU time."""
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    threads = [threading.Thread(target=lambda: sum(range(10**11)), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE / 2
    while time.monotonic() < deadline:
        pass
    return True


def outlives(facts: dict[str, Any]) -> bool:
    """A daemon with a session of its own, whose parents are gone; seen from outside."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    return False


def dumps_core(facts: dict[str, Any]) -> bool:
    """A core file."""
    return resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


# name of the attempt: the layer that is to hold it (a key of `Sandbox.layers`), in words, what it does
ATTEMPTS: dict[str, tuple[str, str, Callable[[dict[str, Any]], bool]]] = {
    "read files": ("files", "a file of yours", reads_files),
    "write files": ("files", "your files, the interpreter's", writes_files),
    "network": ("network", "a port of this machine", connects),
    "other processes": ("processes", "signal and trace one of yours", signals),
    "rights": ("rights", "user namespace, setuid, chroot", gains_rights),
    "shared memory": ("memory segments", "leave a System V segment", shares_memory),
    "hidden memory": ("memory segments", "in files without a name", hides_memory),
    "environment": ("environment", "your variables", knows_environment),
    "memory": ("memory", "several times its share", takes_memory),
    "disk": ("disk", "several times its share", fills_disk),
    "forks": ("forks", f"{FORKS} processes", multiplies),
    "time": ("time", "a loop that blocks signals", spins),
    "orphans": ("orphans", "leave a daemon behind", outlives),
    "core files": ("core files", "leave a core file", dumps_core),
}
