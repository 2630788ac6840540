"""Evaluations for other tools: lm-evaluation-harness's files, and the `model-index` of a model card.

The harness's layout is that of its version 0.4.13: in a folder named after the model `results_<time>.json`, and
`samples_<task>_<time>.jsonl` with one row a problem. A task is a benchmark, with the template's name behind it where
there are several. Scores are shares there: `exact_match` where answers can vote (mathematics), else `pass@1`, then
`pass@k` and `maj@k`; of mathematics also under its filters `strict-match` and `flexible-extract`. What it notes of its
own code (`git_hash`, `lm_eval_version`) is null, as it did not run.

In a model card pass@1 is in percent. The Hub takes any number; its specification and most cards of recent models use
percent. Of several templates the best one is given.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index

from rewards.errors import BadInput
from rl.base import atomic
from rl.evaluation.folder import EvaluationFolder
from rl.run.evaluations import EvaluationRow

Json = dict[str, Any]

FILTERS = {"strict": "strict-match", "flexible": "flexible-extract"}  # the harness's names


@dataclass(frozen=True)
class Task:
    """One benchmark under one template, as the harness sees it."""

    name: str
    result: Mapping[str, Any]
    rows_by_problem: Mapping[str, Sequence[EvaluationRow]]
    metric: str

    @property
    def generation(self) -> Json:
        """How answers were drawn, in the harness's words."""
        return {
            "until": self.result["stop"],
            "max_gen_toks": self.result["max_tokens"],
            "do_sample": None if self.result["temperature"] is None else self.result["temperature"] > 0,
            **{name: self.result[name] for name in ("temperature", "top_p", "top_k", "min_p")},
        }


def write_harness(folder: EvaluationFolder, target: Path) -> list[Path]:
    """Write an evaluation in lm-evaluation-harness's layout below `target`, and return the files, results first.

    The names of the files come from the time of the evaluation, so a second call writes the same ones.

    Raises:
        BadInput: `target` cannot be written.
    """
    stored = folder.results()
    time = datetime.fromisoformat(stored["created"]).replace(tzinfo=None).isoformat(timespec="microseconds")
    place = target / _harness_name(str(stored["subject"]["name"]))
    tasks = _tasks(folder, stored["results"])
    samples = {
        task.name: [_sample(task, number, id) for number, id in enumerate(task.rows_by_problem)] for task in tasks
    }
    files = {place / f"results_{time.replace(':', '-')}.json": [harness_results(stored, tasks, samples)]}
    for task in tasks:
        name = re.sub(r"[^\w.-]+", "-", task.name)
        files[place / f"samples_{name}_{time.replace(':', '-')}.jsonl"] = samples[task.name]
    try:
        place.mkdir(parents=True, exist_ok=True)
        for path, rows in files.items():
            indent = 2 if path.suffix == ".json" else None
            atomic.write_text(path, "".join(atomic.to_json(row, indent) + "\n" for row in rows))
    except OSError as error:
        raise BadInput(f"{place} cannot be written ({error.strerror}): name another folder.") from error
    return list(files)


def harness_results(stored: Mapping[str, Any], tasks: Sequence[Task], samples: Mapping[str, Sequence[Json]]) -> Json:
    """What the harness's `results_<time>.json` holds."""
    subject, versions = stored["subject"], stored["versions"]
    seed = tasks[0].result["seed"] if tasks else None
    hashes = ("doc_hash", "prompt_hash", "target_hash")
    return {
        "results": {task.name: _scores(task) for task in tasks},
        "group_subtasks": {task.name: [] for task in tasks},
        "configs": {task.name: _configuration(task) for task in tasks},
        "versions": {task.name: stored["penny"] for task in tasks},
        "n-shot": {task.name: task.result.get("shots") for task in tasks},
        "higher_is_better": {task.name: {task.metric: True} for task in tasks},
        "n-samples": {
            task.name: {"original": task.result["problems"], "effective": task.result["n"]} for task in tasks
        },
        "config": {
            "model": stored["engine"],
            "model_args": _model_arguments(stored),
            "model_dtype": stored["dtype"],
            "model_sha": subject["fingerprint"] or "",
            "batch_size": None,
            "batch_sizes": [],
            "device": None,
            "use_cache": None,
            "limit": None,
            "bootstrap_iters": None,
            "gen_kwargs": None,
            **{f"{name}_seed": seed for name in ("random", "numpy", "torch", "fewshot")},
        },
        "git_hash": None,
        "date": datetime.fromisoformat(stored["created"]).timestamp(),
        "pretty_env_info": json.dumps({"hardware": stored["hardware"], "versions": versions}),
        "transformers_version": versions.get("transformers"),
        "lm_eval_version": None,
        "upper_git_hash": None,
        "task_hashes": {
            name: _hash("".join(row[key] for row in rows for key in hashes)) for name, rows in samples.items()
        },
        "model_source": stored["engine"],
        "model_name": subject["name"],
        "model_name_sanitized": _harness_name(str(subject["name"])),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": None,
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": str(stored["cost"]["seconds"]),
    }


def _model_arguments(stored: Mapping[str, Any]) -> Json:
    subject = stored["subject"]
    if subject["kind"] == "endpoint":
        return {"model": subject["name"], "base_url": subject["checkpoint"]}
    adapter = {"peft": subject["checkpoint"]} if subject["base"] else {}
    return {"pretrained": subject["base"] or subject["checkpoint"], **adapter, "dtype": stored["dtype"]}


def _tasks(folder: EvaluationFolder, results: Sequence[Mapping[str, Any]]) -> list[Task]:
    benchmarks = [result["benchmark"] for result in results]
    tasks = []
    for result in results:
        groups: dict[str, list[EvaluationRow]] = {}
        for row in folder.rows(result):
            groups.setdefault(row.problem_id, []).append(row)
        alone = benchmarks.count(result["benchmark"]) == 1
        votes = any(row.answer_class is not None for rows in groups.values() for row in rows)
        name = result["benchmark"] if alone else f"{result['benchmark']}_{result['template']}"
        tasks.append(Task(name, result, groups, "exact_match" if votes else "pass@1"))
    return tasks


def _scores(task: Task) -> Json:
    result = task.result
    stderr = "N/A" if result["stderr"] is None else result["stderr"]
    more = {f"pass@{k},none": value for k, value in result["pass@k"].items() if k != "1"}
    more |= {
        f"{task.metric},{name}": result[f"pass@1_{extraction}"]
        for extraction, name in FILTERS.items()
        if f"pass@1_{extraction}" in result
    }
    more |= {f"maj@{k},none": value for k, value in (result["maj@k"] or {}).items() if k != "1"}
    return {
        "name": task.name,
        "alias": task.name,
        "sample_len": result["n"],
        f"{task.metric},none": result["pass@1"],
        f"{task.metric}_stderr,none": stderr,
        **more,
    }


def _configuration(task: Task) -> Json:
    dataset = task.result["dataset"]
    return {
        "task": task.name,
        "dataset_path": dataset["name"],
        "dataset_name": dataset["config"],
        "dataset_kwargs": {"revision": dataset["revision"]},
        "test_split": dataset["split"],
        "description": task.result["description"],
        "metric_list": [{"metric": task.metric, "aggregation": "mean", "higher_is_better": True}],
        "output_type": "generate_until",
        "generation_kwargs": task.generation,
        "repeats": task.result["num_samples"],
        "num_fewshot": task.result.get("shots"),
        "metadata": {"template": task.result["template"], "problems_sha256": dataset["sha256"]},
    }


def _sample(task: Task, place: int, problem_id: str) -> Json:
    """One problem as the harness logs it: its answers are `resps`, and its score the share of them that solve it."""
    rows = task.rows_by_problem[problem_id]
    said = [row.completion for row in rows]
    graded = [row.solved for row in rows if row.solved is not None]
    end = re.search("/([0-9]+)$", problem_id)
    first = rows[0]
    document = {"problem_id": problem_id, "prompt": first.prompt, "answer": first.gold}
    return {
        "doc_id": int(end.group(1)) if end else place,
        "doc": document,
        "target": first.gold,
        "arguments": {"gen_args_0": {"arg_0": first.prompt, "arg_1": task.generation}},
        "resps": [said],
        "filtered_resps": said if len(said) == 1 else [said],
        "filter": "none",
        "metrics": [task.metric] if graded else [],
        "doc_hash": _hash(json.dumps(document, indent=2, ensure_ascii=False)),
        "prompt_hash": _hash(first.prompt),
        "target_hash": _hash(first.gold),
        **({task.metric: sum(graded) / len(graded)} if graded else {}),
    }


def _harness_name(model: str) -> str:
    """A model's name as the harness writes it in paths."""
    return re.sub(r'["<>:/|\\?*\[\]]+', "__", model)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def model_index(evaluation: EvaluationFolder | Mapping[str, Any], model_name: str) -> Json:
    """An evaluation, or what its `results.json` holds, as the `model-index` of a model card, and nothing else."""
    results = evaluation.results() if isinstance(evaluation, EvaluationFolder) else evaluation
    return {"model-index": eval_results_to_model_index(model_name, _eval_results(results))}


def write_model_card(folder: EvaluationFolder, card: Path) -> None:
    """Put an evaluation into the `model-index` of a model card; all else in the card stays.

    Entries of the same benchmarks are replaced. A card that is not there is begun.

    Raises:
        BadInput: the card's metadata cannot be read, or it cannot be written.
    """
    results = folder.results()
    if card.is_dir():
        card = card / "README.md"
    name = Path(str(results["subject"]["name"])).name
    try:
        text = card.read_bytes().decode("utf-8") if card.exists() else f"\n# {name}\n"  # bytes: line ends stay
        parsed = ModelCard(text if text.lstrip().startswith("---") else f"---\n{{}}\n---\n{text}")
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadInput(f"The metadata of the model card {card} cannot be read ({reason}): mend its YAML.") from error
    data: Any = parsed.data  # the library's own type says less than a model's card has
    fresh = _eval_results(results)
    replaced = {_same_entry(entry) for entry in fresh}
    data.eval_results = [*(entry for entry in data.eval_results or [] if _same_entry(entry) not in replaced), *fresh]
    data.model_name = data.model_name or name
    try:
        atomic.write_text(card, str(parsed))
    except OSError as error:
        raise BadInput(f"The model card {card} cannot be written ({error.strerror}): name another file.") from error


def _eval_results(results: Mapping[str, Any]) -> list[EvalResult]:
    """The best template of each benchmark, one entry each."""
    return [_eval_result(result) for result in results["results"] if result["best"]]


def _eval_result(result: Mapping[str, Any]) -> EvalResult:
    dataset = result["dataset"]
    hub_id = re.fullmatch(r"[\w.-]+/[\w.-]+", dataset["name"]) and not dataset["name"].endswith(".jsonl")
    how = ("n", "problems", "num_samples", "temperature", "top_p", "max_tokens", "template")
    known = {name: result[name] for name in how if result[name] is not None}
    return EvalResult(
        task_type="text-generation",
        task_name="Text Generation",
        dataset_type=dataset["name"] if hub_id else Path(dataset["name"]).name,  # folders of this machine stay here
        dataset_name=result["description"].partition(":")[0] or result["benchmark"],
        dataset_config=dataset["config"],
        dataset_split=dataset["split"],
        dataset_revision=dataset["revision"],
        metric_type="pass@1",
        metric_name=f"{result['benchmark']} pass@1 (%)",  # one set may serve several benchmarks
        metric_value=round(100 * result["pass@1"], 2),
        metric_args={
            "ci95": [round(100 * end, 2) for end in result["ci95"]],
            **known,
            **_by_extraction(result),
            **_missing(result),
        },
        verified=False,
    )


def _missing(result: Mapping[str, Any]) -> Json:
    """What a card must say of a score that is not of all problems."""
    if not result.get("missing"):
        return {}
    return {"missing": result["missing"], "pass@1_all": round(100 * result["pass@1_all"], 2)}


def _by_extraction(result: Mapping[str, Any]) -> Json:
    """How answers were read for the score, and the score under each way, in percent; empty where there is only one."""
    scores = {name: round(100 * result[name], 2) for name in ("pass@1_strict", "pass@1_flexible") if name in result}
    return {"extraction": result["extraction"], **scores} if scores else {}


def _same_entry(entry: EvalResult) -> tuple[str | None, ...]:
    return entry.dataset_type, entry.dataset_config, entry.dataset_split, entry.metric_type, entry.metric_name
