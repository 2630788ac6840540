"""What every command does with mistakes and stops: one sentence and an exit code."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rewards.errors import BadInput
from rl.errors import BAD_INPUT, INTERRUPTED, STOPPED, RunStopped, WriteFailed
from rl.names.visible import emit


@contextmanager
def told(as_json: bool) -> Iterator[None]:
    """Tell mistakes and stops in one sentence, also as JSON if asked, and leave with the exit code they have."""
    try:
        yield
    except (BadInput, RunStopped, WriteFailed) as error:
        emit(f"error: {error}", file=sys.stderr)
        if as_json:
            emit(json.dumps({"error": str(error)}))
        raise typer.Exit(BAD_INPUT if isinstance(error, BadInput) else STOPPED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
