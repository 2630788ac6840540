"""The process that programs are forked from: warm, shut in, and told neither programs nor tests.

Run by `rewards.sandbox.host`, never by hand: `python -m rewards.sandbox.zygote SOCKET TIER MODULE...`. It imports what
programs commonly need, enters the sandbox, and then forks a child a request. What the child is to do reaches the child
alone, over descriptors that come with the request, so the memory that it inherits holds nothing worth finding.

Requests and replies are JSON, one a packet. `{"start": "module:function", "limits": {...}}` with descriptors is
answered by `{"pid": n}`; `{"usage": n}` and `{"end": n, "grace": seconds}` by what is or became of that child.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from rewards.descendants import descendants
from rewards.fairness import read_processor_time
from rewards.sandbox import disk as disk_account
from rewards.sandbox import jail, kernel, limits
from rewards.sandbox.account import Account, socket_bytes
from rewards.scratch import remove_tree

TICK = 0.05  # seconds between looks at what running programs hold, and for those that ended unasked
TICK_OF_FAMILIES = 0.01  # where a program has several processes: the kernel bounds the memory of each alone
LARGEST_PACKET = 1 << 16
STANDARD = (0, 1, 2)  # input, output, errors: /dev/null
# What programs import most: paid once here instead of in each of them.
COMMON = (
    *("array", "bisect", "collections", "copy", "dataclasses", "datetime", "decimal", "fractions", "functools"),
    *("hashlib", "heapq", "inspect", "io", "itertools", "json", "math", "operator", "random", "re", "statistics"),
    *("string", "struct", "time", "traceback", "typing"),
)


@dataclass
class Child:
    """A program that runs, or has ended and was not asked for yet."""

    pid: int
    bounds: limits.Limits
    folder: str
    exceeded: str = ""
    killed: bool = False
    status: int | None = None
    cpu_seconds: float = 0.0
    account: Account = field(default_factory=Account)


class Zygote:
    """Forks programs as asked over `control`, until that is closed.

    Args:
        control: packets from and to `rewards.sandbox.host`.
        prepared: how programs are shut in.
        own_pids: descriptor of this process's own process namespace, in the tier `namespaces`.
        folder: where programs get folders of their own, in the other tiers.
    """

    def __init__(self, control: socket.socket, prepared: jail.Jail, own_pids: int | None, folder: str) -> None:
        self.control, self.prepared, self.own_pids, self.folder = control, prepared, own_pids, folder
        self.children: dict[int, Child] = {}
        self.next_look = 0.0

    def serve(self) -> None:
        """Answer requests; look after the children meanwhile."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        while True:
            running = any(child.status is None for child in self.children.values())
            wait = max(self.next_look - time.monotonic(), 0) * 1000 if running else None
            if poll.poll(wait):
                packet, descriptors, _, _ = socket.recv_fds(self.control, LARGEST_PACKET, 8)
                if not packet:  # the host has ended, or has no further use for this
                    for pid in list(self.children):
                        self.end(pid, 0)
                    return
                self.control.send(json.dumps(self.answer(json.loads(packet), descriptors)).encode())
            self.look_at_all()

    def answer(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """Do what a request asks."""
        try:
            if "start" in request:
                return {"pid": self.start(request["start"], limits.Limits(**request["limits"]), descriptors)}
            if "prepare" in request:
                resolve(request["prepare"])(*request["arguments"])
                return {}
            if "usage" in request:
                return usage(request["usage"], self.family(self.children[request["usage"]]))
            return self.end(request["end"], request["grace"])
        except Exception as error:  # whatever it is, the host decides what it means, and the zygote goes on
            return {"error": f"{type(error).__name__}: {error}"}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def start(self, role: str, bounds: limits.Limits, descriptors: Sequence[int]) -> int:
        """Fork a child that is shut in and then calls `role` with the descriptors."""
        function = resolve(role)
        folder, user = "/tmp", self.prepared.user
        if self.prepared.tier != "namespaces":
            folder = tempfile.mkdtemp(dir=self.folder)
            if user is not None:
                os.chmod(self.folder, 0o711)  # it is root's: a way in, and nothing to see
                os.chown(folder, user, user)
        told, tell = os.pipe()
        if self.own_pids is not None:
            kernel.unshare(kernel.CLONE_NEWPID)  # for children alone: the next one is the first of its namespace
        pid = os.fork()
        if pid == 0:
            kernel.close_all_but([*STANDARD, *descriptors, tell])
            become(function, descriptors, tell, lambda: jail.shut_in(self.prepared, bounds, folder))
        os.close(tell)
        if self.own_pids is not None:
            kernel.join_namespace(self.own_pids, kernel.CLONE_NEWPID)
        self.children[pid] = Child(pid, bounds, folder)
        with open(told, encoding="utf-8") as words:
            failure = words.read()
        if failure:
            self.end(pid, 0)
            raise OSError(failure)
        return pid

    def end(self, pid: int, grace: float) -> dict[str, Any]:
        """Kill a child unless it ends within `grace` seconds, and tell how it ended."""
        child = self.children[pid]
        deadline = time.monotonic() + grace
        while not self.reaped(child):
            if time.monotonic() >= deadline:
                child.killed = True
                os.kill(pid, signal.SIGKILL)
            else:
                self.look_at_all()
            time.sleep(0.0005)
        del self.children[pid]
        return {
            "status": child.status,
            "cpu_seconds": child.cpu_seconds,
            "exceeded": child.exceeded,
            "killed": child.killed,
        }

    def reaped(self, child: Child) -> bool:
        """Whether a child has ended; what it left behind is ended too, then."""
        if child.status is not None:
            return True
        pid, status, used = os.wait4(child.pid, os.WNOHANG)
        if pid == 0:
            return False
        child.status, child.cpu_seconds = status, used.ru_utime + used.ru_stime
        if self.prepared.tier != "namespaces":  # there the kernel has done it
            self.sweep(child)
            remove_tree(child.folder)
        return True

    def look_at_all(self) -> None:
        """Look at every child that runs, if it is time to."""
        began = time.monotonic()
        if began < self.next_look:
            return
        tick = TICK
        for child in [child for child in self.children.values() if child.status is None]:
            if not self.reaped(child) and self.look_at(child) > 1:
                tick = TICK_OF_FAMILIES
        now = time.monotonic()
        self.next_look = now + max(tick, now - began)  # under load, other things have to be done, too

    def look_at(self, child: Child) -> int:
        """Kill a program whose processes together hold more than it may; how many these are.

        The kernel's own limits hold for each process or file alone, and for root's processes not at all.
        """
        family = self.family(child)
        memory, disk = child.bounds.memory_mib * limits.MIB, child.bounds.disk_mib * limits.MIB
        inside = self.prepared.tier == "namespaces"
        folders = [f"/proc/{child.pid}/root{folder}" for folder in jail.PRIVATE] if inside else []
        files = 0
        if not inside:
            files = disk_account.folder_bytes(child.folder, disk)
            files += disk_account.unnamed_bytes(child.folder, family, disk)
        if len(family) > 2 * child.bounds.processes:
            child.exceeded = "processes"
        elif files > disk:
            child.exceeded = "disk"
        elif child.account.held(family, folders, inside, memory - files) > memory - files:  # files may lie in memory
            child.exceeded = "memory"
        if child.exceeded:
            os.kill(child.pid, signal.SIGKILL)
        return len(family)

    def family(self, child: Child) -> list[int]:
        """All processes of a program: those below it, and orphans, of which this process becomes the parent."""
        if self.prepared.tier == "namespaces":
            return [child.pid, *descendants(child.pid)]
        below = descendants(os.getpid())  # first: what another program starts from now on is not taken for this one's
        others = [other.pid for other in self.children.values() if other is not child and other.status is None]
        theirs = {*others, *(pid for other in others for pid in descendants(other))}
        return [child.pid, *(pid for pid in below if pid != child.pid and pid not in theirs)]

    def sweep(self, child: Child) -> None:
        """Kill and reap a child's process group and all orphans: this process is their subreaper."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody left in it
            os.killpg(child.pid, signal.SIGKILL)
        while orphans := self.family(child)[1:]:
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):  # the child of an orphan: next time
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)
            time.sleep(0.001)


def become(role: Callable[..., Any], descriptors: Sequence[int], tell: int, shut_in: Callable[[], None]) -> NoReturn:
    """In the child: shut it in, say so by closing `tell` without a word, play the role, end."""
    code = 1
    try:
        shut_in()
        os.close(tell)
        tell = -1
        role(*descriptors)
        code = 0
    except OSError as error:
        if tell >= 0:
            os.write(tell, f"a layer of the sandbox failed: {error}".encode())
    finally:
        os._exit(code)


def usage(pid: int, family: Sequence[int]) -> dict[str, Any]:
    """Processor seconds of a program's processes, and seconds that its main thread waited for one.

    What a program waited does not count once it has started other processes or lowered its priority: it can have made
    itself wait.
    """
    times = [read_processor_time(process) for process in family]
    main = times[0]
    if main is None:  # the system does not count, or it has ended
        return {"cpu_seconds": None, "waited_seconds": None}
    alone = len(family) == 1 and not main.has_forked and main.nice == os.getpriority(os.PRIO_PROCESS, 0)
    used = sum(member.used for member in times if member)
    return {"cpu_seconds": used, "waited_seconds": main.waited if alone else 0.0}


def resolve(name: str) -> Callable[..., Any]:
    """The function that `module:function` names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def warm_up(modules: Sequence[str]) -> None:
    """Import what programs and roles need, then leave only the interpreter's own folders."""
    for module in (*COMMON, *modules):
        importlib.import_module(module)
    folders = [Path(folder) for folder in ("/usr", *jail.interpreter_folders())]
    sys.path[:] = [entry for entry in sys.path if any(Path(entry).is_relative_to(folder) for folder in folders)]
    socket_bytes()  # not shown in namespaces
    gc.collect()
    gc.freeze()  # the children share this memory as long as nobody writes to it


def main() -> None:
    """Enter the sandbox and serve; the first packet tells how that went."""
    control, tier, parent = socket.socket(fileno=int(sys.argv[1])), sys.argv[2], int(sys.argv[3])
    limits.lift_cpu_limit()
    warm_up(sys.argv[4:])
    user = jail.FIRST_USER + os.getpid() if jail.has_users(tier) else None
    own_pids = None
    try:
        if tier == "namespaces":
            jail.enter_namespaces()
            if (inside := os.fork()) > 0:  # this process only waits: its end is the end of the namespace
                control.close()
                jail.die_with(parent)
                os.waitpid(inside, 0)
                return
            own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            jail.build_root()
        elif sys.platform == "linux":  # no death signal: it is to sweep up when its host is gone
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        told, folder = jail.layers(tier, user), os.environ.get("TMPDIR", "/tmp")
        zygote = Zygote(control, jail.prepare(tier, user), own_pids, folder)
    except OSError as error:
        control.send(json.dumps({"error": str(error)}).encode())
        return
    control.send(json.dumps({"tier": tier, "layers": told}).encode())
    zygote.serve()
    if tier != "namespaces":
        remove_tree(folder)


if __name__ == "__main__":
    main()
