"""A new reward from a template, with its test."""

import keyword
import os
import sys
from importlib import resources
from pathlib import Path
from typing import Literal

from rewards.errors import BadInput

Shape = Literal["sample", "batch", "class"]
TEMPLATES: dict[Shape, str] = {"sample": "sample.py", "batch": "batch.py", "class": "shaped.py"}
TEST = "test_template.py"
PLACEHOLDER = "my_reward"


def new_reward(where: str, shape: Shape) -> tuple[Path, Path]:
    """Write `NAME.py`, a reward that works, and `test_NAME.py` beside it.

    Args:
        where: NAME, or a path that ends in NAME or NAME.py, in an existing folder.
        shape: graded one at a time, as a batch, or by a class with set-up.

    Returns:
        The two files.

    Raises:
        BadInput: the name is no name of a function, or hides a module of Python; a file is there; or the folder is
            missing or cannot be written.
    """
    path = Path(where) if where.endswith(".py") else Path(f"{where}.py")
    name = path.stem
    if not name.isidentifier() or keyword.iskeyword(name):
        raise BadInput(f"{name!r} cannot name a function; use letters, digits and underscores, such as my_reward")
    if name in sys.stdlib_module_names:
        raise BadInput(f"{name!r} is a module of Python, which {path.name} would hide; choose another name")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"{path} cannot be written; give a name in an existing, writable folder")
    test = path.with_name(f"test_{path.name}")
    for taken in (path, test):
        if os.path.lexists(taken):
            raise BadInput(f"{taken} exists already and is not overwritten; choose another name, or remove it")
    _write(path, _template(TEMPLATES[shape], name))
    _write(test, _template(TEST, name))
    return path, test


def _template(file: str, name: str) -> str:
    return resources.files("rewards.kit.templates").joinpath(file).read_text("utf-8").replace(PLACEHOLDER, name)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
