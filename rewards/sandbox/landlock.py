"""Landlock: which files a process may still reach, without privilege or namespaces (Linux 5.13 and later).

Numbers are those of <linux/landlock.h>; each version ("ABI") of the kernel's interface knows more rights.
"""

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterable

from rewards.sandbox import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
READ = EXECUTE | READ_FILE | READ_DIR
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # the rights that make sense for a single file
RIGHTS_OF_ABI = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights of files each version knows
BIND_AND_CONNECT_TCP = 3  # from version 4 on
ABSTRACT_SOCKETS_AND_SIGNALS = 3  # from version 6 on: neither to nor from outside


def abi() -> int:
    """The version that the kernel offers; 0 if none."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, 0, 1)
    except OSError:  # no such call, or switched off at boot
        return 0


def guards_truncation() -> bool:
    """Whether a file that may only be read cannot be shortened."""
    return abi() >= 3


def restrict(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Let this process, and all that come from it, read and run only what is below `readable`, and write only what is
    below `writable`; paths that do not exist are passed over.

    TCP, and from version 6 signals and abstract sockets to processes outside, are denied too. Needs no_new_privs.

    Raises:
        OSError: the kernel has no Landlock.
    """
    version = abi()
    known = (1 << RIGHTS_OF_ABI.get(version, max(RIGHTS_OF_ABI.values()))) - 1
    network = BIND_AND_CONNECT_TCP if version >= 4 else 0
    scoped = ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0
    attributes = struct.pack("QQQ", known, network, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = kernel.syscall(_CREATE_RULESET, attributes, size, 0)
    try:
        for rights, paths in ((READ & known, readable), (known, writable)):
            for path in paths:
                _allow(ruleset, path, rights)
        kernel.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not os.path.isdir(path):
                rights &= OF_FILES
            rule = struct.pack("=Qi", rights, descriptor)
            buffer = ctypes.create_string_buffer(rule, len(rule))
            kernel.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.addressof(buffer), 0)
        finally:
            os.close(descriptor)
