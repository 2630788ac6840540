"""What can be done with a run that has ended: commands to copy."""

import shlex
import shutil
import sys
from pathlib import Path


def next_commands(run: Path) -> list[tuple[str, str]]:
    """Return commands for the folder of a run, each with what it does."""
    penny, folder = command_name(), shlex.quote(str(run))
    exported = shlex.quote(str(Path("exported") / run.resolve().name))
    return [
        (f"{(run / 'report.html').resolve().as_uri()}", "open the report in a browser"),
        (f"{penny} samples {folder}", "read completions"),
        (f"{penny} chat {folder}", "talk with the model"),
        (f"{penny} eval --model {folder} --benchmark {shlex.quote(str(run / 'recipe.yaml'))}", "measure it again"),
        (f"{penny} export {folder} -o {exported}", "write the model for other programs"),
    ]


def command_name() -> str:
    """Return what starts Penny from the user's shell: `penny`, or a longer command where that is not found."""
    beside = Path(sys.executable).with_name("penny")
    found = shutil.which("penny")
    if found and beside.exists() and Path(found).samefile(beside):
        return "penny"
    if not beside.exists():
        return f"{shlex.quote(sys.executable)} -m rl.cli"
    near = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    return shlex.quote(str(near))
