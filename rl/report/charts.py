"""The charts of the report, drawn by matplotlib as SVG that can stand inside an HTML page."""

import html
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

Rows = Sequence[Mapping[str, Any]]

INK, MUTED, GRID = "#1d2433", "#667085", "#e7e9ee"
BLUE, ORANGE, GREEN, GREY = "#2f5fd0", "#d97a1e", "#1d8a63", "#98a1b3"
PHASE_COLORS = {
    "start": "#c3b49a",
    "generate": BLUE,
    "grade": "#e3a33b",
    "learn": GREEN,
    "sync": "#8a63d2",
    "evaluate": "#cf4f7a",
    "save": "#4aa8b8",
    "idle": "#cfd4de",
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "penny",  # the same run gives the same bytes
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": "#c5cad6",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 10,
    "legend.handlelength": 1.3,
    "legend.handletextpad": 0.5,
    "legend.columnspacing": 1.2,
}


def draw(label: str, paint: Callable[[Axes], None], width: float = 5.6, height: float = 2.75) -> str:
    """Return an SVG element of `width` x `height` inches, with `label` for screen readers."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        paint(axes)
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))  # they hold links and the time of day
        figure.savefig(buffer, format="svg", metadata=metadata)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    head, body = svg.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    assert box, "matplotlib writes a viewBox"
    return f'<svg role="img" aria-label="{html.escape(label)}" {box.group()}>{body}'


def values(rows: Rows, key: str) -> tuple[list[int], list[float]]:
    """Return steps and values of a key; where it is null the line has a hole, where it is absent it is left out."""
    present = [row for row in rows if key in row]
    return [row["step"] for row in present], [math.nan if row[key] is None else row[key] for row in present]


def lines(axes: Axes, rows: Rows, series: Mapping[str, tuple[str, str]]) -> None:
    """Draw keys of the metrics over the step: `series` maps a key to its label and color.

    A line of more than 40 steps is shown faintly, with its moving average on top.
    """
    for key, (label, color) in series.items():
        steps, numbers = values(rows, key)
        if not steps:
            continue
        long = len(steps) > 40
        marker = "o" if len(steps) < 12 else None
        axes.plot(
            steps, numbers, color=color, linewidth=1 if long else 1.8, alpha=0.35 if long else 1, marker=marker,
            markersize=3.5, label=None if long else label,
        )  # fmt: skip
        if long:
            axes.plot(steps, _smooth(numbers), color=color, linewidth=2, label=label)
    step_axis(axes)
    if len(axes.get_lines()) and len(series) > 1:
        legend(axes)


def legend(axes: Axes) -> None:
    """Put the legend above the plot, where it hides no data."""
    count = len(axes.get_legend_handles_labels()[0])
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=count, borderaxespad=0.2)


def step_axis(axes: Axes) -> None:
    """Make the x axis that of the steps."""
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel("step")
    axes.margins(x=0.02)


def percent_axis(axes: Axes) -> None:
    """Make the y axis one of shares from 0 up, in percent."""
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.set_ylim(bottom=0, top=min(1.02, max(0.1, axes.get_ylim()[1])))


def reward(rows: Rows) -> str:
    """Mean reward, in a band of one standard deviation over the step's completions."""

    def paint(axes: Axes) -> None:
        lines(axes, rows, {"reward/mean": ("mean", BLUE)})
        steps, means = values(rows, "reward/mean")
        _, spread = values(rows, "reward/std")
        if len(steps) == len(spread):
            low = [mean - deviation for mean, deviation in zip(means, spread, strict=True)]
            high = [mean + deviation for mean, deviation in zip(means, spread, strict=True)]
            axes.fill_between(steps, low, high, color=BLUE, alpha=0.12, linewidth=0)

    return draw("Mean reward by step", paint)


def pass_rate(rows: Rows, evaluations: Rows) -> str:
    """Pass rate of the rollouts, and pass@1 on held-out problems with its intervals."""

    def paint(axes: Axes) -> None:
        lines(axes, rows, {"pass_rate": ("training rollouts", BLUE)})
        if evaluations:
            rates = [item["pass@1"] for item in evaluations]
            errors = [
                [rate - item["ci95"][0] for rate, item in zip(rates, evaluations, strict=True)],
                [item["ci95"][1] - rate for rate, item in zip(rates, evaluations, strict=True)],
            ]
            axes.errorbar(
                [item["step"] for item in evaluations], rates, yerr=errors, color=ORANGE, fmt="o", markersize=5,
                elinewidth=1.4, capsize=3, label="held-out problems",
            )  # fmt: skip
        legend(axes)
        percent_axis(axes)

    return draw("Pass rate by step", paint)


def length(rows: Rows) -> str:
    """Mean and longest completion, in tokens."""

    def paint(axes: Axes) -> None:
        series = {"completions/mean_length": ("mean", BLUE), "completions/max_length": ("longest", GREY)}
        lines(axes, rows, series)
        axes.set_ylim(bottom=0)

    return draw("Completion length in tokens by step", paint)


def curve(rows: Rows, label: str, series: Mapping[str, tuple[str, str]], share: bool = False) -> str:
    """Any keys of the metrics over the step, from 0 up."""

    def paint(axes: Axes) -> None:
        lines(axes, rows, series)
        if share:
            percent_axis(axes)
        else:
            axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))

    return draw(f"{label} by step", paint)


def gap(rows: Rows) -> str:
    """Mean and largest |log p_learner - log p_engine|, on a logarithmic axis, with the limit that stops the run."""

    def paint(axes: Axes) -> None:
        lines(axes, rows, {"gap/mean": ("mean", BLUE), "gap/max": ("largest", GREY)})
        _, means = values(rows, "gap/mean")
        if any(number > 0 for number in means):
            axes.set_yscale("log")
            axes.minorticks_off()
        steps, limits = values(rows, "gap/limit")
        if limits:
            dashed: dict[str, Any] = {"color": "#c43d3d", "linewidth": 1, "linestyle": (0, (4, 3))}
            axes.step(steps, limits, where="mid", label="limit of the mean", **dashed)
            legend(axes)

    return draw("Gap between engine and learner by step", paint)


def phase_times(rows: Rows) -> str:
    """Seconds of each step, stacked by phase."""

    def paint(axes: Axes) -> None:
        steps = [row["step"] for row in rows]
        base = [0.0] * len(rows)
        for name, color in PHASE_COLORS.items():
            seconds = [row.get(f"time/{name}") or 0.0 for row in rows]
            if sum(seconds) > 0.005 * sum(row.get("time/step") or 0.0 for row in rows):
                axes.bar(
                    steps, seconds, bottom=base, width=1.0, color=color, edgecolor=color, linewidth=0.4, label=name
                )
                base = [low + more for low, more in zip(base, seconds, strict=True)]
        step_axis(axes)
        if axes.containers:
            axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2, handlelength=0.8)

    return draw("Seconds by step and phase", paint)


def scores(results: Sequence[tuple[str, Mapping[str, Any]]], label: str = "pass@1 before and after") -> str:
    """One bar a result, from 0 to pass@1, with its 95 % interval and number; the first is what the rest compare to."""

    def paint(axes: Axes) -> None:
        for place, (_, result) in enumerate(results):
            rate, (low, high) = result["pass@1"], result["ci95"]
            axes.barh(place, rate, height=0.52, color=GREEN if place else GREY, alpha=0.9)
            axes.plot([low, high], [place, place], color=INK, linewidth=1.6, solid_capstyle="butt")
            for end in (low, high):
                axes.plot([end, end], [place - 0.11, place + 0.11], color=INK, linewidth=1.6)
            axes.text(high + 0.015, place, f"{100 * low:.1f} – {100 * high:.1f} %", va="center", color=MUTED)
        axes.set_yticks(range(len(results)), [name for name, _ in results])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))

    return draw(f"{label}, with 95 % intervals", paint, width=5.9, height=0.75 + 0.62 * len(results))


def _smooth(numbers: Sequence[float]) -> list[float]:
    """Return a moving average over a twentieth of the run, shorter at the start; holes stay holes."""
    window = max(3, len(numbers) // 20)
    means = []
    for end in range(1, len(numbers) + 1):
        recent = [number for number in numbers[max(0, end - window) : end] if not math.isnan(number)]
        means.append(sum(recent) / len(recent) if recent else math.nan)
    return means
