"""Calibrations are kept with what can be made again, and reused as long as nothing that they depend on has changed."""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from rl.base import atomic
from rl.base.caches import cache_folder
from rl.config.recipe import Recipe
from rl.models.source import model_fingerprint
from rl.planner.predict import Calibration, Observation
from rl.planner.rates import DecodeRates, Rates
from rl.planner.shapes import Shape
from rl.rollout.build import pick_engine
from rl.run.manifest import hardware, versions

MEASURED = ("planner", "learner", "rollout")  # packages whose code decides what is measured
SAMPLING = ("device", "dtype", "num_generations", "max_completion_length", "temperature", "stop", "weight_sync")


def calibration_path(recipe: Recipe) -> Path:
    """Where this recipe's calibration on this machine is kept: named by a hash of all that it depends on."""
    depends = {
        "model": recipe.model.model_dump(mode="json"),
        "weights": model_fingerprint(recipe.model.name, recipe.model.revision),
        "problems": recipe.problems.model_dump(mode="json"),
        "rewards": recipe.rewards.model_dump(mode="json"),
        "engine": pick_engine(recipe.rollout),
        "rollout": {name: getattr(recipe.rollout, name) for name in SAMPLING},
        "batch": [recipe.algorithm.problems_per_step, recipe.optimizer.micro_batch_tokens, recipe.optimizer.name],
        "machine": {name: value for name, value in hardware().items() if name != "memory_gib"},
        "threads": [torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")],
        "versions": versions(),
        "code": code_hash(),
    }
    digest = hashlib.sha256(json.dumps(depends, sort_keys=True, default=str).encode()).hexdigest()
    return cache_folder() / "calibrations" / f"{recipe.name}-{digest[:16]}.json"


def code_hash() -> str:
    """A hash of the code that runs in a calibration."""
    root, digest = Path(__file__).resolve().parents[1], hashlib.sha256()
    for package in MEASURED:
        for path in sorted((root / package).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Keep a calibration."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, asdict(calibration))


def read_calibration(path: Path) -> Calibration | None:
    """A calibration kept at `path`; None if there is none."""
    if not path.exists():
        return None
    tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    rates, observed = tree.pop("rates"), tree.pop("observed")
    return Calibration(
        **tree
        | {
            "shape": Shape(**tree["shape"]),
            "rates": Rates(**rates | {"decode": DecodeRates(**rates["decode"])}),
            "observed": Observation(
                **observed
                | {
                    "lengths": tuple(observed["lengths"]),
                    "ended": tuple(observed["ended"]),
                    "rewards": tuple(map(tuple, observed["rewards"])),
                }
            ),
            "assumptions": tuple(tree["assumptions"]),
        }
    )
