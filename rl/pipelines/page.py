"""The page of a pipeline: one HTML file with every rung's score, what each stage took, and its own report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from rl.base import atomic
from rl.pipelines.books import PipelineFolder
from rl.pipelines.ladder import ladder
from rl.pipelines.schema import HELD_OUT, EvaluateStage
from rl.report import charts
from rl.report.report import page_templates


def write_page(books: PipelineFolder) -> Path:
    """Write `report.html` from what is done so far, and return its path."""
    found = ladder(books)
    html = (
        page_templates(Path(__file__).parent)
        .get_template("page.html.j2")
        .render(
            name=books.pipeline.name,
            description=books.pipeline.description,
            base=books.pipeline.base.name,
            state=state(found),
            stages=[stage_row(books, name, found["rungs"]) for name in books.pipeline.stages],
            done=len(found["rungs"]) - 1,
            seconds=found["seconds"],
            dollars=found["dollars"],
            tokens=found["tokens"],
            band=found["band_reason"],
            slower=found["slower"],
            charts=score_charts(found["rungs"]),
            compared=comparisons(books),
            text=(books.path / "pipeline.yaml").read_text(encoding="utf-8"),
        )
    )
    path = books.path / "report.html"
    atomic.write_text(path, html)
    return path


def state(found: Mapping[str, Any]) -> tuple[str, str]:
    """The CSS class and the text of the badge."""
    if not found["complete"]:
        return "open", "not finished"
    if found["band_met"] is None:
        return "plain", "finished"
    return ("pass", "band met") if found["band_met"] else ("fail", "band missed")


def stage_row(books: PipelineFolder, name: str, rungs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A stage's line: what it came to, or that it is still to be done."""
    rung = next((rung for rung in rungs if rung["stage"] == name), None)
    page = books.stage(name) / "report.html"
    link = page.relative_to(books.path).as_posix() if page.is_file() else None
    if rung is None:
        kind = books.pipeline.stages[name].kind
        return {"stage": name, "kind": kind, "what": "", "done": False, "page": link}
    return {**rung, "done": True, "page": link}


def score_charts(rungs: Sequence[Mapping[str, Any]]) -> list[tuple[str, Markup]]:
    """A chart for each benchmark: the models in order, the base first."""
    names = dict.fromkeys(score["benchmark"] for rung in rungs for score in rung["scores"])
    drawn = []
    for name in names:
        results = [(r["stage"], score) for r in rungs for score in r["scores"] if score["benchmark"] == name]
        drawn.append((f"{name}, {results[0][1]['n']} problems", Markup(charts.scores(results, f"pass@1 on {name}"))))
    return drawn


def comparisons(books: PipelineFolder) -> list[dict[str, Any]]:
    """Every comparison of a model with the one before it, by all `evaluate` stages."""
    rows: list[dict[str, Any]] = []
    for name, stage in books.pipeline.stages.items():
        result = books.result(name)
        if not isinstance(stage, EvaluateStage) or result is None:
            continue
        for model, found in result.figures["over_the_one_before"].items():
            own = {} if stage.benchmarks else {"benchmark": HELD_OUT}
            rows += [{**item, **own, "model": model} for item in found]
    return rows
