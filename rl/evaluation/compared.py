"""Two evaluations of the same problems, or runs on their held-out ones, against each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.base.columns import Column
from rl.evaluation.show.findings import unlike
from rl.evaluation.sides import RunSide, Side, open_sides
from rl.evaluation.statistics.comparison import compare
from rl.evaluation.statistics.measures import by_problem
from rl.run.summary import percent

Result = Mapping[str, Any]


def compare_evaluations(*paths: Path) -> list[dict[str, Any]]:
    """Compare two evaluations or runs on every benchmark that both have, each under its best template.

    See `rl.evaluation.sides.open_sides` for runs; a run that is named alone is compared with itself before training.

    Returns:
        Of each benchmark: `benchmark`, `first` and `second` (what is compared), `templates`, what
        `rl.evaluation.statistics.comparison.Comparison` holds, and `warnings` (what was not measured alike).

    Raises:
        BadInput: no such folder, no benchmark in common, or other problems under the same name.
    """
    a, b = open_sides(paths)
    best_a, best_b = best_results(a.results()), best_results(b.results())
    common = [name for name in best_a if name in best_b]
    if not common:
        raise BadInput(
            f"{a.path} and {b.path} have no benchmark in common ({', '.join(best_a)}; {', '.join(best_b)}): nothing to "
            "compare."
        )
    return [compare_results(a, best_a[name], b, best_b[name]) for name in common]


def compare_results(a: Side, result_a: Result, b: Side, result_b: Result) -> dict[str, Any]:
    """Compare two results on one benchmark. Raises BadInput if they asked different data, or nothing in common."""
    name = result_a["benchmark"]
    if result_a["dataset"]["sha256"] != result_b["dataset"]["sha256"]:
        raise BadInput(
            f"{a.path} and {b.path} asked different problems of {name} (their SHA-256 differs): measure both on the "
            "same data."
        )
    found = compare(by_problem(a.rows(result_a, tokens=False)), by_problem(b.rows(result_b, tokens=False)))
    verdict = found.verdict.replace("A is", "the first is", 1).replace("B is", "the second is", 1)
    sides = {"first": name_of_side(a), "second": name_of_side(b)}
    templates = [result_a["template"], result_b["template"]]
    warned = {"warnings": unlike([[result_a, result_b]])}
    return {"benchmark": name, **sides, "templates": templates, **found.as_dict(), "verdict": verdict, **warned}


def name_of_side(side: Side) -> str:
    """What is compared, for people: a folder, or a run and the moment."""
    return side.name if isinstance(side, RunSide) else str(side.path)


def best_results(results: Mapping[str, Any]) -> dict[str, Result]:
    """By benchmark, the result under its best template."""
    return {result["benchmark"]: result for result in results["results"] if result["best"]}


def comparison_columns(found: Sequence[Mapping[str, Any]]) -> list[Column]:
    """The comparison as columns for people; differences are in points (hundredths)."""
    return [
        Column("benchmark", [item["benchmark"] for item in found], left=True),
        Column("problems", [f"{item['n']:,}" for item in found]),
        Column("first", [percent(item["pass_a"]) for item in found]),
        Column("second", [percent(item["pass_b"]) for item in found]),
        Column("difference, points", [f"{100 * item['difference']:+.1f}" for item in found]),
        Column("95 % interval", ["{:+.1f} to {:+.1f}".format(*(100 * end for end in item["ci95"])) for item in found]),
        Column("won", [f"{item['won']:,}" for item in found]),
        Column("lost", [f"{item['lost']:,}" for item in found]),
        Column("p", ["< 0.001" if item["p_value"] < 0.001 else f"{item['p_value']:.2g}" for item in found]),
        Column("detectable, points", [f"{100 * item['detectable']:.1f}" for item in found]),
    ]


def comparison_notes(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is compared and found, a sentence each."""
    return [
        f"first: {found[0]['first']}",
        f"second: {found[0]['second']}",
        *(f"{item['benchmark']}: {item['verdict']}" for item in found),
        *(f"warning: {warning}" for item in found for warning in item["warnings"]),
    ]
