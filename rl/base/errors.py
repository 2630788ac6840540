"""Why a run that began well had to stop, and the exit codes of all commands."""

STOPPED = 1  # what was begun could not be finished
BAD_INPUT = 2
MISSED = 3  # done, but not with the result that was promised or asked for
INTERRUPTED = 130  # Ctrl-C


class RunStopped(RuntimeError):
    """The run cannot go on: the message says what is wrong and what to do. The command line exits with code 1."""


class WriteFailed(OSError):
    """A file could not be written: the disk is full, read only, or not ours. Its text is one sentence without its end.

    Args:
        number: the error's number, see `errno`.
        said: the error in words.
        path: of the file or folder.
        room: how much is needed and how much is free, in words; empty where that does not matter.
    """

    def __init__(self, number: int | None, said: str, path: str, room: str = "") -> None:
        super().__init__(number, said, path)
        self.room = room

    def __str__(self) -> str:
        return f"{self.filename} cannot be written: {self.strerror}{f' ({self.room})' if self.room else ''}"
