"""What ends a run before its time, in one sentence: what went wrong, what is saved, and how to go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rewards.errors import BadInput
from rewards.failures import RewardFailed
from rl.base import atomic
from rl.base.disk import SPACE
from rl.base.errors import PlugInFailed, RunStopped, WriteFailed
from rl.run.checkpoints import last_saved
from rl.run.folder import RunFolder

REPORT = "reward-error.txt"


@contextmanager
def reward_failures(folder: Path) -> Iterator[None]:
    """Let a reward that raises in the block end as RunStopped, with the whole traceback in a file of `folder`."""
    try:
        yield
    except RewardFailed as error:
        raise RunStopped(f"{reported(error, folder)}; correct the reward, then give the same command again.") from error


def reported(error: RewardFailed | PlugInFailed, folder: Path) -> str:
    """Write the traceback of a user's function that failed to a file; return the sentence about both, without its end.

    The file is `REPORT`, or the like for a loss.
    """
    file = folder / (REPORT if isinstance(error, RewardFailed) else f"{error.what.replace(' ', '-')}-error.txt")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = error.report().encode("utf-8", "replace").decode()  # a completion may have half a character
        atomic.write_text(file, text)
    except OSError as refusal:  # the disk, too: the sentence is worth more than the file
        return f"{error} (its traceback could not be kept: {refusal})"
    return f"{error} (the whole traceback is in {file})"


@contextmanager
def ended(folder: RunFolder) -> Iterator[None]:
    """End a run that cannot go on with one sentence: what went wrong, what is saved, how to go on.

    Raises:
        RunStopped: a user's function failed, or the disk is full or not ours.
    """
    try:
        yield
    except (RewardFailed, PlugInFailed, OSError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if isinstance(error, RewardFailed | PlugInFailed):
            kind = "reward" if isinstance(error, RewardFailed) else error.what
            what, cure = reported(error, folder.path), f"correct the {kind}"
        elif isinstance(error, WriteFailed) or number in SPACE:  # of a library's own file, too
            what, cure = str(error), "make room" if number in SPACE else "make it writable"
        else:
            raise
        step = last_saved(folder)
        saved = f"step {step} is saved" if step else "no step is saved yet"
        raise RunStopped(f"{what}; {saved}: {cure}, then {how_to_go_on(folder)}") from error


@contextmanager
def told_what_is_saved(folder: RunFolder) -> Iterator[None]:
    """Add to a sentence that ends the training what is saved, and how to go on."""
    try:
        yield
    except (BadInput, RunStopped) as error:
        step = last_saved(folder)
        if not step:
            raise
        text = f"{str(error).rstrip('.')}; step {step} is saved, {how_to_go_on(folder)}"
        raise (BadInput if isinstance(error, BadInput) else RunStopped)(text) from error


def how_to_go_on(folder: RunFolder) -> str:
    """Return the words that say how to resume a run."""
    return f"go on with: penny train --resume {folder.path}"
