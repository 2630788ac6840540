"""What a pipeline and its stages keep on the disk.

runs/r1-mini/
  pipeline.yaml         everything filled in
  01-worked/            a folder a stage: its ledger, what it made, and, once it is done, result.json
  ladder.json, .md      every stage's score and cost
  report.html
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any

from rewards.errors import BadInput
from rl.base import atomic
from rl.base.stored import NUMBER, Kind, damaged, read_object
from rl.pipelines.pipeline_file import dump_pipeline, load_pipeline
from rl.pipelines.schema import BASE, PREVIOUS, TRAINS, Pipeline, data_before, models_before
from rl.run.folder import RunFolder
from rl.run.ledger import ledger_totals

RESULT = "result.json"
RESULT_NEEDS: Mapping[str, Kind] = {
    "kind": str,
    "model": (str, NoneType),
    "data": (str, NoneType),
    "figures": dict,
    "seconds": NUMBER,
    "dollars": NUMBER,
    "tokens": int,
}
SETTINGS = "pipeline.yaml"
MODEL = "model"  # folders of a stage that trains
ADAPTER = "adapter"


@dataclass(frozen=True)
class StageResult:
    """What a finished stage hands on, and what it took.

    Attributes:
        model: folder of the model that it made, relative to the stage's; None: it made none.
        data: file of traces, likewise.
        figures: what its kind counts.
        seconds, dollars, tokens: of all its sessions; tokens were generated or trained on.
    """

    kind: str
    model: str | None = None
    data: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    dollars: float = 0.0
    tokens: int = 0


@dataclass(frozen=True)
class PipelineFolder:
    """The paths of one pipeline's run, and its stages in order."""

    path: Path
    pipeline: Pipeline

    @property
    def settings(self) -> Path:
        """Return the path of what the pipeline was started with."""
        return self.path / SETTINGS

    @property
    def ladder(self) -> Path:
        """Return the path of the scores, stage by stage."""
        return self.path / "ladder.json"

    def stage(self, name: str) -> Path:
        """The folder of a stage."""
        return self.path / f"{list(self.pipeline.stages).index(name) + 1:02d}-{name}"

    def result(self, name: str) -> StageResult | None:
        """What a stage came to; None if it is not done. Raises BadInput if its `result.json` is damaged."""
        file = self.stage(name) / RESULT
        if not file.exists():
            return None
        cure = f"bring it back from a copy, or do the stage again by --from {name}"
        stored = read_object(file, cure, RESULT_NEEDS)
        if unknown := stored.keys() - {item.name for item in fields(StageResult)}:
            raise damaged(file, f"it has the unknown key {min(unknown)}", cure)
        return StageResult(**stored)

    def finish(self, name: str, result: StageResult) -> StageResult:
        """Keep a stage's result, with what its ledger says it took. From here on the stage is not done again."""
        folder = self.stage(name)
        totals = ledger_totals(RunFolder(folder))
        whole = replace(
            result,
            seconds=totals["total_seconds"],
            dollars=totals["dollars"] + result.dollars,
            tokens=sum(totals["tokens"].values()),
        )
        atomic.write_json(folder / RESULT, asdict(whole))
        return whole

    def model_of(self, name: str) -> str:
        """Where the model of `base`, or that a stage has made, lies. Raises BadInput if it is not there."""
        if name == BASE:
            return self.pipeline.base.name
        result = self.result(name)
        if result is None or result.model is None or not (self.stage(name) / result.model).is_dir():
            raise BadInput(f"{self.stage(name)} holds no model: run the pipeline with --from {name}.")
        return str(self.stage(name) / result.model)

    def last_trained(self) -> str:
        """The last stage that made a model and is done. Raises BadInput if there is none."""
        done = [name for name, stage in self.pipeline.stages.items() if stage.kind in TRAINS and self.result(name)]
        if not done:
            raise BadInput(f"{self.path} has made no model yet: let `penny run` go on.")
        return done[-1]

    def adapter_of(self, name: str) -> Path | None:
        """Where the adapter lies that a stage has trained, on the model that it started from; None: it has none."""
        adapter = self.stage(name) / ADAPTER
        return adapter if adapter.is_dir() else None

    def start_of(self, name: str) -> str:
        """Whose model a stage starts from: `base` or a stage before it."""
        asked = self.pipeline.stages[name].model_from
        return models_before(self.pipeline, name)[-1] if asked == PREVIOUS else asked

    def data_of(self, name: str) -> list[Path]:
        """The traces that an `sft` stage learns from. Raises BadInput if they are not there."""
        paths = []
        for source in data_before(self.pipeline, name):
            result = self.result(source)
            if result is None or result.data is None or not (self.stage(source) / result.data).is_file():
                raise BadInput(f"{self.stage(source)} holds no traces: run the pipeline with --from {source}.")
            paths.append(self.stage(source) / result.data)
        return paths


def enter(path: Path, pipeline: Pipeline, begin: str | None = None) -> PipelineFolder:
    """The folder of a pipeline's run, new or gone on with.

    A stage that is done must have been done with the settings that it has now, and so must all before it. `begin` puts
    aside what that stage and the later ones have made, under another name, so that they are done again.

    Raises:
        BadInput: the folder holds something else, a finished stage has other settings, or there is no stage `begin`.
    """
    folder = PipelineFolder(path, pipeline)
    file = path / SETTINGS
    if begin is not None and begin not in pipeline.stages:
        raise BadInput(f"There is no stage {begin!r}: the stages are {', '.join(pipeline.stages)}.")
    if file.exists():
        _check_unchanged(folder, load_pipeline(str(file)), begin)
    elif path.exists() and any(path.iterdir()):
        raise BadInput(f"{path} holds other files but no pipeline: name another folder (--dir).")
    path.mkdir(parents=True, exist_ok=True)
    if begin is not None:
        _put_aside(folder, begin)
    atomic.write_text(file, dump_pipeline(pipeline))
    return folder


def take_over(folder: PipelineFolder, other: Path) -> list[str]:
    """Copy finished stages from another pipeline's folder: the first ones, as far as all their settings are the same.

    They count with the time and the dollars that they took there. Stages that are in the folder already are left.

    Returns:
        The names of those stages.

    Raises:
        BadInput: the other folder has no finished stage that this pipeline begins with.
    """
    source = open_pipeline(other)
    shared: list[str] = []
    for (name, stage), before in zip(folder.pipeline.stages.items(), source.pipeline.stages, strict=False):
        if before != name or source.pipeline.stages[name] != stage or source.result(name) is None:
            break
        if not folder.stage(name).exists():
            with made(folder.stage(name)) as place:
                shutil.copytree(source.stage(name), place, dirs_exist_ok=True)
        shared.append(name)
    if not shared:
        first, stage = next(iter(folder.pipeline.stages.items()))
        raise BadInput(
            f"{other} has no finished stage to take over: {folder.pipeline.name} begins with {first}, a {stage.kind} "
            "stage, and it must be the same there, with the same settings."
        )
    return shared


def open_pipeline(path: Path) -> PipelineFolder:
    """The folder of a pipeline that was run before. Raises BadInput if there is none."""
    file = path / SETTINGS
    if not file.is_file():
        raise BadInput(f"{path} holds no pipeline: give the folder that `penny run` named.")
    return PipelineFolder(path, load_pipeline(str(file)))


def is_pipeline(path: Path) -> bool:
    """Whether `path` is the folder of a pipeline's run."""
    return (path / SETTINGS).is_file()


def model_in(name: str) -> str:
    """The model that a name stands for: of a pipeline's folder the last one that it has made. Raises BadInput."""
    path = Path(name)
    if not is_pipeline(path):
        return name
    books = open_pipeline(path)
    return books.model_of(books.last_trained())


def adapter_in(name: str) -> Path | None:
    """Of a pipeline's folder, the adapter with which its last model was made, if it was; else None."""
    path = Path(name)
    if not is_pipeline(path):
        return None
    books = open_pipeline(path)
    return books.adapter_of(books.last_trained())


def _check_unchanged(folder: PipelineFolder, old: Pipeline, begin: str | None) -> None:
    """Refuse to go on from stages that were done otherwise than they would be now."""
    for number, (name, stage) in enumerate(folder.pipeline.stages.items()):
        if name == begin:
            return
        names = list(old.stages)
        if number >= len(names) or not (folder.path / f"{number + 1:02d}-{names[number]}" / RESULT).exists():
            return
        if names[number] != name or old.stages[name] != stage:
            what = _first_difference(old.stages[name], stage) if names[number] == name else "another name"
            raise BadInput(
                f"{folder.path} has done the stage {names[number]} with {what}: run with --from {name} to do it and "
                "all after it again, or name another folder (--dir)."
            )


def _first_difference(old: Any, new: Any) -> str:
    was, now = old.model_dump(mode="json"), new.model_dump(mode="json")
    section = next((key for key in now if was.get(key) != now[key]), "kind")
    if not isinstance(now[section], dict) or not isinstance(was.get(section), dict):
        return f"{section} = {was.get(section)!r}, not {now[section]!r}"
    key = next(key for key in now[section] if was[section].get(key) != now[section][key])
    return f"{section}.{key} = {was[section].get(key)!r}, not {now[section][key]!r}"


def _put_aside(folder: PipelineFolder, begin: str) -> None:
    names = list(folder.pipeline.stages)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    for number in range(names.index(begin) + 1, len(names) + 1):
        for stage in folder.path.glob(f"{number:02d}-*"):
            stage.rename(folder.path / f"before-{stamp}-{stage.name}")


@contextmanager
def made(path: Path) -> Iterator[Path]:
    """A folder that is written whole or not at all; what a killed attempt left is taken away first."""
    atomic.remove_leftovers(path.parent)
    with atomic.folder(path) as temporary:
        yield temporary
