"""A newcomer's first commands show Penny's own lines and nothing of what libraries say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = [  # what a smoke run says until its first step, in order
    r"run folder: runs/quickstart-.*",
    r"precision: learner .*, engine .*",
    r"starting vLLM's CPU build, usually 20 to 45 s",
    r"loading .* to learn, on cpu",
    r"step 0: pass@1 .*",
    r"step 1/2  reward .*",
]
LIBRARIES = "loading libraries, usually 10 s\n"


def command(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a module as a newcomer does: nothing is set that would quiet a library."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "PENNY_VERBOSE"))}
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        env=kept | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        timeout=600,
    )


@pytest.mark.slow
@pytest.mark.vllm
def test_a_smoke_run_says_nothing_but_its_own_lines(tmp_path: Path) -> None:
    done = command(tmp_path, "rl.cli", "train", "quickstart", "--smoke", "rollout.engine=vllm")
    assert (done.returncode, done.stderr) == (0, LIBRARIES)
    first = done.stdout.splitlines()[: len(OWN)]
    assert [bool(re.fullmatch(own, line)) for own, line in zip(OWN, first, strict=True)] == [True] * len(OWN), first
    log = next(tmp_path.glob("runs/*/libraries.log")).read_text()
    assert "vllm" in log.lower()  # what the libraries said is kept


@pytest.mark.slow
@pytest.mark.vllm
def test_an_evaluation_says_nothing_but_its_own_lines(tmp_path: Path) -> None:
    arguments = ("--model", "tiny", "--benchmark", "countdown", "--limit", "1", "--engine", "vllm", "--no-cache")
    done = command(tmp_path, "rl.cli", "eval", *arguments)
    told = [line for line in done.stderr.splitlines() if not re.fullmatch(r"\d+ of \d+ answers, \d+ tokens", line)]
    assert told == [LIBRARIES.strip(), "starting vLLM's CPU build, usually 20 to 45 s"]


@pytest.mark.slow
@pytest.mark.parametrize("part", ["shared", "versus_trl"])
def test_the_help_of_a_benchmark_is_all_that_it_says(part: str) -> None:
    done = command(ROOT, f"benchmarks.{part}", "--help")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("usage:")


@pytest.mark.slow
@pytest.mark.vllm
def test_a_benchmark_measures_in_silence(tmp_path: Path) -> None:
    code = (
        "from benchmarks.given import sample_rollouts; from benchmarks.part import fresh; "
        "fresh(sample_rollouts, model='tiny', engine='vllm', prompts=1, samples=1, prompt_tokens=8, max_tokens=2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=600)
    assert done.returncode == 0 and done.stdout == ""
    measuring, *rest = done.stderr.splitlines()
    assert measuring.startswith("measuring: sample_rollouts")
    assert rest == [LIBRARIES.strip(), "starting vLLM's CPU build, usually 20 to 45 s"]
