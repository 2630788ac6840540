"""The checks of engine and runs: each passes on what works, and fails where it is broken."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rl.doctor import engine, runs
from rl.doctor.check import Subject
from rl.doctor.listed import CHECKS
from rl.doctor.worker import looked_at
from rl.rollout.transformers_engine import TransformersEngine


@pytest.fixture
def subject(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    """A tiny model behind the engine that has no vLLM."""
    monkeypatch.setattr(engine, "MODEL", str(tiny_model))
    monkeypatch.setattr(engine, "MOVED", 0.2)
    monkeypatch.setattr(engine, "without_vllm", lambda: None)
    monkeypatch.setattr(engine, "build_engine", lambda recipe: TransformersEngine(recipe.model.name))
    with (found := Subject("cpu", tmp_path)).stack:
        yield found


def broken(subject: Subject, method: str, replacement: Any) -> None:
    """Let a method of the subject's engine do something else."""
    setattr(engine.opened(subject), method, replacement)


def test_a_healthy_engine_passes(subject: Subject) -> None:
    for check in (engine.start, engine.speed, engine.gap, engine.reload, engine.prefix_cache):
        found = check(subject)
        assert found.status == "PASS", found
    assert subject.kept["floor"] < 1e-4


def test_an_adapter_that_arrives_passes_and_one_that_does_not_fails(subject: Subject, tmp_path: Path) -> None:
    assert engine.adapter(subject).status == "PASS"
    with (other := Subject("cpu", tmp_path / "other")).stack:
        other.scratch.mkdir()
        broken(other, "load_adapter", lambda _: None)
        assert engine.adapter(other).status == "FAIL"


def test_weights_that_do_not_arrive_fail(subject: Subject) -> None:
    broken(subject, "load_weights", lambda weights: list(weights) and None)
    found = engine.reload(subject)
    assert found.status == "FAIL" and found.facts["gap"] > found.facts["floor"]


def test_a_wrong_temperature_fails(subject: Subject) -> None:
    real = engine.opened(subject).generate
    broken(subject, "generate", lambda p, params, s: real(p, replace(params, temperature=1.5), s))
    assert engine.gap(subject).status == "FAIL"


def test_prefixes_that_are_stale_fail(subject: Subject) -> None:
    real, calls = engine.opened(subject).generate, list[int]()

    def generate(*asked: Any) -> Any:
        calls.append(1)
        groups = real(*asked)
        shift = 0.5 if len(calls) > 1 else 0.0
        return [[replace(c, logprobs=tuple(p - shift for p in c.logprobs)) for c in group] for group in groups]

    broken(subject, "generate", generate)
    assert engine.prefix_cache(subject).status == "FAIL"


def test_answers_that_share_no_token_are_no_evidence(subject: Subject) -> None:
    one, other = engine.answers(engine.opened(subject), 1, greedy=True), engine.answers(engine.opened(subject), 1)
    shifted = [[replace(c, token_ids=(c.token_ids[0] + 1,)) for c in group] for group in one]
    assert engine.difference(one, one) == 0 and engine.difference(one, shifted) == math.inf and other


def test_an_engine_that_does_not_start_fails(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_recipe: Any) -> Any:
        raise RuntimeError("no kernel image is available\nfor this device")

    monkeypatch.setattr(engine, "build_engine", fails)
    found = looked_at(next(check for check in CHECKS if check.name == "engine"), subject)
    assert (found.status, found.figure, found.reason) == ("FAIL", "RuntimeError", "no kernel image is available")


def test_without_vllm_the_engine_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda _: None)
    checks = (engine.start, engine.speed, engine.gap, engine.reload, engine.prefix_cache, engine.adapter, engine.sleep)
    assert {check(Subject("cpu", tmp_path)).status for check in checks} == {"SKIP"}


def test_fine_tuning_must_lower_the_loss(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    for after, status in ((1.0, "PASS"), (3.0, "FAIL")):
        monkeypatch.setattr(runs, "loss_after", lambda steps, *_, after=after: 2.0 if steps == 1 else after)
        assert runs.sft(subject).status == status


RUN = """
import json, pathlib, sys, time
folder = next(pathlib.Path(a.removeprefix("run.dir=")) for a in sys.argv[1:] if "run.dir=" in a or a.startswith("/"))
folder.mkdir(exist_ok=True)
resumed = "--resume" in sys.argv
first = FIRST if resumed else 1
with (folder / "metrics.jsonl").open("a") as file:
    for step in range(first, 11 if resumed else 5):
        file.write(json.dumps({"step": step, "gap/mean": 0.01, "time/step": 1.0}) + "\\n")
(folder / "recipe.yaml").write_text("name: quickstart")
if not resumed:
    time.sleep(60)
"""


@pytest.mark.parametrize(("first", "status"), [(5, "PASS"), (4, "FAIL"), (6, "FAIL")], ids=["once", "twice", "missing"])
def test_every_step_must_be_there_once(
    first: int, status: str, subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = tmp_path / "run.py"
    script.write_text(RUN.replace("FIRST", str(first)))
    monkeypatch.setattr(runs, "PENNY", (sys.executable, str(script), "quickstart"))
    monkeypatch.setattr(runs.RunFolder, "open", staticmethod(runs.RunFolder))
    found = runs.resume(subject)
    assert found.status == status, found


def test_a_run_that_ends_too_early_fails(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "PENNY", (sys.executable, "-c", "print('error: no GPU'); raise SystemExit(2)", "-"))
    found = runs.resume(subject)
    assert (found.status, found.reason) == ("FAIL", "the run ended before: error: no GPU")


def test_the_plan_is_held_against_the_run(subject: Subject, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert runs.plan(subject).status == "SKIP"
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 1, "time/step": 2.0}) + "\n")
    subject.kept["run"] = tmp_path
    monkeypatch.setattr(runs.RunFolder, "open", staticmethod(runs.RunFolder))
    for seconds, status in ((2.5, "PASS"), (4.0, "FAIL"), (1.0, "FAIL")):
        said = json.dumps({"machines": [{"prediction": {"step_seconds": seconds}}]})
        done = subprocess.CompletedProcess([], 0, said, "")
        monkeypatch.setattr(runs.subprocess, "run", lambda *_, done=done, **__: done)
        assert runs.plan(subject).status == status


def test_a_run_of_several_ranks_that_fails_is_a_failure(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('error: NCCL'); raise SystemExit(1)"]
    found = runs.smoke_run(command, tmp_path, tmp_path / "log")
    assert (found.status, found.figure, found.reason) == ("FAIL", "exit code 1", "error: NCCL")


@pytest.mark.parametrize(("listed", "second"), [(None, "1"), ("3, 5", "5"), ("GPU-a,GPU-b", "GPU-b")])
def test_the_server_gets_the_second_visible_gpu(
    listed: str | None, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    assert runs.nth_gpu(1) == second


def test_two_gpus_are_needed_for_two_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.torch.cuda, "device_count", lambda: 1)
    assert runs.ranks(Subject("cuda", tmp_path)).status == runs.server(Subject("cuda", tmp_path)).status == "SKIP"
