"""Attempts of a hostile program to reach what is not its own: files, sockets, processes and rights.

Each runs in the sandbox, is given the bait that `rewards.sandbox.probe` has laid out, and returns whether it got
through, or does something that is seen from outside.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import time
from pathlib import Path
from typing import Any

IPC_CREAT = 0o1000

Facts = dict[str, Any]


def reads_files(facts: Facts) -> bool:
    """A file of the user's."""
    return Path(facts["path"]).read_text() == "bait"


def writes_files(facts: Facts) -> bool:
    """The same, and the interpreter's own."""
    with contextlib.suppress(OSError):
        Path(facts["path"]).write_text("gone")
    own = Path(os.__file__).with_name("penny_probe.tmp")
    own.write_text("left behind")
    own.unlink()
    return True


def connects(facts: Facts) -> bool:
    """A port of this machine."""
    socket.create_connection(("127.0.0.1", facts["port"]), 1).close()
    return True


def signals(facts: Facts) -> bool:
    """A process of the user's: by signal, and by the debugger's call."""
    libc = ctypes.CDLL(None, use_errno=True)
    attach = 16
    if libc.ptrace(attach, facts["pid"], None, None) == 0:
        return True
    os.kill(facts["pid"], signal.SIGKILL)
    return True


def gains_rights(facts: Facts) -> bool:
    """Those of root, at least in a user namespace of its own."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_user_and_mounts = 0x10000000 | 0x00020000
    becomes_root = os.getuid() != 0 and libc.setuid(0) == 0
    return becomes_root or libc.unshare(new_user_and_mounts) == 0 or libc.chroot(b"/") == 0


def shares_memory(facts: Facts) -> bool:
    """A System V segment that stays behind; seen from outside."""
    ctypes.CDLL(None).shmget(facts["key"], 4096, IPC_CREAT | 0o666)
    return False


def knows_environment(facts: Facts) -> bool:
    """More in the environment than was put there for programs."""
    return bool(set(os.environ) - {"PATH", "LANG", "HOME", "TMPDIR", "PYTHONHASHSEED", "LC_CTYPE"})


def changes_attributes(facts: Facts) -> bool:
    """Mode, times and attributes of a file of the user's; seen from outside."""
    path = facts["path"]
    for change in (
        lambda: os.chmod(path, 0o777),
        lambda: os.utime(path, (1, 1)),
        lambda: os.setxattr(path, "user.penny", b"1"),
        lambda: os.chmod(os.path.dirname(path), 0o755),
    ):
        with contextlib.suppress(OSError):
            change()
    return False


def locks_files(facts: Facts) -> bool:
    """A lock, a lease, and news of a file that others read, too."""
    through = []
    descriptor = os.open(os.__file__, os.O_RDONLY)
    for name, take in (
        ("flock", lambda: fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)),
        ("lease", lambda: fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)),
        ("news", lambda: fcntl.fcntl(descriptor, fcntl.F_NOTIFY, fcntl.DN_ACCESS)),
    ):
        with contextlib.suppress(OSError):
            take()
            through.append(name)
    return bool(through) or ctypes.CDLL(None).inotify_init() >= 0


def connects_by_path(facts: Facts) -> bool:
    """A socket of the user's that has a path, as D-Bus and Docker have; also by a datagram. Seen from outside."""
    return _reaches(facts["socket"])


def connects_by_name(facts: Facts) -> bool:
    """The same of one with an abstract name; and a name that others may look for."""
    return _reaches("\0" + facts["name"])


def _reaches(address: str) -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as line:
        line.connect(address)
        return True
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.sendto(b"x", address + "-datagrams")
        return True
    return False


def limits_others(facts: Facts) -> bool:
    """Limits, priority and processors of a process of the user's; seen from outside."""
    pid = facts["pid"]
    for change in (
        lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (16, 16)),
        lambda: os.setpriority(os.PRIO_PROCESS, pid, 19),
        lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)),
    ):
        with contextlib.suppress(OSError, ValueError):
            change()
    return False


def signals_by_descriptor(facts: Facts) -> bool:
    """A process of the user's, as the owner of a descriptor on which something happens; seen from outside."""
    ours, theirs = socket.socketpair()
    for own in (
        lambda: fcntl.fcntl(ours, fcntl.F_SETOWN, facts["pid"]),
        lambda: fcntl.ioctl(ours, 0x8901, struct.pack("i", facts["pid"])),  # FIOSETOWN
    ):
        with contextlib.suppress(OSError):
            own()
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)
    theirs.send(b"x")  # SIGIO ends who does not expect it
    time.sleep(0.1)
    return False


def finds_descriptors(facts: Facts) -> bool:
    """Descriptors that it was not given: beside the three standard ones and its own two."""
    there = []
    for number in range(3, 1024):
        with contextlib.suppress(OSError):
            os.fstat(number)
            there.append(number)
    return len(there) > 2
