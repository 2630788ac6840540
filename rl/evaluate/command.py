"""`penny eval`: one model on one benchmark, through the same prompts, engine and graders as training."""

import importlib.util
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from rewards.errors import BadInput
from rl.errors import RunStopped
from rl.evaluate.benchmarks import Benchmark, find_benchmark
from rl.evaluate.evaluation import Answer, answer_all, answer_row, build_grader, grade_all, lengths, score
from rl.evaluate.subject import Subject, find_subject, merged_weights
from rl.models import load_config, load_tokenizer
from rl.problems.problem import Problem, Prompt
from rl.problems.prompt import Prompter
from rl.recipe import Recipe, RolloutSection
from rl.rollout.build import build_engine, pick_device
from rl.rollout.engine import RolloutEngine, SamplingParams
from rl.run import atomic
from rl.run.evaluations import EvaluationRow, write_answers


def evaluate_model(
    model: str,
    benchmark: str,
    *,
    limit: int | None = None,
    engine: str = "auto",
    num_samples: int = 1,
    temperature: float = 0.0,
    max_tokens: int | None = None,
    seed: int = 0,
    output: Path | None = None,
) -> dict[str, Any]:
    """Measure pass@1 of a model on a benchmark.

    Args:
        model: see `find_subject`.
        benchmark: see `find_benchmark`.
        limit: only the first so many problems.
        engine: `vllm`, `transformers`, or `auto`: vllm if it is installed.
        num_samples: completions a problem.
        temperature: 0: greedy.
        max_tokens: longest completion; default: the benchmark's.
        seed: of the samples.
        output: folder that gets `results.json` and every answer in `answers.parquet`.

    Returns:
        `model` as given and `checkpoint`, the adapter or folder that stood for; `benchmark`; `n` problems with a grade,
        `pass@1` and `ci95` over them; `mean_length` (tokens); `truncated` and `ungradable` (shares of the completions);
        `seconds` of generating and grading, `tokens` generated, `tokens_per_second` while generating; `template`
        (`chat` or `plain`), `engine`, `num_samples`, `temperature`, `max_tokens`, `seed`.

    Raises:
        BadInput: something that was given cannot be used; found before any weights are read, but for an adapter that
            does not fit its model.
        RunStopped: not one answer could be graded.
    """
    check_options(limit, engine, num_samples, temperature, max_tokens, seed)
    chosen, subject = find_benchmark(benchmark), find_subject(model)
    if output is not None:
        make_folder(output)
    tokenizer = load_tokenizer(subject.model.name, subject.model.revision)
    problems = chosen.load()[:limit]
    template, stop, prompts = render(chosen, problems, tokenizer)
    params = SamplingParams(max_tokens or chosen.max_completion_length, temperature=temperature, stop=stop)
    recipe = engine_recipe(subject, chosen, engine, num_samples, params, prompts)
    with ExitStack() as stack:
        grader = stack.enter_context(build_grader(chosen.rewards))
        grader.check_columns(set.intersection(*(set(problem.columns) for problem in problems)))
        running = stack.enter_context(started_engine(recipe, subject))
        began = time.perf_counter()
        completions = answer_all(running, prompts, params, num_samples, seed)
        generating = time.perf_counter() - began
        answers = grade_all(prompts, completions, grader, tokenizer)
        seconds = time.perf_counter() - began
        result = {
            "model": model,
            "checkpoint": str(subject.adapter or subject.model.name),
            "benchmark": chosen.name,
            **measures(answers, seconds, generating),
            "template": template,
            "engine": running.name,
            "num_samples": num_samples,
            "temperature": temperature,
            "max_tokens": params.max_tokens,
            "seed": seed,
        }
    if output is not None:
        write_answers(output / "answers.parquet", [EvaluationRow(**answer_row(answer)) for answer in answers])
        atomic.write_json(output / "results.json", result)
    if not result["n"]:
        raise RunStopped(f"None of the {len(answers)} answers could be graded: check the answers of {chosen.name}.")
    return result


def check_options(
    limit: int | None, engine: str, num_samples: int, temperature: float, max_tokens: int | None, seed: int
) -> None:
    """Refuse numbers that mean nothing and an engine that is not there."""
    for name, number in (("limit", limit), ("num_samples", num_samples), ("max_tokens", max_tokens)):
        if number is not None and number < 1:
            raise BadInput(f"{name} is {number}: give 1 or more.")
    if seed < 0:
        raise BadInput(f"seed is {seed}: give 0 or more.")
    if not (temperature >= 0 and math.isfinite(temperature)):
        raise BadInput(f"temperature is {temperature}: give a finite number, 0 for greedy.")
    if num_samples > 1 and temperature == 0:
        raise BadInput(f"At temperature 0 all {num_samples} samples would be equal: give a temperature above 0.")
    if engine not in ("auto", "vllm", "transformers"):
        raise BadInput(f"There is no engine {engine!r}: use vllm, transformers or auto.")
    if engine == "vllm" and importlib.util.find_spec("vllm") is None:
        raise BadInput("vLLM is not installed: run `make install`, or use the engine transformers.")


def render(
    chosen: Benchmark, problems: Sequence[Problem], tokenizer: PreTrainedTokenizerBase
) -> tuple[str, tuple[str, ...], list[Prompt]]:
    """The template used (`chat` or `plain`), the stop strings and the prompts.

    A model without a chat template completes a text; it stops where it begins to invent the next question.
    """
    section, stop = chosen.problems, chosen.stop
    if section.chat_template and not tokenizer.chat_template:
        plain = {"chat_template": False, "prompt": f"Question: {section.prompt}\nAnswer:"}
        section, stop = section.model_copy(update=plain), (*stop, "\nQuestion:")
    # No problem of a benchmark is too long but for the model's context, which `engine_recipe` looks at.
    prompter = Prompter(section.model_copy(update={"max_prompt_length": 2**31}), tokenizer)
    return "chat" if section.chat_template else "plain", stop, [prompter.render(problem) for problem in problems]


def engine_recipe(
    subject: Subject,
    chosen: Benchmark,
    engine: str,
    num_samples: int,
    params: SamplingParams,
    prompts: Sequence[Prompt],
) -> Recipe:
    """The recipe by which the engine is built; raises BadInput if prompt and completion do not fit the model."""
    longest = max(len(prompt.token_ids) for prompt in prompts)
    config = load_config(subject.model.name, subject.model.revision).get_text_config()
    limit = getattr(config, "max_position_embeddings", None)
    if limit is not None and longest + params.max_tokens > limit:
        raise BadInput(
            f"The longest prompt has {longest} tokens and a completion may have {params.max_tokens}, more than the "
            f"context of {subject.model.name}, {limit}: lower max_tokens."
        )
    rollout = {
        "engine": engine,
        "dtype": subject.dtype,
        "num_generations": num_samples,
        "max_completion_length": params.max_tokens,
        "max_model_length": longest + params.max_tokens,
        "max_num_seqs": 256 if pick_device("auto") == "cuda" else 64,  # more would only take memory
        "gpu_memory_utilization": 0.85,  # no learner beside it
    }
    return Recipe(
        name="evaluation",
        model=subject.model,
        problems=chosen.problems,
        rewards=chosen.rewards,
        rollout=RolloutSection.model_validate(rollout),
    )


@contextmanager
def started_engine(recipe: Recipe, subject: Subject) -> Iterator[RolloutEngine]:
    """An engine with the subject's weights, closed at the end."""
    # Before the engine: a misfit shows at once.
    weights = None if subject.adapter is None else merged_weights(recipe.model, subject.adapter)
    engine = build_engine(recipe)
    try:
        if weights is not None:
            engine.load_weights(weights)
        yield engine
    finally:
        engine.close()


def measures(answers: Sequence[Answer], seconds: float, generating: float) -> dict[str, Any]:
    """Score, lengths and speed; `seconds` in all, `generating` of them in the engine."""
    tokens = sum(len(answer.completion.token_ids) for answer in answers)
    return {
        **score(answers).as_dict(),
        **lengths(answers),
        "ungradable": sum(answer.graded.solved is None for answer in answers) / len(answers),
        "seconds": seconds,
        "tokens": tokens,
        "tokens_per_second": tokens / generating,
    }


def make_folder(path: Path) -> None:
    """Make the output folder, unless it is there. Raises BadInput if it cannot be made or written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"The output folder {path} cannot be made ({error.strerror}): name another.") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadInput(f"The output folder {path} is not writable: name another.")
