"""Prints expected errors as one line and ends the command with their exit code."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from rewards.errors import BadInput
from rl.base.errors import BAD_INPUT, INTERRUPTED, STOPPED, RunStopped, WriteFailed
from rl.base.visible import emit


@contextmanager
def expected_errors(as_json: bool) -> Iterator[None]:
    """Print an expected error of the block as one line, also as JSON if asked, and exit with its code."""
    try:
        yield
    except (BadInput, RunStopped, WriteFailed) as error:
        emit(f"error: {error}", file=sys.stderr)
        if as_json:
            emit(json.dumps({"error": str(error)}))
        raise typer.Exit(BAD_INPUT if isinstance(error, BadInput) else STOPPED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
