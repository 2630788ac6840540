"""Recipes as files: find, read, override, check, write.

Everything the user can get wrong here ends as one `BadInput` sentence (`rl.config.yaml_tree`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rewards.errors import BadInput
from rl.base.nearest import nearest
from rl.config.listed import PIPELINES, RECIPES, pipeline_names, recipe_names
from rl.config.model_name import HUB_IDS
from rl.config.plug_ins import WHAT
from rl.config.recipe import Recipe
from rl.config.yaml_text import dump_yaml
from rl.config.yaml_tree import Origins, Tree, assign, check, parse_override, read_tree, shown

Kind = Literal["recipe", "pipeline"]
FOLDERS = {"recipe": RECIPES, "pipeline": PIPELINES}
SMOKE: dict[str, Tree] = {  # what every smoke run has, whatever the recipe says; its `smoke` section goes before it
    "model": {
        "name": "tiny",
        "revision": None,
        "dtype": "float32",
        "lora_r": 4,
        "lora_alpha": 8,
        "lora_target_modules": "all-linear",
        "lora_target_parameters": [],
        "train_router": False,
        "router_aux_loss_coef": 0.0,
        "gradient_checkpointing": False,
        "torch_compile": False,
        "use_liger_kernel": False,
    },
    "problems": {"decontaminate": []},
    "difficulty": {"min_pass_rate": 0.0, "max_pass_rate": 1.0, "order": "random"},
    "rewards": {"workers": 2},
    "rollout": {
        "engine": "auto",
        "server_url": None,
        "device": "auto",
        "dtype": "auto",
        "num_generations": 2,
        "max_completion_length": 16,
        "max_model_length": None,
        "enable_sleep_mode": False,
        "tensor_parallel_size": 1,
        "enforce_eager": True,
        "kv_cache_gib": 0.25,
        "schedule": [],
    },
    "algorithm": {"problems_per_step": 2, "dynamic_sampling_max_tokens": None},
    "optimizer": {"name": "adamw", "max_steps": 2, "warmup_steps": 0},
    "evaluation": {"size": 2, "every": 0, "num_samples": 1, "max_completion_length": None, "band": None},
    "run": {
        "dir": None,  # a smoke run does not take the place of the real one
        "dollars_per_hour": 0,
        "max_dollars": None,
        "max_hours": None,
        "report_to": [],
        "num_processes": 1,
        "min_gpu_memory_gib": None,
    },
}
SMOKE_PROBLEMS = 64  # of each source, at most
SMOKE_PROMPT = (768, 4096)  # `max_prompt_length` of a smoke run, whose model may need more tokens for the same text


def load_recipe(name_or_path: str, overrides: Sequence[str] = (), smoke: bool = False) -> Recipe:
    """Read a recipe, apply its smoke settings if asked, then `section.key=value` overrides, and check the whole.

    Args:
        name_or_path: `quickstart` for `recipes/quickstart.yaml`, or a path to any YAML file.
        overrides: each `section.key=value`; the value is YAML. Later ones win.
        smoke: make it two steps of a tiny model, a minute on a CPU; the recipe's own `smoke` section has the last word.

    Raises:
        BadInput: no such file, not YAML, an unknown key, or a value that is not allowed.
    """
    path = find_recipe(name_or_path)
    tree = read_tree(path)
    if "stages" in tree and "problems" not in tree:
        raise BadInput(f"{shown(path)} is a pipeline of stages, not a recipe: {command_for('pipeline', name_or_path)}.")
    origins: list[tuple[str, str]] = []
    if smoke:
        own = tree.get("smoke") or {}
        if not isinstance(own, dict) or not all(isinstance(section, dict) for section in own.values()):
            raise BadInput(f"smoke must hold sections of keys, like the recipe itself ({shown(path)}).")
        for changes in (smoke_settings(tree), own):
            for section, keys in changes.items():
                for key, value in keys.items():
                    assign(tree, f"{section}.{key}", value)
                    origins.append((f"{section}.{key}", f"{shown(path)}, smoke"))
    for override in overrides:
        dotted, value = parse_override(Recipe, override)
        assign(tree, dotted, value)
        origins.append((dotted, "command line"))
    anchor_paths(tree, path.parent)
    return check_tree(tree, shown(path), origins)


def smoke_settings(tree: Tree) -> Tree:
    """Return the changes that make any recipe two steps of a tiny model on a few of its own problems.

    `tree` is not checked yet, so it may hold anything.
    """
    settings: Tree = {section: dict(keys) for section, keys in SMOKE.items()}
    names = ("problems", "rollout", "evaluation", "distillation")
    sections = (found if isinstance(found := tree.get(name), dict) else {} for name in names)
    problems, rollout, evaluation, distillation = sections
    if rollout.get("engine") == "transformers":  # it runs everywhere, and may be wanted for a reason
        settings["rollout"]["engine"] = "transformers"
    settings["problems"] |= few(problems, otherwise=SMOKE_PROBLEMS)
    longest = problems.get("max_prompt_length")
    if isinstance(longest, int):
        settings["problems"]["max_prompt_length"] = min(max(2 * longest, SMOKE_PROMPT[0]), SMOKE_PROMPT[1])
    held_out = evaluation.get("problems")
    if isinstance(held_out, dict):
        settings["evaluation"]["problems"] = held_out | few(held_out)
    if distillation.get("teacher") is not None:
        settings["distillation"] = {"teacher": SMOKE["model"]["name"], "revision": None}
    return settings


def few(problems: Tree, otherwise: int | None = None) -> Tree:
    """Return `size` for a smoke run, where the section has one: never more than it has."""
    size = problems.get("size") or otherwise
    return {"size": min(size, SMOKE_PROBLEMS)} if isinstance(size, int) else {}


def list_recipes() -> list[Recipe]:
    """All recipes that come with Penny, by name."""
    return [load_recipe(str(path)) for path in sorted(RECIPES.glob("*.yaml"), key=lambda path: path.stem)]


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as YAML, defaults written out; `load_recipe` reads it back to an equal recipe."""
    return dump_yaml(recipe.model_dump(mode="json"))


def overridden(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with `section.key=value` changes, checked. Raises BadInput."""
    tree = recipe.model_dump(mode="json")
    for text in overrides:
        assign(tree, *parse_override(Recipe, text))
    return check_tree(tree, "command line")


def find_recipe(name_or_path: str) -> Path:
    """Find the file of a recipe given by name or path. Raises BadInput, naming what is meant, if there is none."""
    return find_file("recipe", name_or_path)


def find_file(kind: Kind, name_or_path: str, beside: Path | None = None) -> Path:
    """Find the YAML file of a recipe or a pipeline, by its path or by the name of one that comes with Penny.

    Args:
        beside: a folder in which a path is looked for after the working folder.

    Raises:
        BadInput: there is none; names what is meant.
    """
    places = [Path(name_or_path).expanduser(), *([beside / name_or_path] if beside else [])]
    for path in (*places, FOLDERS[kind] / f"{name_or_path}.yaml"):
        if path.is_file():
            return path
    raise BadInput(_why_none(kind, name_or_path))


def _why_none(kind: Kind, name: str) -> str:
    """Say why there is no recipe or pipeline of that name, and what is meant instead."""
    path, other = Path(name).expanduser(), "pipeline" if kind == "recipe" else "recipe"
    if (path / "recipe.yaml").is_file():
        return f"{name} is the folder of a run: go on with it by `penny train --resume {name}`."
    if (path / "pipeline.yaml").is_file():
        command = f"penny run {path / 'pipeline.yaml'} --dir {name}"
        return f"{name} is the folder of a pipeline's run: go on with it by `{command}`."
    if path.is_dir():
        return f"{name} is a folder: give the name or the file of a {kind}."
    names = {"recipe": recipe_names(), "pipeline": pipeline_names()}
    if name in names[other]:
        return f"{name} is a {other}, not a {kind}: {command_for(other, name)}."
    is_file = path.suffix in (".yaml", ".yml")
    if is_file and path.parent.is_dir():
        files = [file.name for file in path.parent.iterdir() if file.suffix in (".yaml", ".yml")]
        if near := nearest(path.name, files):
            return f"The {kind} file {name} does not exist; the nearest is {path.parent / near[0]}."
    if near := nearest(path.stem if is_file else path.name, names[kind], count=2):
        return f"No {kind} {name!r}, neither as a file nor by name; did you mean {' or '.join(near)}?"
    if near := nearest(path.name, names[other]):
        return f"No {kind} {name!r}; did you mean the {other} {near[0]}, as in {command_for(other, near[0])}?"
    return f"No {kind} {name!r}, neither as a file nor by name; known {kind}s: {', '.join(names[kind])}."


def command_for(kind: str, name: str) -> str:
    """Return the command that takes a recipe, or a pipeline."""
    return f"`penny {'train' if kind == 'recipe' else 'run'} {name}`"


def check_tree(tree: Tree, where: str, origins: Origins = ()) -> Recipe:
    """Check a recipe's keys and values. Raises BadInput for the first problem; unknown keys come first."""
    return check(Recipe, tree, where, origins)


def anchor_paths(tree: Tree, folder: Path) -> None:
    """Make what a recipe says of files absolute, so that a run goes on from any folder.

    A file is looked for in the working folder, and then in `folder`, which has the recipe. What is in neither is left,
    for whoever reads it to refuse. Of files of rewards only the folder is noted, as functions are known by their names.
    """

    def found(path: str) -> str | None:
        places = [base / Path(path).expanduser() for base in (Path.cwd(), folder)]
        return next((str(place.resolve()) for place in places if place.exists()), None)

    evaluation, rewards = tree.get("evaluation"), tree.get("rewards")
    held_out = evaluation.get("problems") if isinstance(evaluation, dict) else None
    for section, key in (
        *((tree.get(name), "path") for name in ("problems", "data")),
        (held_out, "path"),
        *((tree.get(name), "name") for name in ("model", "teacher")),
        (tree.get("distillation"), "teacher"),
    ):
        if isinstance(section, dict) and isinstance(value := section.get(key), str) and value not in HUB_IDS:
            section[key] = (found(value) if key == "path" or "/" in value else None) or value
    if isinstance(tree.get("benchmarks"), list):
        tree["benchmarks"] = [found(str(name)) or name if is_file(str(name)) else name for name in tree["benchmarks"]]
    if isinstance(algorithm := tree.get("algorithm"), dict):
        for key in WHAT:
            path, _, name = str(algorithm.get(key)).rpartition(":")
            if path.endswith(".py") and (place := found(path)):
                algorithm[key] = f"{place}:{name}"
    if isinstance(rewards, dict) and isinstance(rewards.get("functions"), dict):
        files = [Path(str(name).rpartition(":")[0]) for name in rewards["functions"] if ".py:" in str(name)]
        if any(not path.expanduser().is_absolute() for path in files) and rewards.get("folder") is None:
            rewards["folder"] = str(Path.cwd() if all(path.is_file() for path in files) else folder.resolve())


def is_file(name: str) -> bool:
    """Tell the path of a benchmark's file from a benchmark's name."""
    return name.endswith((".jsonl", ".yaml", ".yml"))
