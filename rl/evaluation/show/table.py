"""The results of evaluations as tables, for a terminal and in Markdown: one evaluation, or several side by side."""

from collections.abc import Sequence

from rl.base.columns import Column, sentence_text, table_text
from rl.evaluation.show.findings import (
    UNKNOWN,
    Result,
    Results,
    aligned,
    best_templates,
    costs,
    difference,
    rate,
    spread,
    templates_of,
    unlike,
    warnings,
)
from rl.evaluation.show.unknowns import coverage, over_all
from rl.run.summary import interval, percent

SHOWN_K = {10, 100}  # of pass@k, beside the largest k that there is


def results_text(results: Results, width: int | None = None) -> str:
    """One evaluation for a terminal; what it cost, the best templates and warnings stand below."""
    return _text(results_columns(results), notes(results), warnings(results), width)


def results_markdown(results: Results) -> str:
    """The same as GitHub's Markdown."""
    return _markdown(results_columns(results), notes(results), warnings(results))


def side_by_side(evaluations: Sequence[tuple[str, Results]], width: int | None = None) -> str:
    """Several evaluations under their names for a terminal: pass@1 with its interval, a row for each benchmark."""
    return _text(_side_columns(evaluations), [], _side_warnings(evaluations), width)


def side_by_side_markdown(evaluations: Sequence[tuple[str, Results]]) -> str:
    """The same as GitHub's Markdown."""
    return _markdown(_side_columns(evaluations), [], _side_warnings(evaluations))


def notes(results: Results) -> list[str]:
    """What an evaluation cost, as far as it is known, and which template was best where several were tried."""
    cost = costs(results)
    return [*([f"cost: {', '.join(cost)}"] if cost else []), *best_templates(results["results"])]


def results_columns(results: Results) -> list[Column]:
    """The columns of the table of one evaluation; some are there only if they say something."""
    measured = results["results"]
    columns = [Column("benchmark", [result["benchmark"] for result in measured], left=True)]
    if len({result["template"] for result in measured}) > 1:
        columns.append(Column("template", [result["template"] for result in measured], left=True))
    columns.append(Column("pass@1", [rate(result) for result in measured]))
    columns.append(Column("95 % interval", [spread(result) for result in measured]))
    columns += _by_extraction(measured)
    if any(result.get("missing") for result in measured):
        columns.append(Column("missing as not solved", [over_all(result) or UNKNOWN for result in measured]))
    columns += [*_of_k("pass", measured, SHOWN_K), *_of_k("maj", measured, set())]
    columns.append(Column("problems", [coverage(result) for result in measured]))
    if any(result["mean_length"] is not None for result in measured):
        columns.append(Column("mean length", [_tokens(result["mean_length"]) for result in measured]))
    for name, key in (("cut off", "truncated"), ("no answer", "unparseable"), ("ungradable", "ungradable")):
        if any(result[key] is not None for result in measured):
            columns.append(
                Column(name, [UNKNOWN if result[key] is None else percent(result[key]) for result in measured])
            )
    return columns


def _tokens(length: float | None) -> str:
    return UNKNOWN if length is None else f"{length:,.0f}"


def _by_extraction(measured: Sequence[Result]) -> list[Column]:
    """Columns of pass@1 where answers are read in the way that the score itself does not go by, strict or flexible."""
    columns = []
    for name, own in (("strict", "flexible"), ("flexible", "strict")):
        other = [
            result if result.get("extraction") == own and f"pass@1_{name}" in result else None for result in measured
        ]
        if any(other):
            columns.append(Column(name, [percent(r[f"pass@1_{name}"]) if r else UNKNOWN for r in other]))
            spreads = [interval({"ci95": r[f"ci95_{name}"]}) if r else UNKNOWN for r in other]
            columns.append(Column("95 % interval", spreads))
    return columns


def _of_k(name: str, measured: Sequence[Result], shown: set[int]) -> list[Column]:
    """Columns of pass@k or maj@k: for the largest k of any of the results, and for those of `shown`."""
    several = [{int(k): share for k, share in (result[f"{name}@k"] or {}).items()} for result in measured]
    largest = {max(by_k) for by_k in several if by_k}
    ks = {k for by_k in several for k in by_k if k in shown | largest} - {1}
    return [Column(f"{name}@{k}", [percent(by_k[k]) if k in by_k else UNKNOWN for by_k in several]) for k in sorted(ks)]


def _side_columns(evaluations: Sequence[tuple[str, Results]]) -> list[Column]:
    rows = aligned([results["results"] for _, results in evaluations])
    templates = [templates_of(row) for row in rows]
    names = [next(str(result["benchmark"]) for result in row if result) for row in rows]
    columns = [Column("benchmark", names, left=True)]
    if len(set(templates)) > 1 or any("/" in template for template in templates):
        columns.append(Column("template", templates, left=True))
    for place, (name, _) in enumerate(evaluations):
        results = [row[place] for row in rows]
        columns.append(Column(name, [rate(result) if result else UNKNOWN for result in results]))
        columns.append(Column("95 % interval", [spread(result) if result else UNKNOWN for result in results]))
        columns += [
            column for column in _by_extraction([result or {} for result in results]) if "interval" not in column.name
        ]
    if len(evaluations) == 2:
        columns.append(Column("difference", [difference(*row) for row in rows]))
    return columns


def _side_warnings(evaluations: Sequence[tuple[str, Results]]) -> list[str]:
    own = [f"{name}: {warning}" for name, results in evaluations for warning in warnings(results)]
    return [*unlike(aligned([results["results"] for _, results in evaluations])), *own]


def _text(columns: Sequence[Column], below: Sequence[str], warned: Sequence[str], width: int | None) -> str:
    sentences = [*below, *(f"warning: {line}" for line in warned)]
    return "\n".join([table_text(columns, width), *(sentence_text(line, width) for line in sentences)])


def _markdown(columns: Sequence[Column], below: Sequence[str], warned: Sequence[str]) -> str:
    lines = [_line([column.name for column in columns]), _line([":--" if c.left else "--:" for c in columns])]
    lines += [_line(row) for row in zip(*(column.cells for column in columns), strict=True)]
    under = [*below, *(f"**Warning:** {line}" for line in warned)]
    return "\n".join([*lines, *(f"\n{line}" for line in under)]) + "\n"


def _line(row: Sequence[str]) -> str:
    flat = (" ".join(cell.split()).replace("|", "\\|") for cell in row)
    return f"| {' | '.join(flat)} |"
