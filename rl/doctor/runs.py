"""Checks of whole runs: fine-tuning, ten steps of the quickstart that are killed and resumed, several GPUs."""

import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import torch

from rl.base.install import install_command
from rl.base.signals import StopSignal
from rl.config.recipe import ModelSection, ProblemsSection, RolloutSection
from rl.doctor.check import Finding, Subject, failed, judged, skipped
from rl.doctor.ending import kill_group
from rl.evaluation.command import Listener
from rl.models.source import load_tokenizer
from rl.models.tiny import save_tiny_model
from rl.pipelines.schema import SftSection, SftStage
from rl.pipelines.sft import fine_tune
from rl.rollout.build import pick_engine
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger
from rl.run.metrics import read_metrics

STEPS, KILLED_AFTER = 10, 4
PENNY = (sys.executable, "-m", "rl.cli", "train", "quickstart")
PLANNED_WITHIN = 1.5  # of the planner's seconds a step, either way
PATIENCE = 600.0


def sft(subject: Subject) -> Finding:
    """Fine-tune the packaged model on a few answers, and see the loss fall."""
    traces = subject.scratch / "traces.jsonl"
    rows = [{"problem_id": str(n), "problem": {"question": f"{n} + {n}"}, "completion": f" {n + n}"} for n in range(16)]
    traces.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    losses = [loss_after(steps, subject, traces) for steps in (1, 6)]
    return judged(
        losses[1] < losses[0], f"loss {losses[0]:.2f} -> {losses[1]:.2f}", "mean over 1 step and 6 steps", losses=losses
    )


def loss_after(steps: int, subject: Subject, traces: Path) -> float:
    """Return the mean loss of so many steps of fine-tuning."""
    stage = SftStage(
        kind="sft",
        model=ModelSection(name="smollm2", dtype="auto" if subject.device == "cuda" else "float32"),
        problems=ProblemsSection(source="arithmetic", chat_template=False, prompt="{question} ="),
        sft=SftSection(learning_rate=1e-3, max_length=64, max_steps=steps),
    )
    folder = subject.scratch / f"sft-{steps}"
    folder.mkdir()
    with Ledger(RunFolder(folder), 0.0) as ledger:
        result = fine_tune("doctor", stage, folder, [traces], ledger, Listener(), StopSignal())
    return float(result.figures["loss"])


def resume(subject: Subject) -> Finding:
    """Take ten steps of the quickstart, killed without warning in the middle, and go on with it."""
    folder = subject.scratch / "run"
    asked = [f"optimizer.max_steps={STEPS}", "run.save_steps=2", "evaluation.size=16", "evaluation.band=null"]
    place = [f"run.dir={folder}", f"rollout.device={subject.device}"]
    log = subject.scratch / "run.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*PENNY, *asked, *place], stdout=output, stderr=output, start_new_session=True)
        try:
            killed = until_step(folder, KILLED_AFTER, process)
        finally:
            kill_group(process.pid)
            process.wait()
        if not killed:
            return failed("no step 4", f"the run ended before: {last_line(log)}")
        again = [*PENNY[:-1], "--resume", str(folder)]
        code = subprocess.run(again, stdout=output, stderr=output, check=False, timeout=PATIENCE).returncode
    if code:
        return failed(f"exit code {code}", f"the run was not resumed: {last_line(log)}")
    metrics = read_metrics(RunFolder.open(folder))
    subject.kept["run"] = folder
    steps = [line["step"] for line in metrics]
    gaps = [line["gap/mean"] for line in metrics]
    step = statistics.median(line["time/step"] for line in metrics)
    return judged(
        steps == list(range(1, STEPS + 1)),
        f"{len(steps)} steps, {step:.1f} s each, gap {gaps[0]:.2g} -> {gaps[-1]:.2g}",
        f"killed after step {KILLED_AFTER} and resumed; every step must be there once",
        steps=steps,
        gaps=gaps,
        step_seconds=step,
    )


def until_step(folder: Path, step: int, process: "subprocess.Popen[bytes]") -> bool:
    """Wait until a run has finished a step; False if it ends before."""
    metrics, deadline = folder / "metrics.jsonl", time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if metrics.read_text(encoding="utf-8").count("\n") >= step:
                return True
        time.sleep(0.1)
    return False


def last_line(log: Path) -> str:
    """Return the last line of a log that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def plan(subject: Subject) -> Finding:
    """Predict a step of the quickstart, and compare with the steps of the run before."""
    if "run" not in subject.kept:
        return skipped("it compares with the run of the check `resume`, which did not end well or was not asked for")
    command = [sys.executable, "-m", "rl.cli", "plan", "quickstart", "--calibrate", "--json"]
    done = subprocess.run(
        [*command[:5], f"rollout.device={subject.device}", *command[5:]],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        return failed(
            f"exit code {done.returncode}", done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""
        )
    expected = json.loads(done.stdout)["machines"][0]["prediction"]["step_seconds"]
    metrics = read_metrics(RunFolder.open(subject.kept["run"]))
    measured = statistics.median(line["time/step"] for line in metrics)
    return judged(
        1 / PLANNED_WITHIN <= expected / measured <= PLANNED_WITHIN,
        f"{expected:.1f} s a step planned",
        f"{measured:.1f} s measured; within {PLANNED_WITHIN} times of each other",
        planned=expected,
        measured=measured,
    )


def ranks(subject: Subject) -> Finding:
    """Train two steps on two ranks: NCCL on two GPUs, gloo on a CPU."""
    if subject.device == "cuda" and torch.cuda.device_count() < 2:
        return skipped("needs two GPUs")
    folder = subject.scratch / "ranks"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "rl.cli"]
    options = [f"run.dir={folder}", "run.num_processes=2", f"rollout.device={subject.device}"]
    if subject.device == "cpu":  # two engines of vLLM on two cores only wait for each other
        options.append("rollout.engine=transformers")
    return smoke_run([*launch, "train", "quickstart", "--smoke", *options], folder, subject.scratch / "ranks.log")


def smoke_run(command: Sequence[str], folder: Path, log: Path, environment: dict[str, str] | None = None) -> Finding:
    """Run two steps, and see that both learned."""
    with log.open("wb") as output:
        began = time.perf_counter()
        code = subprocess.run(
            command, stdout=output, stderr=output, check=False, timeout=PATIENCE, env=os.environ | (environment or {})
        ).returncode
        took = time.perf_counter() - began
    if code:
        return failed(f"exit code {code}", last_line(log))
    metrics: list[dict[str, Any]] = read_metrics(RunFolder.open(folder))
    gap = max((line["gap/mean"] for line in metrics), default=float("inf"))
    return judged(len(metrics) == 2, f"2 steps in {took:.0f} s", f"gap {gap:.2g} nats", seconds=took, gap=gap)


def server(subject: Subject) -> Finding:
    """Sample from a vLLM server on a second GPU while the first learns."""
    if subject.device == "cpu" or torch.cuda.device_count() < 2:
        return skipped("needs two GPUs")
    if pick_engine(RolloutSection(engine="auto")) != "vllm":
        return skipped(f"vLLM is not installed: run {install_command()}")
    model, folder = subject.scratch / "tiny", subject.scratch / "served"
    save_tiny_model(load_tokenizer("smollm2"), model)
    with serving(model, subject.scratch / "server.log") as url:
        options = [f"model.name={model}", "rollout.engine=server", f"rollout.server_url={url}", f"run.dir={folder}"]
        command = [*PENNY, "--smoke", *options]
        return smoke_run(command, folder, subject.scratch / "served.log", {"CUDA_VISIBLE_DEVICES": nth_gpu(0)})


def nth_gpu(place: int) -> str:
    """Return the n-th of the GPUs that are visible, as `CUDA_VISIBLE_DEVICES` names it."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    return str(place) if listed is None else listed.split(",")[place].strip()


@contextlib.contextmanager
def serving(model: Path, log: Path) -> Iterator[str]:
    """Start a vLLM server for training on the second GPU; its address, from when it answers on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port)]
    options = ["--model", str(model), "--served-model-name", str(model), "--enable-lora", "--max-lora-rank", "64"]
    flags = ["--logprobs-mode", "processed_logprobs", "--max-model-len", "2048", "--enforce-eager"]
    surroundings = {
        "CUDA_VISIBLE_DEVICES": nth_gpu(1),
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
        "VLLM_SERVER_DEV_MODE": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, *options, *flags],
            stdout=output,
            stderr=output,
            env=os.environ | surroundings,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).is_success:
                        break
                if process.poll() is not None:
                    raise RuntimeError(f"the server ended: {last_line(log)}")
                time.sleep(1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            kill_group(process.pid)
            process.wait()
