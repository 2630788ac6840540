"""`export`, and `penny export`: a model as others want it, with a card that says what it is and what it took.

Merged safetensors load in transformers and vLLM; an adapter loads on its base; GGUF is written by llama.cpp's own
converter where it is there. Nothing is pushed unless asked.
"""

import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from gguf import GGUFReader
from huggingface_hub import HfApi
from transformers import AutoConfig

from rewards.errors import BadInput
from rl.base.caches import as_umask_says
from rl.evaluation.command import Listener
from rl.evaluation.subject import Subject, find_subject, merged_weights
from rl.models.adapter_base import name_base
from rl.models.hub import hub_errors
from rl.models.source import load_tokenizer
from rl.pipelines.books import PipelineFolder, StageResult
from rl.pipelines.card import Facts, facts_of, license_of, named, write_card
from rl.pipelines.merged import write_merged
from rl.pipelines.schema import BASE, ExportSection, ExportStage
from rl.rollout.engine import NamedTensors
from rl.run.ledger import Ledger

CONVERTER = "convert_hf_to_gguf.py"  # of llama.cpp
ROPE_BASE = 10_000.0  # what readers take where a file says nothing


def export_model(
    name: str, stage: ExportStage, books: PipelineFolder, folder: Path, ledger: Ledger, listener: Listener
) -> StageResult:
    """Run an `export` stage. Raises BadInput if the model cannot be written or pushed as asked."""
    start = books.start_of(name)
    adapter = books.adapter_of(start) if start != BASE else None
    if "adapter" in stage.export.formats:
        if adapter is None:
            raise BadInput(f"{name} is to export an adapter, and {start} made none: leave it out of export.formats.")
        if (before := books.start_of(start)) != BASE:
            listener.say(f"the adapter of {start} fits the model of {before}, not the base; merged stands alone")
    with ledger.phase("save"):
        files = write_export(
            stage.model.name, "last", adapter, stage.export, folder / "export", facts_of(books), listener
        )
    return StageResult(stage.kind, model="export", figures={"files": files})


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
        if adapter == subject.adapter:
            name_base(folder / "adapter", subject.model)
        as_umask_says(folder)
    if converter is not None:
        convert(converter, merged, folder / "model.gguf")
        check_gguf(folder / "model.gguf", merged)
    if "merged" not in section.formats and merged.exists():
        shutil.rmtree(merged)
    written = sorted(path.name for path in folder.iterdir())
    if not facts.body:  # nothing is known of how the model came about
        facts = replace(facts, base=named(subject.model), license=license_of(subject.model))
    for place in (merged, folder / "adapter"):
        if place.is_dir():
            write_card(place / "README.md", model, facts, section.push_to_hub if place == pushed(folder) else None)
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


def check_gguf(file: Path, model: Path) -> None:
    """Remove a GGUF file that is not the model, and raise BadInput.

    Converters older than transformers 5 do not find the base of rotary positions and leave it out, and readers take
    10,000. A byte-level tokenizer with a fallback to bytes, as in the packaged SmolLM2, looks like a SentencePiece one.
    """
    fields = GGUFReader(file).fields

    def value(key: str) -> Any:
        return fields[key].contents() if key in fields else None

    rope = getattr(AutoConfig.from_pretrained(model, trust_remote_code=False), "rope_parameters", None) or {}
    base, written = rope.get("rope_theta"), value(f"{value('general.architecture')}.rope.freq_base") or ROPE_BASE
    byte_level = "ByteLevel" in (model / "tokenizer.json").read_text(encoding="utf-8")
    wrong = []
    if base is not None and not math.isclose(base, written, rel_tol=1e-6):
        wrong.append(f"its rotary base is {written:g} and the model's {base:g}: get a newer llama.cpp")
    if byte_level and value("tokenizer.ggml.model") == "llama":
        wrong.append(
            "it takes the byte-level tokenizer for a SentencePiece one: byte_fallback is set in its tokenizer.json"
        )
    if wrong:
        file.unlink()
        raise BadInput(f"{CONVERTER} wrote another model, so it was not kept: {'; '.join(wrong)}.")


def pushed(folder: Path) -> Path:
    """Return the part of an export that goes to the hub."""
    return folder / ("merged" if (folder / "merged").is_dir() else "adapter")


def push(folder: Path, section: ExportSection, listener: Listener) -> None:
    """Push to the hub: the merged model at the top, or else the adapter. Raises BadInput if the hub refuses."""
    repo = str(section.push_to_hub)
    try:
        api = HfApi()
        api.create_repo(repo, private=section.private, exist_ok=True)
        url = api.upload_folder(repo_id=repo, folder_path=str(pushed(folder)))
    except hub_errors() as error:  # refused, no network, no such name
        reason = str(error).strip().split("\n")[0]
        raise BadInput(
            f"{repo} was not pushed ({reason}): run `hf auth login`, or check export.push_to_hub."
        ) from error
    listener.say(f"pushed to {url}")
