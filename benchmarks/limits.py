"""How near a step is to what the machine can do: `python -m benchmarks.limits`.

- The learner: its useful floating-point operations a second over the rate of plain matrix products of the model's
  sizes, taken in the same process right before and right after.
- Rollouts: the engine as the loop calls it over vLLM alone with the same prompts, seeds and limits.
- The rest: the share of a real run's steps that neither generates nor learns.
"""

import contextlib
import importlib.util
import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.given import Given, as_samples, given_recipe, our_pass, sample_rollouts
from benchmarks.part import Part, Results, at_least_one, fresh, run_part
from benchmarks.penny_process import penny_steps
from benchmarks.report import number, percents, spread, table
from benchmarks.workload import (
    Sizes,
    bench_recipe,
    in_turn,
    make_batches,
    perturbed_policy,
    product_rates,
    start_engine,
    timed,
)
from rl.learner.packing import Sample
from rl.models.source import resolve_model
from rl.planner.flops import backward_flops, count_tree, forward_flops
from rl.planner.shapes import Shape, load_shape
from rl.rollout.build import context_length
from rl.rollout.engine import SamplingParams
from rl.rollout.vllm_engine import VllmSettings, device_options, set_environment

PRODUCT_ROWS = 1024  # of the plain products: large enough for their best rate


def add_options(parser: ArgumentParser) -> None:
    """Sizes of the rollouts, which are also those of the run."""
    parser.add_argument("--model", default="smollm2", help="(smollm2)")
    parser.add_argument("--engine", default="auto", choices=["auto", "vllm", "transformers"], help="of the run (auto)")
    at_least_one(parser, repeats=3, prompts=8, samples=8, prompt_tokens=128, max_tokens=64)


def run(options: Namespace) -> dict[str, Any]:
    """The three shares; without vLLM those of the rollouts are left out."""
    sizes = {name: getattr(options, name) for name in Sizes.__dataclass_fields__}
    asked = {name: sizes[name] for name in ("model", "prompts", "samples", "max_tokens")}
    given = fresh(sample_rollouts, engine=options.engine, prompt_tokens=options.prompt_tokens, **asked)
    results = {"learner": fresh(learner, model=options.model, samples=given["samples"], repeats=options.repeats)}
    recipe = bench_recipe(Sizes(**sizes), options.engine).model_dump(mode="json")
    results["steps"] = fresh(penny_steps, recipe=recipe)[1:]
    if importlib.util.find_spec("vllm") and options.engine != "transformers":
        results["rollouts"] = fresh(rollouts, **sizes) | fresh(stock_rollouts, **sizes)
    return results


def learner(model: str, samples: Given, repeats: int) -> dict[str, Any]:
    """Seconds of a pass, and operations a second of plain products around it, repeat by repeat."""
    rollouts = as_samples(samples)
    recipe = given_recipe(model, len(rollouts), {})
    policy = perturbed_policy(recipe)
    shapes = layer_shapes(policy.causal_lm)
    our_pass(policy, rollouts, recipe)
    seconds, products = [], []

    def products_now() -> float:
        return product_rates(shapes, PRODUCT_ROWS, policy.causal_lm.dtype, policy.device)

    for _ in range(repeats):
        before = products_now()
        seconds.append(timed(lambda: our_pass(policy, rollouts, recipe))[1])
        products.append(statistics.fmean([before, products_now()]))
    return {"flops": useful_flops(load_shape(recipe.model), rollouts), "seconds": seconds, "products": products}


def useful_flops(shape: Shape, samples: Sequence[Sample]) -> float:
    """Operations of one gradient, every distinct token computed once in the whole batch and nothing twice.

    Forward pass; gradients of activations and of the adapter; of the vocabulary projection one product forward and one
    for the gradient, where a token is predicted; attention between the pairs of tokens that do attend. Norms, softmax
    and activation functions are not counted.
    """
    tree = count_tree([(sample.prompt_ids, sample.completion_ids) for sample in samples])
    return forward_flops(shape, tree) + backward_flops(shape, tree)


def layer_shapes(model: Any) -> list[tuple[int, int]]:
    """(out, in) of the matrices of one layer, adapters not counted."""
    layer = model.get_decoder().layers[0]
    return [tuple(p.shape) for name, p in layer.named_parameters() if p.ndim == 2 and "lora_" not in name]


def rollouts(**sizes: Any) -> dict[str, Any]:
    """Seconds of the engine's `generate` and of the same vLLM object's own, on the same requests in turn."""
    how_much = Sizes(**sizes)
    batches = make_batches(how_much)
    params = SamplingParams(how_much.max_tokens)
    seconds: dict[str, list[float]] = {"engine": [], "vllm": []}
    same = []
    with contextlib.closing(start_engine(bench_recipe(how_much, "vllm"))) as opened:
        engine: Any = opened  # its vLLM object is nobody else's business but a benchmark's
        engine.generate(batches[0].prompts, params, batches[0].seeds)
        vllm_alone(engine._llm, batches[0], how_much.max_tokens)
        found: dict[str, list[Sequence[int]]] = {}
        for repeat, way in in_turn(seconds, how_much.repeats):
            batch = batches[repeat]
            engine._llm.reset_prefix_cache()
            if way == "engine":
                completions, took = timed(lambda batch=batch: engine.generate(batch.prompts, params, batch.seeds))
                found[way] = [completion.token_ids for group in completions for completion in group]
            else:
                found[way], took = timed(lambda batch=batch: vllm_alone(engine._llm, batch, how_much.max_tokens))
            seconds[way].append(took)
            if len(found) == 2:
                pairs = list(zip(*found.values(), strict=True))
                same.append(sum(list(a) == list(b) for a, b in pairs) / len(pairs))
                found = {}
    return {"seconds": seconds, "same": same}


def stock_rollouts(**sizes: Any) -> dict[str, Any]:
    """Seconds of a vLLM with none of our code in it, in the same settings."""
    how_much = Sizes(**sizes)
    recipe = bench_recipe(how_much, "vllm")
    section = recipe.rollout
    settings = VllmSettings(
        device="cpu" if section.device == "auto" else section.device,
        dtype="float32",
        max_model_length=context_length(recipe),
        max_num_seqs=section.max_num_seqs,
        enforce_eager=section.enforce_eager,
        kv_cache_gib=section.kv_cache_gib,
        gpu_memory_utilization=section.gpu_memory_utilization,
        enable_sleep_mode=False,
    )
    set_environment(settings)
    from vllm import LLM

    llm = LLM(
        model=resolve_model(how_much.model),
        trust_remote_code=False,
        dtype=settings.dtype,
        max_model_len=settings.max_model_length,
        max_num_seqs=settings.max_num_seqs,
        enforce_eager=settings.enforce_eager,
        enable_prefix_caching=True,
        logprobs_mode="processed_logprobs",
        disable_log_stats=True,
        **device_options(settings),
    )
    first, *rest = make_batches(how_much)
    vllm_alone(llm, first, how_much.max_tokens)
    return {"stock_seconds": [timed(lambda b=batch: vllm_alone(llm, b, how_much.max_tokens))[1] for batch in rest]}


def vllm_alone(llm: Any, batch: Any, max_tokens: int) -> list[Sequence[int]]:
    """`LLM.generate` with a request a completion; the token ids of each."""
    from vllm import SamplingParams as VllmSamplingParams

    places = [(prompt, seed) for prompt, seeds in zip(batch.prompts, batch.seeds, strict=True) for seed in seeds]
    outputs = llm.generate(
        [{"prompt_token_ids": list(prompt)} for prompt, _ in places],
        [VllmSamplingParams(max_tokens=max_tokens, seed=seed, logprobs=0, detokenize=False) for _, seed in places],
        use_tqdm=False,
    )
    return [output.outputs[0].token_ids for output in outputs]


def markdown(results: Results) -> Iterator[str]:
    """The three shares with what they are made of; median (lowest to highest)."""
    found = results["learner"]
    useful = [found["flops"] / seconds for seconds in found["seconds"]]
    yield "## The learner"
    yield table(
        ("useful GFLOP", "a pass, s", "useful GFLOP/s", "plain products, GFLOP/s", "share of the limit"),
        [
            (
                number(found["flops"] / 1e9),
                spread(found["seconds"]),
                spread([rate / 1e9 for rate in useful]),
                spread([rate / 1e9 for rate in found["products"]]),
                percents([rate / best for rate, best in zip(useful, found["products"], strict=True)]),
            )
        ],
    )
    if "rollouts" in results:
        yield "## Rollouts"
        yield rollouts_text(results["rollouts"])
    yield "## Neither generating nor learning"
    yield table(("step, s", "of it neither"), [(spread([s["step"] for s in results["steps"]]), rest(results["steps"]))])


def rollouts_text(found: Mapping[str, Any]) -> str:
    """The engine over vLLM."""
    ours, same_object, stock = found["seconds"]["engine"], found["seconds"]["vllm"], found["stock_seconds"]
    rows = [
        ("the engine, as the loop calls it", spread(ours), "1"),
        (
            "the same vLLM object's own `generate`",
            spread(same_object),
            spread([a / b for a, b in zip(ours, same_object, strict=True)]),
        ),
        (
            "vLLM without our code, in its own process",
            spread(stock),
            spread([a / b for a, b in zip(ours, stock, strict=True)]),
        ),
    ]
    return table(("", "seconds", "the engine's time over it"), rows) + (
        f"\n\nOf the first two, {percents(found['same'])} of the completions are the same token for token."
    )


def rest(steps: Sequence[Mapping[str, float]]) -> str:
    """Share of steps that is neither generating nor learning."""
    return percents([1 - (step["generate"] + step["learn"]) / step["step"] for step in steps])


PART = Part("limits", "How near a step is to the limit", add_options, run, markdown)

if __name__ == "__main__":
    sys.exit(run_part(PART))
