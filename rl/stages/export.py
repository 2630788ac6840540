"""`export`, and `penny export`: a model as others want it, with a card that says what it is and what it took.

Merged safetensors load in transformers and vLLM; an adapter loads on its base; GGUF is written by llama.cpp's own
converter where it is there. Nothing is pushed unless asked.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import HfApi, ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError

from rewards.errors import BadInput
from rl.evaluate.command import Listener
from rl.evaluate.subject import Subject, find_subject, merged_weights
from rl.models import load_tokenizer
from rl.recipe_file import load_recipe
from rl.rollout.engine import NamedTensors
from rl.run.folder import RunFolder, is_run
from rl.run.ledger import Ledger, ledger_totals
from rl.run.report import duration
from rl.run.summary import interval, percent, read_summary
from rl.stages.books import PipelineFolder, StageResult, is_pipeline, open_pipeline
from rl.stages.ladder import ladder, markdown
from rl.stages.merged import write_merged
from rl.stages.schema import BASE, ExportSection, ExportStage, TracesStage

CONVERTER = "convert_hf_to_gguf.py"  # of llama.cpp


@dataclass(frozen=True)
class Facts:
    """What a card says beside the model's name.

    Attributes:
        base: the model that it was trained from.
        licence: of the base, if known.
        datasets: hub ids of what it learned from.
        body: Markdown: recipe, results, cost.
    """

    base: str
    licence: str | None = None
    datasets: Sequence[str] = ()
    body: str = ""


def export_model(
    name: str, stage: ExportStage, books: PipelineFolder, folder: Path, ledger: Ledger, listener: Listener
) -> StageResult:
    """Run an `export` stage. Raises BadInput if the model cannot be written or pushed as asked."""
    start = books.start_of(name)
    if "adapter" in stage.export.formats and (start == BASE or not (books.stage(start) / "adapter").is_dir()):
        raise BadInput(f"{name} is to export an adapter, and {start} has made none: leave it out of export.formats.")
    adapter = books.stage(start) / "adapter" if start != BASE else None
    with ledger.phase("save"):
        files = write_export(
            stage.model.name, "last", adapter, stage.export, folder / "export", facts_of(books), listener
        )
    return StageResult(stage.kind, model="export", figures={"files": files})


def facts_of(books: PipelineFolder) -> Facts:
    """What a pipeline knows for its model's card."""
    data = [
        stage.problems.name
        for stage in books.pipeline.stages.values()
        if isinstance(stage, TracesStage) and stage.problems.source == "hub" and stage.problems.name
    ]
    body = "\n".join(
        [
            books.pipeline.description,
            "",
            markdown(ladder(books)),
            "The scores are pass@1 on problems held out from training; time and dollars are those of the ledger. Made "
            "by Penny; `pipeline.yaml` beside this card has every setting.",
        ]
    )
    return Facts(books.pipeline.base.name, datasets=sorted(set(data)), body=body)


def facts_about(path: Path) -> Facts:
    """What the folder of a run or a pipeline knows for its model's card; of anything else only its name."""
    if is_pipeline(path):
        return facts_of(open_pipeline(path))
    if not is_run(path):
        return Facts(path.name)
    run = RunFolder(path)
    recipe, summary, totals = load_recipe(str(run.recipe)), read_summary(run), ledger_totals(run)
    lines = [recipe.description, "", f"Trained by Penny with GRPO by the recipe `{recipe.name}`."]
    if summary is not None:
        before, after = summary["before"], summary["after"]
        lines += [
            "",
            "| held-out problems | pass@1 before | after | time | dollars |",
            "|---|---|---|---|---|",
            f"| {after['n']} | {percent(before['pass@1'])} {interval(before)} | {percent(after['pass@1'])} "
            f"{interval(after)} | {duration(totals['total_seconds'])} | {totals['dollars']:.4f} |",
        ]
    lines += ["", "```yaml", run.recipe.read_text(encoding="utf-8").rstrip(), "```"]
    data = [recipe.problems.name] if recipe.problems.source == "hub" and recipe.problems.name else []
    return Facts(recipe.model.name, datasets=data, body="\n".join(lines))


def write_export(
    model: str,
    checkpoint: str,
    adapter: Path | None,
    section: ExportSection,
    folder: Path,
    facts: Facts,
    listener: Listener,
) -> list[str]:
    """Write a model in the formats that are asked, push it if asked, and return the names of what was written.

    Args:
        model, checkpoint: see `find_subject`.
        adapter: folder of the adapter to hand out alone, where it is not the subject's own.

    Raises:
        BadInput: no converter for GGUF, no adapter, or a hub that refuses.
    """
    subject = find_subject(model, checkpoint)
    converter = find_converter() if "gguf" in section.formats else None
    adapter = adapter or subject.adapter
    if "adapter" in section.formats and adapter is None:
        raise BadInput(f"{model} has no adapter: leave adapter out of the formats.")
    folder.mkdir(parents=True, exist_ok=True)
    merged = folder / "merged"
    if {"merged", "gguf"} & set(section.formats):
        tokenizer = load_tokenizer(subject.model.name, subject.model.revision)
        write_merged(subject.model, changed_weights(subject), tokenizer, merged, getattr(torch, section.dtype))
    if "adapter" in section.formats and adapter is not None:
        shutil.copytree(adapter, folder / "adapter", dirs_exist_ok=True)
    if converter is not None:
        convert(converter, merged, folder / "model.gguf")
    if "merged" not in section.formats and merged.exists():
        shutil.rmtree(merged)
    written = sorted(path.name for path in folder.iterdir())
    for place in (merged, folder / "adapter"):
        if place.is_dir():
            write_card(place / "README.md", model, facts)
    if section.push_to_hub:
        push(folder, section, listener)
    return written


def changed_weights(subject: Subject) -> NamedTensors:
    """The weights in which the subject differs from its base; none if it is whole."""
    return [] if subject.adapter is None else merged_weights(subject.model, subject.adapter)


def find_converter() -> Path:
    """llama.cpp's converter: on the path, or in the folder that LLAMA_CPP names. Raises BadInput if it is nowhere."""
    places = [Path(os.environ["LLAMA_CPP"]) / CONVERTER] if "LLAMA_CPP" in os.environ else []
    found = shutil.which(CONVERTER)
    for path in [*places, *([Path(found)] if found else [])]:
        if path.is_file():
            return path
    raise BadInput(
        f"GGUF is written by llama.cpp's {CONVERTER}, which is neither on the path nor in the folder LLAMA_CPP: get "
        "llama.cpp and set LLAMA_CPP to its folder, or leave gguf out of the formats."
    )


def convert(converter: Path, model: Path, file: Path) -> None:
    """Have a model written as GGUF. Raises BadInput with the converter's last line if it fails."""
    command = [sys.executable, str(converter), str(model), "--outfile", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not file.is_file():
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").split("\n")[-1]
        raise BadInput(f"{CONVERTER} failed ({last}): see whether it knows this kind of model.")


def write_card(path: Path, name: str, facts: Facts) -> None:
    """Write a model card."""
    data = ModelCardData(
        base_model=facts.base,
        license=facts.licence,
        datasets=list(facts.datasets) or None,
        library_name="transformers",
        tags=["penny", "reinforcement-learning", "reasoning"],
    )
    path.write_text(str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n# {Path(name).name}\n\n{facts.body}\n")), "utf-8")


def push(folder: Path, section: ExportSection, listener: Listener) -> None:
    """Push to the hub: the merged model at the top, or else the adapter. Raises BadInput if the hub refuses."""
    repo = str(section.push_to_hub)
    what = folder / ("merged" if (folder / "merged").is_dir() else "adapter")
    try:
        api = HfApi()
        api.create_repo(repo, private=section.private, exist_ok=True)
        url = api.upload_folder(repo_id=repo, folder_path=str(what))
    except (HfHubHTTPError, OSError, ValueError) as error:  # refused, no network, no such name
        reason = str(error).strip().split("\n")[0]
        raise BadInput(
            f"{repo} was not pushed ({reason}): run `hf auth login`, or check export.push_to_hub."
        ) from error
    listener.say(f"pushed to {url}")
