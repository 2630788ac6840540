"""Charts of what a run's reward functions gave and logged: their parts, their verdicts, and numbers of their own."""

from rewards.verdict import OUTCOMES
from rl.report import charts

PARTS = "reward/"  # of a metric: the mean of what one function gave
LOGGED = "rewards/"  # what one logged
NOT_PARTS = ("reward/mean", "reward/std")
COLORS = (charts.BLUE, charts.ORANGE, charts.GREEN, "#8a63d2", "#cf4f7a", "#4aa8b8", "#c3b49a", charts.GREY)
MOST = 24  # numbers that rewards logged; who logs one for each problem would not want them all

Chart = tuple[str, str, str]  # title, explanation and SVG


def reward_curves(metrics: charts.Rows) -> list[Chart]:
    """Draw a chart of all parts if there are several, one of each function's verdicts, one of each logged number."""
    keys = list(dict.fromkeys(key for row in metrics for key in row))
    parts = [key for key in keys if key.startswith(PARTS) and key not in NOT_PARTS]
    logged = [key for key in keys if key.startswith(LOGGED)]
    functions = [key.removesuffix("/correct") for key in logged if key.endswith("/correct")]
    functions = [name for name in functions if all(f"{name}/{outcome}" in logged for outcome in OUTCOMES)]
    verdicts = {f"{name}/{outcome}" for name in functions for outcome in OUTCOMES}
    own = [key for key in logged if key not in verdicts]
    drawn = []
    if len(parts) > 1:
        series = {key: (label(key.removeprefix(PARTS)), COLORS[i % len(COLORS)]) for i, key in enumerate(parts)}
        drawn.append(("Reward parts", "mean of each function", charts.curve(metrics, "Reward parts", series)))
    for name in functions:
        series = {f"{name}/{outcome}": (outcome, COLORS[i]) for i, outcome in enumerate(OUTCOMES)}
        title = f"Verdicts of {short(name.removeprefix(LOGGED))}"
        drawn.append((title, "share of a step", charts.curve(metrics, title, series, share=True)))
    for key in own[:MOST]:
        title = short(key.removeprefix(LOGGED))
        drawn.append((title, logged_note(len(own)), charts.curve(metrics, title, {key: (label(title), charts.BLUE)})))
    return drawn


def logged_note(count: int) -> str:
    """Say where a number comes from."""
    return "logged by a reward" + (f"; {MOST} of {count} are drawn, all are in metrics.jsonl" if count > MOST else "")


def short(name: str) -> str:
    """Return a function's name without the folder of its file, which the name may begin with."""
    path, colon, function = name.rpartition(":")
    return f"{path.rpartition('/')[2]}{colon}{function}"


def label(name: str) -> str:
    """Write a name for a legend, where matplotlib reads `$` as a formula and leaves out what begins with `_`."""
    text = short(name).replace("$", r"\$")
    return f"\u200b{text}" if text.startswith("_") else text
