"""Temporary folders that do not outlive their owner for long, not even one that was killed.

The owner holds a lock on its folder, which the kernel takes off when the owner's last process ends. Whoever makes such
a folder first removes those that nobody holds. A process number would not do: containers that share a temporary folder
count processes for themselves.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Iterator

PREFIX = "penny-scratch-"
YOUNG_SECONDS = 60.0  # between the making of a folder and its lock less time passes
ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Scratch:
    """A new temporary folder of this process.

    Args:
        purpose: a word for its name.
        parent: the folder that it is made in, on a disk of this machine alone; None: the one for temporary files.

    Attributes:
        path: where it is.
    """

    def __init__(self, purpose: str, parent: str | None = None) -> None:
        parent = parent or tempfile.gettempdir()
        sweep(parent)
        self.path = tempfile.mkdtemp(prefix=f"{PREFIX}{purpose}-", dir=parent)
        self._held = os.open(self.path, ENTER)
        with contextlib.suppress(OSError):  # a file system without locks: then nobody can sweep there either
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        if self._held >= 0:
            remove_tree(self.path)
            os.close(self._held)
            self._held = -1


@contextlib.contextmanager
def scratch_folder(purpose: str, parent: str | None = None) -> Iterator[str]:
    """A temporary folder for as long as the context lasts."""
    made = Scratch(purpose, parent)
    try:
        yield made.path
    finally:
        made.remove()


def sweep(parent: str) -> None:
    """Remove this user's scratch folders that no process holds."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:  # no such folder, or not to be looked into
        for entry in entries:
            if entry.name.startswith(PREFIX):
                with contextlib.suppress(OSError):  # somebody else removes it, or holds it
                    _remove_if_left(entry.path)


def _remove_if_left(path: str) -> None:
    folder = os.open(path, ENTER)
    try:
        found = os.fstat(folder)
        if found.st_uid == os.geteuid() and time.time() - found.st_ctime > YOUNG_SECONDS:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(path)
    finally:
        os.close(folder)


def remove_tree(path: str) -> None:
    """Remove a folder with all that is in it, however deep; what cannot be removed stays.

    Folders are entered one by one, relative to their parents: a path can be too long for the kernel, and a tree too
    deep for recursion or for as many open descriptors. Nothing else may change the tree meanwhile.
    """
    with contextlib.suppress(OSError):  # it is gone, or has become something else
        parent = os.open(os.path.dirname(path), ENTER)
        try:
            name = os.path.basename(path)
            _let_in(parent, name)
            _empty(os.open(name, ENTER, dir_fd=parent))
            os.rmdir(name, dir_fd=parent)
        finally:
            os.close(parent)


def _empty(here: int) -> None:
    """Remove all that is in an open folder, and close its descriptor."""
    try:
        waiting = [_remove_files(here)]
        names: list[str] = []
        while waiting:
            if waiting[-1]:
                name = waiting[-1].pop()
                with contextlib.suppress(OSError):
                    _let_in(here, name)
                    here = change_folder(here, name)
                    names.append(name)
                    waiting.append(_remove_files(here))
                continue
            waiting.pop()
            if names:
                here = change_folder(here, "..")
                with contextlib.suppress(OSError):  # something in it could not be removed
                    os.rmdir(names.pop(), dir_fd=here)
    finally:
        os.close(here)


def _remove_files(here: int) -> list[str]:
    """Remove what is no folder from an open folder, and return the names of what is one."""
    folders = []
    with os.scandir(here) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.name, dir_fd=here)
    return folders


def _let_in(here: int, name: str) -> None:
    """Make a folder one that its owner can enter and change, should it be another."""
    mode = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
    if mode & stat.S_IRWXU != stat.S_IRWXU:
        os.chmod(name, stat.S_IRWXU, dir_fd=here)


def change_folder(here: int, name: str) -> int:
    """Enter a folder from another by its name. Returns its descriptor; that of the other is closed."""
    there = os.open(name, ENTER, dir_fd=here)
    os.close(here)
    return there
