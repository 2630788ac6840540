"""`penny plan` of a pipeline: what each stage will take, one after the other.

Generating, reinforcing and measuring are foreseen as in a recipe (`rl.planner.predict`), fine-tuning by the same counts
of operations, no beginnings shared. What a stage will hand on is not known: it is taken to keep as many traces as it
may. Stages that only read and write files (`column` teachers, `export`) count as nothing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rewards.errors import BadInput
from rl.config.recipe import ModelSection, Recipe
from rl.evaluation.benchmarks import find_suite
from rl.pipelines.schema import (
    EvaluateStage,
    GrpoStage,
    Pipeline,
    SftSection,
    SftStage,
    TeacherSection,
    TracesStage,
    as_recipe,
    data_before,
    models_before,
)
from rl.planner.assume import of_gpu, of_this_machine
from rl.planner.flops import Batch, TreeCounts, update_flops
from rl.planner.forecast import (
    Request,
    Say,
    calibration_here,
    check_request,
    observed_here,
    on_gpu,
    teacher_shape,
    unobserved,
)
from rl.planner.gpus import Gpu, named_gpus
from rl.planner.predict import Calibration, evaluation_seconds, predict, rollout_seconds, survival_of
from rl.planner.rates import scaled
from rl.planner.shapes import load_shape
from rl.problems.sets import load_sets

MILLION = 1e6


@dataclass(frozen=True)
class LadderRequest:
    """What is asked: see `rl.planner.forecast.Request`; `mean_trace`: tokens of a row to fine-tune on."""

    pipeline: Pipeline
    gpus: str | None = None
    measure: bool | None = None
    mean_length: float | None = None
    mean_trace: float | None = None
    dollars_per_hour: float | None = None


@dataclass(frozen=True)
class Machine:
    """Where it would run: `price` an hour (None: the stage's own), and what a recipe's parts take there."""

    name: str
    price: float | None
    calibration: Callable[[Recipe], Calibration]


@dataclass(frozen=True)
class Rung:
    """What one stage will take. `counted`: the arithmetic in words; `dollars`: None where no price is known."""

    stage: str
    kind: str
    counted: str
    hours: float
    dollars: float | None


@dataclass(frozen=True)
class LadderForecast:
    """All stages on one machine."""

    machine: str
    rungs: Sequence[Rung]
    assumptions: Sequence[str]

    @property
    def hours(self) -> float:
        """Of all stages."""
        return sum(rung.hours for rung in self.rungs)

    @property
    def dollars(self) -> float | None:
        """Of all stages; None where no price is known."""
        known = [rung.dollars for rung in self.rungs if rung.dollars is not None]
        return sum(known) if len(known) == len(self.rungs) else None


@dataclass(frozen=True)
class Taken:
    """What a stage takes: seconds, and dollars beside those of the machine."""

    counted: str
    seconds: float = 0.0
    dollars: float = 0.0


def forecast_ladder(request: LadderRequest, say: Say) -> list[LadderForecast]:
    """One forecast for each machine that is asked about. Raises BadInput before any model loads."""
    stages = [stage for stage in request.pipeline.stages.values() if isinstance(stage, GrpoStage | EvaluateStage)]
    if not stages:
        raise BadInput(
            f"{request.pipeline.name} has no stage of the kinds grpo and evaluate, which plans go by: add one."
        )
    reference = as_recipe(request.pipeline.name, stages[0])
    check_request(Request(reference, mean_length=request.mean_length, dollars_per_hour=request.dollars_per_hour))
    if request.mean_trace is not None and not request.mean_trace >= 1:
        raise BadInput(
            f"--mean-trace {request.mean_trace:g} is less than a token: give the tokens of a row on average."
        )
    if request.gpus is None:
        machines = [this_machine(request, reference, say)]
    else:
        machines = [gpu_machine(request, gpu, say) for gpu in named_gpus(request.gpus)]
    return [climbed(request, machine, reference) for machine in machines]


def this_machine(request: LadderRequest, reference: Recipe, say: Say) -> Machine:
    """Here: calibrated once, by the first stage that answers problems of its own."""
    found = calibration_here(Request(reference, measure=request.measure), say)

    def calibration(recipe: Recipe) -> Calibration:
        return found or of_this_machine(recipe, load_shape(recipe.model), unobserved(recipe))

    return Machine("this machine", request.dollars_per_hour, calibration)


def gpu_machine(request: LadderRequest, gpu: Gpu, say: Say) -> Machine:
    """A named GPU."""
    priced = request.dollars_per_hour is not None

    def calibration(recipe: Recipe) -> Calibration:
        observed = observed_here(Request(recipe, measure=request.measure), say)
        return of_gpu(on_gpu(recipe), load_shape(recipe.model), gpu, observed, priced)

    return Machine(gpu.name, request.dollars_per_hour if priced else gpu.dollars_per_hour, calibration)


def climbed(request: LadderRequest, machine: Machine, reference: Recipe) -> LadderForecast:
    """Every stage on one machine."""
    rungs = []
    for name, stage in request.pipeline.stages.items():
        if isinstance(stage, TracesStage):
            taken = traces_taken(name, stage, machine, request.mean_length)
        elif isinstance(stage, SftStage):
            taken = sft_taken(name, stage, request, machine, reference)
        elif isinstance(stage, GrpoStage):
            taken = grpo_taken(name, stage, machine, request.mean_length)
        elif isinstance(stage, EvaluateStage):
            models = stage.models or models_before(request.pipeline, name)
            taken = measure_taken(as_recipe(name, stage), stage.benchmarks, len(models), machine, request.mean_length)
        else:
            taken = Taken("files")
        price = stage.run.dollars_per_hour if machine.price is None else machine.price
        hours = taken.seconds / 3600
        dollars = hours * price + taken.dollars if price or not hours else None
        rungs.append(Rung(name, stage.kind, taken.counted, hours, dollars))
    lengths = "as many as the limit" if request.mean_length is None else f"{request.mean_length:g}"
    traces = "sft.max_length" if request.mean_trace is None else f"{request.mean_trace:g}"
    return LadderForecast(
        machine.name,
        rungs,
        (
            f"tokens of an answer: {lengths} (--mean-length); of a row to fine-tune on: {traces} (--mean-trace)",
            "every stage keeps as many traces as it may; in reinforcement every group has a signal",
            "fine-tuning by TRL at the rate of the learner",
            *machine.calibration(reference).assumptions,
        ),
    )


def traces_taken(name: str, stage: TracesStage, machine: Machine, mean: float | None) -> Taken:
    """`distill` and `reject`: every problem asked, every answer graded."""
    teacher = stage.teacher
    if teacher is not None and teacher.source == "column":
        return Taken("rows of the problems, no model")
    recipe = as_recipe(name, stage)
    if teacher is not None and teacher.source == "model":
        model = ModelSection(name=str(teacher.name), revision=teacher.revision, dtype=recipe.model.dtype)
        recipe = recipe.model_copy(update={"model": model})
    calibration = machine.calibration(recipe)
    observed, limit = calibration.observed, recipe.rollout.max_completion_length
    survival = survival_of(observed, limit, mean)
    batch = Batch(count_asked(name, stage), recipe.rollout.num_generations, observed.prompt, observed.shared, survival)
    counted = f"{batch.problems:,.0f} problems x {batch.group} answers"
    if teacher is not None and teacher.source == "endpoint":
        return endpoint_taken(counted, teacher, batch, mean or limit)
    shape = load_shape(recipe.model)
    rates = scaled(calibration.rates, calibration.shape, shape)
    seconds = rollout_seconds(recipe, shape, calibration, rates, batch) + rates.grade * batch.completions
    return Taken(counted, rates.start + seconds)


def endpoint_taken(counted: str, teacher: TeacherSection, batch: Batch, mean: float) -> Taken:
    """A server: its price, and the time that its rate allows."""
    sent, written = teacher.dollars_per_million or (0.0, 0.0)
    dollars = batch.completions * (batch.prompt * sent + mean * written) / MILLION
    minutes = batch.completions / teacher.requests_per_minute if teacher.requests_per_minute else 0.0
    return Taken(f"{counted} of {teacher.name}", 60 * minutes, min(dollars, teacher.max_dollars or dollars))


def grpo_taken(name: str, stage: GrpoStage, machine: Machine, mean: float | None) -> Taken:
    """`grpo`: as the recipe that it is."""
    recipe = as_recipe(name, stage)
    shape = load_shape(recipe.model)
    teacher = shape if stage.teacher_from is not None else teacher_shape(recipe)
    seen = predict(recipe, shape, machine.calibration(recipe), mean_length=mean, teacher=teacher)
    counted = f"{recipe.optimizer.max_steps} steps of {seen.step_seconds:.1f} s"
    return Taken(f"{counted}, {seen.evaluations} evaluations of {seen.evaluation_seconds:.0f} s", seen.hours * 3600)


def sft_taken(name: str, stage: SftStage, request: LadderRequest, machine: Machine, reference: Recipe) -> Taken:
    """`sft`: so many steps of so many tokens, each computed with a gradient."""
    recipe = reference.model_copy(update={"model": stage.model})
    calibration, shape = machine.calibration(recipe), load_shape(stage.model)
    rates = scaled(calibration.rates, calibration.shape, shape)
    rows, length = learned_rows(name, request, calibration.observed.prompt)
    steps, tokens = sft_steps(stage.sft, rows, length)
    passes = steps * stage.sft.gradient_accumulation_steps
    tree = TreeCounts(nodes=tokens, predicting=tokens, pairs=tokens * (length + 1) / 2, passes=passes)
    flops = update_flops(shape, tree, stage.model.gradient_checkpointing)
    seconds = passes * rates.learn_pass + steps * rates.update + flops * rates.learn_flop
    counted = f"{steps:,} steps, {tokens / MILLION:,.2f} million tokens, {flops / 1e12:,.0f} TFLOP"
    return Taken(counted, rates.start + seconds)


def sft_steps(section: SftSection, rows: float | None, length: float) -> tuple[int, float]:
    """Optimizer steps, and tokens that they compute. Raises BadInput if neither rows nor steps are known."""
    sequences = section.per_device_train_batch_size * section.gradient_accumulation_steps
    full = section.max_length if section.packing else length  # tokens of one sequence
    if rows is None and section.max_steps < 0:
        raise BadInput("How many rows a data set has is not planned for: set sft.max_steps, or leave the stage out.")
    steps = section.max_steps
    if steps < 0:
        steps = math.ceil((rows or 0) * section.num_train_epochs * length / (full * sequences))
    return steps, steps * sequences * full


def learned_rows(name: str, request: LadderRequest, prompt: float) -> tuple[float | None, float]:
    """Rows that an `sft` stage learns from at most (None: all of a data set), and tokens of one on average.

    What a model writes is as long as its answers, with a prompt of `prompt` tokens; what others wrote as `mean_trace`.
    """
    stages, stage = request.pipeline.stages, request.pipeline.stages[name]
    assert isinstance(stage, SftStage)
    others = request.mean_trace or stage.sft.max_length
    parts = [
        length_of_kept(source, stages[source], request, prompt, others)
        for source in data_before(request.pipeline, name)
    ]
    traces = sum(rows for rows, _ in parts)
    if stage.data.source != "stages":
        if not traces:
            return None, others
        parts.append((traces * stage.data.share, others))
    rows = sum(rows for rows, _ in parts)
    return rows, min(sum(rows * length for rows, length in parts) / rows, stage.sft.max_length)


def length_of_kept(
    name: str, stage: object, request: LadderRequest, prompt: float, others: float
) -> tuple[float, float]:
    """Traces that a stage keeps at most, and tokens of one with its prompt."""
    assert isinstance(stage, TracesStage)
    if stage.teacher is not None and stage.teacher.source == "column":
        return count_kept(name, stage), others
    return count_kept(name, stage), prompt + (request.mean_length or stage.rollout.max_completion_length)


def count_kept(name: str, stage: TracesStage) -> int:
    """Traces that a stage keeps at most."""
    kept = count_asked(name, stage) * stage.keep.per_problem
    return min(kept, stage.keep.max_traces or kept)


def count_asked(name: str, stage: TracesStage) -> int:
    """Problems that a stage puts to its teacher; a limit is taken at its word, without loading them."""
    return stage.keep.limit or len(load_sets(as_recipe(name, stage))[0])


def measure_taken(
    recipe: Recipe, benchmarks: Sequence[str], models: int, machine: Machine, mean: float | None
) -> Taken:
    """`evaluate`: every model on every problem."""
    calibration, shape = machine.calibration(recipe), load_shape(recipe.model)
    if benchmarks:
        answers = sum(len(benchmark.load()) * benchmark.sampling.num_samples for benchmark in find_suite(benchmarks))
        section = recipe.evaluation.model_copy(update={"size": answers, "num_samples": 1})
        recipe = recipe.model_copy(update={"evaluation": section})
    rates = scaled(calibration.rates, calibration.shape, shape)
    one = rates.start + evaluation_seconds(recipe, shape, calibration, rates, mean)
    asked = recipe.evaluation.size * recipe.evaluation.num_samples
    return Taken(f"{models} models x {asked:,} answers", models * one)
