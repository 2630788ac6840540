"""Pipelines as files: find, read, fill in, override, check, write.

A file has `name`, `stages` (by name, in order; each with its `kind`) and `defaults`: sections of keys that each stage
has, where its kind knows them, unless it sets the key itself. A stage may name a `recipe`, whose sections it takes over
before its own keys. A smoke run takes `rl.config.recipe_file.SMOKE` and `SMOKE_STAGE`, then the `smoke` section of the
stage's recipe, then the pipeline's own `smoke`, which holds `defaults` and `stages`.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import Field

from rewards.errors import BadInput
from rl.base.nearest import meant, nearest
from rl.config.recipe import Recipe, Section
from rl.config.recipe_file import (
    PIPELINES,
    RECIPES,
    SMOKE,
    anchor_paths,
    command_for,
    find_file,
    load_recipe,
    smoke_settings,
)
from rl.config.yaml_text import dump_yaml
from rl.config.yaml_tree import Tree, assign, check, parse_override, read_tree, shown
from rl.pipelines.schema import (
    BASE,
    PREVIOUS,
    SCHEMAS,
    TRAINS,
    WRITES,
    AnyStage,
    GrpoStage,
    Pipeline,
    PipelineBand,
    SftStage,
)

ODD_SECTIONS = set(Recipe.model_fields)  # what an override begins with that forgets the stage
KEYS = ("name", "description", "status", "defaults", "stages", "bands", "smoke")
SMOKE_STAGE: Tree = {  # what a stage of a smoke run has beside the sections of a recipe
    "sft": {"max_steps": 2, "gradient_accumulation_steps": 1, "warmup_steps": 0},
    "keep": {"verified": False, "truncated": True, "min_pass_rate": 0.0, "max_pass_rate": 1.0},
    "benchmarks": [],  # the held-out problems
    "export": {"push_to_hub": None},
}
# And what it has at most.
SMOKE_MOST: Tree = {"sft": {"max_length": 2048, "per_device_train_batch_size": 2}, "keep": {"limit": 8}}


class Heading(Section):
    """What a pipeline's file has beside its stages."""

    name: str
    description: str = ""
    status: str = "not yet run"
    bands: list[PipelineBand] = Field(default_factory=list)


def load_pipeline(name_or_path: str, overrides: Sequence[str] = (), smoke: bool = False) -> Pipeline:
    """Read a pipeline, fill in its defaults, apply its smoke settings if asked, then overrides, and check the whole.

    Args:
        name_or_path: `r1-mini` for `recipes/pipelines/r1-mini.yaml`, or a path to any YAML file.
        overrides: each `STAGE.section.key=value`, or `defaults.section.key=value`; the value is YAML.

    Raises:
        BadInput: no such file, not YAML, an unknown key, a value that is not allowed, or stages that do not fit.
    """
    path = find_pipeline(name_or_path)
    tree, where = read_tree(path), shown(path)
    if "stages" not in tree and "problems" in tree:
        raise BadInput(f"{where} is a recipe, not a pipeline of stages: {command_for('recipe', name_or_path)}.")
    if odd := [key for key in tree if key not in KEYS]:
        raise BadInput(f"{odd[0]}: unknown key; {meant(odd[0], KEYS, 'keys of a pipeline')} ({where})")
    if smoke:
        tree["bands"] = []
        tree["name"] = f"{tree.get('name')}-smoke"
    stages = tree.get("stages")
    if not isinstance(stages, dict) or not stages or not all(isinstance(stage, dict) for stage in stages.values()):
        raise BadInput(f"A pipeline has stages, each a name with keys, and this one has none ({where}).")
    changes = smoke_changes(tree, where) if smoke else tree
    for override in overrides:
        apply(tree, override, changes)
    heading = check(Heading, {key: tree[key] for key in Heading.model_fields if key in tree}, where)
    defaults = tree.get("defaults") or {}
    filled = {name: fill(name, stage, defaults, path, changes if smoke else None) for name, stage in stages.items()}
    pipeline = Pipeline(heading.name, filled, heading.description, heading.status, heading.bands)
    check_wiring(pipeline, where)
    return pipeline


def find_pipeline(name_or_path: str) -> Path:
    """The file of a pipeline given by name or path. Raises BadInput, naming the nearest, if there is none."""
    return find_file("pipeline", name_or_path)


def is_pipeline_file(name_or_path: str) -> bool:
    """Whether a name or path is that of a pipeline; recipes go first, as everywhere."""
    path = Path(name_or_path)
    if path.is_file():
        return "stages" in read_tree(path)
    return not (RECIPES / f"{name_or_path}.yaml").is_file() and (PIPELINES / f"{name_or_path}.yaml").is_file()


def list_pipelines() -> list[Pipeline]:
    """All pipelines that come with Penny, by name."""
    return [load_pipeline(str(path)) for path in sorted(PIPELINES.glob("*.yaml"), key=lambda path: path.stem)]


def dump_pipeline(pipeline: Pipeline) -> str:
    """The whole pipeline as YAML, everything filled in; `load_pipeline` reads it back to an equal one."""
    return dump_yaml(
        {
            "name": pipeline.name,
            "description": pipeline.description,
            "status": pipeline.status,
            "bands": [band.model_dump(mode="json") for band in pipeline.bands],
            "stages": {name: stage.model_dump(mode="json") for name, stage in pipeline.stages.items()},
        }
    )


def merge(tree: Tree, changes: Mapping[str, Any], depth: int = 3) -> None:
    """Set keys, section by section; below `depth` levels a value replaces the whole one."""
    for key, value in changes.items():
        if depth > 1 and isinstance(value, dict) and isinstance(tree.get(key), dict):
            merge(tree[key], value, depth - 1)
        else:
            tree[key] = value


def smoke_changes(tree: Tree, where: str) -> Tree:
    """Return the pipeline's own `smoke`, with `defaults` and `stages`. Raises BadInput if it is something else."""
    own = tree.get("smoke") or {}
    parts = [own.get(part) or {} for part in ("defaults", "stages")] if isinstance(own, dict) else [own]
    if not all(isinstance(part, dict) and all(isinstance(keys, dict) for keys in part.values()) for part in parts):
        raise BadInput(f"smoke must hold defaults and stages, each with sections of keys ({where}).")
    return {"defaults": parts[0], "stages": parts[1]}


def apply(tree: Tree, override: str, changed: Tree) -> None:
    """Set one `STAGE.section.key=value` in `changed`. Raises BadInput if the pipeline `tree` has no such stage."""
    stage, dot, rest = override.partition(".")
    known = ["defaults", *tree["stages"]]
    if not dot or stage not in known:
        near = nearest(stage, known)
        if dot and stage in ODD_SECTIONS:
            hint = f"for all stages write defaults.{override.partition('=')[0]}=..."
        else:
            hint = f"did you mean {near[0]}.{rest}?" if near else f"the stages are {', '.join(tree['stages'])}."
        raise BadInput(f"{override!r} names no stage: write STAGE.section.key=value, or defaults.section.key; {hint}")
    target = changed.setdefault("defaults", {}) if stage == "defaults" else changed["stages"].setdefault(stage, {})
    kind = None if stage == "defaults" else tree["stages"][stage].get("kind")
    schema = SCHEMAS.get(str(kind), SCHEMAS["grpo"])  # the kind that has the most sections
    assign(target, *parse_override(schema, rest))


def fill(name: str, tree: Tree, defaults: Mapping[str, Any], path: Path, smoke: Tree | None) -> AnyStage:
    """Build a stage from its defaults and what it takes from a recipe, checked. Raises BadInput.

    `smoke`: the pipeline's changes for a smoke run; None: it is none.
    """
    kind, where = str(tree.get("kind")), shown(path)
    if kind not in SCHEMAS:
        raise BadInput(f"stages.{name}.kind is {kind}: use one of {', '.join(SCHEMAS)} ({where}).")
    schema = SCHEMAS[kind]
    whole: Tree = {}
    recipe: Tree = {}
    if "recipe" in tree:
        file = find_file("recipe", str(tree["recipe"]), beside=path.parent)
        recipe = load_recipe(str(file)).model_dump(mode="json", exclude_unset=True)
        merge(whole, known(schema, recipe))
        whole.get("evaluation", {}).pop("band", None)  # a pipeline has a promise of its own
    merge(whole, {key: dict(keys) for key, keys in known(schema, defaults).items()}, depth=2)
    merge(whole, {key: value for key, value in tree.items() if key != "recipe"}, depth=2)
    if any("functions" in (keys.get("rewards") or {}) for keys in (defaults, tree)):
        whole.get("rewards", {}).pop("folder", None)  # it was that of the recipe's functions, which these replace
    if smoke is not None:
        of_recipe = deepcopy(recipe.get("smoke") or {})
        if of_recipe:
            anchor_paths(of_recipe, file.parent)
        for changes in (smoke_stage(whole), of_recipe, smoke["defaults"]):
            merge(whole, known(schema, changes), depth=2)
        merge(whole, smoke["stages"].get(name) or {}, depth=2)  # with keys that the kind does not know, to refuse them
    anchor_paths(whole, path.parent)
    return check(schema, whole, f"stage {name}, {where}")


def known(schema: type[AnyStage], sections: Mapping[str, Any]) -> Tree:
    """Return the sections that a kind of stage has."""
    return {key: keys for key, keys in sections.items() if key in schema.model_fields}


def smoke_stage(tree: Tree) -> Tree:
    """Return the changes that make any stage a matter of seconds, with a tiny model and on any machine."""
    settings = smoke_settings(tree) | deepcopy(SMOKE_STAGE)
    for section, most in SMOKE_MOST.items():
        own = tree.get(section)
        for key, value in most.items():
            has = own.get(key) if isinstance(own, dict) else None
            settings[section][key] = min(has, value) if isinstance(has, int) else value
    formats = tree["export"].get("formats") if isinstance(tree.get("export"), dict) else None
    if isinstance(formats, list):  # the converter of the other one reads no random model
        settings["export"]["formats"] = [name for name in formats if name != "gguf"] or ["merged"]
    teacher = tree.get("teacher")
    if isinstance(teacher, dict) and teacher.get("source") != "column":
        tiny = {"source": "model", "name": SMOKE["model"]["name"]}
        settings["teacher"] = tiny | dict.fromkeys(("revision", "url", "max_dollars", "dollars_per_million"))
    return settings


def check_wiring(pipeline: Pipeline, where: str) -> None:
    """Refuse stages that ask for what no stage before them makes."""
    models, data = [BASE], list[str]()
    for name, stage in pipeline.stages.items():
        if name in (BASE, PREVIOUS):
            raise BadInput(f"A stage cannot be called {name}: that is what model_from says ({where}).")
        if stage.model_from not in (PREVIOUS, *models):
            raise BadInput(
                f"{name}.model_from is {stage.model_from!r}, and no stage before it makes a model of that name: use "
                f"{', '.join([PREVIOUS, *models])} ({where})."
            )
        if isinstance(stage, GrpoStage) and stage.teacher_from not in (None, *models):
            raise BadInput(
                f"{name}.teacher_from is {stage.teacher_from!r}, and no stage before it makes a model of that name: "
                f"use {', '.join(models)} ({where})."
            )
        if isinstance(stage, SftStage):
            if odd := [source for source in stage.data_from if source not in data]:
                raise BadInput(f"{name}.data_from names {odd[0]!r}, and no stage before it makes that data ({where}).")
            if not data and stage.data.source == "stages":
                raise BadInput(f"{name} has nothing to learn from: put a distill stage before it, or set data.source.")
        if stage.kind == "distill" and getattr(stage, "teacher", None) is None:
            raise BadInput(f"{name}.teacher is missing: say who writes the traces ({where}).")
        if stage.kind == "reject" and getattr(stage, "teacher", None) is not None:
            raise BadInput(f"{name}.teacher: a reject stage samples from its own model; make it distill ({where}).")
        models += [name] if stage.kind in TRAINS else []
        data += [name] if stage.kind in WRITES else []
    for name in (name for band in pipeline.bands for name in (band.stage, band.over) if name not in models):
        raise BadInput(f"bands names {name!r}, and the models are {', '.join(models)} ({where}).")
