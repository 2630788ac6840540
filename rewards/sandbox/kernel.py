"""The few calls of the Linux kernel that Python 3.11 does not offer, each raising OSError with the call's name.

Numbers are those of the kernel's own headers (<linux/sched.h>, <linux/mount.h>, <linux/prctl.h>, <linux/capability.h>).
"""

import ctypes
import os
import resource
import sys
from collections.abc import Iterable

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
ALL_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | 0x80
)  # 0x80: CLONE_NEWTIME

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 38, 36
PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4

_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_SYS_MOUNT_SETATTR = 442  # these numbers are the same on every architecture
_AT_RECURSIVE = 0x8000
_SYS_CLOSE_RANGE = 436

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int | bytes | ctypes.Structure | None) -> int:
    """Call a function of the C library that returns -1 and sets errno when it fails."""
    converted = [ctypes.c_ulong(item) if isinstance(item, int) else item for item in arguments]
    result = getattr(_libc, name)(*converted)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")
    return result


def syscall(number: int, *arguments: int | bytes | ctypes.Structure | None) -> int:
    """Make a system call that has no function in the C library."""
    return call("syscall", number, *arguments)


def close_all_but(kept: Iterable[int]) -> None:
    """Close every file descriptor of this process but these."""
    first = 0
    for descriptor in sorted(kept):
        _close_range(first, descriptor)
        first = descriptor + 1
    _close_range(first, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _close_range(first: int, end: int) -> None:
    """Close descriptors from the first up to, but without, the end."""
    if first >= end:
        return
    if sys.platform == "linux":  # Python uses the call only if it was built with a C library that has it
        try:
            syscall(_SYS_CLOSE_RANGE, first, end - 1, 0)
            return
        except OSError:  # Linux before 5.9
            pass
    os.closerange(first, end)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones."""
    call("unshare", flags)


def join_namespace(descriptor: int, kind: int) -> None:
    """Enter the namespace that a file descriptor refers to."""
    call("setns", descriptor, kind)


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    call("mount", source.encode(), target.encode(), None if kind is None else kind.encode(), flags, options.encode())


def unmount(target: str) -> None:
    """Take a mount out of sight at once; it is gone when its last user is."""
    call("umount2", target.encode(), MNT_DETACH)


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root directory and put the old root at `old`."""
    call("pivot_root", new.encode(), old.encode())


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns_fd")]


def make_read_only(target: str) -> None:
    """Make a mount and all below it read-only, without set-user-id programs and device nodes (Linux 5.12)."""
    attributes = _MountAttributes(MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    descriptor = os.open(target, os.O_PATH)
    try:
        size = ctypes.sizeof(attributes)
        pointer = ctypes.addressof(attributes)
        syscall(_SYS_MOUNT_SETATTR, descriptor, b"", 0x1000 | _AT_RECURSIVE, pointer, size)  # 0x1000: AT_EMPTY_PATH
    finally:
        os.close(descriptor)


def prctl(option: int, value: int = 0) -> None:
    """prctl(2) with one argument."""
    call("prctl", option, value, 0, 0, 0)


class _CapabilityHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapabilityData(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable")]


def drop_bounding_capabilities() -> None:
    """Give up, for good, every capability that a program could otherwise gain by execve."""
    for number in range(64):
        try:
            prctl(PR_CAPBSET_DROP, number)
        except OSError:  # past the last capability that this kernel knows, or never allowed to have any
            return


def can_change_user() -> bool:
    """Whether this process has the capability CAP_SETUID."""
    header = _CapabilityHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)()
    call("capget", ctypes.addressof(header), ctypes.addressof(data))
    return bool(data[0].effective & 1 << 7)


def drop_capabilities() -> None:
    """Give up every capability that this process has."""
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = _CapabilityHeader(_LINUX_CAPABILITY_VERSION_3, 0)
    data = (_CapabilityData * 2)()
    call("capset", ctypes.addressof(header), ctypes.addressof(data))
