"""Draws the pictures of the README from a real run: `python -m benchmarks.pictures [KEY=VALUE ...]`.

It trains the quickstart, and keeps what the command printed and two charts of the report as SVG in `docs/images`.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

from rl.report import charts
from rl.run.evaluations import read_evaluations
from rl.run.folder import RunFolder
from rl.run.metrics import read_metrics

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
COLUMNS = 124
KEPT = 5  # steps at each end of the run that the picture shows


def shortened(lines: list[str]) -> list[str]:
    """Return the lines without the steps in the middle."""
    steps = [number for number, line in enumerate(lines) if re.match(r"step \d+/\d+", line)]
    if len(steps) <= 2 * KEPT:
        return lines
    return [*lines[: steps[KEPT - 1] + 1], "...", *lines[steps[-KEPT] :]]


def draw_terminal(lines: list[str], file: Path) -> None:
    """Write lines as they stand in a terminal."""
    console = Console(record=True, width=COLUMNS, file=sys.stderr)
    for line in lines:
        console.print(Text(line))
    file.write_text(console.export_svg(title="make quickstart"), encoding="utf-8")


def draw_charts(run: RunFolder, file: Path) -> None:
    """Write the charts of the pass rate and of the reward, side by side."""
    metrics = read_metrics(run)
    parts, left, bottom = list[str](), 0.0, 0.0
    for svg in (charts.pass_rate(metrics, read_evaluations(run)), charts.reward(metrics)):
        [(width, height)] = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
        parts.append(svg.replace("<svg", f'<svg x="{left}" width="{width}" height="{height}"', 1))
        left, bottom = left + float(width), max(bottom, float(height))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left} {bottom}">'
    white = '<rect width="100%" height="100%" fill="white"/>'
    file.write_text("\n".join([head, white, *parts, "</svg>"]), encoding="utf-8")


def main(overrides: list[str]) -> None:
    """Run the quickstart in an empty folder, and draw."""
    IMAGES.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "rl.cli", "train", "quickstart", *overrides]
    place = {"COLUMNS": str(COLUMNS), "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=empty, env=os.environ | place)
        lines = done.stdout.splitlines()
        folder = next(line.partition(": ")[2] for line in lines if line.startswith("run folder: "))
        last = next(number for number, line in enumerate(lines) if line.startswith("report: "))
        draw_terminal(["$ make quickstart", *shortened(lines[: last + 1])], IMAGES / "quickstart.svg")
        draw_charts(RunFolder.open(Path(empty) / folder), IMAGES / "curves.svg")


if __name__ == "__main__":
    main(sys.argv[1:])
