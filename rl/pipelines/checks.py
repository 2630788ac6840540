"""Everything that can be found wrong with a pipeline before a model is loaded."""

from collections.abc import Iterator
from typing import Any

from rewards.errors import BadInput
from rl.evaluation.benchmarks import find_suite
from rl.models.source import load_tokenizer
from rl.pipelines.examples import Encoder
from rl.pipelines.export import find_converter
from rl.pipelines.schema import (
    AnyStage,
    EvaluateStage,
    ExportStage,
    GrpoStage,
    Pipeline,
    SftStage,
    TracesStage,
    as_recipe,
    models_before,
    with_teacher,
)
from rl.pipelines.teachers import check_teacher
from rl.problems.sets import prepare_sets
from rl.training.checks import check_recipe

# Keys of `problems` that decide which problems there are, and so which are held out.
WHICH = ("source", "name", "config", "split", "revision", "path", "options", "size", "where")


def check_pipeline(pipeline: Pipeline) -> list[str]:
    """Check every stage with the base in place of models that are still to be made.

    Returns:
        Warnings: sentences about what is allowed and may surprise.

    Raises:
        BadInput: the first thing that would stop the pipeline or make it meaningless.
    """
    check_held_out(pipeline)
    warnings = [warning for name, stage in pipeline.stages.items() for warning in check_stage(pipeline, name, stage)]
    return list(dict.fromkeys(warnings))


def check_stage(pipeline: Pipeline, name: str, stage: AnyStage) -> Iterator[str]:
    """Check one stage. Yields warnings; raises BadInput."""
    base = pipeline.base
    stage = stage.model_copy(update={"model": stage.model.model_copy(update=named(base))})
    if isinstance(stage, GrpoStage):
        if stage.teacher_from is not None:
            stage = with_teacher(stage, base.name)
        yield from check_recipe(as_recipe(name, stage))
    elif isinstance(stage, TracesStage):
        if stage.teacher is not None:
            check_teacher(name, stage.teacher)
        if stage.keep.balance and stage.keep.max_traces is None:
            raise BadInput(f"{name}.keep.balance fills keep.max_traces, which is not set: set it.")
        prepare_sets(as_recipe(name, stage))
    elif isinstance(stage, SftStage):
        Encoder(stage.problems, load_tokenizer(base.name, base.revision))
    elif isinstance(stage, EvaluateStage):
        check_models(pipeline, name, stage)
    elif isinstance(stage, ExportStage) and "gguf" in stage.export.formats:
        find_converter()


def named(model: Any) -> dict[str, Any]:
    """What says which model it is."""
    return {"name": model.name, "revision": model.revision}


def check_models(pipeline: Pipeline, name: str, stage: EvaluateStage) -> None:
    """Refuse models that no stage before makes, and benchmarks that do not exist."""
    known = models_before(pipeline, name)
    if odd := [model for model in stage.models if model not in known]:
        raise BadInput(f"{name}.models names {odd[0]!r}, and the models before it are {', '.join(known)}.")
    if stage.benchmarks:
        find_suite(stage.benchmarks)
    prepare_sets(as_recipe(name, stage))


def check_held_out(pipeline: Pipeline) -> None:
    """Refuse stages that take the same problems and hold out others: one would train on what another measures."""
    seen: dict[str, tuple[str, Any]] = {}
    for name, stage in pipeline.stages.items():
        if not isinstance(stage, TracesStage | GrpoStage | EvaluateStage):
            continue
        problems = stage.problems.model_dump(mode="json")
        source = str([problems[key] for key in ("source", "name", "config", "split", "path")])
        held_out = (
            [problems[key] for key in WHICH],
            {key: value for key, value in stage.evaluation.problems.items() if key in WHICH},
            stage.evaluation.size,
        )
        other, before = seen.setdefault(source, (name, held_out))
        if before != held_out:
            raise BadInput(
                f"The stages {other} and {name} take problems from the same source and hold out others, so one would "
                "train on what the other measures: give problems and evaluation once, in defaults (keep.limit says how "
                "many a stage asks)."
            )
