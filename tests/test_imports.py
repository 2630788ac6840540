"""Data flows one way through the packages, and so do imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A room imports from itself and from the rooms before it.
ROOMS = [
    "base",
    "config",
    "models",
    "problems",
    "rollout",
    "learner",
    "run",
    "report",
    "grading",
    "evaluate",
    "training",
    "pipelines",
    "planner",
    "doctor",
    "commands",
    "cli",
]
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


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "rl").with_suffix("").parts[0]


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources("rewards"), ids=lambda path: str(path.relative_to(ROOT)))
def test_rewards_need_neither_torch_nor_the_trainer(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported_modules(path)} & NOT_FOR_REWARDS


@pytest.mark.parametrize("path", sources("rl"), ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_from_rooms_before(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    used = {name.split(".")[1] for name in imported_modules(path) if name.startswith("rl.")}
    later = sorted(used - set(ROOMS[: ROOMS.index(room) + 1]))
    assert not later, f"{path.relative_to(ROOT)} imports from {later}, which come after {room}"


def test_the_house_has_no_other_rooms() -> None:
    flat = {path.stem for path in (ROOT / "rl").glob("*.py")}
    assert flat == {"__init__", "cli"}
    assert {room_of(path) for path in sources("rl")} == {*ROOMS, "__init__"}


def test_the_installer_needs_nothing_but_python() -> None:
    used = {name.split(".")[0] for name in imported_modules(ROOT / "rl" / "base" / "install.py")}
    assert used <= sys.stdlib_module_names | {"pip"}


def test_the_command_line_starts_without_anything_heavy() -> None:
    heavy = "{'torch', 'pydantic', 'transformers', 'vllm', 'numpy', 'scipy'}"
    code = f"import sys, rl.cli; heavy = {heavy} & set(sys.modules); assert not heavy, heavy"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_folders_of_runs_and_evaluations_are_read_without_torch() -> None:
    code = "import sys, rl.evaluation.compared, rl.report.report, rl.pipelines.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
