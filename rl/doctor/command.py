"""`penny doctor gpu`: runs the checks, shows them as a table, and writes `gpu-check.json` to send in."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from rewards.errors import BadInput
from rl.base import atomic
from rl.base.visible import visible_line
from rl.doctor.check import Check, Row
from rl.doctor.runner import chosen, run
from rl.rollout.build import pick_device
from rl.run.manifest import hardware, versions

COLORS = {"PASS": "green", "FAIL": "bold red", "SKIP": "dim"}


def examine(only: str | None, device: str, output: Path, *, quiet: bool = False) -> dict[str, Any]:
    """Run checks and write their findings to `output`; also what has been found when Ctrl-C comes.

    Raises BadInput for a check that does not exist, or where `output` cannot be written.
    """
    from rl.doctor.listed import CHECKS

    checks, device = chosen(CHECKS, only), pick_device(device)
    if output.is_dir() or not output.resolve().parent.is_dir():
        raise BadInput(f"{output} cannot be written: name a file in a folder that exists with -o.")
    console = Console(stderr=True, quiet=quiet)
    rows: list[Row] = []

    def begin(check: Check) -> None:
        console.print(f"[dim]{len(rows) + 1}/{len(checks)}[/] {check.name}: {check.about}")

    try:
        for row in run(checks, device, begin):
            rows.append(row)
    finally:
        found = report(rows, device, whole=len(rows) == len(checks))
        atomic.write_json(output, found)
    return found


def report(rows: Sequence[Row], device: str, *, whole: bool) -> dict[str, Any]:
    """Return what `gpu-check.json` holds: the machine, the versions, and every row."""
    failures = [row.name for row in rows if row.finding.status == "FAIL"]
    return {
        "passed": whole and not failures,
        "whole": whole,
        "failed": failures,
        "device": device,
        "hardware": hardware(),
        "versions": versions(),
        "python": sys.version.split()[0],
        "checks": [row.as_dict() for row in rows],
    }


def show(found: dict[str, Any], output: Path) -> None:
    """Print the table, and where to send the file."""
    table = Table(box=None, pad_edge=False)
    for name, options in {"check": {"no_wrap": True}, "": {"no_wrap": True}, "figure": {}, "reason": {}}.items():
        table.add_column(name, **options)  # type: ignore[arg-type]
    for row in found["checks"]:
        status = row["status"]
        said = (Text(visible_line(row[name])) for name in ("figure", "reason"))  # brackets in it are no markup
        table.add_row(row["name"], Text(status, COLORS[status]), *said)
    console = Console()
    console.print(table)
    counts = {status: sum(row["status"] == status for row in found["checks"]) for status in COLORS}
    console.print(", ".join(f"{number} {status}" for status, number in counts.items()) + f"; {output}")
