"""Ways to run an evaluation in tests, and an adapter to run it on."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import peft
import torch

from rl.evaluation import command
from rl.evaluation.command import EvaluationRequest
from rl.evaluation.folder import EvaluationFolder
from rl.evaluation.units import Protocol
from rl.models.source import load_model
from rl.run.evaluations import EvaluationRow


def make_adapter(model: Path, folder: Path, **options: Any) -> Path:
    """A LoRA adapter whose B is not zero, so that it changes what the model says."""
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(load_model(str(model)), config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(str(folder))
    return folder


PROTOCOL = {field.name for field in fields(Protocol)}


def evaluate(model: Path | str | None, benchmark: Path | str, **options: Any) -> dict[str, Any]:
    """What `results.json` holds, with the one result's fields at the top; nothing is cached unless asked."""
    protocol = Protocol(**{name: value for name, value in options.items() if name in PROTOCOL})
    asked = {name: value for name, value in options.items() if name not in PROTOCOL}
    asked = {"engine": "transformers", "use_cache": False, **asked}
    named = None if model is None else str(model)
    request = EvaluationRequest(benchmarks=[str(benchmark)], model=named, protocol=protocol, **asked)
    _, results = command.evaluate(request)
    return {**results, **results["results"][0]}


def rows_of(output: Path) -> list[EvaluationRow]:
    folder = EvaluationFolder.open(output)
    return [row for result in folder.results()["results"] for row in folder.rows(result)]


def said(model: Path | str, benchmark: Path, output: Path) -> list[list[int]]:
    """Greedy answers of a model, as tokens."""
    evaluate(model, benchmark, output=output)
    return [list(row.token_ids) for row in rows_of(output)]
