"""What a person sees while a run goes on: a live panel on a terminal, plain lines anywhere else."""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from rl.run.summary import interval, percent

BARS = "▁▂▃▄▅▆▇█"
RECENT = 10  # steps that the time left is judged by


class Display:
    """Shows the progress of one run; a context manager, as a live panel must be taken down again.

    With `json`, standard output stays empty for the result and lines go to standard error.
    """

    def __init__(self, title: str, total_steps: int, json: bool = False, console: Console | None = None) -> None:
        self._title = title
        self._total = total_steps
        self._console = console or Console(stderr=json)
        self._live = Live(console=self._console) if self._console.is_terminal and not json else None
        self._seconds: deque[float] = deque(maxlen=RECENT)
        self._pass_rates: deque[float] = deque(maxlen=40)

    def __enter__(self) -> "Display":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def message(self, text: str) -> None:
        """Print one line above the panel."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def step(self, metrics: Mapping[str, Any]) -> None:
        """Show the line that a step adds to the metrics."""
        self._seconds.append(metrics.get("time/step") or 0.0)
        self._pass_rates.append(metrics.get("pass_rate") or 0.0)
        facts = _facts(metrics, self._time_left(metrics["step"]))
        if self._live:
            self._live.update(self._panel(metrics["step"], facts), refresh=True)
        else:
            self.message(f"step {metrics['step']}/{self._total}  " + "  ".join(f"{k} {v}" for k, v in facts.items()))

    def summary(self, summary: Mapping[str, Any], report: Path) -> None:
        """Print the result: before and after with intervals, the band, what it cost, and where the report lies."""
        if self._live:
            self._live.stop()
        self._console.print(_result_table(summary))
        if summary["band_met"] is not None:
            style = "bold green" if summary["band_met"] else "bold red"
            self._console.print(Text(summary["band_reason"], style=style), soft_wrap=True)
        self.message(f"{summary['minutes']:.1f} minutes, ${summary['dollars']:.2f}, {summary['tokens']:,} tokens")
        self.message(f"report: {report}")

    def _time_left(self, step: int) -> float:
        return (self._total - step) * sum(self._seconds) / len(self._seconds)

    def _panel(self, step: int, facts: Mapping[str, str]) -> RenderableType:
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(no_wrap=True)
        head.add_column(ratio=1)
        head.add_column(no_wrap=True)
        head.add_row(
            Text(f"step {step}/{self._total}", style="bold"),
            ProgressBar(total=self._total, completed=step),
            Text(f"{facts['left']} left"),
        )
        grid = Table.grid(padding=(0, 3))
        names = [name for name in facts if name != "left"]
        half = (len(names) + 1) // 2
        for row in (names[:half], names[half:]):
            cells = [Text.assemble((f"{name} ", "dim"), (facts[name], "bold")) for name in row]
            grid.add_row(*cells)
        trend = Text.assemble(("pass rate ", "dim"), (sparkline(self._pass_rates), "cyan"))
        return Panel(
            Group(head, Text(), grid, Text(), trend), title=Text(self._title, style="bold"), title_align="left"
        )


def sparkline(shares: deque[float]) -> str:
    """Return shares between 0 and 1 as a row of small bars."""
    return "".join(BARS[min(len(BARS) - 1, int(share * len(BARS)))] for share in shares)


def _facts(metrics: Mapping[str, Any], seconds_left: float) -> dict[str, str]:
    """Name and format what is worth a look; a metric that this run has not got shows as a dash."""
    formats = {
        "reward": ("reward/mean", "{:.3f}"),
        "pass": ("pass_rate", "{:.1%}"),
        "length": ("completions/mean_length", "{:.0f}"),
        "gap": ("gap/mean", "{:.4f}"),
        "tokens/s": ("tokens_per_second", "{:.0f}"),
        "s/step": ("time/step", "{:.1f}"),
        "cost": ("dollars", "${:.2f}"),
    }
    facts = {
        name: "–" if metrics.get(key) is None else form.format(metrics[key]) for name, (key, form) in formats.items()
    }
    return facts | {"left": _duration(seconds_left)}


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


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
