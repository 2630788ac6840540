"""What the processes of a program hold together, from /proc: memory of their own, memory that they share, and what the
kernel keeps for their descriptors. All figures are rounded up, never down.

The kernel's own limits hold for each process alone. A program that could make itself unreadable gains nothing: what
cannot be read is charged by the address space of the process.
"""

import contextlib
import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")
PIPE = 1 << 16  # bytes that a pipe holds, or that the kernel keeps for any descriptor but a socket's
MAPPING = 1024  # bytes that a mapping is charged: more than it takes, as is a lock
LOCK = 4096  # bytes that a lock on a file is charged: their lists are to stay short, which are read at each look
FILTERS = 1 << 17  # bytes of filters and the like that a socket may have
QUEUE = 12  # messages that wait in a datagram socket, of senders that may have gone
HIDDEN_DESCRIPTORS = 256  # the most that a program may open (`Limits.open_files`)

# A mapping of memory that is shared and has no file: its range, its offset and its inode.
SHARED = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) [r-][w-][x-]s ([0-9a-f]+) \S+ (\d+) +/(?:dev/zero|memfd:|SYSV|anon_hugepage)", re.M
)
RESIDENT = re.compile(rb"^(?:VmRSS|VmPTE|VmSwap|HugetlbPages):\s+(\d+)", re.M)
PROPORTIONAL = re.compile(rb"^(?:Pss|SwapPss|Shared_Hugetlb|Private_Hugetlb):\s+(\d+)", re.M)
LOCAL_SOCKET = re.compile(rb"^[0-9a-f]+: [0-9A-F]+ [0-9A-F]+ [0-9A-F]+ ([0-9A-F]+) ", re.M)  # its type; 2: datagrams
OWNER_OF_LOCK = re.compile(rb"^\d+: *(?:-> )?\S+ +\S+ +\S+ +(-?\d+) ", re.M)  # -1: it belongs to a descriptor
OF_FILES_IN_MEMORY = re.compile(rb"^Pss_Shmem:\s+(\d+)", re.M)


@dataclass
class Account:
    """What one program was seen to hold, as far as the next look at it must know.

    Memory that processes share without a file belongs to no process: its pages stay until the last mapping of a part
    of it has gone, whoever touched them. So it is charged by the largest size that was seen, once. A program can map
    much, touch it and give all but a page back before anybody looks. Therefore page faults that left nothing behind
    count too, if such memory has appeared since the last look and stays.

    Attributes:
        sizes: bytes of each shared piece of memory, by its inode.
        hidden: bytes that were touched and are out of sight, and the shared pieces that may hold them.
        faults: bytes that the processes have touched since they began.
        resident: bytes that they held at the last look.
    """

    sizes: dict[bytes, int] = field(default_factory=dict)
    hidden: list[tuple[frozenset[bytes], int]] = field(default_factory=list)
    faults: int = 0
    resident: int = 0

    def held(self, family: Sequence[int], folders: Sequence[str], own_network: bool, enough: int) -> int:
        """Count the bytes that these processes hold.

        Args:
            family: their numbers.
            folders: file systems in memory that are theirs alone.
            own_network: whether all sockets of their network namespace are theirs.
            enough: if no more than this can be held, that is answered without a closer look, which is dear.
        """
        maps = {pid: read(pid, "maps") for pid in family}
        common = self._shared(family, list(maps.values())) + sum(map(_used, folders))
        common += _of_descriptors(family, own_network) + _of_locks(family)
        for pid, text in maps.items():
            common += address_space(pid) if text is None else MAPPING * text.count(b"\n")
        at_most = common + self.resident
        if at_most <= enough:
            return at_most
        return common + sum(map(_proportional, family))

    def _shared(self, family: Sequence[int], maps: Sequence[bytes | None]) -> int:
        sizes: dict[bytes, int] = {}
        for text in maps:
            for first, end, offset, inode in SHARED.findall(text or b""):
                size = int(offset, 16) + int(end, 16) - int(first, 16)
                sizes[inode] = max(size, sizes.get(inode, 0), self.sizes.get(inode, 0))
        resident, faults = sum(map(_resident, family)), sum(map(_touched, family))
        self.hidden = [(pieces, size) for pieces, size in self.hidden if not pieces.isdisjoint(sizes)]
        total = sum(sizes.values()) + sum(size for _, size in self.hidden)
        new = frozenset(sizes.keys() - self.sizes.keys())
        if new:  # counted from the next look on, if any of them is still there
            self.hidden.append((new, max(faults - self.faults - max(resident - self.resident, 0), 0)))
        self.sizes, self.resident, self.faults = sizes, resident, faults
        return total


def read(process: int | str, name: str) -> bytes | None:
    """Return a file of /proc; None if it may not be read, empty if the process has ended."""
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except PermissionError:
        return None
    except OSError:  # ended meanwhile
        return b""


def _resident(process: int) -> int:
    """Count the bytes of memory in use, what it has in common with others in full; no right is needed to see that."""
    return 1024 * sum(map(int, RESIDENT.findall(read(process, "status") or b"")))


def _proportional(process: int) -> int:
    """Count the bytes in use, with a share of what several processes have in common, without files in memory."""
    text = read(process, "smaps_rollup")
    if text is None:
        return address_space(process)
    return 1024 * (sum(map(int, PROPORTIONAL.findall(text))) - sum(map(int, OF_FILES_IN_MEMORY.findall(text))))


def address_space(process: int) -> int:
    """Count the bytes of all mappings of a process."""
    return int((read(process, "statm") or b"0").split()[0]) * PAGE


def _touched(process: int) -> int:
    """Count the bytes of pages that a process, and its children that have ended, touched for the first time."""
    fields = (read(process, "stat") or b"").rpartition(b")")[2].split()[7:9]
    return sum(map(int, fields)) * PAGE


def _used(folder: str) -> int:
    """Count the bytes of the files of a file system; 0 where it is gone."""
    try:
        system = os.statvfs(folder)
    except OSError:  # its last process has ended
        return 0
    return (system.f_blocks - system.f_bfree) * system.f_frsize


def _of_descriptors(family: Sequence[int], own_network: bool) -> int:
    """Count the bytes that the kernel may hold for the descriptors of these processes, each once."""
    found: set[str] = set()
    unknown = 0
    for pid in family:
        try:
            for path, link in links(pid).items():
                found.add(link if link.startswith(("socket:", "pipe:")) else path)
        except PermissionError:
            unknown += HIDDEN_DESCRIPTORS
    sockets = unknown + sum(link.startswith("socket:") for link in found)
    others = len(found) - sockets + unknown
    queued = 0
    if own_network:  # also sockets that are on their way or that nobody has accepted
        kinds = LOCAL_SOCKET.findall(read("self", "net/unix") or b"")
        sockets, queued = max(sockets, len(kinds)), QUEUE * kinds.count(b"0002")
    return others * PIPE + (sockets + queued) * socket_bytes()


def _of_locks(family: Sequence[int]) -> int:
    """Count the bytes that the kernel may hold for locks on files."""
    owners = {b"-1", *(b"%d" % pid for pid in family)}
    return LOCK * sum(map(owners.__contains__, OWNER_OF_LOCK.findall(read("", "locks") or b"")))


def links(process: int) -> dict[str, str]:
    """Return where each descriptor of a process can be looked at, and what it refers to.

    Raises:
        PermissionError: the process hides them.
    """
    folder = f"/proc/{process}/fd"
    found: dict[str, str] = {}
    try:
        for number in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found[f"{folder}/{number}"] = os.readlink(f"{folder}/{number}")
    except PermissionError:
        if address_space(process):  # else it is about to end, or nobody has waited for its end yet
            raise
    except OSError:  # ended meanwhile
        return {}
    return found


@functools.cache
def socket_bytes() -> int:
    """Return how many bytes wait in a local socket at most: one message more than fits, so twice the setting."""
    try:
        queue = int(Path("/proc/sys/net/core/wmem_default").read_text(encoding="ascii"))
    except OSError:  # not shown in a network namespace of its own
        queue = 212_992
    return 2 * queue + FILTERS
