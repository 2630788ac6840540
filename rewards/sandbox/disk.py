"""How much room the files of a program take, where no file system of its own bounds them.

A program may nest folders deeper than the interpreter's recursion and longer than a path may be, and move them while
they are counted. Folders are entered one by one, relative to their parents, and left only to where they were entered
from.
"""

import contextlib
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from rewards.sandbox.account import links, read
from rewards.scratch import ENTER, change_folder

BLOCK = 8192  # bytes that even an empty file is charged: so many as in `namespaces`, and removing them takes its time
TRIES = 3  # a walk is begun so often where folders move under it


class Moved(Exception):
    """A folder was moved while it was being counted."""


@dataclass
class Level:
    """A folder on the way down: which it is, and which of its folders are to be entered yet."""

    identity: tuple[int, int]
    waiting: list[str]


def folder_bytes(folder: str, enough: int) -> int:
    """Add up all files below a folder; any number above `enough` if it is more than that, or cannot be counted."""
    for _ in range(TRIES):
        try:
            return _walk(folder, enough)
        except FileNotFoundError:  # the folder itself has been removed
            return 0
        except PermissionError:  # or closed to others
            break
        except Moved:
            continue
    return enough + 1


def unnamed_bytes(folder: str, family: Iterable[int], largest: int) -> int:
    """Add up files that have been below a folder and have lost their names, but are held by one of these processes.

    Args:
        folder: where they were made.
        family: the processes.
        largest: bytes that a file is charged if its size cannot be seen: it is mapped, but no longer open.
    """
    gone = re.compile(rb"\S+ (\d+) +" + re.escape(os.fsencode(folder)) + rb"/.*\(deleted\)$", re.M)
    sizes: dict[int, int] = {}
    hidden = 0
    for pid in family:
        mapped = gone.findall(read(pid, "maps") or b"")
        try:
            paths = [path for path, link in links(pid).items() if link.startswith(folder)]
        except PermissionError:
            hidden += largest
            continue
        for path in paths:
            with contextlib.suppress(OSError):  # closed meanwhile
                found = os.stat(path)
                if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                    sizes[found.st_ino] = found.st_size
        if any(int(inode) not in sizes for inode in mapped):  # unless it has ended or given them up meanwhile
            for inode in gone.findall(read(pid, "maps") or b""):
                sizes.setdefault(int(inode), largest)
    return sum(sizes.values()) + hidden


def _walk(folder: str, enough: int) -> int:
    total = 0
    here = os.open(folder, ENTER)
    levels: list[Level] = []
    try:
        size, names = _list(here, enough)
        total += size
        levels.append(Level(_identity(here), names))
        while levels and total <= enough:
            if not levels[-1].waiting:
                levels.pop()
                if levels:
                    here = _back(here)
                    if _identity(here) != levels[-1].identity:
                        raise Moved
                continue
            try:
                here = change_folder(here, levels[-1].waiting.pop())
            except PermissionError:  # made so that nobody can look into it
                return enough + 1
            except OSError:  # removed meanwhile
                continue
            size, names = _list(here, enough - total)
            total += size
            levels.append(Level(_identity(here), names))
    finally:
        os.close(here)
    return total


def _back(here: int) -> int:
    """Return the descriptor of the folder that another is in."""
    try:
        return change_folder(here, "..")
    except OSError as error:  # that has been closed to others, or removed
        raise Moved from error


def _list(here: int, enough: int) -> tuple[int, list[str]]:
    """Add up what lies in an open folder, up to the first entry that makes it more than enough; list its folders."""
    total, names = 0, []
    with os.scandir(here) as entries:
        for entry in entries:
            total += BLOCK
            if total > enough:
                break
            with contextlib.suppress(OSError):  # removed meanwhile
                found = entry.stat(follow_symlinks=False)
                total += max(found.st_size - BLOCK, 0)
                if stat.S_ISDIR(found.st_mode):
                    names.append(entry.name)
    return total, names


def _identity(here: int) -> tuple[int, int]:
    found = os.fstat(here)
    return found.st_dev, found.st_ino
