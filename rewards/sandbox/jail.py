"""How a program is shut in: once for the process that all programs are forked from, once more for each of them.

`namespaces`: the forking process ("zygote") lives in new user, process, mount, network, IPC, UTS and cgroup namespaces,
with a root directory that holds the interpreter and the system's libraries, read-only, and nothing else. Each program
gets a process namespace of its own, whose end ends all that it started, an IPC namespace, and empty /tmp and /dev/shm.
Where the caller is the machine's root, no user namespace is needed, and programs run as a user that nobody else is.

`landlock`: where namespaces are refused (most containers), Landlock limits which files can be reached; seccomp limits
signals, limits and priorities to the program itself, and refuses what Landlock does not guard: names of sockets, modes,
times and other attributes of files. What a program leaves behind is found by the zygote, which inherits all orphans.

Both add seccomp, resource limits, an empty environment, no capabilities and no way to gain any.
`unsafe`: resource limits, an empty environment, and killing; a program can read and write what the user can.
"""

import contextlib
import functools
import os
import shutil
import signal
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rewards.sandbox import attributes, kernel, landlock, limits, seccomp

NAMESPACES = (
    kernel.CLONE_NEWNS
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWCGROUP
)
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache", "/etc/localtime")
PRIVATE = ("/tmp", "/dev/shm")  # each program has its own, empty
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
FIRST_USER = (
    0x70000000  # far above what anybody gives out; one number for each zygote, as processes are counted by user
)
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}


def enter_namespaces() -> None:
    """Leave the host's namespaces; the next child is the first process of a new process namespace.

    Raises:
        OSError: the kernel, or the container around this process, refuses.
    """
    try:
        kernel.unshare(NAMESPACES)
    except PermissionError:  # not the machine's root
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(NAMESPACES | kernel.CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; leave at once if that has happened."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit()


def has_users(tier: str) -> bool:
    """Whether programs can run under a user number that nobody else has: only the machine's root can give one."""
    if tier == "unsafe" or os.geteuid() != 0 or not kernel.can_change_user():
        return False
    return tier == "namespaces" or all(map(_open_to_all, interpreter_folders()))


def _open_to_all(folder: str) -> bool:
    """Whether every user may read a folder, which one below root's home is not."""
    needed = stat.S_IXOTH
    return all(os.stat(path).st_mode & needed for path in (folder, *map(str, Path(folder).parents)))


def layers(tier: str, user: int | None) -> dict[str, str]:
    """What holds in a tier on this machine, by layer; an empty text where it does not.

    Raises:
        OSError: a layer that the tier stands on is missing.
    """
    version = landlock.abi() if sys.platform == "linux" else 0
    filtered = seccomp.supported() and tier != "unsafe"
    if tier == "landlock" and not (version and filtered):
        raise OSError("Landlock and seccomp are needed where namespaces are refused, and one of them is missing here")
    inside, guarded = tier == "namespaces", tier != "unsafe"
    landlocked = f"Landlock {version}" if guarded and version else ""

    def all_of(*names: str | bool) -> str:
        return ", ".join(name for name in names if isinstance(name, str) and name)

    return {
        "files": all_of(inside and "own root directory", landlocked),
        "network": all_of(inside and "network namespace", filtered and "seccomp", version >= 4 and landlocked),
        "processes": all_of(
            inside and "process namespace",
            user is not None and "own user",
            filtered and not inside and "seccomp",
            version >= 6 and landlocked,
        ),
        "rights": all_of(guarded and "no capabilities, no_new_privs", filtered and "seccomp"),
        "memory segments": all_of(inside and "IPC namespace", filtered and "seccomp"),
        "environment": "emptied",
        "memory": "RLIMIT_AS, and a watch on the sum",
        "disk": "a tmpfs of that size" if inside else "RLIMIT_FSIZE, and a watch on the sum",
        "forks": all_of((user is not None or os.geteuid() != 0) and "RLIMIT_NPROC", "a watch on the number"),
        "time": "RLIMIT_CPU, and SIGKILL from outside",
        "orphans": "process namespace" if inside else "process group" + ", subreaper" * (sys.platform == "linux"),
        "core files": "RLIMIT_CORE",
    }


def build_root() -> None:
    """Replace the root directory by one with the interpreter, system libraries and a few devices, all read-only."""
    folders, covered, ways = interpreter_folders(), covered_folders(), _parents_shown()
    targets = {path: os.path.realpath(path) for path in (*SYSTEM, *folders)}  # while links lead where they should
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=1m")
    for name in ("old", "new"):
        os.mkdir(f"/tmp/{name}")
    kernel.pivot_root("/tmp", "/tmp/old")  # the host's own /tmp is in sight again, below /old
    os.chdir("/")
    kernel.mount("tmpfs", "/new", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=1m")
    for path in (*SYSTEM, *folders):
        _show(path, path, targets[path])
    for path, second in covered.items():
        _show(path, second, targets[path])
    _make_etc()
    for name in ("proc", "tmp", "dev/shm"):
        os.makedirs(f"/new/{name}", exist_ok=True)
    for device in DEVICES:
        Path("/new" + device).touch()
        kernel.mount("/old" + device, "/new" + device, None, kernel.MS_BIND)
    with contextlib.suppress(
        OSError
    ):  # refused where the host's own /proc is partly hidden: memory is then not watched
        kernel.mount("proc", "/new/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV)
    kernel.unmount("/old")
    for folder in ways:
        os.chmod(f"/new{folder}", 0o111)  # the way to the interpreter tells nothing of the host's folders
    os.chdir("/new")
    kernel.pivot_root(".", ".")
    kernel.unmount(".")
    os.chdir("/")
    kernel.mount("none", "/", None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY)


@functools.cache  # as long as the root directory is the host's
def interpreter_folders() -> list[str]:
    """Where Python and its packages are, without what lies below another of them or below /usr."""
    paths = sysconfig.get_paths()
    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix, paths["purelib"], paths["platlib"]}
    folders |= set(map(os.path.realpath, folders))  # a link is of use with what it leads to
    wanted: list[str] = []
    for folder in sorted(folders, key=len):
        if not any(Path(folder).is_relative_to(shown) for shown in ("/usr", *wanted)):
            wanted.append(folder)
    return wanted


def _parents_shown() -> set[str]:
    """Folders that exist for what lies below them alone, but for those that programs look into."""
    parents = {str(parent) for folder in interpreter_folders() for parent in Path(folder).parents}
    shown = [*interpreter_folders(), *SYSTEM]
    return {
        parent for parent in parents - {"/", *PRIVATE} if not any(Path(parent).is_relative_to(top) for top in shown)
    }


def covered_folders() -> dict[str, str]:
    """The interpreter's folders that a program's private mounts would hide, and where else each can be found."""
    covered = [folder for folder in interpreter_folders() if any(map(Path(folder).is_relative_to, PRIVATE))]
    return {folder: f"/run/python-{place}" for place, folder in enumerate(covered)}


def _show(path: str, place: str, target: str) -> None:
    """Make a path of the old root appear at a place of the new one, read-only. Absent ones are passed over.

    Links, of which one may lead to the next, become one to their target.
    """
    old, new = "/old" + path, "/new" + place
    if os.path.islink(old):
        os.makedirs(os.path.dirname(new), exist_ok=True)
        os.symlink(target, new)
    elif os.path.isdir(old):
        os.makedirs(new, exist_ok=True)
        kernel.mount(old, new, None, kernel.MS_BIND | kernel.MS_REC)
        kernel.make_read_only(new)
    elif os.path.isfile(old):
        os.makedirs(os.path.dirname(new), exist_ok=True)
        shutil.copyfile(old, new)


def _make_etc() -> None:
    """The little that libraries look for; the host's users and settings stay unknown."""
    os.makedirs("/new/etc", exist_ok=True)
    Path("/new/etc/passwd").write_text("sandbox:x:65534:65534::/tmp:/bin/sh\n")
    Path("/new/etc/hosts").write_text("127.0.0.1 localhost\n")


@dataclass(frozen=True)
class Jail:
    """What is the same for all programs of a zygote, worked out once before the first is forked."""

    tier: str
    user: int | None
    address_space: int
    readable: tuple[str, ...]
    covered: Mapping[str, str]
    landlocked: bool
    filters: tuple[bytes, ...]


def prepare(tier: str, user: int | None) -> Jail:
    """Give up what the zygote itself does not need and its children would have to, and work out the rest.

    Args:
        tier: `namespaces`, `landlock` or `unsafe`, already entered.
        user: the number that programs run under; None: the present one.
    """
    with contextlib.suppress(OSError):  # no /proc, or not Linux
        limits.prefer_as_victim()
    os.environ.clear()
    os.environ.update(ENVIRONMENT | {"HOME": "/tmp", "TMPDIR": "/tmp"})
    inside, guarded = tier == "namespaces", tier != "unsafe"
    if guarded and not inside:
        from rewards.sandbox import semaphores  # with multiprocessing, the tables of whose memory each fork copies

        semaphores.share_without_names()
    if guarded:
        kernel.drop_bounding_capabilities()
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    return Jail(
        tier=tier,
        user=user,
        address_space=limits.address_space(),
        readable=("/",) if inside else (*SYSTEM, *interpreter_folders(), *DEVICES),
        covered=covered_folders(),
        landlocked=guarded and landlock.abi() > 0,
        filters=_filters(inside) if guarded and seccomp.supported() else (),
    )


def _filters(inside: bool) -> tuple[bytes, ...]:
    if inside:
        return (seccomp.program(),)
    return seccomp.program(), seccomp.program_without_namespaces(landlock.guards_truncation())


def shut_in(prepared: Jail, bounds: limits.Limits, folder: str) -> None:
    """Take from this process, and all that come from it, everything that a program does not need, for good.

    Args:
        prepared: of the zygote whose fresh child this process is.
        bounds: what it may use.
        folder: its working directory: /tmp itself in namespaces, else a private folder made for it.

    Raises:
        OSError: a layer that the tier promises could not be had.
    """
    os.setsid()
    limits.apply(bounds, prepared.address_space)
    if prepared.tier == "namespaces":
        _private_mounts(bounds, prepared.covered)
    else:
        os.environ.update({"HOME": folder, "TMPDIR": folder})
    os.umask(0o077)
    os.chdir(folder)
    tempfile.tempdir = None
    if prepared.tier == "unsafe":
        return
    if (user := prepared.user) is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    kernel.drop_capabilities()
    writable = [folder, "/dev/null"]
    if prepared.tier == "namespaces":
        writable.append("/dev/shm")
    else:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        attributes.pass_over(folder)
    if prepared.landlocked:
        landlock.restrict(prepared.readable, writable)
    for code in prepared.filters:
        seccomp.install(code)
    if prepared.tier != "namespaces":
        seccomp.install(seccomp.program_of_process(os.getpid()))


def _private_mounts(bounds: limits.Limits, covered: Mapping[str, str]) -> None:
    """Empty /tmp and /dev/shm that vanish with the program, and no /proc. What `covered` names is shown again."""
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
    options = f"mode=1777,size={bounds.disk_mib}m,nr_inodes=8192"
    for target in PRIVATE:
        kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    for path, second in covered.items():
        os.makedirs(path)
        kernel.mount(second, path, None, kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("tmpfs", "/proc", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_RDONLY, "size=4k")
