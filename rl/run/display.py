"""What a person sees while a run goes on: a live panel on a terminal, plain lines anywhere else."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rl.base.columns import sentence_text
from rl.base.signals import say_on_standard_error
from rl.base.visible import visible, visible_line
from rl.run.activity import Activity, duration
from rl.run.afterwards import next_commands
from rl.run.loading import terminal
from rl.run.summary import cost, interval, percent, reward_change

BARS = "▁▂▃▄▅▆▇█"
RECENT = 10  # steps that the time left is judged by
REFRESH = 2  # times a second that the panel is drawn, so that its clocks tick
SILENCE = 60.0  # seconds without a line, where there is no panel, after which one says what is happening
CELL = 18  # columns that a fact takes in the panel


class Display:
    """Shows the progress of one run; a context manager, as a live panel must be taken down again.

    With `json`, standard output stays empty for the result and lines go to standard error. `silence`: see `SILENCE`.
    """

    def __init__(
        self,
        title: str,
        total_steps: int,
        json: bool = False,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
        silence: float = SILENCE,
        advise: bool = True,
    ) -> None:
        """`advise`: end with what to do next."""
        self._title = visible_line(title)
        self._total = total_steps
        self._console = console or Console(file=terminal(sys.stderr if json else sys.stdout))
        self._activity = Activity(total_steps, clock)
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._pass_rates: deque[float] = deque(maxlen=40)
        self._facts: dict[str, str] = {}
        self._stopping = ""
        panel = self._console.is_terminal and not json
        self._live = (
            Live(console=self._console, get_renderable=self._panel, refresh_per_second=REFRESH) if panel else None
        )
        self._silence = silence
        self._advise = advise
        self._heard = threading.Event()  # a line was written
        self._ended = False
        self._watcher = threading.Thread(target=self._break_silence, name="display", daemon=True)

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        else:
            self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._take_down()

    def message(self, text: str) -> None:
        """Print text above the panel."""
        self._heard.set()
        self._say(text)

    def stopping(self, text: str) -> None:
        """Say that the run was asked to stop; for signal handlers, so it takes no lock.

        The panel is drawn anew several times a second: a line below it would be gone at once.
        """
        if self._live:
            self._stopping = visible(text)
        else:
            say_on_standard_error(text)

    def begin_after(self, step: int) -> None:
        """Note that a resumed run goes on behind this step."""
        self._activity.step_done(step)

    def phase(self, name: str | None) -> None:
        """Show what the run does now, by the ledger's name of it; None: the phase is over."""
        self._activity.begin(name)

    def progress(self, done: int, wanted: int) -> None:
        """Show how many answers of the phase have come."""
        self._activity.count(done, wanted)

    def step(self, metrics: Mapping[str, Any]) -> None:
        """Show the line that a step adds to the metrics."""
        self._seconds.append(metrics.get("time/step") or 0.0)
        self._pass_rates.append(metrics.get("pass_rate") or 0.0)
        self._facts = _facts(metrics, self._time_left(metrics["step"]))
        self._activity.step_done(metrics["step"])
        if self._live:
            self._live.refresh()
        else:
            facts = "  ".join(f"{name} {value}" for name, value in self._facts.items())
            self.message(f"step {metrics['step']}/{self._total}  {facts}")

    def summary(self, summary: Mapping[str, Any], report: Path) -> None:
        """Print the result: before and after with intervals, the band, the price, the report, and what to do next."""
        self._activity.end()
        self._take_down()
        self._console.print(_result_table(summary))
        if change := reward_change(summary["before"], summary["after"]):
            self.message(change)
        if summary["band_met"] is not None:
            style = "bold green" if summary["band_met"] else "bold red"
            self._say(summary["band_reason"], style)
        changed = None if summary.get("same_problems", True) else summary["band_reason"]
        for note in (changed, summary.get("slower"), *summary.get("warnings", ())):
            if note:
                self._say(note, "yellow")
        price = f", {cost(summary['dollars'])}" if summary["dollars"] else ""
        self.message(f"{summary['minutes']:.1f} minutes{price}, {summary['tokens']:,} tokens")
        self.message(f"report: {report}")
        if not self._advise:
            return
        self.message("\nwhat next:")
        for command, meaning in next_commands(report.parent):
            self.message(f"  {meaning}:\n    {command}")

    def _say(self, text: str, style: str = "") -> None:
        """Print text; a terminal gets lines that end between words, but for indented ones: those are to be copied."""
        width = self._console.width if self._console.is_terminal else None
        lines = [line if line[:1].isspace() else sentence_text(line, width) for line in visible(text).split("\n")]
        self._console.print(Text("\n".join(lines), style=style), soft_wrap=True)

    def _take_down(self) -> None:
        if self._live:
            self._live.stop()
        self._ended = True
        self._heard.set()
        if self._watcher.is_alive():
            self._watcher.join()

    def _break_silence(self) -> None:
        """Say what is happening whenever nothing was said for a while."""
        while not self._ended:
            if self._heard.wait(self._silence):
                self._heard.clear()
            elif not self._ended:
                self._say(self._activity.line())

    def _time_left(self, step: int) -> float:
        return (self._total - step) * sum(self._seconds) / len(self._seconds)

    def _panel(self) -> RenderableType:
        head = _bar_line(
            Text(f"step {self._activity.step}/{self._total}", style="bold"),
            self._total,
            self._activity.step,
            f"{self._facts['left']} left" if self._facts else "",
        )
        parts: list[RenderableType] = [head, Text(self._activity.clocks(), style="cyan")]
        if self._stopping:
            parts.append(Text(self._stopping, style="yellow"))
        if self._activity.counting:
            counted, left = self._activity.counted()
            parts.append(_bar_line(Text(counted), self._activity.wanted, self._activity.done, left))
        if self._facts:
            trend = Text.assemble(("pass rate ", "dim"), (sparkline(self._pass_rates), "cyan"))
            trend.truncate(max(10, self._console.width - 4))
            parts += [Text(), self._fact_grid(), Text(), trend]
        return Panel(Group(*parts), title=Text(self._title, style="bold"), title_align="left")

    def _fact_grid(self) -> Table:
        grid = Table.grid(padding=(0, 3))
        names = [name for name in self._facts if name != "left"]
        width = max(2, min((len(names) + 1) // 2, (self._console.width - 4) // CELL))
        for begin in range(0, len(names), width):
            row = names[begin : begin + width]
            grid.add_row(*(Text.assemble((f"{name} ", "dim"), (self._facts[name], "bold")) for name in row))
        return grid


def _bar_line(name: Text, total: int, completed: int, end: str) -> Table:
    line = Table.grid(padding=(0, 2), expand=True)
    line.add_column(no_wrap=True)
    line.add_column(ratio=1)
    line.add_column(no_wrap=True)
    line.add_row(name, ProgressBar(total=total, completed=completed), Text(end))
    return line


def sparkline(shares: deque[float]) -> str:
    """Return shares between 0 and 1 as a row of small bars."""
    return "".join(BARS[min(len(BARS) - 1, int(share * len(BARS)))] for share in shares)


def _facts(metrics: Mapping[str, Any], seconds_left: float) -> dict[str, str]:
    """Name and format what is worth a look; a metric that this run has not got shows as a dash."""
    formats: dict[str, tuple[str, Callable[[Any], str]]] = {
        "reward": ("reward/mean", "{:.3f}".format),
        "pass": ("pass_rate", percent),
        "length": ("completions/mean_length", "{:.0f}".format),
        "gap": ("gap/mean", "{:.4f}".format),
        "tokens/s": ("tokens_per_second", "{:.0f}".format),
        "s/step": ("time/step", "{:.1f}".format),
        "cost": ("dollars", cost),
    }
    facts = {name: "–" if metrics.get(key) is None else form(metrics[key]) for name, (key, form) in formats.items()}
    return facts | {"left": duration(seconds_left)}


def _result_table(summary: Mapping[str, Any]) -> Table:
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("")
    table.add_column("pass@1", justify="right")
    table.add_column("95 % interval", justify="right")
    table.add_column("answers", justify="right")
    for name in ("before", "after"):
        result = summary[name]
        table.add_row(name, percent(result["pass@1"]), interval(result), str(result["n"]))
    gain = 100 * (summary["after"]["pass@1"] - summary["before"]["pass@1"])
    table.add_row("gain", f"{gain:+.1f} points", "", "", style="bold")
    return table
