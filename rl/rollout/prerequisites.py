"""Names what a CUDA GPU needs and this machine lacks, before a model is loaded.

Triton, which vLLM and FlexAttention run on, builds a small C library around each kernel, also where nothing is
compiled by torch (`rollout.enforce_eager`). That takes a C compiler and Python's headers. Without them vLLM ends in a
traceback, and the learner computes padded rows.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import torch

from rewards.errors import BadInput
from rl.base.install import cuda_problem, driver_cuda, has_nvidia_gpu, install_command

# Small libraries, with the C library alone and with Python.
PLAIN, WITH_PYTHON = "#include <stdio.h>\n", "#include <Python.h>\n"
NONE_VISIBLE = "No CUDA GPUs are available"  # torch's words
LONGEST = 60.0  # seconds that a compiler may take for one of them


def check_prerequisites(device: str) -> None:
    """Refuse a CUDA device on a machine that lacks what Triton needs. Raises BadInput."""
    missing = missing_prerequisites() if device == "cuda" else []
    if missing:
        raise BadInput(" ".join(missing))


def missing_prerequisites() -> list[str]:
    """Return one sentence for each thing that Triton needs and this machine lacks: what, and how to get it.

    The compiler is tried out, because one that is there may lack the C library, and headers may lie anywhere.
    """
    chosen = os.environ.get("CC")  # Triton's order: CC, gcc, clang
    compiler = shutil.which("gcc") or shutil.which("clang") if chosen is None else shutil.which(chosen)
    if compiler is None:
        return [no_compiler(chosen), *([] if (include_folder() / "Python.h").is_file() else [no_headers()])]
    if compiler_says(compiler, WITH_PYTHON) is None:
        return []
    broken = compiler_says(compiler, PLAIN)
    if broken is None:
        return [no_headers()]
    return [
        f"Triton needs a C compiler, and {compiler} cannot build a library ({broken}): install it anew (Debian, "
        "Ubuntu: `apt install build-essential`), or set CC to another one."
    ]


def no_compiler(chosen: str | None) -> str:
    """Say that there is no C compiler; `chosen` is what the variable CC names."""
    found = "neither gcc nor clang is in the PATH" if chosen is None else f"CC is {chosen!r}, which is no program"
    cure = "set CC to one" if chosen is None else "set CC to its path"
    return (
        f"Triton needs a C compiler, and {found}: install one (Debian, Ubuntu: `apt install build-essential`), or "
        f"{cure}."
    )


def no_headers() -> str:
    """Say that Python's headers are missing."""
    return (
        f"Triton needs Python's headers, and {include_folder()} has no Python.h: install them (Debian, Ubuntu: "
        f"`apt install python{sys.version_info.major}.{sys.version_info.minor}-dev`)."
    )


def include_folder() -> Path:
    """Return the folder of Python's headers, as Triton finds it."""
    scheme = sysconfig.get_default_scheme()
    # Debian's own scheme names a folder below /usr/local, where its packages put no headers.
    return Path(sysconfig.get_path("include", "posix_prefix" if scheme == "posix_local" else scheme))


def compiler_says(compiler: str, source: str) -> str | None:
    """Build a library from a line of C, as Triton does. Return the compiler's first complaint; None if it works."""
    with tempfile.TemporaryDirectory(prefix="penny-cc-") as folder:
        file = Path(folder, "library.c")
        file.write_text(source)
        command = [compiler, str(file), "-shared", "-fPIC", "-o", f"{folder}/library.so", f"-I{include_folder()}"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=LONGEST)
        except (OSError, subprocess.TimeoutExpired) as error:  # no program of this machine, or one that hangs
            return str(error)
        if done.returncode == 0:
            return None
        complaints = (line for line in done.stderr.strip().splitlines() if not line.startswith("In file included"))
        return next(complaints, f"exit code {done.returncode}")


def why_no_gpu() -> str:
    """Say why torch sees no CUDA GPU, as the end of a sentence that begins with what needs one."""
    if not has_nvidia_gpu():
        return "this machine has none"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA: run {install_command('cuda')}"
    problem = cuda_problem(torch.version.cuda, driver_cuda())
    if problem is not None:
        return problem
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # whatever torch has against this GPU, in torch's own words
        said = str(error).splitlines()[0]
    else:
        return "torch lists none"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if NONE_VISIBLE in said and visible is not None:
        return f"CUDA_VISIBLE_DEVICES={visible!r} leaves none of this machine's GPUs: unset it, or name one"
    return f"torch cannot use this machine's: {said}"
