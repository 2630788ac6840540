"""Where Penny keeps what can be made again (prepared models, and answers that were paid for), and who may read it."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Where Penny keeps what can be made again: `$PENNY_CACHE`, or `~/.cache/penny`."""
    return Path(os.environ.get("PENNY_CACHE") or "~/.cache/penny").expanduser()


def as_umask_says(folder: Path) -> None:
    """Give each file and folder inside the rights that `folder` got from the user's umask when it was made.

    safetensors writes files that their owner alone may read, whatever the umask says.
    """
    rights = folder.stat().st_mode & 0o777
    for entry in folder.rglob("*"):
        if not entry.is_symlink():
            entry.chmod(rights if entry.is_dir() else rights & (0o777 if entry.stat().st_mode & 0o100 else 0o666))
