"""The card of a model that is handed on: what it is, what it learned from, under which licences, and what it took."""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData
from huggingface_hub.errors import HfHubHTTPError
from yaml import YAMLError

from rl.config.model_name import HUB_IDS
from rl.config.recipe import ModelSection
from rl.config.recipe_file import load_recipe
from rl.models.adapter_base import ADAPTER_CONFIG, base_of, hub_id
from rl.models.hub import why_hub_is_silent
from rl.models.source import ALIASES, load_tokenizer
from rl.pipelines.books import PipelineFolder, is_pipeline, open_pipeline
from rl.pipelines.ladder import ladder, markdown
from rl.pipelines.manner import Manner, manner_in, manner_of_pipeline
from rl.pipelines.schema import GrpoStage, SftStage, TeacherSection, TracesStage
from rl.pipelines.usage import HERE, example_of, usage_of_adapter, usage_of_model
from rl.report.report import duration
from rl.run.folder import RunFolder, is_run
from rl.run.ledger import ledger_totals
from rl.run.summary import interval, percent, read_summary

COPY = "penny.yaml"  # of the settings; under their own name the folder would look like that of a run
LICENSE_OF_ALIASES = {"smollm2": "apache-2.0"}  # as its own card has it
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
TAGS = ["penny", "reinforcement-learning", "reasoning"]


@dataclass(frozen=True)
class Facts:
    """What a card says beside the model's name.

    Attributes:
        base: the model that it was trained from: its hub id if it has one.
        license: of the base, if known.
        datasets: licences, if known, of what it learned from, by hub id.
        body: Markdown: what it was trained for, results, cost.
        settings: a file to lay beside the card, as `COPY`.
        manner: how the model was asked.
    """

    base: str
    license: str | None = None
    datasets: Mapping[str, str | None] = field(default_factory=dict)
    body: str = ""
    settings: Path | None = None
    manner: Manner | None = None


def facts_of(books: PipelineFolder) -> Facts:
    """What a pipeline knows for its model's card."""
    datasets: dict[str, str | None] = {}
    lines = [books.pipeline.description, "", markdown(ladder(books))]
    for name, stage in books.pipeline.stages.items():
        teacher = stage.teacher if isinstance(stage, TracesStage) else None
        if teacher is not None:
            lines.append(f"- traces of `{name}`: {teacher_text(teacher)}, {license_text(teacher.license)}")
        if isinstance(stage, TracesStage | GrpoStage) and stage.problems.source == "hub" and stage.problems.name:
            own = teacher.license if teacher is not None and teacher.source == "column" else None
            datasets[stage.problems.name] = datasets.get(stage.problems.name) or own
        if isinstance(stage, SftStage) and stage.data.source == "hub" and stage.data.name:
            datasets[stage.data.name] = stage.data.license
    lines += [
        "",
        "The scores are pass@1 on problems held out from training; time and dollars are those of the ledger. Made "
        f"by Penny; `{COPY}` beside this card has every setting.",
    ]
    base = books.pipeline.base
    manner = manner_of_pipeline(books)
    return Facts(named(base), license_of(base), datasets, "\n".join(lines), books.settings, manner)


def teacher_text(teacher: TeacherSection) -> str:
    """Who wrote traces, in words."""
    return "the rows of the problems" if teacher.source == "column" else f"`{teacher.name}` ({teacher.source})"


def facts_about(path: Path) -> Facts:
    """What the folder of a run or a pipeline knows for its model's card; of anything else only its name."""
    if is_pipeline(path):
        return facts_of(open_pipeline(path))
    if not is_run(path):
        return Facts(path.name)
    run = RunFolder(path)
    recipe, summary, totals = load_recipe(str(run.recipe)), read_summary(run), ledger_totals(run)
    lines = [recipe.description, "", f"Trained by Penny with GRPO; `{COPY}` beside this card is the recipe."]
    if summary is not None:
        before, after = summary["before"], summary["after"]
        lines += [
            "",
            "| held-out problems | pass@1 before | after | time | dollars |",
            "|---|---|---|---|---|",
            f"| {after['n']} | {percent(before['pass@1'])} {interval(before)} | {percent(after['pass@1'])} "
            f"{interval(after)} | {duration(totals['total_seconds'])} | {totals['dollars']:.4f} |",
        ]
    hub = recipe.problems.source == "hub" and recipe.problems.name
    datasets = {hub: None} if hub else {}
    manner = manner_in(recipe, str(path))
    return Facts(named(recipe.model), license_of(recipe.model), datasets, "\n".join(lines), run.recipe, manner)


def named(section: ModelSection) -> str:
    """Return what others call a model: its hub id, or else the name that it has here."""
    return hub_id(section) or section.name


def license_of(model: ModelSection) -> str | None:
    """What a model's own card says of its licence; None where it has no card, or the hub cannot be reached."""
    if model.name in ALIASES:
        return LICENSE_OF_ALIASES.get(model.name)
    folder = Path(model.name).expanduser()
    if not folder.is_dir():
        why_hub_is_silent()  # if it is, no request is tried again and again
    try:
        card = ModelCard.load(folder / "README.md" if folder.is_dir() else model.name)
    except (OSError, ValueError, HfHubHTTPError, YAMLError):  # no card, no network, or a head that is no YAML
        return None
    found = card.data.license
    return found if isinstance(found, str) else None


def license_text(license: str | None) -> str:
    """A licence in words."""
    return f"licence {license}" if license else "licence not stated"


def write_card(path: Path, name: str, facts: Facts, repo: str | None = None) -> None:
    """Write the card of a model, or of an adapter, into its folder, and lay the settings beside it.

    Args:
        path: the card's, in the folder that the model is in already.
        repo: hub id that the folder is pushed to.
    """
    folder, is_adapter = path.parent, (path.parent / ADAPTER_CONFIG).is_file()
    data = ModelCardData(
        base_model=facts.base if HUB_ID.fullmatch(facts.base) and facts.base not in HUB_IDS else None,
        base_model_relation="adapter" if is_adapter else "finetune",
        license=facts.license,
        datasets=list(facts.datasets) or None,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=TAGS,
    )
    sources = [f"- base `{facts.base}`: {license_text(facts.license)}"]
    sources += [f"- data `{dataset}`: {license_text(license)}" for dataset, license in facts.datasets.items()]
    usage = usage_text(folder, is_adapter, facts, repo or HERE)
    parts = ["---", data.to_yaml(), "---", "", f"# {Path(name).name}", "", facts.body, "", usage, "", *sources, ""]
    path.write_text(str(ModelCard("\n".join(parts))), "utf-8")
    if facts.settings is not None:
        shutil.copy(facts.settings, path.with_name(COPY))


def usage_text(folder: Path, is_adapter: bool, facts: Facts, where: str) -> str:
    """Write how the model in a folder is used; nothing if there is none."""
    if is_adapter:
        config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        section = base_of(folder, config)
        has_chat = section is not None and bool(load_tokenizer(section.name, section.revision).chat_template)
        return usage_of_adapter(where, folder, example_of(facts.manner, has_chat))
    if not (folder / "config.json").is_file():
        return ""
    has_chat = bool(load_tokenizer(str(folder)).chat_template)
    return usage_of_model(where, example_of(facts.manner, has_chat))
