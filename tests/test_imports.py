"""Data flows one way through the packages, and so do imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A module of a layer imports from its own and from earlier ones. A package is named once for all its modules.
LAYERS = [
    ["allocator", "caches", "errors", "install", "names", "ranks", "signals", "tiny_models", "told", "yaml_text"],
    ["models"],
    ["recipe"],
    ["yaml_tree"],
    ["recipe_file"],
    ["problems"],
    ["rollout"],
    ["learner"],
    ["run"],
    ["evaluate"],
    ["batch", "curriculum", "selection"],
    ["collect", "metrics", "reflection"],
    ["session"],
    ["pipeline"],
    ["train"],
    ["launch"],
    ["engine_checks"],
    ["checks", "regrade", "resume"],
    ["stages", "trl_peer"],
    ["planner"],
    ["doctor"],
    ["serving", "shell"],
    ["grade_commands"],
    ["eval_commands", "plan_commands", "reward_commands", "serve_commands", "stage_commands"],
    ["cli"],
]
LAYER = {name: number for number, names in enumerate(LAYERS) for name in names}
NOT_FOR_REWARDS = {"torch", "rl", "transformers", "trl", "vllm", "peft", "accelerate", "datasets"}


def imported_modules(path: Path) -> set[str]:
    """Dotted names of everything that a file imports anywhere, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import: write it in full"
            assert node.module is not None
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part_of(path: Path) -> str:
    return path.relative_to(ROOT / "rl").with_suffix("").parts[0]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources("rewards"), ids=lambda path: str(path.relative_to(ROOT)))
def test_rewards_need_neither_torch_nor_the_trainer(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported_modules(path)} & NOT_FOR_REWARDS


@pytest.mark.parametrize("path", sources("rl"), ids=lambda path: str(path.relative_to(ROOT)))
def test_rl_imports_only_from_earlier_layers(path: Path) -> None:
    part = part_of(path)
    if part == "__init__":
        return
    assert part in LAYER, f"say in LAYERS of {Path(__file__).name} where rl/{part} stands"
    used = {name.split(".")[1] for name in imported_modules(path) if name.startswith("rl.")}
    later = sorted(name for name in used if LAYER[name] > LAYER[part])
    assert not later, f"{path.relative_to(ROOT)} imports {later}, which come after it"
    peers = sorted(name for name in used if LAYER[name] == LAYER[part] and name != part)
    assert not peers or part in LAYERS[0], f"{path.relative_to(ROOT)} imports {peers} of its own layer"


def test_the_installer_needs_nothing_but_python() -> None:
    used = {name.split(".")[0] for name in imported_modules(ROOT / "rl" / "install.py")}
    assert used <= sys.stdlib_module_names | {"pip"}


def test_the_command_line_starts_without_anything_heavy() -> None:
    heavy = "{'torch', 'pydantic', 'transformers', 'vllm', 'numpy', 'scipy'}"
    code = f"import sys, rl.cli; heavy = {heavy} & set(sys.modules); assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_folders_of_runs_and_evaluations_are_read_without_torch() -> None:
    code = "import sys, rl.evaluate.compared, rl.run.report, rl.stages.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
