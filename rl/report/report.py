"""The report of a run: one HTML file that needs nothing else to open, and works on a run that has not ended."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from rl.base import atomic
from rl.base.stored import Kind, read_object
from rl.config.recipe_file import check_tree
from rl.config.yaml_tree import read_tree
from rl.report import charts
from rl.report.reward_curves import reward_curves
from rl.run.evaluations import EvaluationRow, read_evaluation_rows, read_evaluations
from rl.run.folder import RunFolder
from rl.run.ledger import PHASES, ledger_totals
from rl.run.manifest import read_manifest
from rl.run.metrics import read_metrics
from rl.run.summary import cost, interval, never_solved, percent, read_summary, reward_change

# How many problems are shown of each fate, by (solved before, solved after).
FATES = {
    (False, True): ("learned", "wrong before, right after", 4),
    (False, False): ("still wrong", "wrong before and after", 3),
    (True, False): ("lost", "right before, wrong after", 2),
    (True, True): ("kept", "right before and after", 2),
}
STRAY = 0.01  # of a step's completions; words in fewer of them are no habit
UNPAIRED = {True: ("solved", "right before training", 4), False: ("unsolved", "wrong before training", 4)}


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` from what the run folder holds so far, and return its path.

    Text of prompts and completions is escaped, and the page forbids scripts and anything from outside.
    """
    html = page_templates().get_template("report.html.j2").render(_content(folder))
    atomic.write_text(folder.report, html)
    return folder.report


def page_templates(*folders: Path) -> jinja2.Environment:
    """Templates of pages in `folders`, with the style sheet and the filters that all pages share; text is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": percent, "interval": interval, "duration": duration, "cost": cost}
    return environment


def duration(seconds: float) -> str:
    """Return seconds as text for people: `42 s`, `7.9 min`, `3.2 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _content(folder: RunFolder) -> dict[str, Any]:
    recipe = check_tree(read_tree(folder.recipe), str(folder.recipe)).model_dump(mode="json")
    metrics = read_metrics(folder)
    evaluations = read_evaluations(folder)
    manifest = read_manifest(folder)
    made_with = {key: value for key, value in manifest.items() if key != "settings"}  # recipe.yaml holds them
    before = next((item for item in evaluations if item["step"] == 0), None)
    after = next((item for item in reversed(evaluations) if item["step"] > 0), None)
    summary = read_summary(folder)
    step = metrics[-1]["step"] if metrics else 0
    return {
        "recipe": recipe,
        "recipe_text": folder.recipe.read_text(encoding="utf-8"),
        "manifest": manifest,
        "manifest_text": json.dumps(made_with, indent=2, ensure_ascii=False),
        "summary": summary,
        "state": _state(summary),
        "step": step,
        "before": before,
        "after": after,
        "after_name": "after" if summary else f"at step {after['step']}" if after else "",
        "reward_change": reward_change(before, after) if before and after else None,
        "warnings": _warnings(recipe, metrics, evaluations),
        "interval_chart": Markup(_interval_chart(before, after, bool(summary))),
        "curves": _curves(metrics, evaluations) if metrics else [],
        "costs": _costs(folder),
        "benchmarks": _benchmarks(folder),
        "fates": _fates(folder, before, after),
    }


def _warnings(recipe: Mapping[str, Any], metrics: charts.Rows, evaluations: Sequence[Mapping[str, Any]]) -> list[str]:
    rewards = recipe["rewards"]
    accuracy = rewards["accuracy"] or next(iter(rewards["functions"]))
    found = never_solved(rewards["correct_above"], accuracy, metrics, evaluations)
    return [found] if found else []


def _state(summary: Mapping[str, Any] | None) -> tuple[str, str]:
    """Return the CSS class and the text of the badge."""
    if summary is None:
        return "open", "not finished"
    if summary["band_met"] is None:
        return "plain", "finished"
    return ("pass", "band met") if summary["band_met"] else ("fail", "band missed")


def _interval_chart(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, ended: bool) -> str:
    name = "after" if ended else f"step {after['step']}" if after else ""
    results = [(label, result) for label, result in (("before", before), (name, after)) if result]
    return charts.scores(results) if results else ""


def _curves(metrics: charts.Rows, evaluations: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, Markup]]:
    """Return title, explanation and SVG of each chart."""
    entropy = {"entropy": ("entropy", charts.BLUE)}
    kl = {"kl": ("KL to the base model", charts.ORANGE)} if any("kl" in row for row in metrics) else {}
    if any("reverse_kl" in row for row in metrics):
        kl |= {"reverse_kl": ("reverse KL to the teacher", charts.GREEN)}
    aha = {
        "aha/reflection": ("doubt themselves", charts.BLUE),
        "aha/verification": ("check themselves", charts.ORANGE),
    }
    no_signal = {
        "groups/no_signal": ("groups without signal", charts.BLUE),
        "completions/truncated": ("cut off completions", charts.ORANGE),
        "ungradable": ("ungradable", charts.GREY),
    }
    drawn = [
        ("Reward", "mean of a step, ± one standard deviation", charts.reward(metrics)),
        ("Pass rate", "share solved; held-out with 95 % intervals",
         charts.pass_rate(metrics, evaluations)),
        ("Completion length", "tokens", charts.length(metrics)),
        ("Entropy", "of the policy, nats per token", charts.curve(metrics, "Entropy", entropy | kl)),
        ("Gap", "|log p of the learner − log p of the engine|, per token", charts.gap(metrics)),
        ("Gradient norm", "before clipping",
         charts.curve(metrics, "Gradient norm", {"grad_norm": ("gradient norm", charts.BLUE)})),
        ("Lost signal", "groups whose rewards are all equal teach nothing",
         charts.curve(metrics, "Lost signal", no_signal, share=True)),
        ("Time", "seconds a step, by phase", charts.phase_times(metrics)),
    ]  # fmt: skip
    if any(row.get(kind, 0.0) > STRAY for row in metrics for kind in aha):
        note = "completions with words of doubt and of checking"
        drawn.append(("Aha", note, charts.curve(metrics, "Aha", aha, share=True)))
    drawn[2:2] = reward_curves(metrics)
    return [(title, note, Markup(svg)) for title, note, svg in drawn]


def _costs(folder: RunFolder) -> dict[str, Any]:
    """Return the ledger's totals and a table row per phase that took time, most expensive first."""
    totals = ledger_totals(folder)
    rows = [
        {
            "name": name,
            "seconds": totals["seconds"][name],
            "share": totals["seconds"][name] / totals["total_seconds"] if totals["total_seconds"] else 0.0,
            "dollars": totals["dollars_by_phase"][name],
            "color": charts.PHASE_COLORS[name],
        }
        for name in PHASES
        if totals["seconds"][name] > 0
    ]
    return {**totals, "rows": sorted(rows, key=lambda row: -row["seconds"])}


def _benchmarks(folder: RunFolder) -> list[dict[str, Any]]:
    """Return a row for each result of `penny eval` on the run, with the address of its page; oldest first."""
    cure = "bring it back from a copy, or move its folder away"
    needs: Mapping[str, Kind] = {"created": str, "subject": dict, "results": list}
    found = [(path, read_object(path, cure, needs)) for path in folder.evals.glob("*/results.json")]
    found.sort(key=lambda item: (item[1]["created"], str(item[0])))
    return [
        {
            **result,
            "checkpoint": Path(stored["subject"]["checkpoint"]).parent.name,
            "page": f"{path.parent.relative_to(folder.path).as_posix()}/report.html",
        }
        for path, stored in found
        for result in stored["results"]
    ]


def _fates(
    folder: RunFolder, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Group the held-out problems by what became of them, with a few examples of each; first samples only."""
    if before is None:
        return []
    earlier = _first_samples(folder, before["step"])
    later = _first_samples(folder, after["step"]) if after else {}
    if not later:
        return [
            _fate(name, note, [(row, None) for row in earlier.values() if row.solved is solved], shown)
            for solved, (name, note, shown) in UNPAIRED.items()
        ]
    pairs = [(earlier[key], later[key]) for key in earlier if key in later]
    fates = [
        _fate(name, note, [(old, new) for old, new in pairs if (old.solved, new.solved) == fate], shown)
        for fate, (name, note, shown) in FATES.items()
    ]
    ungradable = [(old, new) for old, new in pairs if None in (old.solved, new.solved)]
    return [*fates, _fate("ungradable", "no verdict, before or after", ungradable, 2)] if ungradable else fates


def _fate(
    name: str, note: str, examples: Sequence[tuple[EvaluationRow, EvaluationRow | None]], shown: int
) -> dict[str, Any]:
    return {"name": name, "note": note, "count": len(examples), "examples": examples[:shown]}


def _first_samples(folder: RunFolder, step: int) -> dict[str, EvaluationRow]:
    try:
        rows = read_evaluation_rows(folder, step)
    except FileNotFoundError:  # lost: the score is known from the summary, and the page has no examples
        return {}
    return {row.problem_id: row for row in rows if row.sample == 0}
