"""The three measurements of `make bench`; `python -m benchmarks.parts learner -o learner.json` takes one alone.

Each runs in a process of its own, because engines of different precision do not live well together.
"""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from benchmarks.workload import (
    DTYPES,
    SIZES,
    Batch,
    Options,
    bench_recipe,
    in_turn,
    make_batches,
    parse_options,
    perturbed_policy,
    timed,
    to_samples,
    token_rates,
)
from rewards.errors import BadInput
from rl.errors import RunStopped
from rl.learner.gap import gap_stats
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy
from rl.recipe import OptimizerSection
from rl.rollout.build import build_engine
from rl.rollout.engine import Completion, RolloutEngine, SamplingParams
from rl.run import atomic

PASS_TOKENS = OptimizerSection().micro_batch_tokens  # tree nodes of one pass: what a recipe gets by default
PATIENCE = 20.0  # seconds of a small step above which its precision is measured once only
TOLERANCE = 1e-4  # nats by which float32 log-probabilities of the same tokens may differ
Passes = Callable[[], Iterator[Tensor]]  # log-probabilities [N] of one forward pass after the other


def rollouts(options: Options) -> dict[str, Any]:
    """The same prompts, seeds and lengths through vLLM and through transformers, float32."""
    batches = make_batches(options)
    engines = {name: build_engine(bench_recipe(options, name)) for name in ("vllm", "transformers")}
    params = SamplingParams(options.max_tokens)

    def generate(engine: RolloutEngine, number: int) -> int:
        completions = engine.generate(batches[number].prompts, params, batches[number].seeds)
        return sum(len(completion.token_ids) for group in completions for completion in group)

    ways = {name: partial(generate, engine) for name, engine in engines.items()}
    for warm_up in ways.values():
        warm_up(0)
    rates = token_rates(ways, options.repeats)
    greedy = SamplingParams(options.max_tokens, temperature=0)
    prompts = batches[0].prompts
    ours, theirs = (engine.generate(prompts, greedy, [[0]] * len(prompts)) for engine in engines.values())
    for engine in engines.values():
        engine.close()
    return {"tokens_per_second": rates, "greedy": compare_greedy([g[0] for g in ours], [g[0] for g in theirs])}


def compare_greedy(ours: Sequence[Completion], theirs: Sequence[Completion]) -> dict[str, float]:
    """The largest difference of log-probabilities (nats) as far as each pair agrees, and how many tokens that is.

    Where they part two tokens were about equally likely, and nothing after that can be compared.
    """
    differences = []
    for one, other in zip(ours, theirs, strict=True):
        pairs = zip(one.token_ids, other.token_ids, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        differences += [abs(one.logprobs[i] - other.logprobs[i]) for i in range(shared)]
    return {
        "max_difference": max(differences, default=0.0),
        "tokens_compared": len(differences),
        "tokens": sum(len(completion.token_ids) for completion in ours),
    }


def learner(options: Options) -> dict[str, Any]:
    """Forward and backward over the same rollouts: prefix trees against padded batches, float32."""
    batch = make_batches(options)[0].first(options.prompts // 4)
    with contextlib.closing(build_engine(bench_recipe(options, "transformers"))) as engine:
        completions = engine.generate(batch.prompts, SamplingParams(options.max_tokens), batch.seeds)
    samples = to_samples(batch, completions)
    policy = perturbed_policy(options, "float32")
    size = options.samples  # completions of one pass: a group
    ways: dict[str, Passes] = {
        "packed": partial(packed, policy, samples),
        "packed, a group a pass": partial(packed, policy, samples, size),
        "padded, a group a pass": partial(padded, policy, samples, size),
        "padded, all logits": partial(padded, policy, samples, size, all_logits=True),
    }
    difference = largest_difference([backward(policy, way) for way in ways.values()])  # warms up, too
    if not difference <= TOLERANCE:
        raise RunStopped(
            f"packed and padded log-probabilities differ by {difference:.1e}, above {TOLERANCE:g}, so there is no use "
            "in timing them; find out which are wrong (tests/learner/test_packing.py)"
        )
    rates = token_rates({name: counted(policy, way) for name, way in ways.items()}, options.repeats)
    return {"tokens_per_second": rates, "max_difference": difference, "completions": len(samples)}


def counted(policy: Policy, passes: Passes) -> Callable[[int], int]:
    """The backward pass as `token_rates` calls it."""
    return lambda _: len(backward(policy, passes))


def packed(policy: Policy, samples: Sequence[Sample], size: int | None = None) -> Iterator[Tensor]:
    """Penny's way: prefix trees, of at most `size` completions; packing them counts as part of the work."""
    for tree in pack(samples, PASS_TOKENS, size):
        yield policy.logps(tree.to(policy.device), 1.0)[0]


def padded(policy: Policy, samples: Sequence[Sample], size: int, *, all_logits: bool = False) -> Iterator[Tensor]:
    """The usual way: padded batches of `size` completions."""
    for start in range(0, len(samples), size):
        yield padded_logps(policy.causal_lm, samples[start : start + size], all_logits=all_logits)


def padded_logps(model: nn.Module, samples: Sequence[Sample], *, all_logits: bool) -> Tensor:
    """Log-probabilities [N] of the completions from one batch, prompts padded on the left, completions on the right.

    `all_logits` projects every position onto the vocabulary; else only those that predict completions, as TRL does.
    """
    device = next(model.parameters()).device
    prompts = [torch.tensor(sample.prompt_ids, device=device) for sample in samples]
    completions = [torch.tensor(sample.completion_ids, device=device) for sample in samples]
    targets = pad_sequence(completions, batch_first=True)  # [B, C]
    real = pad_sequence([torch.ones_like(ids) for ids in completions], batch_first=True)  # [B, C] 1: not padding
    before = pad_sequence([torch.ones_like(ids) for ids in prompts], batch_first=True, padding_side="left")  # [B, P]
    mask = torch.cat([before, real], 1)  # [B, P + C]
    first = targets.shape[1] + 1  # from the end: the position that predicts the first token of a completion
    logits = model(
        input_ids=torch.cat([pad_sequence(prompts, batch_first=True, padding_side="left"), targets], 1),
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        logits_to_keep=0 if all_logits else first,
        use_cache=False,
    ).logits  # [B, P + C or C + 1, V]
    table = torch.log_softmax(logits.float(), -1)[:, -first:-1]  # [B, C, V]
    return table.gather(-1, targets[..., None])[..., 0][real.bool()]


def backward(policy: Policy, passes: Passes) -> Tensor:
    """Forward and backward over all passes; returns the log-probabilities [N], without their gradient."""
    policy.model.zero_grad()
    done = []
    for logps in passes():
        (-logps.sum()).backward()
        done.append(logps.detach())
    return torch.cat(done)


def largest_difference(columns: Sequence[Tensor]) -> float:
    """Largest |difference| between the first of some columns [N] and any other."""
    return max(float((column - columns[0]).abs().max()) for column in columns[1:])


def dtypes(options: Options) -> dict[str, Any]:
    """A vLLM engine of one precision with a learner of each: weights to the engine, speed and gap, repeat by repeat.

    A precision that the processor can only emulate may be many times slower; it is not measured again.
    """
    slow = set[str]()
    batches = [batch.first(options.prompts // 8) for batch in make_batches(options)]
    figures: dict[str, dict[str, list[float]]] = {dtype: {} for dtype in DTYPES}
    with contextlib.closing(build_engine(bench_recipe(options, "vllm", options.engine_dtype))) as engine:
        policies = {dtype: perturbed_policy(options, dtype) for dtype in DTYPES}
        # The engine's first call is much slower than the rest.
        engine.generate(batches[0].prompts, SamplingParams(options.max_tokens), batches[0].seeds)
        for repeat, dtype in in_turn(DTYPES, options.repeats):
            if dtype in slow:
                continue
            step, seconds = timed(partial(small_step, engine, policies[dtype], batches[repeat], options))
            if seconds > PATIENCE:
                slow.add(dtype)
            for name, value in step.items():
                figures[dtype].setdefault(name, []).append(value)
    return figures


def small_step(engine: RolloutEngine, policy: Policy, batch: Batch, options: Options) -> dict[str, float]:
    """Weights to the engine, rollouts, forward and backward: what each took, and the gap."""
    size, export_seconds = timed(lambda: sum(tensor.nbytes for _, tensor in policy.export()))
    _, sync_seconds = timed(lambda: engine.load_weights(policy.export()))
    params = SamplingParams(options.max_tokens)
    completions, rollout_seconds = timed(lambda: engine.generate(batch.prompts, params, batch.seeds))
    samples = to_samples(batch, completions)
    logps, learner_seconds = timed(lambda: backward(policy, partial(packed, policy, samples)))
    gap = gap_stats(logps.cpu(), torch.tensor([x for sample in samples for x in sample.engine_logps]))
    return {
        "sync_bytes": size,
        "export_seconds": export_seconds,
        "sync_seconds": sync_seconds,
        "rollout_tokens_per_second": len(logps) / rollout_seconds,
        "learner_tokens_per_second": len(logps) / learner_seconds,
        "matrix_gflops": matrix_gflops(policy.causal_lm.dtype, policy.device),
        "gap/mean": gap["gap/mean"],
        "gap/max": gap["gap/max"],
    }


def matrix_gflops(dtype: torch.dtype, device: torch.device) -> float:
    """10^9 floating-point operations a second in matrix products as large as SmolLM2's: what bounds the learner."""
    rows, inner, columns = 512, 576, 1536
    left = torch.ones(rows, inner, dtype=dtype, device=device)
    right = torch.ones(inner, columns, dtype=dtype, device=device)
    rates = [2 * rows * inner * columns / timed(lambda: left @ right)[1] for _ in range(3)]
    return max(rates) / 1e9


PARTS = {"rollouts": rollouts, "learner": learner, "dtypes": dtypes}


def main() -> int:
    """Measure the part that the command line names and write its figures."""
    options = parse_options(PARTS)
    try:
        figures = PARTS[options.part](options)
        sizes = {name: getattr(options, name) for name in SIZES}
        # Not `write_json`: what is not finite must come back as it was.
        atomic.write_text(options.output, json.dumps({"sizes": sizes, "figures": figures}) + "\n")
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunStopped as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
