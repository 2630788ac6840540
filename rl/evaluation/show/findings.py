"""What there is to say of evaluations in words: rates, costs, best templates, warnings, and what stands beside what.

`results` is what `results.json` holds (`rl.evaluation.folder`); a `result` is one of its objects, for one benchmark under
one template.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rl.evaluation.show.unknowns import STORED, coverage, missing_answers, over_all, unknown_rows
from rl.report.report import duration
from rl.run.evaluations import EvaluationRow
from rl.run.summary import interval, percent

Results = Mapping[str, Any]
Result = Mapping[str, Any]
Row = list[Result | None]

UNKNOWN = "–"
# Above these shares a number says more about how it was measured than about the model.
UNGRADABLE, TRUNCATED = 0.01, 0.20


def rate(result: Result) -> str:
    """pass@1 as text; a dash where nothing could be graded."""
    return percent(result["pass@1"]) if result["n"] else UNKNOWN


def spread(result: Result) -> str:
    """The 95 % interval of pass@1 as text; a dash where nothing could be graded."""
    return interval(result) if result["n"] else UNKNOWN


def beside(result: Result, first: Result) -> list[str]:
    """What stands below a score: the score where answers are read in the other way, and how many problems it is of.

    The problems only where they are not as many as those of `first`, whose number stands above.
    """
    lines = []
    other = {"flexible": "strict", "strict": "flexible"}.get(result.get("extraction") or "")
    if other and f"pass@1_{other}" in result and result["n"]:
        lines.append(f"{other}: {percent(result[f'pass@1_{other}'])} {interval({'ci95': result[f'ci95_{other}']})}")
    if result.get("missing"):
        lines.append(f"missing answers as not solved: {over_all(result)}")
    if coverage(result) != coverage(first):
        lines.append(f"on {coverage(result)} problems")
    return lines


def difference(first: Result | None, second: Result | None) -> str:
    """By how much the second pass@1 is above the first, in points."""
    if not (first and second and first["n"] and second["n"]):
        return UNKNOWN
    return f"{100 * (second['pass@1'] - first['pass@1']):+.1f} points"


def verdict(row: EvaluationRow) -> str:
    """The verdict that agrees with what pass@1 counts: `solved`, and for unsolved ones whether an answer was found."""
    if row.solved is None:
        return "ungradable"
    if row.solved:
        return "correct"
    return "unparseable" if row.verdict == "unparseable" else "wrong"


def costs(results: Results) -> list[str]:
    """Time, tokens, speed and money, each with its unit; what is not known is left out."""
    cost = results["cost"]
    parts = []
    if cost["seconds"] is not None:
        parts.append(duration(cost["seconds"]))
    if cost["tokens"]:
        parts.append(f"{cost['tokens']:,} tokens")
    if cost["cached_tokens"]:
        parts.append(f"{cost['cached_tokens']:,} tokens from the cache")
    if cost["tokens"] and cost["generating_seconds"]:
        parts.append(f"{cost['tokens'] / cost['generating_seconds']:,.0f} tokens/s")
    if cost["dollars"]:  # 0 where nobody gave a price
        parts.append(dollars(cost["dollars"]))
    if cost["dollars_per_million_tokens"]:
        parts.append(f"{dollars(cost['dollars_per_million_tokens'])} per million tokens")
    return parts


def dollars(amount: float) -> str:
    """Money as text, with more places where it is little: `$2.50`, `$0.130`, `$0.0042`."""
    if amount >= 1:
        return f"${amount:,.2f}"
    return f"${amount:.3f}" if amount >= 0.01 else f"${amount:.2g}"


def by_benchmark(measured: Iterable[Result]) -> dict[str, list[Result]]:
    """Results by their benchmark, in the order of appearance."""
    found: dict[str, list[Result]] = {}
    for result in measured:
        found.setdefault(result["benchmark"], []).append(result)
    return found


def best_templates(measured: Sequence[Result]) -> list[str]:
    """A sentence for each benchmark that was put in several templates: the best, beside the chat one or the next."""
    sentences = []
    for benchmark, tried in by_benchmark(measured).items():
        best = next((result for result in tried if result["best"]), None)
        others = sorted((result for result in tried if result is not best), key=lambda result: -result["pass@1"])
        if best is None or not others:
            continue
        other = next((result for result in others if result["template"] == "chat"), others[0])
        sentences.append(
            f"best template for {benchmark}: {best['template']}, {rate(best)}; "
            f"the {other['template']} one gives {rate(other)}"
        )
    return sentences


def warnings(results: Results) -> list[str]:
    """What makes the numbers of an evaluation less than they seem, as sentences."""
    measured = results["results"]
    found = [
        sentence
        for result in measured
        for sentence in (missing_answers(result, name_of(result, measured)), unknown_rows(result, result["benchmark"]))
        if sentence
    ]
    if not results["complete"] and not any(result.get("missing") for result in measured):  # of an older folder
        found.append(_incomplete(results))
    ungradable = _named(measured, "ungradable", UNGRADABLE)
    if ungradable:
        found.append(
            f"Answers that could not be graded are left out of {ungradable}: see their reasons before you trust a rate."
        )
    truncated = _named(measured, "truncated", TRUNCATED)
    if truncated:
        found.append(f"Answers were cut off at the limit in {truncated}: a higher one may change the rate.")
    return found


def name_of(result: Result, measured: Sequence[Result]) -> str:
    """The benchmark's name, with the template if its benchmark has several in `measured`."""
    several = sum(other["benchmark"] == result["benchmark"] for other in measured) > 1
    return f"{result['benchmark']} ({result['template']})" if several else str(result["benchmark"])


def _named(measured: Sequence[Result], key: str, limit: float) -> str:
    over = [result for result in measured if (result[key] or 0) > limit]
    return ", ".join(f"{name_of(result, measured)} ({percent(result[key])})" for result in over)


def _incomplete(results: Results) -> str:
    there = sum(result["samples"] for result in results["results"])
    asked = sum(result["asked"] for result in results["results"])
    return f"Not complete: {there:,} of {asked:,} answers are there, and the numbers are of these."


def aligned(evaluations: Sequence[Sequence[Result]]) -> list[Row]:
    """Rows of results that can stand side by side, one place for each evaluation, None where it has none.

    They are of the same benchmark and template; where an evaluation does not have the template, its best one stands
    beside the best one of the other.
    """
    used: set[int] = set()
    rows = []
    for place, results in enumerate(evaluations):
        for result in results:
            if id(result) not in used:
                row = [
                    result if place == other else _counterpart(result, evaluations[other], used)
                    for other in range(len(evaluations))
                ]
                used |= {id(item) for item in row}
                rows.append(row)
    return rows


def _counterpart(result: Result, others: Sequence[Result], used: set[int]) -> Result | None:
    free = [other for other in others if other["benchmark"] == result["benchmark"] and id(other) not in used]
    same = (other for other in free if other["template"] == result["template"])
    best = (other for other in free if other["best"] and result["best"])
    return next(same, None) or next(best, None)


def templates_of(row: Row) -> str:
    """The templates of results that stand side by side: `chat`, or `chat / few-shot` where they differ."""
    return " / ".join(dict.fromkeys(str(result["template"]) for result in row if result))


def row_name(row: Row, rows: Sequence[Row]) -> str:
    """The benchmark of a row, with its templates if its benchmark has several rows."""
    names = [next(str(result["benchmark"]) for result in other if result) for other in rows]
    name = next(str(result["benchmark"]) for result in row if result)
    return f"{name} ({templates_of(row)})" if names.count(name) > 1 else name


def unlike(rows: Sequence[Row]) -> list[str]:
    """Sentences on rows whose numbers cannot be set against each other as they are, and why."""
    sentences = []
    for row in rows:
        there = [result for result in row if result]
        asked = [result for result in there if result["template"] != STORED]
        seen = {
            "problems": {(result["dataset"]["sha256"], result["problems"]) for result in there},
            "templates": {result["template"] for result in asked},
            "extraction": {result.get("extraction") for result in there},
            "limits of length": {result["max_tokens"] for result in asked},
            "sampling": {
                (result["temperature"], result["top_p"], result["top_k"], result["min_p"]) for result in asked
            },
        }
        differ = [name for name, found in seen.items() if len(found) > 1]
        if differ:
            sentences.append(f"{there[0]['benchmark']} was not measured alike: other {' and '.join(differ)}.")
    return sentences
