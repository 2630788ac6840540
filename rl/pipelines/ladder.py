"""What a pipeline came to: every rung's score with its interval, what it took, and whether the promise was kept."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rl.base import atomic
from rl.pipelines.books import PipelineFolder, StageResult
from rl.pipelines.schema import BASE, HELD_OUT, PipelineBand
from rl.report.report import duration
from rl.run.summary import ROUNDING, cost, percent, slower_than_expected

FREE = {"seconds": 0.0, "dollars": 0.0, "tokens": 0}
HEADS = ("stage", "kind", "pass@1 (95 % interval)", "time", "price", "tokens", "what")


def write_ladder(books: PipelineFolder) -> dict[str, Any]:
    """Write `ladder.json` and `ladder.md` from what is done so far, and return what the former holds."""
    found = ladder(books)
    atomic.write_json(books.ladder, found)
    atomic.write_text(books.ladder.with_suffix(".md"), markdown(found))
    return found


def ladder(books: PipelineFolder) -> dict[str, Any]:
    """Every stage that is done, with the score of the model that it made."""
    results = {name: books.result(name) for name in books.pipeline.stages}
    done = {name: result for name, result in results.items() if result is not None}
    scores = measured(done.values())
    rungs = [{"stage": BASE, "kind": "", "scores": scores.get(BASE, []), "what": ""} | FREE]
    rungs += [
        {
            "stage": name,
            "kind": result.kind,
            "scores": scores.get(name, []),
            "seconds": result.seconds,
            "dollars": result.dollars,
            "tokens": result.tokens,
            "what": what(result),
        }
        for name, result in done.items()
    ]
    met = band_met(books)
    return {
        "pipeline": books.pipeline.name,
        "complete": len(done) == len(results),
        "rungs": rungs,
        "seconds": sum(result.seconds for result in done.values()),
        "dollars": sum(result.dollars for result in done.values()),
        "tokens": sum(result.tokens for result in done.values()),
        "band_met": None if met is None else met[0],
        "band_reason": None if met is None else met[1],
        "slower": slower(books, done.values()),
    }


def measured(results: Iterable[StageResult]) -> dict[str, list[dict[str, Any]]]:
    """The scores of every model that some `evaluate` stage has measured, by the stage that made it; the last ones."""
    return {model: found for result in results for model, found in result.figures.get("scores", {}).items()}


def what(result: StageResult) -> str:
    """What a stage did, in a few words."""
    figures = result.figures
    if result.kind in ("distill", "reject"):
        return (
            f"kept {figures['kept']} of {figures['answers']} answers ({figures['solved']} solved), "
            f"{100 * figures['dollars_per_trace']:.2g} cents each"
        )
    if result.kind == "sft":
        return f"{figures['examples']} examples, {figures['steps']} steps, last loss {figures['loss']:.3g}"
    if result.kind == "grpo":
        return f"{percent(figures['before']['pass@1'])} to {percent(figures['after']['pass@1'])} by its own measure"
    if result.kind == "evaluate":
        return f"{len(figures['scores'])} models"
    return ", ".join(figures.get("files", []))


def band_met(books: PipelineFolder) -> tuple[bool, str] | None:
    """Whether all that the pipeline promises was kept, and why; None without a promise, or before it can be told."""
    results = [result for name in books.pipeline.stages if (result := books.result(name)) is not None]
    if not books.pipeline.bands or len(results) < len(books.pipeline.stages):
        return None
    verdicts = [kept(band, results) for band in books.pipeline.bands]
    met = all(found for found, _ in verdicts)
    return met, f"Band {'met' if met else 'missed'}: {'; '.join(said for _, said in verdicts)}."


def kept(band: PipelineBand, results: Sequence[StageResult]) -> tuple[bool, str]:
    """Whether one promise was kept, in words."""
    scores = measured(results)
    if not {band.stage, band.over} <= scores.keys():
        return False, f"nothing was measured of {band.stage} or {band.over}"
    after, before = (scores[name][0]["pass@1"] for name in (band.stage, band.over))
    said = (
        f"{band.stage} has {percent(after)} where {band.over} has {percent(before)}, {100 * (after - before):+.1f} "
        f"points of at least {100 * band.min_gain:.1f} promised"
    )
    return after - before >= band.min_gain - ROUNDING, said


def slower(books: PipelineFolder, results: Collection[StageResult]) -> str | None:
    """Return a note on a finished pipeline that took longer than its bands expect; None if it did not."""
    expected = [band.max_minutes for band in books.pipeline.bands if band.max_minutes is not None]
    if not expected or len(results) < len(books.pipeline.stages):
        return None
    return slower_than_expected(sum(result.seconds for result in results) / 60, min(expected))


def table(found: Mapping[str, Any]) -> list[Sequence[str]]:
    """The cells of a ladder, row by row, without the heads."""
    rows: list[Sequence[str]] = []
    for rung in found["rungs"]:
        scores = "; ".join(
            ("" if score["benchmark"] == HELD_OUT else f"{score['benchmark']} ")
            + f"{percent(score['pass@1'])} ({percent(score['ci95'][0])} to {percent(score['ci95'][1])}, "
            f"{score['n']} problems)"
            for score in rung["scores"]
        )
        cost = ("", "", "") if rung["stage"] == BASE else costs(rung)
        rows.append((rung["stage"], rung["kind"], scores, *cost, rung["what"]))
    rows.append(("all", "", "", *costs(found), ""))
    return rows


def costs(spent: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return time, price and tokens as cells."""
    return duration(spent["seconds"]), cost(spent["dollars"]), f"{spent['tokens']:,}"


def markdown(found: Mapping[str, Any]) -> str:
    """The ladder as a table."""
    lines = [f"# {found['pipeline']}", "", "| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    lines += ["| " + " | ".join(row) + " |" for row in table(found)]
    notes = [note for note in (found["band_reason"], found["slower"]) if note]
    return "\n\n".join(["\n".join(lines), *notes]) + "\n"
