"""Checks of the rollout engine: vLLM in this process, its weights, caches and sleep, against the learner."""

import importlib.util
import math
import time
from collections.abc import Sequence
from typing import Any

import torch

from rl.base.install import install_command
from rl.config.recipe import ModelSection, ProblemsSection, Recipe, RewardsSection, RolloutSection
from rl.doctor.check import Finding, Subject, judged, passed, skipped
from rl.learner.gap import gap_stats
from rl.learner.packing import Sample, pack
from rl.learner.policy import Policy, load_policy
from rl.models.source import load_tokenizer
from rl.problems.stream import completion_seeds
from rl.rollout.build import build_engine, pick_sync, shared_dtype
from rl.rollout.engine import Completion, RolloutEngine, SamplingParams
from rl.rollout.precision import pick_dtype

MODEL = "smollm2"  # packaged: no hub is needed
PROMPTS, GROUP, TOKENS = 8, 8, 32
MOST_GAP = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.03}  # nats; rounding alone is far below
MOVED = 0.02  # standard deviation of lora_B: as after many steps, so that old weights are told from new ones
LONG = 192  # tokens of a prompt whose prefix is kept
ONE_POLICY = 1.5  # times the gap before learning: what merged weights may differ by


def recipe_of(subject: Subject, **rollout: Any) -> Recipe:
    """Return a recipe for the packaged model on this machine."""
    options = {"gpu_memory_utilization": 0.3, "max_num_seqs": PROMPTS * GROUP, "num_generations": GROUP}
    return Recipe(
        name="doctor",
        model=ModelSection(name=MODEL),
        problems=ProblemsSection(source="arithmetic", chat_template=False, max_prompt_length=LONG + 64),
        rewards=RewardsSection(functions={"exact_number": 1.0}),
        rollout=RolloutSection(
            engine="vllm",
            device="cuda" if subject.device == "cuda" else "cpu",
            max_completion_length=TOKENS,
            **(options | rollout),
        ),
    )


def opened(subject: Subject, **rollout: Any) -> RolloutEngine:
    """Start an engine, and keep it for later checks of the group."""
    if "engine" not in subject.kept:
        engine = build_engine(recipe_of(subject, **rollout))
        subject.stack.callback(engine.close)
        subject.kept["engine"] = engine
    found: RolloutEngine = subject.kept["engine"]
    return found


def learner(subject: Subject, **rollout: Any) -> Policy:
    """Load the learner of the engine's model, and keep it."""
    if "policy" not in subject.kept:
        recipe = recipe_of(subject, **rollout)
        subject.kept["policy"] = load_policy(
            recipe.model,
            subject.device,
            pick_dtype("auto", subject.device),
            seed=0,
            keep_reference=False,
            engine_dtype=shared_dtype(recipe, subject.device),
        )
    found: Policy = subject.kept["policy"]
    return found


def without_vllm() -> Finding | None:
    """Return why nothing here can be looked at, if so."""
    return None if importlib.util.find_spec("vllm") else skipped(f"vLLM is not installed: run {install_command()}")


def start(subject: Subject) -> Finding:
    """Start vLLM with the packaged model."""
    if missing := without_vllm():
        return missing
    began = time.perf_counter()
    opened(subject)
    took = time.perf_counter() - began
    return passed(f"{took:.0f} s", "until the engine answers", seconds=took)


def speed(subject: Subject) -> Finding:
    """Time completions, many at once."""
    if missing := without_vllm():
        return missing
    engine = opened(subject)
    rate = tokens_per_second(engine)
    return judged(rate > 1, f"{rate:,.0f} tokens/s", f"{PROMPTS * GROUP} sequences at once", tokens_per_second=rate)


def tokens_per_second(engine: RolloutEngine) -> float:
    """Return the rate of one batch, after a shorter one that is not counted."""
    answers(engine, 4)
    began = time.perf_counter()
    groups = answers(engine, TOKENS, number=1)
    return sum(len(c.token_ids) for group in groups for c in group) / (time.perf_counter() - began)


def gap(subject: Subject) -> Finding:
    """Compare log-probabilities of engine and learner before anything was learned: what rounding does."""
    if missing := without_vllm():
        return missing
    engine, policy = opened(subject), learner(subject)
    engine.load_weights(policy.export())
    found = gap_of(policy, answers(engine))
    subject.kept["floor"] = found
    most = MOST_GAP[policy.compute_dtype]
    name = str(policy.compute_dtype).removeprefix("torch.")
    return judged(found <= most, f"{found:.2g} nats", f"mean of |log p| apart in {name}; at most {most:g}", gap=found)


def reload(subject: Subject) -> Finding:
    """Change the learner, hand its weights over, and compare: old weights must show, and new ones must agree."""
    if missing := without_vllm():
        return missing
    engine, policy = opened(subject), learner(subject)
    engine.load_weights(policy.export())
    before = answers(engine, number=2)
    floor = subject.kept.get("floor", gap_of(policy, before))
    move(policy)
    stale = gap_of(policy, before)
    began = time.perf_counter()
    engine.load_weights(policy.export())
    took = time.perf_counter() - began
    found, most = gap_of(policy, answers(engine, number=3)), max(ONE_POLICY * floor, 1e-3)
    return judged(
        found <= most < stale,
        f"{found:.2g} nats, {took:.2g} s",
        f"new weights agree (at most {most:.2g}); with the old ones it was {stale:.2g}, which must be more",
        gap=found,
        stale=stale,
        floor=floor,
        seconds=took,
    )


def prefix_cache(subject: Subject) -> Finding:
    """Ask the same long prompts twice: the second answers come from kept prefixes, and must be the same."""
    if missing := without_vllm():
        return missing
    engine, policy = opened(subject), learner(subject)
    engine.load_weights(policy.export())  # nothing is kept from before
    took, said = [], []
    for _ in range(2):
        began = time.perf_counter()
        said.append(answers(engine, 4, long=True, greedy=True))
        took.append(time.perf_counter() - began)
    apart = difference(*said)
    most = MOST_GAP[policy.compute_dtype]
    return judged(
        apart <= most,
        f"{took[0] / took[1]:.1f} times as fast",
        f"the second time; log-probabilities {apart:.2g} nats apart, at most {most:g}",
        seconds=took,
        apart=apart,
    )


def adapter(subject: Subject) -> Finding:
    """Hand over the adapter alone, and compare."""
    if missing := without_vllm():
        return missing
    options = {"weight_sync": "adapter"}
    engine, policy = opened(subject, **options), learner(subject, **options)
    assert pick_sync(recipe_of(subject, **options).rollout) == "adapter"
    move(policy)
    folder = subject.scratch / "adapter"
    policy.save(folder)
    began = time.perf_counter()
    engine.load_adapter(str(folder))
    took = time.perf_counter() - began
    found, most = gap_of(policy, answers(engine)), MOST_GAP[policy.compute_dtype]
    return judged(
        found <= most, f"{found:.2g} nats, {took:.2g} s", f"base and adapter on both sides; at most {most:g}", gap=found
    )


def sleep(subject: Subject) -> Finding:
    """Let the engine sleep, see what memory that frees, wake it, and ask again."""
    if missing := without_vllm():
        return missing
    if subject.device == "cpu":
        return skipped("an engine on a CPU does not sleep")
    engine = opened(subject, enable_sleep_mode=True)
    first = answers(engine, greedy=True)
    before = torch.cuda.mem_get_info()[0]
    engine.sleep()
    freed = (torch.cuda.mem_get_info()[0] - before) / 2**30
    apart = difference(first, answers(engine, greedy=True))
    return judged(
        freed > 0.1 and apart <= MOST_GAP[torch.bfloat16],
        f"{freed:.1f} GiB freed",
        f"after waking, log-probabilities are {apart:.2g} nats apart, at most {MOST_GAP[torch.bfloat16]:g}",
        freed_gib=freed,
        apart=apart,
    )


def graphs(subject: Subject) -> Finding:
    """Start vLLM with compilation and CUDA graphs, time it, and compare with the learner."""
    if missing := without_vllm():
        return missing
    if subject.device == "cpu":
        return skipped("CUDA graphs need a GPU")
    engine, policy = opened(subject, enforce_eager=False), learner(subject)
    rate, found = tokens_per_second(engine), gap_of(policy, answers(engine))
    most = MOST_GAP[policy.compute_dtype]
    return judged(
        found <= most,
        f"{rate:,.0f} tokens/s, {found:.2g} nats",
        f"rollout.enforce_eager=false; gap at most {most:g}",
        tokens_per_second=rate,
        gap=found,
    )


def prompts(long: bool = False) -> list[tuple[int, ...]]:
    """Return prompts of sums, short or of `LONG` tokens."""
    tokenizer = load_tokenizer(MODEL)
    found = []
    for place in range(PROMPTS):
        ids = tokenizer(f"{3 + place} + {4 + place} = {7 + 2 * place}\n{12 + place} + {30 - place} =").input_ids
        found.append(tuple((ids * (LONG // len(ids) + 1))[:LONG] if long else ids))
    return found


def answers(
    engine: RolloutEngine, tokens: int = TOKENS, *, number: int = 0, long: bool = False, greedy: bool = False
) -> list[list[Completion]]:
    """Return completions of `prompts`; a batch with another `number` has other seeds."""
    size = 1 if greedy else GROUP
    seeds = [completion_seeds(0, number, place, size) for place in range(PROMPTS)]
    return engine.generate(prompts(long), SamplingParams(tokens, temperature=0.0 if greedy else 1.0), seeds)


def gap_of(policy: Policy, groups: Sequence[Sequence[Completion]]) -> float:
    """Return the mean |log p| by which the learner differs from what the engine said of its completions."""
    samples = [
        Sample(prompt, c.token_ids, c.logprobs, 1.0, True)
        for prompt, group in zip(prompts(), groups, strict=True)
        for c in group
    ]
    ours, theirs = [], []
    for batch in pack(samples, 2048, layout=policy.layout):
        ours.append(policy.frozen_logps(batch.to(policy.device), 1.0).cpu())
        theirs.append(batch.engine_logps)
    return gap_stats(torch.cat(ours), torch.cat(theirs))["gap/mean"]


def difference(one: Sequence[Sequence[Completion]], other: Sequence[Sequence[Completion]]) -> float:
    """Return the mean |log p| between two answers to the same prompts, as far as their tokens agree."""
    apart = []
    for first, second in zip(one, other, strict=True):
        pairs = zip(first[0].token_ids, second[0].token_ids, first[0].logprobs, second[0].logprobs, strict=False)
        for ours, theirs, p, q in pairs:
            if ours != theirs:
                break
            apart.append(abs(p - q))
    return sum(apart) / len(apart) if apart else math.inf


def move(policy: Policy) -> None:
    """Change the adapter as much as learning does."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in policy.trainable.items():
            if "lora_B" in name:
                parameter.copy_(MOVED * torch.randn(parameter.shape, generator=generator))
