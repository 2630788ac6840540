"""An evaluation against lm-evaluation-harness, row by row: `python -m benchmarks.harness EVAL --python PATH`.

The harness runs in an environment of its own (`pip install lm_eval torch accelerate`), whose Python is given. It gets
the prompts of EVAL as they were sent, and the same weights in float32, greedy: through transformers, or with
`--endpoint` through a server that has them (on two cores minutes in place of an hour). It grades answers as its GSM8K
task does (the last number; and beside it a filter for `\\boxed{}`), programs by running HumanEval's tests. Then each
answer's text and verdict stand beside ours.
"""

import argparse
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rewards.jsonl import jsonl_rows
from rl.base import atomic
from rl.evaluation.benchmarks import find_benchmark
from rl.evaluation.folder import EvaluationFolder
from rl.models.source import resolve_model
from rl.run.evaluations import EvaluationRow

PROGRAMS = Path(__file__).with_name("harness_programs.py")
TASK = """
task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {docs}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{prompt}}}}"
doc_to_target: "{{{{gold}}}}"
generation_kwargs: {{until: {until}, do_sample: false, max_gen_toks: {max_tokens}}}
num_fewshot: 0
metadata: {{version: 1.0}}
"""
NUMBERS = """
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
    ignore_case: true
    regexes_to_ignore: [",", "\\\\$", "(?s).*#### ", "\\\\.$"]
filter_list:
  - name: flexible-extract
    filter:
      - {function: regex, group_select: -1, regex_pattern: "(-?[$0-9.,]{2,})|(-?[0-9]+)"}
      - {function: take_first}
  - name: boxed
    filter:
      - {function: regex, group_select: -1, regex_pattern: "boxed\\\\{\\\\s*\\\\$?(-?[0-9.,]+)"}
      - {function: take_first}
"""
TESTS = """
process_results: !function utils.process_results
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
"""


def main() -> None:
    """Run the harness on each benchmark of an evaluation, and print the comparison as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.harness", description=__doc__.split("\n")[0])
    parser.add_argument("evaluation", type=Path, help="folder that penny eval wrote; one greedy answer a problem")
    parser.add_argument("--python", type=Path, required=True, help="of the environment that has lm_eval")
    parser.add_argument("--endpoint", help="URL of an OpenAI-compatible server that has the model, such as vLLM's")
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-results/harness"))
    options = parser.parse_args()
    folder = EvaluationFolder.open(options.evaluation)
    stored = folder.results()
    for result in stored["results"]:
        work = options.output / f"{result['benchmark']}.{result['template']}"
        work.mkdir(parents=True, exist_ok=True)
        rows = folder.rows(result)
        model = resolve_model(stored["subject"]["checkpoint"])
        task = write_task(work, result, rows)
        theirs = run_harness([str(options.python), *model_options(model, options.endpoint)], task, result)
        text = comparison_text(result, rows, theirs)
        atomic.write_text(work / "comparison.md", text)
        print(text)


def write_task(work: Path, result: Mapping[str, Any], rows: Sequence[EvaluationRow]) -> Path:
    """The folder of a task that asks what was asked."""
    columns = {problem.id: problem.columns for problem in find_benchmark(result["benchmark"]).load()}
    programs = "entry_point" in columns[rows[0].problem_id]
    docs = [
        {"prompt": row.prompt, "gold": row.gold or "passes", "problem_id": row.problem_id}
        | (program_fields(columns[row.problem_id]) if programs else {})
        for row in rows
    ]
    file = work / "docs.jsonl"
    atomic.write_text(file, "".join(json.dumps(doc) + "\n" for doc in docs))
    until = json.dumps([*result["stop"], "<|im_end|>"])
    head = TASK.format(task=task_name(result), docs=file.resolve(), until=until, max_tokens=result["max_tokens"])
    atomic.write_text(work / "task.yaml", head.lstrip() + (TESTS if programs else NUMBERS).lstrip())
    shutil.copy(PROGRAMS, work / "utils.py")
    return work


def program_fields(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What HumanEval's tests need."""
    head = columns["prompt"]
    imports = head[: head.index(f"def {columns['entry_point']}")]  # and helpers, which some heads define
    return {"head": head, "imports": imports, "test": columns["test"], "entry_point": columns["entry_point"]}


def task_name(result: Mapping[str, Any]) -> str:
    """The harness's name of the task."""
    return f"penny_{result['benchmark']}_{result['template']}".replace("-", "_")


def model_options(model: str, endpoint: str | None) -> list[str]:
    """How the harness is started, and with which model."""
    if endpoint is None:
        return ["-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32",
                "--batch_size", "16", "--device", "cpu"]  # fmt: skip
    served = f"model={model},base_url={endpoint.rstrip('/')}/completions,tokenizer={model}"
    how = "num_concurrent=64,max_retries=3,tokenized_requests=False,timeout=1200"
    return ["-m", "lm_eval", "run", "--model", "local-completions", "--model_args", f"{served},{how}"]


def run_harness(start: Sequence[str], work: Path, result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By problem: what the harness generated (`text`), and what each of its filters made of it."""
    out = work / "out"
    shutil.rmtree(out, ignore_errors=True)
    subprocess.run(
        [
            *start, "--tasks", task_name(result), "--include_path", str(work),
            "--log_samples", "--output_path", str(out),
        ],
        check=True,
    )  # fmt: skip
    theirs: dict[str, dict[str, Any]] = {}
    for path in out.rglob("samples_*.jsonl"):
        for _, row in jsonl_rows(path):
            found = theirs.setdefault(row["doc"]["problem_id"], {"text": row["resps"][0][0], "filters": {}})
            found["filters"][row["filter"]] = {
                "answer": row["filtered_resps"][0],
                "solved": bool(row["exact_match"]),
            }
    return theirs


def comparison_text(
    result: Mapping[str, Any], rows: Sequence[EvaluationRow], theirs: Mapping[str, Mapping[str, Any]]
) -> str:
    """Counts, and every row whose verdicts differ."""
    filters = sorted({name for found in theirs.values() for name in found["filters"]})
    same = sum(same_text(row.completion, theirs[row.problem_id]["text"]) for row in rows)
    lines = [
        f"## {result['benchmark']}, template {result['template']}: {len(rows)} problems, greedy, float32",
        "",
        f"The same text: {same} of {len(rows)}. Solved here: {sum(bool(row.solved) for row in rows)}.",
        "",
        "| Filter of the harness | Solved | Same verdict | ... where the text is the same |",
        "|---|---|---|---|",
    ]
    different = []
    for name in filters:
        verdicts = [theirs[row.problem_id]["filters"][name]["solved"] for row in rows]
        agree = [bool(row.solved) == verdict for row, verdict in zip(rows, verdicts, strict=True)]
        alike = [same_text(row.completion, theirs[row.problem_id]["text"]) for row in rows]
        both = sum(a and t for a, t in zip(agree, alike, strict=True))
        lines.append(f"| {name} | {sum(verdicts)} | {sum(agree)} of {len(rows)} | {both} of {sum(alike)} |")
        different += [(name, row, t) for row, a, t in zip(rows, agree, alike, strict=True) if not a]
    lines += ["", "| Filter | Problem | Same text | Gold | Here | There |", "|---|---|---|---|---|---|"]
    for name, row, alike_text in different:
        there = theirs[row.problem_id]["filters"][name]
        here = f"{row.verdict}: {cell(row.answer)} ({cell(row.reason)})"
        said = f"{'right' if there['solved'] else 'wrong'}: {cell(str(there['answer']))}"
        alike_word = "yes" if alike_text else "no"
        lines.append(f"| {name} | {row.problem_id} | {alike_word} | {cell(row.gold)} | {here} | {said} |")
    return "\n".join(lines) + "\n"


def same_text(ours: str, theirs: str) -> bool:
    """Whether two texts differ at most in what follows a stop string and in white space at the ends."""
    return ours.strip().startswith(theirs.strip()) and len(ours.strip()) - len(theirs.strip()) < 16


def cell(text: str | None) -> str:
    """A text for one cell of a table."""
    return "none" if text is None else f"`{text[-60:]}`".replace("\n", " ").replace("|", "\\|")


if __name__ == "__main__":
    main()
