"""What the parts of a training step cost on this machine, side by side in one run: `make bench`.

Runs the parts (benchmarks/parts.py) one after the other, each in a process of its own, and puts their figures together
as Markdown, printed and written, and JSON. README.md says what is measured, and what is not.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.run import atomic
from rl.run.manifest import PROJECT, git_state, hardware, versions

RUNS = {  # name: arguments of benchmarks.parts
    "rollouts": ["rollouts"],
    "learner": ["learner"],
    "engine float32": ["dtypes", "--engine-dtype", "float32"],
    "engine bfloat16": ["dtypes", "--engine-dtype", "bfloat16"],
}
WITHOUT_VLLM = ("learner",)
Cell = Mapping[str, Sequence[float]]  # figures by name, one for each repeat
Engines = Mapping[str, Mapping[str, Cell]]  # by the engine's precision, then the learner's


def main() -> int:
    """Measure everything, print the Markdown, and write both files."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/step.py",
        description="Measure the parts of a training step.",
        epilog="Sizes (--model, --repeats, --prompts, --samples, --max-tokens): see python -m benchmarks.parts --help.",
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-results"), help="folder (bench-results)")
    options, sizes = parser.parse_known_args()
    try:
        output = writable(options.output)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    results: dict[str, Any] = {"machine": machine(), "seconds": {}, "figures": {}}
    names = list(RUNS) if importlib.util.find_spec("vllm") else list(WITHOUT_VLLM)
    for name in names:
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        started = time.perf_counter()
        part = run_part([*RUNS[name], *sizes])
        if isinstance(part, int):
            return part
        results["seconds"][name] = time.perf_counter() - started
        results["figures"][name] = part["figures"]
        results["sizes"] = part["sizes"]
    text = markdown(results)
    atomic.write_json(output / "step.json", results)
    atomic.write_text(output / "step.md", text)
    print(text)
    return 0


def writable(folder: Path) -> Path:
    """The folder, made if it is not there. Raises BadInput if it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"The folder {folder} cannot be made ({error.strerror}); give another one with -o.") from error
    return folder


def run_part(arguments: Sequence[str]) -> dict[str, Any] | int:
    """What one part measured; or its exit code, where it has said on stderr why it failed."""
    with tempfile.TemporaryDirectory(prefix="penny-bench-") as folder:
        file = Path(folder) / "part.json"
        command = [sys.executable, "-m", "benchmarks.parts", *arguments, "-o", str(file)]
        code = subprocess.run(command, cwd=PROJECT, stdout=sys.stderr, check=False).returncode
        return code or json.loads(file.read_text(encoding="utf-8"))


def machine() -> dict[str, Any]:
    """Hardware, versions, code, time, and what else keeps the processors busy."""
    return {
        "hardware": hardware(),
        "versions": versions(),
        "git": git_state(PROJECT),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": os.getloadavg()[0],
    }


def markdown(results: Mapping[str, Any]) -> str:
    """All figures as tables, with what they were taken on."""
    figures, sizes = results["figures"], results["sizes"]
    parts = ["# What a step costs", machine_text(results["machine"]), sizes_text(sizes)]
    if "rollouts" in figures:
        parts += ["## Rollouts", rollouts_text(figures["rollouts"])]
    parts += ["## Learner", learner_text(figures["learner"])]
    engines = {name.split()[1]: cells for name, cells in figures.items() if name.startswith("engine")}
    if engines:
        parts += ["## Weights to the engine", sync_table(engines), "## Precision and gap", precision_table(engines)]
    else:
        parts.append("vLLM is not installed, so only the learner was measured.")
    taken = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in results["seconds"].items())
    return "\n\n".join([*parts, f"Time taken, starts included: {taken}."])


def machine_text(facts: Mapping[str, Any]) -> str:
    """The machine in a sentence or three."""
    hard, code = facts["hardware"], facts["git"]
    gpus = ", ".join(gpu["name"] for gpu in hard["gpus"]) or "no GPU"
    revision = "no git checkout" if code is None else code["revision"][:12] + (" with changes" if code["dirty"] else "")
    return (
        f"{hard['cpu']}, {hard['cores']} cores, {hard['memory_gib']} GiB, {gpus}, {hard['system']}; load average "
        f"{facts['load']:.1f} at the start, {facts['started']}. Code: {revision}. "
        f"Versions: {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}."
    )


def sizes_text(sizes: Mapping[str, Any]) -> str:
    """What was asked for."""
    return (
        f"{sizes['model']}, LoRA r=16, {sizes['prompts']} prompts x {sizes['samples']} samples of up to "
        f"{sizes['max_tokens']} tokens; median of {sizes['repeats']} (lowest to highest), in alternating order."
    )


def rollouts_text(figures: Mapping[str, Any]) -> str:
    """The engines side by side, and whether they compute the same."""
    greedy = figures["greedy"]
    return (
        rates_table(figures["tokens_per_second"], "transformers") + "\n\nGreedy completions of the same prompts: "
        f"log-probabilities differ by at most {greedy['max_difference']:.1e} nats over the {greedy['tokens_compared']} "
        f"tokens (of {greedy['tokens']}) up to where a pair parts."
    )


def learner_text(figures: Mapping[str, Any]) -> str:
    """The ways of computing one gradient side by side."""
    return (
        f"Forward and backward over the same {figures['completions']} completions, float32.\n\n"
        + rates_table(figures["tokens_per_second"], "padded, a group a pass")
        + f"\n\nLog-probabilities of the four ways differ by at most {figures['max_difference']:.1e} nats."
    )


def rates_table(rates: Mapping[str, Sequence[float]], base: str) -> str:
    """Completion tokens a second, and their ratio to those of `base` in the same repeat."""
    rows = [
        (name, spread(values), spread([x / y for x, y in zip(values, rates[base], strict=True)]))
        for name, values in rates.items()
    ]
    return table(("", "completion tokens/s", f"times {base}"), rows)


def sync_table(engines: Engines) -> str:
    """Seconds and bytes of a weight sync, for each pair of precisions."""
    rows = [
        (*pair, spread(cell["sync_seconds"]), spread(cell["export_seconds"]), f"{cell['sync_bytes'][0] / 1e6:,.0f}")
        for pair, cell in pairs(engines)
    ]
    return table(("learner", "engine", "sync, s", "of which merging and export alone, s", "MB"), rows)


def precision_table(engines: Engines) -> str:
    """Speed and gap, for each pair of precisions."""
    columns = (
        "rollout_tokens_per_second",
        "learner_tokens_per_second",
        "matrix_gflops",
        "gap/mean",
        "gap/max",
    )
    rows = [(*pair, *(spread(cell[column]) for column in columns)) for pair, cell in pairs(engines)]
    return table(
        (
            "learner",
            "engine",
            "rollout tokens/s",
            "learner tokens/s",
            "learner's matrix products, GFLOP/s",
            "gap/mean",
            "gap/max",
        ),
        rows,
    )


def pairs(
    engines: Engines,
) -> Iterable[tuple[tuple[str, str], Cell]]:
    """((learner's precision, engine's), figures), all engines of a learner together."""
    learners = list(next(iter(engines.values())))
    return [((learner, engine), cells[learner]) for learner in learners for engine, cells in engines.items()]


def spread(values: Sequence[float]) -> str:
    """Median, and the lowest and highest where there are several."""
    middle = number(statistics.median(values))
    return f"{middle} ({number(min(values))} to {number(max(values))})" if len(values) > 1 else middle


def number(value: float) -> str:
    """Three figures, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
