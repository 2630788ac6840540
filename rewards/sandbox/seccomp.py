"""A seccomp filter: system calls that no program being graded needs fail, most of them with EPERM.

A list of what is denied, not of what is allowed, because programs are written in Python with any library; the other
layers hold what this one lets through. The list is in `rewards.sandbox.calls`, for x86-64 and 64-bit ARM.
"""

import ctypes
import errno
import os
import platform
import signal
import socket
import struct
from collections.abc import Iterable

from rewards.sandbox import calls, kernel

ARCHITECTURES = {
    "x86_64": (0, 0xC000003E),
    "aarch64": (1, 0xC00000B7),
}  # column of calls, AUDIT_ARCH_* (<linux/audit.h>)

# <linux/bpf_common.h>, <linux/seccomp.h>
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_SET_MODE_FILTER = 1
_SYS_SECCOMP = (317, 277)
_KIND_OF_SOCKET = 0xF  # the other bits are flags


def supported() -> bool:
    """Whether a filter can be written for this machine."""
    return platform.machine() in ARCHITECTURES


def install(code: bytes) -> None:
    """Filter the calls of this process and all that come from it, for good. Needs no privilege but no_new_privs.

    Args:
        code: what `program` makes.

    Raises:
        OSError: the kernel has no such filters.
    """
    column, _ = ARCHITECTURES[platform.machine()]
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    kernel.syscall(_SYS_SECCOMP[column], _SET_MODE_FILTER, 0, header)


def program() -> bytes:
    """The filter that every program gets, 8 bytes an instruction.

    Raises:
        OSError: no filter is written for this machine's architecture.
    """
    column, lines = _begin()
    lines += _denied(_numbers(calls.DENIED, column), errno.EPERM)
    lines += _denied([calls.CLONE3[column]], errno.ENOSYS)  # its flags are out of reach; use clone
    lines += _if_argument(
        calls.CLONE[column], 0, [_line(_JUMP_ANY_BIT, kernel.ALL_NAMESPACES, 0, 1), _error(errno.EPERM)]
    )
    for numbers in (calls.SOCKET, calls.SOCKETPAIR):
        lines += _if_argument(numbers[column], 0, _unless_in([socket.AF_UNIX], errno.EAFNOSUPPORT))
    lines += _if_argument(calls.IOCTL[column], 1, _unless_in(calls.IOCTL_ALLOWED.values(), errno.ENOTTY))
    lines += _if_argument(calls.FCNTL[column], 1, _if_in(calls.FCNTL_DENIED.values(), errno.EPERM))
    lines += _if_argument(calls.PRCTL[column], 0, _if_in(calls.PRCTL_DENIED.values(), errno.EPERM))
    lines += _options_of_sockets(column)
    lines += _keep_children_counted(column)
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def program_without_namespaces(guards_truncation: bool) -> bytes:
    """A second filter, for where Landlock stands alone between a program and what the user's number may do.

    Args:
        guards_truncation: whether Landlock does (from its version 3 on).
    """
    column, lines = _begin()
    lines += _denied(_numbers(calls.NAMED_SOCKETS, column), errno.EPERM)
    lines += _denied(_numbers(calls.ATTRIBUTES, column), errno.EPERM)
    lines += _denied(_numbers(calls.EXTENDED_ATTRIBUTES, column), errno.EOPNOTSUPP)  # as many file systems answer
    # A datagram can be sent to any name, which lies behind a pointer; other sockets must be connected first.
    for numbers in (calls.SOCKET, calls.SOCKETPAIR):
        kinds = _unless_in([socket.SOCK_STREAM, socket.SOCK_SEQPACKET], errno.EPERM)
        lines += _if_argument(numbers[column], 1, [_line(_AND, _KIND_OF_SOCKET), *kinds])
    if not guards_truncation:
        lines += _truncation_rules(column)
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def program_of_process(process: int) -> bytes:
    """A third filter, besides the second: limits, signals and questions go to `process` itself and its group (0) alone.

    It also keeps dying with its parent.
    """
    column, lines = _begin()
    for *numbers, argument in calls.OF_A_PROCESS.values():
        lines += _if_argument(numbers[column], argument, _unless_in([process, 0], errno.EPERM))
    lines += _denied(_numbers(calls.SIGNALS_BY_OTHER_NAMES, column), errno.EPERM)
    lines += _if_argument(calls.PRCTL[column], 0, _if_in([kernel.PR_SET_PDEATHSIG], errno.EPERM))
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _begin() -> tuple[int, list[bytes]]:
    """The column of the tables for this machine, and the filter's head, which loads the call's number."""
    if not supported():
        raise OSError(errno.ENOSYS, f"no seccomp filter is written for {platform.machine()}")
    column, audit = ARCHITECTURES[platform.machine()]
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_JUMP_EQUAL, audit, 1, 0),
        _line(_RETURN, _KILL),  # another architecture's calls have other numbers
        _line(_LOAD, _NUMBER),
    ]
    if column == 0:
        lines += [_line(_JUMP_GREATER_EQUAL, 0x40000000, 0, 1), _line(_RETURN, _KILL)]  # x32: as above
    return column, lines


def _numbers(table: calls.Calls, column: int) -> list[int]:
    return [number for numbers in table.values() if (number := numbers[column]) is not None]


def _denied(numbers: list[int], error: int) -> list[bytes]:
    """These calls fail."""
    return [line for first in range(0, len(numbers), 200) for line in _if_in(numbers[first : first + 200], error)]


def _options_of_sockets(column: int) -> list[bytes]:
    """A socket's buffers keep their size, which is no error; it takes no programs, which is one."""
    rules = [
        _line(_LOAD, _ARGUMENTS + 8 * 2),
        *_if_in(calls.BUFFER_SIZES.values(), 0),
        *_if_in(calls.SOCKET_PROGRAMS.values(), errno.EPERM),
    ]
    level = _line(_JUMP_EQUAL, calls.SOL_SOCKET, 0, len(rules))
    return _if_argument(calls.SETSOCKOPT[column], 1, [level, *rules])


def _keep_children_counted(column: int) -> list[bytes]:
    """What a program does with SIGCHLD has no effect: if it were ignored, the time of its children would be lost.

    Changes alone are passed over. A question, which has no second argument, is answered.
    """
    rules = [
        _line(_JUMP_EQUAL, signal.SIGCHLD, 0, 5),
        _line(_LOAD, _ARGUMENTS + 8),
        _line(_JUMP_EQUAL, 0, 0, 2),
        _line(_LOAD, _ARGUMENTS + 12),
        _line(_JUMP_EQUAL, 0, 1, 0),
        _error(0),
    ]
    return _if_argument(calls.RT_SIGACTION[column], 0, rules)


def _truncation_rules(column: int) -> list[bytes]:
    """A file that may be read cannot be emptied: neither by its name nor by opening it for reading alone."""
    emptied = [
        _line(_JUMP_ANY_BIT, os.O_TRUNC, 0, 4),
        _line(_AND, os.O_ACCMODE),
        *_if_in([os.O_RDONLY, os.O_ACCMODE], errno.EPERM),  # the second means: for neither, which needs no right
    ]
    lines = _denied([calls.TRUNCATE[column]], errno.EPERM)
    lines += _denied([calls.OPENAT2[column]], errno.ENOSYS)  # its flags are out of reach; use openat
    lines += _if_argument(calls.OPENAT[column], 2, emptied)
    if (number := calls.OPEN[column]) is not None:
        lines += _if_argument(number, 1, emptied)
    return lines


def _if_argument(number: int, argument: int, rules: list[bytes]) -> list[bytes]:
    """Rules on the lower half of an argument of one call, which fall through to the next rule for other calls."""
    lines = [_line(_LOAD, _ARGUMENTS + 8 * argument), *rules, _line(_LOAD, _NUMBER)]
    return [_line(_JUMP_EQUAL, number, 0, len(lines)), *lines]


def _if_in(values: Iterable[int], error: int) -> list[bytes]:
    """What was loaded fails if it is one of these."""
    listed = list(values)
    last = len(listed) - 1
    jumps = [_line(_JUMP_EQUAL, value, last - place) for place, value in enumerate(listed[:last])]
    return [*jumps, _line(_JUMP_EQUAL, listed[last], 0, 1), _error(error)]


def _unless_in(values: Iterable[int], error: int) -> list[bytes]:
    """What was loaded fails if it is none of these."""
    listed = list(values)
    return [*(_line(_JUMP_EQUAL, value, len(listed) - place) for place, value in enumerate(listed)), _error(error)]


def _error(number: int) -> bytes:
    return _line(_RETURN, _ERRNO | number)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
