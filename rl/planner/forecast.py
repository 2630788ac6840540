"""`penny plan`: what a recipe will take on this machine, or on GPUs by name."""

from collections.abc import Callable
from dataclasses import dataclass

from rewards.errors import BadInput
from rl.config.recipe import ModelSection, Recipe
from rl.models.source import load_config
from rl.planner.assume import of_gpu, of_this_machine
from rl.planner.calibrate import calibrate
from rl.planner.choose import Choice, choose, with_keys
from rl.planner.gpus import Gpu, named_gpus
from rl.planner.memory import precision_of, teacher_gib
from rl.planner.observe import first_prompts, prompt_sizes
from rl.planner.predict import Calibration, Observation, Prediction, predict
from rl.planner.shapes import Shape, load_shape
from rl.planner.store import calibration_path, read_calibration, write_calibration
from rl.training.checks import check_decontamination, check_lengths, check_model, check_recipe, check_sampling
from rl.training.engine_checks import check_parallel, check_sync

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """What is asked.

    Attributes:
        gpus: names, separated by commas; None: this machine.
        measure: calibrate here anew; None: reuse what was measured before, and measure here if there is nothing and no
            GPU is named; False: neither.
        mean_length: tokens of a completion, in place of observed ones.
        dollars_per_hour: in place of the recipe's price, or of the table's.
    """

    recipe: Recipe
    gpus: str | None = None
    measure: bool | None = None
    mean_length: float | None = None
    dollars_per_hour: float | None = None


@dataclass(frozen=True)
class Forecast:
    """What is foreseen on one machine; `measured`: from a calibration on it."""

    machine: str
    measured: bool
    shape: Shape
    prediction: Prediction
    choice: Choice


def forecast(request: Request, say: Say) -> list[Forecast]:
    """One forecast for each machine that is asked about. Raises BadInput before any model loads."""
    recipe = request.recipe
    check_request(request)
    if request.gpus is None:
        for warning in check_recipe(recipe):
            say(f"warning: {warning}")
        return [here(request, say)]
    gpus, recipe = named_gpus(request.gpus), on_gpu(recipe)
    check_sampling(recipe)
    check_lengths(recipe)
    check_sync(recipe)
    check_parallel(recipe)
    check_decontamination(recipe)
    check_model(recipe, load_config(recipe.model.name, recipe.model.revision))
    observed = observed_here(request, say)
    return [there(request, recipe, gpu, observed) for gpu in gpus]


def check_request(request: Request) -> None:
    """Refuse lengths and prices that cannot be, and engines of which nothing is known."""
    if request.recipe.rollout.engine == "server":
        raise BadInput("penny plan knows nothing of a server's hardware: add rollout.engine=vllm, which runs in Penny.")
    limit, mean, price = request.recipe.rollout.max_completion_length, request.mean_length, request.dollars_per_hour
    if mean is not None and not 1 <= mean <= limit:
        raise BadInput(
            f"--mean-length {mean:g} is not between 1 and rollout.max_completion_length = {limit}: give the tokens "
            "that a completion has on average."
        )
    if price is not None and not 0 <= price < float("inf"):
        raise BadInput(f"--dollars-per-hour {price:g} is no price: give 0 or more.")


def on_gpu(recipe: Recipe) -> Recipe:
    """The recipe as it would run on a GPU machine, where `auto` finds vLLM."""
    engine = "vllm" if recipe.rollout.engine == "auto" else recipe.rollout.engine
    return with_keys(recipe, {"rollout.device": "cuda", "rollout.engine": engine})


def here(request: Request, say: Say) -> Forecast:
    """On this machine."""
    recipe, shape = request.recipe, load_shape(request.recipe.model)
    calibration = calibration_here(request, say)
    measured = calibration is not None
    if calibration is None:
        calibration = of_this_machine(recipe, shape, unobserved(recipe))
    return foreseen("this machine", measured, request, recipe, shape, calibration)


def there(request: Request, recipe: Recipe, gpu: Gpu, observed: Observation) -> Forecast:
    """On a named GPU."""
    shape, price = load_shape(recipe.model), request.dollars_per_hour
    calibration = of_gpu(recipe, shape, gpu, observed, priced=price is not None)
    request = Request(
        recipe, mean_length=request.mean_length, dollars_per_hour=gpu.dollars_per_hour if price is None else price
    )
    return foreseen(gpu.name, False, request, recipe, shape, calibration)


def foreseen(
    machine: str, measured: bool, request: Request, recipe: Recipe, shape: Shape, calibration: Calibration
) -> Forecast:
    """Prediction and choice for one machine."""
    teacher = teacher_shape(recipe)
    prediction = predict(
        recipe,
        shape,
        calibration,
        mean_length=request.mean_length,
        dollars_per_hour=request.dollars_per_hour,
        teacher=teacher,
    )
    adapter = load_shape(recipe.model.model_copy(update={"use_peft": True})) if shape.full else None
    precision = precision_of(recipe, calibration.device)
    taken = calibration.base_gib + teacher_gib(teacher, precision)
    choice = choose(recipe, shape, precision, calibration.memory_gib - taken, adapter)
    return Forecast(machine, measured, shape, prediction, choice)


def teacher_shape(recipe: Recipe) -> Shape | None:
    """The sizes of the teacher of on-policy distillation, if there is one. Raises BadInput if it cannot be read."""
    section = recipe.distillation
    return (
        None if section.teacher is None else load_shape(ModelSection(name=section.teacher, revision=section.revision))
    )


def calibration_here(request: Request, say: Say) -> Calibration | None:
    """This machine's calibration: kept or measured now, as asked; None if it is not wanted."""
    if request.measure is False:
        return None
    path = calibration_path(request.recipe)
    found = None if request.measure else read_calibration(path)
    if found is None:
        found = calibrate(request.recipe, say)
        write_calibration(path, found)
    return found


def observed_here(request: Request, say: Say) -> Observation:
    """Lengths and verdicts for another machine: measured now if asked, else kept ones, else prompts alone.

    They belong to the model and its problems, whatever computes them.
    """
    if request.measure:
        check_recipe(request.recipe)
        found = calibration_here(request, say)
    else:
        found = None if request.measure is False else read_calibration(calibration_path(request.recipe))
    return unobserved(request.recipe) if found is None else found.observed


def unobserved(recipe: Recipe) -> Observation:
    """What is known without a model: the prompts."""
    prompt, shared = prompt_sizes(first_prompts(recipe).prompts)
    return Observation(prompt, shared)
