"""What a CUDA GPU needs: compilers, drivers and GPUs are faked by programs in a folder of their own."""

import sys
from pathlib import Path

import pytest
import torch

from rewards.errors import BadInput
from rl.rollout import prerequisites
from rl.rollout.prerequisites import NONE_VISIBLE, check_prerequisites, missing_prerequisites, why_no_gpu
from tests.training.test_checks import make

WORKS = "exit 0"
NO_HEADERS = 'if /bin/grep -q Python.h "$1"; then echo "library.c:1:10: fatal error: Python.h" >&2; exit 1; fi'
BROKEN = "echo 'ld: cannot find crti.o' >&2; exit 1"
DEV = f"python3.{sys.version_info.minor}-dev"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder in the PATH; Python's headers are in another one."""
    folder, headers = tmp_path / "bin", tmp_path / "include"
    folder.mkdir()
    headers.mkdir()
    (headers / "Python.h").touch()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(prerequisites, "include_folder", lambda: headers)
    return folder


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_no_compiler_is_named_with_the_way_to_get_one(programs: Path) -> None:
    (missing,) = missing_prerequisites()
    assert "neither gcc nor clang is in the PATH" in missing and "apt install build-essential" in missing
    (prerequisites.include_folder() / "Python.h").unlink()
    assert [DEV in sentence for sentence in missing_prerequisites()] == [False, True]  # both at once


@pytest.mark.parametrize("name", ["gcc", "clang"])
def test_a_compiler_that_works_is_enough(programs: Path, name: str) -> None:
    program(programs / name, WORKS)
    assert missing_prerequisites() == []


def test_missing_headers_are_not_the_compilers_fault(programs: Path) -> None:
    program(programs / "gcc", NO_HEADERS)
    (missing,) = missing_prerequisites()
    assert "has no Python.h" in missing and f"apt install {DEV}" in missing
    assert str(prerequisites.include_folder()) in missing


def test_a_compiler_without_its_library_is_named(programs: Path) -> None:
    program(programs / "gcc", BROKEN)
    program(programs / "clang", WORKS)  # Triton takes gcc where there is one
    (missing,) = missing_prerequisites()
    assert f"{programs}/gcc cannot build a library (ld: cannot find crti.o)" in missing


def test_cc_comes_before_all_others(programs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(programs / "gcc", BROKEN)
    program(tmp_path / "my-cc", WORKS)
    monkeypatch.setenv("CC", str(tmp_path / "my-cc"))
    assert missing_prerequisites() == []
    program(programs / "gcc", WORKS)
    for name in ("icc", "ccache gcc", ""):
        monkeypatch.setenv("CC", name)
        (missing,) = missing_prerequisites()
        assert f"CC is {name!r}, which is no program" in missing


def test_a_program_for_another_machine_is_no_compiler(programs: Path) -> None:
    (programs / "gcc").write_bytes(b"\x7fELF")
    (programs / "gcc").chmod(0o755)
    (missing,) = missing_prerequisites()
    assert "Exec format error" in missing


def test_only_a_gpu_needs_them(programs: Path) -> None:
    check_prerequisites("cpu")
    with pytest.raises(BadInput, match="^Triton needs a C compiler"):
        check_prerequisites("cuda")


def test_a_recipe_for_a_gpu_is_refused_before_anything_loads(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rl.training import engine_checks

    monkeypatch.setattr(engine_checks, "gpu_memory_gib", lambda: [80.0])
    for engine in ("vllm", "transformers"):  # the learner needs them, too
        with pytest.raises(BadInput, match="Triton needs a C compiler"):
            engine_checks.check_engine(make("tiny", "rollout.device=cuda", f"rollout.engine={engine}"))


@pytest.mark.parametrize(
    ("cuda", "driver", "visible", "torch_says", "said"),
    [
        (None, "13.0", None, "", "is built without CUDA: run `make install ENGINE=cuda`"),
        ("13.0", "12.4", None, "", "the NVIDIA driver is too old, for it runs CUDA 12.4, and torch needs CUDA 13.0"),
        ("13.0", "13.0", "", NONE_VISIBLE, "CUDA_VISIBLE_DEVICES='' leaves none"),
        ("13.0", "13.0", "7", NONE_VISIBLE, "CUDA_VISIBLE_DEVICES='7' leaves none"),
        ("13.0", "13.0", None, "CUDA unknown error", "torch cannot use this machine's: CUDA unknown error"),
        ("13.0", "13.0", "0", "CUDA unknown error", "torch cannot use this machine's: CUDA unknown error"),
        ("13.0", "13.0", None, NONE_VISIBLE, "torch cannot use this machine's: No CUDA GPUs"),
    ],
)
def test_a_gpu_that_torch_does_not_see_is_explained(
    programs: Path,
    monkeypatch: pytest.MonkeyPatch,
    cuda: str | None,
    driver: str,
    visible: str | None,
    torch_says: str,
    said: str,
) -> None:
    def refuse() -> None:
        raise RuntimeError(f"{torch_says}\nand more")

    program(programs / "nvidia-smi", f'[ "$1" = -L ] && echo "GPU 0: NVIDIA L4" || echo "| CUDA Version: {driver} |"')
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "init", refuse)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert said in why_no_gpu()
    (programs / "nvidia-smi").unlink()
    assert why_no_gpu() == "this machine has none"


@pytest.mark.skipif(not Path("/usr/bin/gcc").is_file(), reason="no gcc here")
def test_the_real_compiler_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "/usr/bin/gcc")
    assert prerequisites.compiler_says("/usr/bin/gcc", prerequisites.PLAIN) is None
    (tmp_path / "Python.h").write_text('#error "a header of this test"\n')
    monkeypatch.setattr(prerequisites, "include_folder", lambda: tmp_path)
    assert "a header of this test" in (prerequisites.compiler_says("/usr/bin/gcc", prerequisites.WITH_PYTHON) or "")
