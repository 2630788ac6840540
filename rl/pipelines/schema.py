"""A pipeline: stages in order, each with the model and the data of those before it, as one YAML file.

Names follow TRL's `SFTConfig` and `GRPOConfig` wherever TRL has the option.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from rl.config.key_variable import key_variable
from rl.config.recipe import (
    AlgorithmSection,
    DistillationSection,
    EvaluationSection,
    ModelSection,
    OptimizerSection,
    ProblemsSection,
    Recipe,
    RewardsSection,
    RolloutSection,
    RunSection,
    Section,
)

Kind = Literal["distill", "reject", "sft", "grpo", "evaluate", "export"]
BASE = "base"  # `model_from`: what the pipeline starts with
HELD_OUT = "held-out"  # what the benchmark of a pipeline's own problems is called
PREVIOUS = "previous"  # `model_from`: what the last stage that trains has made


class TeacherSection(Section):
    """Who writes the traces of a `distill` stage."""

    source: Literal["model", "endpoint", "column"] = Field(
        description="model: in our engine; endpoint: an OpenAI-compatible server; column: the problems' own rows"
    )
    name: str | None = Field(
        None, description="model: alias, folder, run or hub id; endpoint: the server's name of the model"
    )
    revision: str | None = Field(None, description="model: hub commit to pin")
    url: str | None = Field(None, description="endpoint: base URL, like http://localhost:8000/v1")
    api_key_env: Annotated[str, AfterValidator(key_variable)] = Field(
        "OPENAI_API_KEY", description="endpoint: variable with the key"
    )
    concurrency: int = Field(16, ge=1, le=4096, description="endpoint: requests at once")
    requests_per_minute: float | None = Field(None, gt=0, description="endpoint: at most; default: no limit")
    dollars_per_million: tuple[float, float] | None = Field(
        None, description="endpoint: price of a million tokens, of prompts and of completions"
    )
    max_dollars: float | None = Field(None, gt=0, description="endpoint: ask no more once spent; needs the prices")
    template: str | None = Field(
        None, description="column: the trace, over the row's columns, e.g. '<think>{worked}</think>{answer}'"
    )
    license: str | None = Field(None, description="of the teacher or data set, noted beside the traces")
    terms_accepted: bool = Field(False, description="you may train on what this teacher writes")


class KeepSection(Section):
    """Which traces are kept, in the order in which the keys stand here."""

    limit: int | None = Field(None, ge=1, description="ask the first so many training problems; default: all")
    verified: bool = Field(True, description="only what the rewards call solved")
    truncated: bool = Field(False, description="also what was cut off at the length limit")
    min_pass_rate: float = Field(0.0, ge=0, le=1, description="of a problem's samples, for any of them to be kept")
    max_pass_rate: float = Field(1.0, ge=0, le=1)
    max_similarity: float = Field(
        1.0, ge=0, le=1, description="of the words of two traces of a problem (Jaccard, 3-grams); 1: equal ones go"
    )
    per_problem: int = Field(1, ge=1, description="traces of one problem, at most")
    prefer: Literal["first", "shortest", "longest", "diverse"] = Field("shortest", description="which of a problem's")
    balance: bool = Field(False, description="fill max_traces with as many of each quarter of pass rates as there are")
    max_traces: int | None = Field(None, ge=1, description="in all; without balance the first, by problem")


class DataSection(Section):
    """What an `sft` stage learns from, beside the traces of earlier stages."""

    source: Literal["stages", "jsonl", "hub"] = Field("stages", description="stages: only `data_from`")
    name: str | None = Field(None, description="hub: data set id")
    config: str | None = Field(None, description="hub: configuration")
    split: str = Field("train", description="hub: split")
    revision: str | None = Field(None, description="hub: commit to pin")
    path: str | None = Field(None, description="jsonl: file with messages, or prompt and completion")
    share: float = Field(1.0, gt=0, description="rows of it for each trace of `data_from`; without traces: all")
    license: str | None = Field(None, description="of the data set, noted in the model card")


class SftSection(Section):
    """Supervised fine-tuning by TRL's SFTTrainer."""

    learning_rate: float = Field(2e-4, ge=0)
    num_train_epochs: float = Field(1.0, gt=0)
    max_steps: int = Field(-1, ge=-1, description="in place of epochs; -1: epochs")
    per_device_train_batch_size: int = Field(8, ge=1, description="sequences; with packing: rows of max_length")
    gradient_accumulation_steps: int = Field(1, ge=1)
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "linear"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, ge=0)
    max_length: int = Field(2048, ge=2, description="tokens; a longer sequence is left out, not cut")
    packing: bool = Field(False, description="fill rows of max_length with whole sequences that do not see each other")
    completion_only_loss: bool = Field(True, description="prompts are not learned")
    save_steps: int = Field(50, ge=1)


class ExportSection(Section):
    """What is written for others to use."""

    formats: list[Literal["merged", "adapter", "gguf"]] = Field(["merged"], min_length=1)
    dtype: Literal["float32", "bfloat16", "float16"] = Field("bfloat16", description="of the merged weights")
    push_to_hub: str | None = Field(None, description="hub id to push to; needs `hf auth login`")
    private: bool = Field(True, description="of the pushed repository")


class Stage(Section):
    """What every stage has."""

    model_from: str = Field(PREVIOUS, description="previous, base, or the stage whose model it starts from")


class AskingStage(Stage):
    """What every stage has whose model answers problems."""

    model: ModelSection
    problems: ProblemsSection
    rewards: RewardsSection
    rollout: RolloutSection = RolloutSection()
    evaluation: EvaluationSection = EvaluationSection()
    run: RunSection = RunSection()


class TracesStage(AskingStage):
    """`distill`: a teacher's traces. `reject`: those of the model itself (rejection sampling)."""

    kind: Literal["distill", "reject"]
    teacher: TeacherSection | None = None
    keep: KeepSection = KeepSection()


class SftStage(Stage):
    """`sft`: learn the traces. `problems` says how they are put to the student."""

    kind: Literal["sft"]
    data_from: list[str] = Field(default_factory=list, description="stages; default: the last that made data")
    model: ModelSection
    data: DataSection = DataSection()
    problems: ProblemsSection
    sft: SftSection = SftSection()
    run: RunSection = RunSection()


class GrpoStage(AskingStage):
    """`grpo`: a recipe's training."""

    kind: Literal["grpo"]
    teacher_from: str | None = Field(None, description="the stage whose model is distillation.teacher")
    algorithm: AlgorithmSection = AlgorithmSection()
    distillation: DistillationSection = DistillationSection()
    optimizer: OptimizerSection = OptimizerSection()


class EvaluateStage(AskingStage):
    """`evaluate`: the models of all stages so far on the held-out problems, or on benchmarks."""

    kind: Literal["evaluate"]
    models: list[str] = Field(default_factory=list, description="base and stages; default: all that made a model")
    benchmarks: list[str] = Field(default_factory=list, description="default: the held-out problems")


class ExportStage(Stage):
    """`export`: the model as others want it."""

    kind: Literal["export"]
    model: ModelSection
    export: ExportSection = ExportSection()
    run: RunSection = RunSection()


AnyStage = TracesStage | SftStage | GrpoStage | EvaluateStage | ExportStage
SCHEMAS: Mapping[str, type[AnyStage]] = {
    "distill": TracesStage,
    "reject": TracesStage,
    "sft": SftStage,
    "grpo": GrpoStage,
    "evaluate": EvaluateStage,
    "export": ExportStage,
}
TRAINS = ("sft", "grpo")  # kinds that make a model
WRITES = ("distill", "reject")  # kinds that make data


class PipelineBand(Section):
    """A result that a pipeline promises, checked by the command itself."""

    stage: str = Field(description="whose model")
    over: str = Field(description="which model it is compared with: base, or a stage")
    min_gain: float = Field(description="pass@1 of the one minus the other's, at least; may be negative")
    max_minutes: float | None = Field(None, gt=0, description="expected of all stages together; slower is no miss")


@dataclass(frozen=True)
class Pipeline:
    """Stages by name, in order. `description` and `status` are for people."""

    name: str
    stages: Mapping[str, AnyStage]
    description: str = ""
    status: str = "not yet run"
    bands: Sequence[PipelineBand] = ()

    @property
    def min_gpu_memory_gib(self) -> float | None:
        """What the stage that needs most needs; None: it runs on a CPU."""
        needs = [stage.run.min_gpu_memory_gib for stage in self.stages.values()]
        return max((need for need in needs if need is not None), default=None)

    @property
    def base(self) -> ModelSection:
        """The model that it all starts with."""
        return next(iter(self.stages.values())).model


def as_recipe(name: str, stage: AskingStage) -> Recipe:
    """The stage as a recipe: what the parts that know nothing of pipelines take."""
    shared = {key: getattr(stage, key) for key in Recipe.model_fields if key in type(stage).model_fields}
    return Recipe(name=name, **shared)


def models_before(pipeline: Pipeline, name: str) -> list[str]:
    """`base`, and every stage before this one that makes a model."""
    names = list(pipeline.stages)
    return [BASE, *(other for other in names[: names.index(name)] if pipeline.stages[other].kind in TRAINS)]


def with_teacher(stage: GrpoStage, teacher: str) -> GrpoStage:
    """The stage with a model as the teacher of its on-policy distillation."""
    section = stage.distillation.model_copy(update={"teacher": teacher, "revision": None})
    return stage.model_copy(update={"distillation": section})


def data_before(pipeline: Pipeline, name: str) -> list[str]:
    """The stages whose traces an `sft` stage learns from: those that it names, or the last one before it."""
    names, stage = list(pipeline.stages), pipeline.stages[name]
    assert isinstance(stage, SftStage)
    made = [other for other in names[: names.index(name)] if pipeline.stages[other].kind in WRITES]
    return stage.data_from or made[-1:]
