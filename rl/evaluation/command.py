"""`penny eval`: a model, a server or a file of outputs on benchmarks, through the graders that training uses.

What was asked, said and thought of it is kept in a folder (`rl.evaluation.folder`). Answers come from the cache where
they were paid for before; the rest is generated, and graded in the meantime.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rewards.grading import Grader
from rl.base.caches import cache_folder
from rl.base.errors import RunStopped
from rl.evaluation.answerers import CachedAnswers, StoredAnswerer
from rl.evaluation.benchmarks import find_suite
from rl.evaluation.cache import AnswerCache
from rl.evaluation.extraction import verdicts_by_extraction
from rl.evaluation.folder import EvaluationFolder
from rl.evaluation.outcome import Cost, Tally, evaluation_results, stored_rows
from rl.evaluation.places import output_folder
from rl.evaluation.samples import read_samples
from rl.evaluation.show.page import write_page
from rl.evaluation.source import Source
from rl.evaluation.units import Protocol, Unit, asked_sha256, fitted, make_units, stored_unit
from rl.grading.answers import accuracy_of, as_columns, build_grader, evaluation_row, grade_texts, graded_text
from rl.grading.outputs import Output
from rl.grading.overlap import Overlap
from rl.problems.benchmark import Benchmark
from rl.report.report import write_report
from rl.rollout.endpoint import EndpointDown
from rl.run.evaluations import EvaluationRow
from rl.run.failures import reward_failures
from rl.run.folder import RunFolder

Job = tuple[int, int, int, Output]  # unit, prompt, sample, and what was said


@dataclass(frozen=True)
class EvaluationRequest:
    """What `penny eval` is asked.

    Attributes:
        benchmarks: names of benchmarks and suites, see `find_suite`.
        model: see `find_subject`; with `endpoint`, the server's name of the model.
        checkpoint: of a run: `last`, `best`, or a step.
        endpoint: URL of an OpenAI-compatible server.
        samples: file of stored outputs, in place of a model.
        skip_unknown: leave out rows of that file that name no problem of the benchmark; else they are refused.
        templates: prompt templates; none: the chat template where there is one.
        engine: `vllm`, `transformers`, or `auto`: vllm if it is installed.
        protocol: what is to be otherwise than the benchmarks say.
        output: the folder that is written; None: a new one, see `output_folder`.
        use_cache: look up answers that were given before, and keep new ones.
        dollars_per_hour: price of the machine; None: what a run's recipe says.
        dollars_per_million: price of a server's million tokens, of prompts and of completions.
        api_key_env, concurrency: of the server.
    """

    benchmarks: Sequence[str]
    model: str | None = None
    checkpoint: str = "last"
    endpoint: str | None = None
    samples: Path | None = None
    skip_unknown: bool = False
    templates: Sequence[str] = ()
    engine: str = "auto"
    protocol: Protocol = field(default_factory=Protocol)
    output: Path | None = None
    use_cache: bool = True
    dollars_per_hour: float | None = None
    dollars_per_million: tuple[float, float] | None = None
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 16


@dataclass(frozen=True)
class Listener:
    """Who wants to know how it goes: sentences, and answers that are there of all that are wanted."""

    say: Callable[[str], None] = lambda sentence: None
    progress: Callable[[int, int, int], None] = lambda done, wanted, tokens: None


def evaluate(request: EvaluationRequest, listener: Listener | None = None) -> tuple[Path, dict[str, Any]]:
    """Measure what the request names, and keep everything.

    Returns:
        The folder, and what its `results.json` holds.

    Raises:
        BadInput: something that was given cannot be used; found before any weights are read.
        RunStopped: the server went away (what it gave is kept and measured), a reward raised, or not one answer could
            be graded.
    """
    listener = listener or Listener()
    check_request(request)
    benchmarks = find_suite(request.benchmarks)
    if request.samples is not None:
        source, units = stored_source(request, benchmarks, listener)
    else:
        source = asked_source(request)
        units = make_units(benchmarks, request.templates, request.protocol, source.tokenizer, source.has_chat)
        units, notes = fitted(units, source.context, request.protocol.max_tokens, str(request.model))
        for note in notes:
            listener.say(note)
    names = [unit.benchmark.name for unit in units]
    folder = EvaluationFolder(output_folder(request.output, source.run, source.subject["name"], names))
    began = time.perf_counter()
    with ExitStack() as stack:
        graders = started_graders(units, stack)
        cache = stack.enter_context(AnswerCache(cache_folder())) if keeps_answers(request) else None
        answers = CachedAnswers(source.starter(units, stack), cache, source.identity)
        tally = Tally(units)
        with reward_failures(folder.path.parent):  # an evaluation that fails leaves no folder
            down = answer_and_grade(units, graders, answers, tally, listener)
    cost = Cost.of(time.perf_counter() - began, source, tally, request.dollars_per_hour, request.dollars_per_million)
    for unit, rows in zip(units, tally.rows, strict=True):
        folder.write_rows({"answers": stored_rows(unit)}, rows)
    results = evaluation_results(source, units, tally, cost, complete=down is None)
    folder.write_results(results)
    write_page(folder)
    if source.run is not None:
        write_report(RunFolder(source.run))  # it lists what was measured of the run
    if down is not None:
        asked = sum(result["asked"] for result in results["results"])
        raise RunStopped(f"{down} What it gave, {tally.answers:,} of {asked:,} answers, is in {folder.path}.")
    if not any(result["n"] for result in results["results"]):
        raise RunStopped(f"Not one answer could be graded: see the reasons in {folder.report}.")
    return folder.path, results


def check_request(request: EvaluationRequest) -> None:
    """Refuse what does not go together, and numbers that mean nothing."""
    if request.samples is None and request.model is None:
        raise BadInput("Say what to evaluate: --model, --model with --endpoint, or --samples FILE.")
    if request.samples is not None and (request.model or request.endpoint or request.templates):
        raise BadInput("With --samples the outputs are there already: leave out --model, --endpoint and --templates.")
    if request.samples is None and request.skip_unknown:
        raise BadInput("--skip-unknown is about rows of a file of outputs: give --samples FILE, or leave it out.")
    if request.samples is not None and len(request.benchmarks) != 1:
        raise BadInput("A file of outputs answers one benchmark: give one --benchmark with --samples.")
    request.protocol.check()
    prices = [request.dollars_per_hour, *(request.dollars_per_million or ())]
    if any(price is not None and price < 0 for price in prices):
        raise BadInput("A price is below 0: give dollars, or leave it out.")


def keeps_answers(request: EvaluationRequest) -> bool:
    """Stored outputs are kept already."""
    return request.use_cache and request.samples is None


def asked_source(request: EvaluationRequest) -> Source:
    """The model or the server that the request names."""
    # Imported late: peft and transformers take seconds, and a file of outputs does not need them.
    from rl.evaluation.sources import endpoint_source, model_source

    assert request.model is not None
    if request.endpoint is not None:
        return endpoint_source(request.endpoint, request.model, request.api_key_env, request.concurrency)
    return model_source(request.model, request.checkpoint, request.engine)


def stored_source(
    request: EvaluationRequest, benchmarks: Sequence[Benchmark], listener: Listener
) -> tuple[Source, list[Unit]]:
    """A file of outputs as a source, and the one unit that it answers. Raises BadInput as `read_samples` does."""
    path = request.samples
    assert path is not None
    if len(benchmarks) != 1:
        raise BadInput(f"A file of outputs answers one benchmark, not {len(benchmarks)}: give one with --samples.")
    problems = benchmarks[0].load()
    asked = problems[: request.protocol.limit]
    samples = read_samples(path, benchmarks[0], asked, request.skip_unknown)
    for note in samples.notes:
        listener.say(note)
    if not samples.outputs:
        raise BadInput(
            f"{path} answers none of the {len(asked)} problems that are asked: raise --limit, or check its ids."
        )
    unit = stored_unit(benchmarks[0], samples, asked, asked_sha256(benchmarks[0], problems))
    source = Source(
        subject={"kind": "samples", "name": str(path), "checkpoint": str(path), "base": None, "fingerprint": None},
        engine="stored",
        dtype=None,
        tokenizer=None,
        has_chat=False,
        context=None,
        identity={},
        begin=lambda units, stack: StoredAnswerer(samples),
    )
    return source, [unit]


def started_graders(units: Sequence[Unit], stack: ExitStack) -> list[Grader]:
    """The grader of each unit, checked against its columns before anything is generated; equal rewards share one."""
    built: dict[str, Grader] = {}
    graders = []
    for unit in units:
        rewards = unit.benchmark.rewards
        key = rewards.model_dump_json()
        if key not in built:
            built[key] = stack.enter_context(build_grader(rewards))
        columns = set.intersection(*(set(prompt.problem.columns) for prompt in unit.prompts))
        built[key].check_columns(columns)
        built[key].rehearse(columns)
        problems = [prompt.problem for prompt in unit.prompts]
        built[key].check_types(as_columns([p.columns for p in problems]), [p.id for p in problems])
        graders.append(built[key])
    return graders


def answer_and_grade(
    units: Sequence[Unit], graders: Sequence[Grader], answers: CachedAnswers, tally: Tally, listener: Listener
) -> EndpointDown | None:
    """Fill the tally; returns why the server went away, if it did."""

    def grade(jobs: Sequence[Job]) -> list[tuple[int, EvaluationRow]]:
        return [row for number in sorted({job[0] for job in jobs}) for row in grade_unit(number, jobs)]

    def grade_unit(number: int, jobs: Sequence[Job]) -> list[tuple[int, EvaluationRow]]:
        unit = units[number]
        asked = [(unit.prompts[p], g, output) for index, p, g, output in jobs if index == number]
        prompts, tokens = [prompt for prompt, _, _ in asked], [output.token_ids for _, _, output in asked]
        texts = [graded_text(prompt, output.text) for prompt, _, output in asked]
        rewards, grader = unit.benchmark.rewards, graders[number]
        graded = grade_texts(prompts, texts, tokens, grader)
        both = verdicts_by_extraction(prompts, texts, tokens, graded, grader, rewards)
        return [
            (number, replace(evaluation_row(prompt, g, text, output, grades, accuracy_of(rewards)), **verdicts))
            for (prompt, g, output), text, grades, verdicts in zip(asked, texts, graded, both, strict=True)
        ]

    wanted, down = sum(sum(unit.samples_P) for unit in units), None
    with Overlap(grade) as grading:
        try:
            for number, unit in enumerate(units):
                with tally.generating():
                    for p, g, output, cached in answers.stream(unit):
                        tally.count(number, p, output, cached)
                        listener.progress(tally.answers, wanted, tally.tokens)
                        grading.put((number, p, g, output))
        except EndpointDown as error:
            down = error
        tally.fill(grading.results())
    return down
