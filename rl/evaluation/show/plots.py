"""The charts of an evaluation's page: SVG in the style of the run's report.

Colors are told apart by people who see fewer of them, and never stand alone: there is always an order, a marker, a
dash or a position beside them.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from rl.evaluation.show.findings import Result, aligned, rate, row_name, verdict
from rl.report import charts
from rl.run.evaluations import EvaluationRow

Evaluations = Sequence[tuple[str, Sequence[Result]]]

# Of evaluations, in their order. Blue, orange and dark differ for every kind of color vision; the rest by markers too.
COLORS = (charts.BLUE, charts.ORANGE, "#3b4256", charts.GREEN, "#8a63d2", "#4aa8b8")
MARKERS = "osD^vP"
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)), (0, (3, 1)), (0, (8, 3)))
VERDICTS = {"correct": charts.BLUE, "wrong": charts.ORANGE, "unparseable": "#c3c9d6", "ungradable": "#3b4256"}
LONGEST_NAME = 26  # of a benchmark in a chart, in characters


def color(place: int) -> str:
    """The color of the evaluation at `place`."""
    return COLORS[place % len(COLORS)]


def bars(evaluations: Evaluations) -> str:
    """pass@1 with its 95 % interval as a bar, a group of bars for each benchmark and template, in rows.

    `evaluations` are names with their `results`. Returns an SVG element.
    """
    rows = aligned([results for _, results in evaluations])
    thick = 0.78 / len(evaluations)

    def paint(axes: Axes) -> None:
        for place, (name, _) in enumerate(evaluations):
            for row, results in enumerate(rows):
                result = results[place]
                if result is not None and result["n"]:
                    middle = row + (place - (len(evaluations) - 1) / 2) * thick
                    _bar(axes, middle, thick, result, color(place), name if row == _first(rows, place) else None)
        axes.set_yticks(range(len(rows)), [_short(row_name(row, rows)) for row in rows])
        axes.tick_params(axis="y", labelcolor=charts.INK)
        axes.set_ylim(len(rows) - 0.45, -0.55)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_xlim(0, _right_end(result for row in rows for result in row if result))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        if len(evaluations) > 1:
            charts.legend(axes)

    height = 0.75 + max(0.34 * len(rows) * len(evaluations), 0.62) + 0.12 * len(rows)
    return _draw("pass@1 by benchmark, with 95 % intervals", paint, width=5.9, height=height)


def _bar(axes: Axes, middle: float, thick: float, result: Result, shade: str, name: str | None) -> None:
    low, high = result["ci95"]
    axes.barh(middle, result["pass@1"], height=0.86 * thick, color=shade, alpha=0.9, label=name)
    axes.plot([low, high], [middle, middle], color=charts.INK, linewidth=1.4, solid_capstyle="butt")
    for end in (low, high):
        axes.plot([end, end], [middle - 0.18 * thick, middle + 0.18 * thick], color=charts.INK, linewidth=1.4)
    axes.annotate(
        rate(result), (high, middle), (6, 0), textcoords="offset points", va="center", color=charts.MUTED, fontsize=9.5
    )


def _first(rows: Sequence[Sequence[Result | None]], place: int) -> int:
    """The row that names an evaluation in the legend: the first in which it has a bar."""
    return next((number for number, row in enumerate(rows) if (row[place] or {}).get("n")), 0)


def _right_end(results: Iterable[Result]) -> float:
    """Where the axis of rates ends: beyond the highest interval, with room for the number behind it."""
    highest = max((result["ci95"][1] for result in results if result["n"]), default=1.0)
    return min(1.0, highest) * 1.14 if highest > 0.1 else 0.114


def radar(evaluations: Evaluations) -> str:
    """pass@1 on one axis for each benchmark, a polygon for each evaluation, from 0 in the middle.

    Only the best template of each benchmark counts, and only benchmarks that all evaluations have. Returns an SVG
    element; empty with fewer than three such benchmarks, where a polygon shows nothing.
    """
    best = [{r["benchmark"]: r for r in results if r["best"] and r["n"]} for _, results in evaluations]
    names = [name for name in (best[0] if best else {}) if all(name in found for found in best)]
    if len(names) < 3:
        return ""
    angles = [math.pi / 2 - 2 * math.pi * place / len(names) for place in range(len(names))]
    longest = max(found[name]["pass@1"] for found in best for name in names)
    end = next(step for step in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if longest <= step + 1e-9)

    def paint(axes: Axes) -> None:
        _web(axes, angles, [_short(name) for name in names], end)
        for place, (name, _) in enumerate(evaluations):
            radii = [best[place][benchmark]["pass@1"] / end for benchmark in names]
            x = [radius * math.cos(angle) for radius, angle in zip(radii, angles, strict=True)]
            y = [radius * math.sin(angle) for radius, angle in zip(radii, angles, strict=True)]
            axes.fill(x, y, color=color(place), alpha=0.1, linewidth=0)
            axes.plot(
                [*x, x[0]], [*y, y[0]], color=color(place), linewidth=1.8, marker=MARKERS[place % len(MARKERS)],
                markersize=4.5, linestyle=DASHES[place % len(DASHES)], label=name,
            )  # fmt: skip
        if len(evaluations) > 1:
            charts.legend(axes)

    return _draw("pass@1 by benchmark, as a radar", paint, height=4.1)


def _web(axes: Axes, angles: Sequence[float], names: Sequence[str], end: float) -> None:
    """The rings, spokes and names of a radar whose outer ring is at the share `end`."""
    turn = [2 * math.pi * step / 120 for step in range(121)]
    beside = math.pi / 2 - math.pi / len(names)  # the numbers stand between two spokes
    for ring in (0.25, 0.5, 0.75, 1.0):
        axes.plot(
            [ring * math.cos(t) for t in turn], [ring * math.sin(t) for t in turn], color="#dfe2e9", linewidth=0.8
        )
        x, y = ring * math.cos(beside), ring * math.sin(beside)
        axes.text(x, y, f"{100 * ring * end:g} %", color=charts.MUTED, fontsize=8.5, ha="center", va="center")
    for angle, name in zip(angles, names, strict=True):
        x, y = math.cos(angle), math.sin(angle)
        axes.plot([0, x], [0, y], color="#dfe2e9", linewidth=0.8)
        side = "center" if abs(x) < 0.1 else "left" if x > 0 else "right"
        axes.text(1.07 * x, 1.1 * y, name, ha=side, va="center", color=charts.INK)
    axes.set_aspect("equal")
    axes.set_axis_off()
    axes.set_xlim(-1.7, 1.7)
    axes.set_ylim(-1.12, 1.2)


def pass_at_k_curve(evaluations: Evaluations) -> str:
    """pass@k, and maj@k dashed where answers can vote, over k for one benchmark: each name has one result here.

    Returns an SVG element; empty if no result has several samples.
    """
    curves = [(place, name, results[0]) for place, (name, results) in enumerate(evaluations) if results]
    curves = [(place, name, result) for place, name, result in curves if len(result["pass@k"] or {}) > 1]
    if not curves:
        return ""

    def paint(axes: Axes) -> None:
        for place, name, result in curves:
            prefix = f"{name}, " if len(curves) > 1 else ""
            for key, dash in (("pass@k", "-"), ("maj@k", (0, (4, 2)))):
                by_k = {int(k): share for k, share in (result[key] or {}).items()}
                if by_k:
                    ks = sorted(by_k)
                    axes.plot(
                        ks, [by_k[k] for k in ks], color=color(place), linestyle=dash, linewidth=1.8, markersize=4,
                        marker=MARKERS[place % len(MARKERS)], label=prefix + key,
                    )  # fmt: skip
        axes.set_xscale("log", base=2)
        ticks = sorted({int(k) for _, _, result in curves for k in result["pass@k"]})
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.minorticks_off()
        axes.set_xlabel("k")
        charts.percent_axis(axes)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2)

    return _draw(f"pass@k and maj@k over k on {curves[0][2]['benchmark']}", paint)


def length_histogram(rows: Sequence[EvaluationRow]) -> str:
    """How long the answers are, stacked by verdict; in tokens, or in characters where tokens are not known.

    Returns an SVG element; empty without answers.
    """
    if not rows:
        return ""
    known = all(row.num_tokens is not None for row in rows)
    lengths = [row.num_tokens or 0 if known else len(row.completion) for row in rows]
    bounds = _bins(max(lengths))
    found = {name: [n for n, row in zip(lengths, rows, strict=True) if verdict(row) == name] for name in VERDICTS}
    shown = {name: numbers for name, numbers in found.items() if numbers}

    def paint(axes: Axes) -> None:
        axes.hist(
            list(shown.values()), bins=bounds, stacked=True, color=[VERDICTS[name] for name in shown],
            label=list(shown), rwidth=0.9,
        )  # fmt: skip
        axes.set_xlabel("tokens" if known else "characters")
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlim(0, bounds[-1])
        charts.legend(axes)

    return _draw("Length of the answers by verdict", paint)


def _bins(longest: int) -> list[float]:
    """Bounds of some 30 bins of equal, whole and round width, from 0 to beyond the longest."""
    rough = max(1.0, (longest + 1) / 30)
    power = 10 ** math.floor(math.log10(rough))
    width = next(step * power for step in (1, 2, 2.5, 5, 10) if step * power >= rough - 1e-9)
    width = max(1.0, math.ceil(width))
    return [width * number for number in range(math.floor(longest / width) + 2)]


def _short(name: str) -> str:
    """A name with its middle left out where it is long: the end of a path says the most."""
    return name if len(name) <= LONGEST_NAME else f"{name[:8]}…{name[-(LONGEST_NAME - 9) :]}"


def _draw(label: str, paint: Callable[[Axes], None], **size: float) -> str:
    """As `charts.draw`, for names that people chose: a dollar sign is no formula, a quote ends no attribute."""
    with matplotlib.rc_context({"text.parse_math": False}):
        return charts.draw(str(escape(label)), paint, **size)
