"""The page of an evaluation: one HTML file that needs nothing else to open, alone or beside other evaluations.

Text of prompts and completions is escaped, and the page forbids scripts and anything from outside: its filters are
radio buttons and a style sheet.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from markupsafe import Markup, escape

from rl.base import atomic
from rl.evaluation.show import plots
from rl.evaluation.show.cards import DIFFER, LENGTHS, MOST_SAMPLES, Group, choose, filters, word
from rl.evaluation.show.findings import (
    Result,
    Results,
    Row,
    aligned,
    beside,
    best_templates,
    costs,
    dollars,
    rate,
    row_name,
    spread,
    unlike,
    warnings,
)
from rl.evaluation.show.table import results_columns
from rl.evaluation.show.unknowns import coverage, drawn, token_limit
from rl.evaluation.sides import Side
from rl.evaluation.statistics.comparison import compare
from rl.evaluation.statistics.measures import by_problem
from rl.report.report import page_templates

MOST_BYTES = 6_000_000
# For the style, the tables and the frame of the page; results.json and the charts are counted as they are.
REST = 250_000
MOST_CHARTS = 24  # small ones; a suite in many languages would have a hundred
LONGEST_LABEL = 48


@dataclass(frozen=True)
class Evaluation:
    """One evaluation on the page; `letter` stands for it where its name has no room, and `color` in charts."""

    letter: str
    name: str
    color: str
    results: Results


def write_page(folder: Side, others: Sequence[Side] = ()) -> Path:
    """Write the page of `folder` (`report.html` of an evaluation, `comparison.html` of a run), and return its path.

    The problems that are shown are those of `folder`; `others` stand beside it, paired by benchmark, template and
    problem, each with a paired comparison.
    """
    html = page_templates(Path(__file__).parent).get_template("page.html.j2").render(_content(folder, others))
    atomic.write_text(folder.report, html)
    return folder.report


def _content(folder: Side, others: Sequence[Side]) -> dict[str, Any]:
    folders = [folder, *others]
    evaluations = _evaluations(folders)
    rows = aligned([item.results["results"] for item in evaluations])
    groups = [_group(folders, row, rows) for row in rows if row[0] is not None]
    bars = Markup(plots.bars(_named_results(evaluations)))
    curves = _charts(evaluations, groups)
    stored = json.dumps(evaluations[0].results, indent=2, ensure_ascii=False)
    taken = REST + sum(len(text.encode("utf-8")) for text in (bars, escape(stored), *(svg for _, _, svg in curves)))
    cards = choose(groups, MOST_BYTES - taken)
    return {
        "evaluations": evaluations,
        "headline": [(row_name(row, rows), row) for row in rows if any(result and result["best"] for result in row)],
        "bars": bars,
        "curves": curves,
        "tables": [(item, _table(item)) for item in evaluations],
        "sentences": _sentences(evaluations, rows),
        "comparisons": [found for group in groups for found in _comparisons(evaluations, group)],
        "groups": groups,
        "cards": cards,
        "filters": filters(cards, groups),
        "problems": sum(len(group.sides[0]) for group in groups),
        "answers": sum(len(found) for group in groups for found in group.sides[0].values()),
        "verdicts": plots.VERDICTS,
        "lengths": [word(name) for name in LENGTHS],
        "differ": DIFFER,
        "most_samples": MOST_SAMPLES,
        "stored": stored,
        "rate": rate,
        "beside": beside,
        "drawn": drawn,
        "token_limit": token_limit,
        "coverage": coverage,
        "spread": spread,
        "tiles": _tiles(evaluations[0].results, " of A" if others else ""),
        "facts": [_facts(item.results) for item in evaluations],
        "protocol": [(item, result) for item in evaluations for result in item.results["results"]],
    }


def _evaluations(folders: Sequence[Side]) -> list[Evaluation]:
    """The evaluations with names that differ: what was measured, and the folder where that is the same."""
    stored = [folder.results() for folder in folders]
    names = [_shortened(str(results["subject"]["name"])) for results in stored]
    return [
        Evaluation(
            letter=ascii_uppercase[place] if place < len(ascii_uppercase) else str(place + 1),
            name=f"{name} ({folder.path.name})" if names.count(name) > 1 else name,
            color=plots.color(place),
            results=results,
        )
        for place, (folder, name, results) in enumerate(zip(folders, names, stored, strict=True))
    ]


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_LABEL else f"…{name[-LONGEST_LABEL:]}"


def _named_results(evaluations: Sequence[Evaluation]) -> list[tuple[str, Sequence[Result]]]:
    """Names and results for charts, whose legends have room for short names only."""
    return [
        (f"{item.letter} {item.name.rstrip('/').split('/')[-1][-26:]}", item.results["results"]) for item in evaluations
    ]


def _group(folders: Sequence[Side], row: Row, rows: Sequence[Row]) -> Group:
    """The answers to one benchmark; of others only those to the very same problems."""
    assert row[0] is not None
    asked = row[0]["dataset"]["sha256"]
    sides = [
        place.rows(result, tokens=False) if result is not None and result["dataset"]["sha256"] == asked else []
        for place, result in zip(folders, row, strict=True)
    ]
    return Group.of(row_name(row, rows), row, sides)


def _charts(evaluations: Sequence[Evaluation], groups: Sequence[Group]) -> list[tuple[str, str, Markup]]:
    """Title, explanation and SVG of each small chart; of several templates of a benchmark only the best."""
    named = _named_results(evaluations)
    drawn = [("All benchmarks", "pass@1, best template of each", plots.radar(named))]
    best = [group for group in groups if group.results[0] is not None and group.results[0]["best"]]
    for group in best:
        one = [(name, [result] if result else []) for (name, _), result in zip(named, group.results, strict=True)]
        drawn.append((group.name, "share of problems solved over k samples", plots.pass_at_k_curve(one)))
    of = " of A" if len(evaluations) > 1 else ""
    for group in best:
        rows = [row for found in group.sides[0].values() for row in found]
        drawn.append((group.name, f"length of the answers{of}, by verdict", plots.length_histogram(rows)))
    return [(title, note, Markup(svg)) for title, note, svg in drawn if svg][:MOST_CHARTS]


def _table(evaluation: Evaluation) -> tuple[list[str], list[tuple[str, ...]]]:
    columns = results_columns(evaluation.results)
    return [column.name for column in columns], list(zip(*(column.cells for column in columns), strict=True))


def _sentences(evaluations: Sequence[Evaluation], rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Class and text of what must be known beside the numbers."""
    found = [("warning", sentence) for sentence in unlike(rows)]
    for item in evaluations:
        prefix = f"{item.letter}: " if len(evaluations) > 1 else ""
        found += [("warning", prefix + sentence) for sentence in warnings(item.results)]
        found += [("plain", prefix + sentence) for sentence in best_templates(item.results["results"])]
    return [(kind, sentence[0].upper() + sentence[1:]) for kind, sentence in found]


def _comparisons(evaluations: Sequence[Evaluation], group: Group) -> list[dict[str, Any]]:
    """The first evaluation against each other one on the problems that both have, with the verdict in words."""
    solved = [by_problem([row for found in side.values() for row in found]) for side in group.sides]
    found = []
    for item, other in zip(evaluations[1:], solved[1:], strict=True):
        if solved[0].keys() & other.keys():
            compared = compare(solved[0], other).as_dict()
            # Its A is the first and its B the second of two; here B may be the third.
            verdict = compared["verdict"].replace("B is", f"{item.letter} is", 1)
            found.append({**compared, "name": group.name, "letter": item.letter, "verdict": verdict})
    return found


def _tiles(results: Results, of: str) -> list[tuple[str, str]]:
    """Number and unit of what the first evaluation cost; what is not known is left out."""
    cost = results["cost"]
    tiles = []
    if cost["seconds"]:
        share = (cost["generating_seconds"] or 0) / cost["seconds"]
        tiles.append((costs(results)[0], f"wall time{of}, {100 * share:.0f} % of it generating"))
    cached = f" ({cost['cached_tokens']:,} more from the cache)" if cost["cached_tokens"] else ""
    tiles.append((f"{cost['tokens'] or 0:,}", f"tokens generated{cached}"))
    if cost["tokens"] and cost["generating_seconds"]:
        tiles.append((f"{cost['tokens'] / cost['generating_seconds']:,.0f}", "tokens a second"))
    if cost["dollars"]:
        million = cost["dollars_per_million_tokens"]
        each = f", {dollars(million)} per million tokens" if million else ""
        tiles.append((dollars(cost["dollars"]), f"in all{each}"))
    return tiles


def _facts(results: Results) -> dict[str, str]:
    """What was measured and on what, by the name of the fact; what is not known is left out."""
    subject, hardware = results["subject"], results["hardware"] or {}
    gpus = ", ".join(gpu["name"] for gpu in hardware.get("gpus") or [])
    facts = {
        "subject": f"{subject['name']} ({subject['kind']})",
        "weights": subject["checkpoint"] if subject["checkpoint"] != subject["name"] else None,
        "base": subject["base"],
        "fingerprint": subject["fingerprint"],
        "engine": " ".join(part for part in (results["engine"], results["dtype"]) if part),
        "hardware": ", ".join(part for part in (gpus, hardware.get("cpu"), _cores(hardware)) if part),
        "versions": ", ".join(f"{name} {version}" for name, version in (results["versions"] or {}).items()),
        "cost": ", ".join(costs(results)),
        "command": results["command"],
        "made": f"{results['created'][:16].replace('T', ' ')} UTC",
    }
    return {name: str(fact) for name, fact in facts.items() if fact}


def _cores(hardware: Mapping[str, Any]) -> str:
    return f"{hardware['cores']} cores" if hardware.get("cores") else ""
