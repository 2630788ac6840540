"""Peak memory of the learner: `python -m benchmarks.memory`.

By group size and by completion length, and of the vocabulary projection by itself beside the usual one, that holds a
logit for each token and word. Each point in a process of its own: the most that it held during a pass, less what it
held just before (weights loaded, a small pass done, freed memory given back). Linux only.
"""

import ctypes
import random
import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.given import our_pass
from benchmarks.part import Part, Results, at_least_one, fresh, run_part
from benchmarks.report import number, spread, table
from benchmarks.workload import Sizes, bench_recipe, in_turn, perturbed_policy
from rewards.errors import BadInput
from rl.learner.head import head_logps
from rl.learner.packing import Sample

PROMPT_TOKENS = 64
GROUPS = (4, 8, 16, 32)
LENGTHS = (32, 64, 128, 256, 512)
HEAD_TIMES = (1, 16)
SMALL_BUDGET = 1024  # packed tokens of a pass while groups grow, so that every group size fills it
Held = tuple[float, float]  # MB: beside what was held before, and of the whole process
Points = Mapping[str, Sequence[Held]]  # a repeat each


def add_options(parser: ArgumentParser) -> None:
    """Sizes."""
    parser.add_argument("--model", default="smollm2", help="(smollm2)")
    at_least_one(parser, repeats=3, problems=4, max_tokens=64, head_tokens=512)
    parser.add_argument("--groups", type=int, nargs="+", default=list(GROUPS), help="completions of a problem")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS), help="tokens of a completion")
    parser.add_argument("--vocabulary", type=int, default=49152, help="of the projection by itself (49152)")


def run(options: Namespace) -> dict[str, Any]:
    """All points, in turn. Raises BadInput elsewhere than on Linux."""
    if not Path("/proc/self/clear_refs").exists():
        raise BadInput("Peak memory is read from Linux's /proc, which is not there: run this part on Linux.")
    model = {"model": options.model}
    points: dict[tuple[str, str], Any] = {}
    for group in options.groups:
        sizes = {"problems": options.problems, "samples": group, "tokens": options.max_tokens}
        points["group", str(group)] = (learner, model | sizes | {"budget": SMALL_BUDGET})
    for length in options.lengths:
        points["length", str(length)] = (learner, model | {"problems": 1, "samples": 8, "tokens": length})
    for times in HEAD_TIMES:
        for way in ("chunked", "naive"):
            sizes = {"tokens": times * options.head_tokens, "vocabulary": options.vocabulary}
            points[way, str(sizes["tokens"])] = (head, {"way": way} | sizes)
    figures: dict[str, dict[str, list[Held]]] = {}
    for _, (axis, point) in in_turn(points, options.repeats):
        function, sizes = points[axis, point]
        figures.setdefault(axis, {}).setdefault(point, []).append(fresh(function, **sizes))
    ordered = {axis: {p: found[p] for p in sorted(found, key=int)} for axis, found in figures.items()}
    return {"megabytes": ordered}


def learner(model: str, problems: int, samples: int, tokens: int, budget: int | None = None) -> Held:
    """What a learning step takes; tokens are random, so completions share their prompt only."""
    changes = {"optimizer": {"max_grad_norm": 0.0} | ({"micro_batch_tokens": budget} if budget else {})}
    recipe = bench_recipe(Sizes(model, 1, problems, samples, tokens), "transformers", changes)
    policy = perturbed_policy(recipe)
    vocabulary = policy.causal_lm.config.vocab_size
    our_pass(policy, made_up(vocabulary, 1, 2, 8), recipe)
    rollouts = made_up(vocabulary, problems, samples, tokens)
    before = forget_peak()
    our_pass(policy, rollouts, recipe)
    return peak() - before, peak()


def made_up(vocabulary: int, problems: int, samples: int, tokens: int) -> list[Sample]:
    """Random completions of random prompts; advantages 1 and -1/2 in turn."""
    draw = random.Random(0)

    def ids(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(vocabulary) for _ in range(count))

    prompts = [ids(PROMPT_TOKENS) for _ in range(problems)]
    return [
        Sample(prompt, ids(tokens), (-1.0,) * tokens, 1.0 - 1.5 * (place % 2), True)
        for prompt in prompts
        for place in range(samples)
    ]


def head(way: str, tokens: int, vocabulary: int, width: int = 576) -> Held:
    """What log-probabilities of `tokens` tokens and their gradient take; hidden states and weights were held before."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(vocabulary, width, generator=generator)
    hidden = torch.randn(tokens, width, generator=generator).requires_grad_()
    target = torch.randint(vocabulary, (tokens,), generator=generator)
    before = forget_peak()
    if way == "chunked":
        logps, _ = head_logps(hidden, weight, torch.arange(tokens), target, 1.0)
    else:
        logps = torch.log_softmax(hidden @ weight.T, -1).gather(-1, target[:, None])[:, 0]
    logps.sum().backward()
    return peak() - before, peak()


def forget_peak() -> float:
    """Give freed memory back, forget the highest mark, and return the MB held now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return status("VmRSS")


def peak() -> float:
    """The most MB held since `forget_peak`."""
    return status("VmHWM")


def status(name: str) -> float:
    """A size of this process in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"{name}:"))) * 1024 / 1e6


def markdown(results: Results) -> Iterator[str]:
    """A table for each axis, with the growth from its first point."""
    found: Mapping[str, Points] = results["megabytes"]
    options = results["options"]
    yield "Peak of a learning step beside the weights, and of the whole process: median (lowest to highest)."
    yield "## Group size"
    yield (
        f"{options['problems']} problems, completions of {options['max_tokens']} tokens, passes of at most "
        f"{SMALL_BUDGET} packed tokens."
    )
    yield growth_table("completions a problem", found["group"])
    yield "## Completion length"
    yield "One problem, 8 completions, passes as a recipe cuts them by default."
    yield growth_table("tokens a completion", found["length"])
    yield "## Vocabulary projection"
    yield f"{options['vocabulary']} words, forward and backward."
    for way in ("chunked", "naive"):
        yield growth_table(f"tokens, {way}", found[way])


def growth_table(name: str, points: Points) -> str:
    """MB by point, with how many times the first point's that is, and how many times the point itself has grown."""
    first, *_ = points
    rows = []
    for point, repeats in points.items():
        row = [point]
        for held, base in zip(zip(*repeats, strict=True), zip(*points[first], strict=True), strict=True):
            row += [spread(held), number(statistics.median(held) / statistics.median(base))]
        rows.append([*row, number(int(point) / int(first))])
    return table((name, "MB", "times the first", "process, MB", "times the first", "its size, times the first"), rows)


PART = Part("memory", "Peak memory of the learner", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
