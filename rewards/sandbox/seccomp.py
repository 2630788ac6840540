"""A seccomp filter: system calls that no program being graded needs fail with EPERM.

A list of what is denied, not of what is allowed, because programs are written in Python with any library; the other
layers hold what this one lets through. Only x86-64 and 64-bit ARM are known; the numbers are those of the kernel's
tables (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

import ctypes
import errno
import platform
import signal
import socket
import struct

from rewards.sandbox import kernel

# name: (x86-64, 64-bit ARM); None: the architecture has no such call.
DENIED: dict[str, tuple[int | None, int | None]] = {
    # other namespaces, mounts, roots
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "perf_event_open": (298, 241),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    # large and young parts of the kernel
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "vmsplice": (278, 75),
    # keys that outlive the program
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # the machine
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "vhangup": (153, 58),
    "mknod": (133, None),
    "mknodat": (259, 33),
    # memory that no process's account shows once it is not mapped, and that no limit of files bounds
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
}
CLONE, CLONE3, SOCKET, IOCTL = (56, 220), (435, 435), (41, 198), (16, 29)
KILL, TKILL, TGKILL, PIDFD_SEND_SIGNAL = (62, 129), (200, 130), (234, 131), (424, 424)
RT_SIGQUEUEINFO, RT_TGSIGQUEUEINFO, PRCTL = (129, 138), (297, 240), (157, 167)
RT_SIGACTION = (13, 134)

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_* (<linux/audit.h>)
TIOCSTI = 0x5412  # pushes characters into a terminal's input

# <linux/bpf_common.h>, <linux/seccomp.h>
_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_SET_MODE_FILTER = 1
_SYS_SECCOMP = (317, 277)


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


def program(only_signal: int | None) -> bytes:
    """The filter's instructions, 8 bytes each.

    Args:
        only_signal: the process itself, which may then signal nobody but itself and its process group; None: anybody,
            as it is alone in a namespace of process numbers.

    Raises:
        OSError: no filter is written for this machine's architecture.
    """
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
    for numbers in DENIED.values():
        if (number := numbers[column]) is not None:
            lines += [_line(_JUMP_EQUAL, number, 0, 1), _error(errno.EPERM)]
    lines += [_line(_JUMP_EQUAL, CLONE3[column], 0, 1), _error(errno.ENOSYS)]  # its flags are out of reach; use clone
    lines += _if_argument(CLONE[column], 0, [_line(_JUMP_ANY_BIT, kernel.ALL_NAMESPACES, 0, 1), _error(errno.EPERM)])
    lines += _if_argument(SOCKET[column], 0, [_line(_JUMP_EQUAL, socket.AF_UNIX, 1, 0), _error(errno.EAFNOSUPPORT)])
    lines += _if_argument(IOCTL[column], 1, [_line(_JUMP_EQUAL, TIOCSTI, 0, 1), _error(errno.EPERM)])
    lines += _keep_children_counted(column)
    if only_signal is not None:
        lines += _signal_rules(column, only_signal)
    return b"".join([*lines, _line(_RETURN, _ALLOW)])


def _signal_rules(column: int, process: int) -> list[bytes]:
    """Signals go to the process itself and its own group (0) alone, and it keeps dying with its parent."""
    lines = []
    for numbers in (KILL, TGKILL, RT_SIGQUEUEINFO, RT_TGSIGQUEUEINFO):
        allowed = [_line(_JUMP_EQUAL, process, 2, 0), _line(_JUMP_EQUAL, 0, 1, 0), _error(errno.EPERM)]
        lines += _if_argument(numbers[column], 0, allowed)
    for numbers in (TKILL, PIDFD_SEND_SIGNAL):
        lines += [_line(_JUMP_EQUAL, numbers[column], 0, 1), _error(errno.EPERM)]
    lines += _if_argument(PRCTL[column], 0, [_line(_JUMP_EQUAL, kernel.PR_SET_PDEATHSIG, 0, 1), _error(errno.EPERM)])
    return lines


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
    return _if_argument(RT_SIGACTION[column], 0, rules)


def _if_argument(number: int, argument: int, rules: list[bytes]) -> list[bytes]:
    """Rules on the lower half of an argument of one call, which fall through to the next rule for other calls."""
    lines = [_line(_LOAD, _ARGUMENTS + 8 * argument), *rules, _line(_LOAD, _NUMBER)]
    return [_line(_JUMP_EQUAL, number, 0, len(lines)), *lines]


def _error(number: int) -> bytes:
    return _line(_RETURN, _ERRNO | number)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)
