"""Evaluations made by hand, for tests of what is shown of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rewards.verdict import Outcome
from rl.evaluation.folder import EvaluationFolder, answers_file
from rl.evaluation.statistics.measures import measures
from rl.run.evaluations import EvaluationRow

SOLVED: dict[str, bool | None] = {"correct": True, "wrong": False, "unparseable": False, "ungradable": None}


def made_row(
    problem: int | str, verdict: Outcome = "wrong", sample: int = 0, tokens: int | None = 100, **other: Any
) -> EvaluationRow:
    """An answer; `cut=True` makes it one that was cut off."""
    solved = SOLVED[verdict]
    fields: dict[str, Any] = {
        "problem_id": f"set/test/{problem}",
        "sample": sample,
        "prompt": f"Be brief. Question {problem}?",
        "completion": f"I say {sample}",
        "finish_reason": "length" if other.pop("cut", False) else "stop",
        "reward": None if solved is None else float(solved),
        "solved": solved,
        "token_ids": [],
        "logprobs": [],
        "num_tokens": tokens,
        "gold": "7",
        "answer": str(sample) if verdict in ("correct", "wrong") else None,
        "answer_class": sample,
        "verdict": verdict,
        "reason": f"because {verdict}",
    }
    return EvaluationRow(**(fields | other))


def made_result(rows: Sequence[EvaluationRow] = (), **other: Any) -> dict[str, Any]:
    """One of the `results`, with the measures of `rows`."""
    benchmark, template = other.get("benchmark", "gsm8k"), other.get("template", "chat")
    samples = max((row.sample for row in rows), default=0) + 1
    return {
        "benchmark": benchmark,
        "description": "problems made by hand",
        "template": template,
        "best": True,
        "answers": answers_file(benchmark, template),
        "dataset": {"name": "a/set", "config": None, "split": "test", "revision": "4711", "sha256": "aabbccdd" * 8},
        "problems": len({row.problem_id for row in rows}),
        "asked": len(rows),
        **measures(rows, majority=True),
        "num_samples": samples,
        "temperature": 0.0 if samples == 1 else 0.6,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "max_tokens": 1024,
        "stop": [],
        "seed": 0,
        "prompt_tokens": 50,
        "tokens": 100,
        "cached_tokens": 0,
    } | other


def made_subject(name: str) -> dict[str, Any]:
    """The `subject` of `results.json`."""
    return {"kind": "model", "name": name, "checkpoint": name, "base": None, "fingerprint": "f00d"}


def made_results(results: Sequence[dict[str, Any]], **other: Any) -> dict[str, Any]:
    """What `results.json` holds; `cost` takes single fields."""
    cost = {
        "seconds": 474.0,
        "load_seconds": 10.0,
        "generating_seconds": 400.0,
        "tokens": 1_200_000,
        "cached_tokens": 0,
        "dollars_per_hour": 2.0,
        "dollars": 0.2633,
        "dollars_per_million_tokens": 0.2194,
    } | other.pop("cost", {})
    return {
        "created": "2026-01-02T03:04:05+00:00",
        "complete": True,
        "penny": "0.1.0",
        "versions": {"python": "3.11.9", "torch": "2.13.0"},
        "hardware": {"cpu": "a processor", "cores": 2, "gpus": [{"name": "a GPU", "memory_gib": 80}]},
        "command": "penny eval --model tiny",
        "subject": made_subject("tiny"),
        "engine": "vllm",
        "dtype": "float32",
        "cost": cost,
        "results": list(results),
    } | other


def made_folder(
    path: Path, answers: Sequence[tuple[dict[str, Any], Sequence[EvaluationRow]]], **other: Any
) -> EvaluationFolder:
    """A folder with some `results` and the answers to each."""
    folder = EvaluationFolder(path)
    path.mkdir(parents=True)
    for result, rows in answers:
        folder.write_rows(result, rows)
    folder.write_results(made_results([result for result, _ in answers], **other))
    return folder
