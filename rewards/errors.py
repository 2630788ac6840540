"""The one exception for bad input, shared by `rewards` and `rl`."""


class BadInput(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that says what is wrong, where, and what to do about it.
    The command line prints it without a traceback and exits with code 2.
    """
