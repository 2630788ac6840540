"""Why a run that began well had to stop."""


class RunStopped(RuntimeError):
    """The run cannot go on: the message says what is wrong and what to do. The command line exits with code 1."""
