"""Agreement with labelled cases, and with the gold answers of well-known data sets written in other ways."""

import collections
import json
import os
from pathlib import Path

import pytest

from rewards.math import grade_math
from rewards.math.grade import decide, gold_text, readable
from rewards.pool import GraderPool
from rewards.verdict import Verdict


def folder(variable: str, *needed: str) -> Path:
    path = Path(os.environ.get(variable, ""))
    if not os.environ.get(variable) or not all((path / name).is_file() for name in needed):
        pytest.skip(f"{variable} names no folder with {', '.join(needed)}")
    return path


@pytest.mark.parametrize(("name", "count", "right"), [("math_pairs.jsonl", 689, 474), ("math_more.jsonl", 118, 85)])
def test_agreement_with_the_labelled_cases(name: str, count: int, right: int) -> None:
    lines = (folder("PENNY_CASES", name) / name).read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert (len(rows), sum(row["correct"] for row in rows)) == (count, right)
    with GraderPool(workers=2, timeout=3) as pool:
        golds, responses = [row["gold"] for row in rows], [row["response"] for row in rows]
        flexible = grade_math(golds, responses, pool, extraction="flexible")
        strict = grade_math(golds, responses, pool, extraction="strict")
    missed = [
        (row["id"], row["cat"], row["correct"], verdict.outcome, verdict.reason)
        for row, verdict in zip(rows, flexible, strict=True)
        if (verdict.outcome == "correct") != row["correct"] and not verdict.reason.startswith("it waited")
    ]
    assert missed == []
    assert [
        row["id"] for row, v in zip(rows, strict, strict=True) if v.outcome == "correct" and not row["correct"]
    ] == []


VALUES = ("set", "relation", "interval", "float", "complex", "number", "percent", "algebra", "equation", "mixed")


def test_attacks_on_values() -> None:
    path = folder("PENNY_CASES", "math_pairs_2.jsonl") / "math_pairs_2.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["cat"] in VALUES]
    assert len(rows) == 63
    with GraderPool(workers=1, timeout=3) as pool:
        verdicts = grade_math([row["gold"] for row in rows], [row["response"] for row in rows], pool)
    missed = [
        (row["id"], verdict.reason)
        for row, verdict in zip(rows, verdicts, strict=True)
        if (verdict.outcome == "correct") != row["correct"] and not verdict.reason.startswith("it waited")
    ]
    assert missed == []


def golds_of(path: Path, column: str) -> list[str]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [gold_text(row[column]) for row in rows if row.get(column)]


@pytest.mark.parametrize(
    ("name", "share"), [("math500", 0.99), ("gsm8k_test", 1.0), ("aime24", 1.0), ("aime25", 1.0), ("amc23", 1.0)]
)
def test_golds_written_otherwise_are_known_without_a_process(name: str, share: float) -> None:
    golds = golds_of(folder("PENNY_DATA", f"{name}.jsonl") / f"{name}.jsonl", "answer")
    assert all(map(readable, golds))
    decided: collections.Counter[str] = collections.Counter()
    for gold, other in zip(golds, golds[7:] + golds[:7], strict=True):
        plain = gold.replace("\\frac", "\\dfrac").replace("(", "\\left(").replace(")", "\\right)")
        for completion in (
            f"So \\[\\boxed{{ {plain} }}\\]",
            f"Thus the final answer is ${gold}$. I hope it is correct.",
        ):
            said = decide(gold, completion)
            assert isinstance(said, tuple) or said.outcome == "correct", (gold, completion, said)
            decided["here" if isinstance(said, Verdict) else "pool"] += 1
        decided["here" if isinstance(decide(gold, f"\\boxed{{{other}}}"), Verdict) else "pool"] += 1
    assert decided["here"] / decided.total() >= share, decided
