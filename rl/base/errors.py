"""Why a run that began well had to stop, and the exit codes of all commands."""

STOPPED = 1  # what was begun could not be finished
BAD_INPUT = 2
MISSED = 3  # done, but not with the result that was promised or asked for
INTERRUPTED = 130  # Ctrl-C


class RunStopped(RuntimeError):
    """The run cannot go on: the message says what is wrong and what to do. The command line exits with code 1."""


class PlugInFailed(RuntimeError):
    """A user's loss, advantage estimator or correction raised, or returned what it may not. One sentence, no full stop.

    Args:
        what: which of these it is.
        spec: the user's name of it.
        said: what it did, in a few words that begin with a verb.
        line: the user's line that did it; empty where that is not known.
        trace: where the program was, in many lines.

    Attributes:
        moved: whether the weights have left those of the last finished step.
    """

    def __init__(self, what: str, spec: str, said: str, line: str = "", trace: str = "") -> None:
        super().__init__(what, spec, said, line, trace)  # by these, ranks hand it to each other
        self.what, self.spec, self.said, self.line, self.trace = what, spec, said, line, trace
        self.moved = False

    def __str__(self) -> str:
        return f"the {self.what} {self.spec!r} {self.said}{f' at {self.line}' if self.line else ''}"

    def report(self) -> str:
        """The sentence, and the whole traceback."""
        return f"{self}\n\n{self.trace}"


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
