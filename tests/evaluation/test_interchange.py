"""Evaluations in lm-evaluation-harness's layout and in a model card's `model-index`."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

from rewards.errors import BadInput
from rl.config.recipe import ProblemsSection, RewardsSection
from rl.evaluation.folder import EvaluationFolder, answers_file
from rl.evaluation.samples import read_samples
from rl.evaluation.show.interchange import model_index, write_harness, write_model_card
from rl.evaluation.statistics.measures import measures
from rl.problems.benchmark import Benchmark
from rl.problems.problem import Problem
from rl.run.evaluations import EvaluationRow

CREATED = "2026-03-04T05:06:07+00:00"


def row(problem: str, sample: int, solved: bool | None, votes: bool = True) -> EvaluationRow:
    return EvaluationRow(
        problem_id=problem,
        sample=sample,
        prompt=f"asked {problem}",
        completion=f"é said {sample}",
        finish_reason="stop",
        reward=None if solved is None else float(solved),
        solved=solved,
        token_ids=[],
        logprobs=[],
        num_tokens=3,
        gold="5",
        answer="5" if solved else None,
        answer_class=0 if solved and votes else None,
        verdict="ungradable" if solved is None else "correct" if solved else "wrong",
    )


def result(benchmark: str, template: str, rows: list[EvaluationRow], **changes: Any) -> dict[str, Any]:
    return {
        "benchmark": benchmark,
        "description": f"{benchmark.upper()}: sums",
        "template": template,
        "best": True,
        "answers": answers_file(benchmark, template),
        "dataset": {
            "name": f"org/{benchmark}",
            "config": "main",
            "split": "test",
            "revision": "abc",
            "sha256": "f" * 64,
        },
        "problems": len({row.problem_id for row in rows}),
        "asked": len(rows),
        **measures(rows, majority=True),
        "num_samples": 2,
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 0,
        "min_p": 0.0,
        "max_tokens": 64,
        "stop": ["\nQ:"],
        "seed": 7,
        "prompt_tokens": 10,
        "tokens": 20,
        "cached_tokens": 0,
        **changes,
    }


MATH = [
    row("math/test/0", 0, True),
    row("math/test/0", 1, False),
    row("math/test/3", 0, False),
    row("math/test/3", 1, None),
    row("math/test/4", 0, True),
    row("math/test/4", 1, True),
    row("math/test/5", 0, None),
]
CODE = [row("code/test/0", 0, True, votes=False), row("code/test/1", 0, False, votes=False)]


@pytest.fixture
def folder(tmp_path: Path) -> EvaluationFolder:
    """Mathematics with two samples a problem, code with one, an adapter."""
    made = EvaluationFolder(tmp_path / "evaluation")
    made.path.mkdir()
    results = [result("math", "chat", MATH), result("code", "chat", CODE, num_samples=1, temperature=0.0)]
    for one, rows in zip(results, (MATH, CODE), strict=True):
        made.write_rows(one, rows)
    subject = {
        "kind": "adapter",
        "name": "runs/a",
        "checkpoint": "runs/a/policy",
        "base": "org/base",
        "fingerprint": "e3",
    }
    stored = {
        "created": CREATED,
        "complete": True,
        "penny": "0.1",
        "versions": {"transformers": "5"},
        "hardware": {},
        "command": "penny eval",
        "subject": subject,
        "engine": "vllm",
        "dtype": "float32",
        "cost": {"seconds": 1.5},
        "results": results,
    }
    made.write_results(stored)
    return made


def change(folder: EvaluationFolder, **changes: Any) -> None:
    folder.write_results(folder.results() | changes)


def jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_harness_files_have_its_names_and_keys(folder: EvaluationFolder, tmp_path: Path) -> None:
    paths = write_harness(folder, tmp_path / "out")
    assert [str(path.relative_to(tmp_path / "out")) for path in paths] == [
        "runs__a/results_2026-03-04T05-06-07.000000.json",
        "runs__a/samples_math_2026-03-04T05-06-07.000000.jsonl",
        "runs__a/samples_code_2026-03-04T05-06-07.000000.jsonl",
    ]
    assert set(paths[0].parent.iterdir()) == set(paths)
    written = json.loads(paths[0].read_text())
    # What its result_schema.py lists, but for groups, samples and the tokenizer's own.
    keys = """
    results group_subtasks configs versions n-shot higher_is_better n-samples config git_hash date pretty_env_info
    transformers_version lm_eval_version upper_git_hash model_source model_name model_name_sanitized
    system_instruction system_instruction_sha fewshot_as_multiturn chat_template chat_template_sha task_hashes
    total_evaluation_time_seconds
    """
    assert set(written) == set(keys.split())
    assert written["n-samples"] == {"math": {"original": 4, "effective": 3}, "code": {"original": 2, "effective": 2}}
    assert written["config"]["model_args"] == {"pretrained": "org/base", "peft": "runs/a/policy", "dtype": "float32"}
    assert written["date"] == 1772600767
    assert written["configs"]["math"]["generation_kwargs"]["until"] == ["\nQ:"]


def test_harness_scores_are_ours(folder: EvaluationFolder, tmp_path: Path) -> None:
    written = json.loads(write_harness(folder, tmp_path)[0].read_text())["results"]
    # Rates 1/2, 0/1 and 2/2 over three problems; their sample standard deviation is 0.5.
    assert written["math"]["exact_match,none"] == pytest.approx(0.5)
    assert written["math"]["exact_match_stderr,none"] == pytest.approx(0.5 / 3**0.5)
    assert written["math"]["sample_len"] == 3
    assert written["code"]["pass@1,none"] == pytest.approx(0.5)
    assert "exact_match,none" not in written["code"]


def test_harness_metrics_for_more_samples(folder: EvaluationFolder, tmp_path: Path) -> None:
    results = folder.results()["results"][:1]
    results[0] |= {"pass@k": {"1": 0.5, "2": 0.75}, "maj@k": {"1": 0.5, "2": 0.625}, "stderr": None}
    change(folder, results=results)
    written = json.loads(write_harness(folder, tmp_path)[0].read_text())["results"]["math"]
    assert (written["pass@2,none"], written["maj@2,none"]) == (0.75, 0.625)
    assert "pass@1,none" not in written
    assert written["exact_match_stderr,none"] == "N/A"


def test_harness_samples_hold_every_answer_and_hashes(folder: EvaluationFolder, tmp_path: Path) -> None:
    results, math, code = write_harness(folder, tmp_path)
    first, second, third, fourth = jsonl(math)
    assert [line["doc_id"] for line in (first, second, third, fourth)] == [0, 3, 4, 5]
    assert first["resps"] == [["é said 0", "é said 1"]]
    assert first["arguments"]["gen_args_0"]["arg_0"] == "asked math/test/0"
    assert [line.get("exact_match") for line in (first, second, third, fourth)] == [0.5, 0.0, 1.0, None]
    assert (first["metrics"], fourth["metrics"]) == (["exact_match"], [])
    assert first["target_hash"] == hashlib.sha256(b"5").hexdigest()
    assert [line["pass@1"] for line in jsonl(code)] == [1.0, 0.0]
    assert jsonl(code)[0]["filtered_resps"] == ["é said 0"]
    hashes = "".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in jsonl(code))
    written = json.loads(results.read_text())["task_hashes"]["code"]
    assert written == hashlib.sha256(hashes.encode()).hexdigest()


def test_what_the_harness_gets_can_be_read_as_stored_outputs(folder: EvaluationFolder, tmp_path: Path) -> None:
    problems = [Problem(f"math/test/{number}", {}) for number in (0, 3, 4, 5)]
    chosen = Benchmark(
        name="math",
        problems=ProblemsSection(source="jsonl", path="math.jsonl"),
        rewards=RewardsSection(functions={"math": 1.0}),
        loader=lambda: problems,
    )
    samples = read_samples(write_harness(folder, tmp_path)[1], chosen, problems)
    texts = {name: [output.text for output in outputs] for name, outputs in samples.outputs.items()}
    assert texts["math/test/4"] == ["é said 0", "é said 1"]
    assert (samples.missing, samples.passed_over) == (0, 0)


def test_harness_tasks_of_several_templates_have_names_of_their_own(folder: EvaluationFolder, tmp_path: Path) -> None:
    chat = folder.results()["results"][0]
    plain = chat | {"template": "plain", "best": False, "pass@1": 0.25, "answers": answers_file("math", "plain")}
    folder.write_rows(plain, MATH[:1])
    change(folder, results=[chat, plain])
    paths = write_harness(folder, tmp_path)
    scores = json.loads(paths[0].read_text())["results"]
    assert {name: score["exact_match,none"] for name, score in scores.items()} == {"math_chat": 0.5, "math_plain": 0.25}
    assert len(jsonl(paths[1])) == 4 and len(jsonl(paths[2])) == 1


def test_harness_arguments_of_other_subjects(folder: EvaluationFolder, tmp_path: Path) -> None:
    other = {"kind": "endpoint", "name": "qwen", "checkpoint": "http://x/v1", "base": None, "fingerprint": None}
    change(folder, subject=other, dtype=None, engine="endpoint")
    written = json.loads(write_harness(folder, tmp_path)[0].read_text())
    assert written["config"]["model_args"] == {"model": "qwen", "base_url": "http://x/v1"}


def test_harness_files_are_the_same_when_written_again(folder: EvaluationFolder, tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in write_harness(folder, tmp_path / "out")}
    assert {path: path.read_bytes() for path in write_harness(folder, tmp_path / "out")} == first


def test_a_place_that_cannot_be_written_is_refused(folder: EvaluationFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        write_harness(folder, tmp_path / "file")
    with pytest.raises(BadInput, match="model card .*README.md cannot be written"):
        write_model_card(folder, tmp_path / "nowhere" / "README.md")


def test_the_model_index_says_what_was_measured(folder: EvaluationFolder) -> None:
    index = model_index(folder, "penny-a")
    assert index == model_index(folder.results(), "penny-a")
    (entry,) = index["model-index"]
    assert entry["name"] == "penny-a"
    math, code = entry["results"]
    assert math["task"] == {"type": "text-generation", "name": "Text Generation"}
    assert math["dataset"] == {"name": "MATH", "type": "org/math", "config": "main", "split": "test", "revision": "abc"}
    (metric,) = math["metrics"]
    assert (metric["type"], metric["value"], metric["verified"]) == ("pass@1", 50.0, False)
    assert metric["args"]["num_samples"] == 2 and metric["args"]["n"] == 3
    assert code["metrics"][0]["name"] == "code pass@1 (%)"


def test_of_several_templates_the_best_is_given_and_no_folder_of_this_machine(folder: EvaluationFolder) -> None:
    results = folder.results()
    best = results["results"][0] | {"template": "plain", "pass@1": 0.75}
    best["dataset"] = best["dataset"] | {"name": "/home/somebody/sums.jsonl"}
    results["results"] = [results["results"][0] | {"best": False}, best]
    (entry,) = model_index(results, "a")["model-index"][0]["results"]
    assert (entry["metrics"][0]["value"], entry["metrics"][0]["args"]["template"]) == (75.0, "plain")
    assert entry["dataset"]["type"] == "sums.jsonl"


def test_a_new_card_can_be_read_by_the_hubs_library(folder: EvaluationFolder, tmp_path: Path) -> None:
    write_model_card(folder, tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.model_name == "a"
    assert [(e.dataset_type, e.metric_value, e.verified) for e in card.data.eval_results] == [
        ("org/math", 50.0, False),
        ("org/code", 50.0, False),
    ]
    assert card.text.strip() == "# a"


CARD = """---
license: apache-2.0
language: [en, fa]
released: 2026-01-02
custom: {key: 1}
model-index:
- name: mine
  results:
  - task: {type: text-generation}
    dataset: {name: Other, type: org/other}
    metrics: [{type: accuracy, value: 0.5}]
  - task: {type: text-generation, name: Text Generation}
    dataset: {name: old name, type: org/math, config: main, split: test, revision: older}
    metrics: [{type: pass@1, value: 1.0, name: math pass@1 (%)}]
---

# Title

Text with --- in it.

---
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_an_old_card_keeps_all_else(folder: EvaluationFolder, tmp_path: Path, line_end: str) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(CARD.replace("\n", line_end).encode())
    write_model_card(folder, path)
    once = path.read_bytes()
    text = once.decode().replace(line_end, "\n")
    assert (b"\r" in once) == (line_end == "\r\n")
    assert text.endswith("---\n\n# Title\n\nText with --- in it.\n\n---\n")
    before, after = (yaml.safe_load(part.split("---\n")[1]) for part in (CARD, text))
    assert {key: after[key] for key in after if key != "model-index"} == {
        key: before[key] for key in before if key != "model-index"
    }
    (index,) = after["model-index"]
    assert index["name"] == "mine"
    assert [(entry["dataset"]["type"], entry["metrics"][0]["value"]) for entry in index["results"]] == [
        ("org/other", 0.5),
        ("org/math", 50.0),
        ("org/code", 50.0),
    ]
    write_model_card(folder, path)
    assert path.read_bytes() == once


def test_a_card_without_metadata_gets_some(folder: EvaluationFolder, tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("# Title\n")
    write_model_card(folder, path)
    assert path.read_text().startswith("---\nmodel-index:") and path.read_text().endswith("\n---\n# Title\n")
    assert len(ModelCard.load(path).data.eval_results) == 2


@pytest.mark.parametrize(
    "text",
    [
        "---\na: [1\n---\n",
        "---\n- a\n---\n",
        "---\nmodel-index:\n- results: 5\n---\n",
        "---\nmodel-index: 5\n---\n",
        "\xff",
    ],
)
def test_a_broken_card_is_refused_and_stays(folder: EvaluationFolder, tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match="metadata of the model card .*README.md cannot be read"):
        write_model_card(folder, path)
    assert path.read_bytes() == text.encode("latin-1")
