"""Shows on standard error how far an evaluation is: a bar on a terminal, else a line now and then."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rl.base.visible import emit
from rl.run.loading import terminal

PLAIN_EVERY = 0.1  # of the answers, between two lines where no terminal shows a bar
Show = Callable[[int, int, int], None]  # answers that have come, answers that are wanted, tokens


@contextmanager
def answer_progress() -> Iterator[Show]:
    """Show answers and tokens while the block runs."""
    if not sys.stderr.isatty():
        yield plain_lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.fields[tokens]} tokens"), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=terminal(sys.stderr)), transient=True) as shown:
        task = shown.add_task("", total=None, tokens=0)
        yield lambda done, wanted, tokens: shown.update(task, completed=done, total=wanted, tokens=tokens)


@contextmanager
def stopped_with_count(progress: Show, is_kept: bool) -> Iterator[Show]:
    """On Ctrl-C, say how many answers are there and whether they are kept; gives `progress` on."""
    there = "before the first answer"

    def counted(done: int, wanted: int, tokens: int) -> None:
        nonlocal there
        there = f"after {done:,} of {wanted:,} answers"
        progress(done, wanted, tokens)

    try:
        yield counted
    except KeyboardInterrupt:
        kept = "they are kept, and the same command asks for the rest" if is_kept else "nothing was kept"
        emit(f"\nstopped {there}; {kept}", file=sys.stderr)
        raise


def plain_lines() -> Show:
    """Print a line for each tenth of the answers."""
    shown_share = 0.0

    def show(done: int, wanted: int, tokens: int) -> None:
        nonlocal shown_share
        if done / wanted >= shown_share + PLAIN_EVERY or done == wanted:
            shown_share = done / wanted
            emit(f"{done} of {wanted} answers, {tokens} tokens", file=sys.stderr)

    return show
