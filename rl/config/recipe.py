"""The recipe: everything a run depends on, as one YAML file checked by pydantic.

Names follow TRL's `GRPOConfig` and `ModelConfig` wherever TRL has the option.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from rewards.named import is_named
from rewards.sandbox import Mode
from rl.config.plug_ins import CORRECTIONS, ESTIMATORS, LOSSES, USUAL_EPSILON_HIGH, WHAT, built_in_or_named

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
LARGEST, LARGEST_SEED = 10**9, 2**63 - 1  # no number of a recipe is meant to be more
USUAL_PASS = 4096  # packed tokens; matrix products on a CPU gain nothing from more


class Section(BaseModel):
    """A part of a recipe: unknown keys are refused, values cannot be changed, numbers are finite."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, protected_namespaces=(), allow_inf_nan=False
    )

    @field_validator("*")
    @classmethod
    def _no_absurd_number(cls, value: Any, info: ValidationInfo) -> Any:
        limit = LARGEST_SEED if info.field_name == "seed" else LARGEST
        if isinstance(value, int | float) and abs(value) > limit:
            raise PydanticCustomError("too_large", f"must be a number between {-limit:,} and {limit:,}")
        return value


class ModelSection(Section):
    """The policy: which model, in which precision, and which of its weights learn."""

    name: str = Field(description="alias (smollm2, tiny), local folder, or hub id")
    revision: str | None = Field(None, description="hub commit to pin")
    dtype: Dtype = Field("auto", description="auto: what the device is fast in (docs/precision.md)")
    use_peft: bool = Field(True, description="train a LoRA adapter; false trains every weight")
    lora_r: int = Field(16, ge=1, le=2**16)
    lora_alpha: int = Field(32, ge=1)
    lora_dropout: float = Field(0.0, ge=0, lt=1)
    lora_target_modules: str | list[str] = Field("all-linear", description="all-linear: a mixture's experts, too")
    lora_target_parameters: list[str] = Field(
        default_factory=list, description="stacked matrices to adapt, e.g. mlp.experts.down_proj; all-linear: all"
    )
    use_rslora: bool = False
    use_dora: bool = False
    train_router: bool = Field(False, description="mixture of experts: the router learns, too")
    router_aux_loss_coef: float = Field(0.0, ge=0, description="mixture of experts: weight of the load-balancing loss")
    gradient_checkpointing: bool = False
    torch_compile: bool = Field(False, description="compile the learner's layers; takes minutes, pays on long runs")
    use_liger_kernel: bool = Field(False, description="GPU: Liger's fused norms, rotary embeddings and MLPs")


class ProblemsSection(Section):
    """What is asked, and how it is put to the model."""

    source: Literal["hub", "jsonl", "reasoning_gym", "countdown", "arithmetic"]
    name: str | None = Field(None, description="hub: data set id; reasoning_gym: task")
    config: str | None = Field(None, description="hub: configuration")
    split: str = Field("train", description="hub: split")
    revision: str | None = Field(None, description="hub: commit to pin")
    path: str | None = Field(None, description="jsonl: file")
    options: dict[str, Any] = Field(
        default_factory=dict, description="reasoning_gym, countdown, arithmetic: task options"
    )
    size: int | None = Field(
        None, ge=1, le=10**7, description="generated sources: problems made; others: keep the first so many"
    )
    where: dict[str, list[Any]] = Field(
        default_factory=dict, description="keep rows whose column has one of the values"
    )
    prompt: str = Field("{question}", description="template over the row's columns")
    answer: str | None = Field(None, description="column that becomes `answer`; by default `answer` if the row has it")
    chat_template: bool = True
    system_prompt: str | None = None
    prefill: str = Field("", description="opening of the assistant's turn, e.g. '<think>\\n'")
    gold_in_prompt: bool = Field(False, description="allow a template that shows the gold answer")
    few_shot: list[tuple[str, str]] = Field(default_factory=list, description="(prompt, completion) pairs shown first")
    max_prompt_length: int = Field(512, ge=1, le=2**24, description="tokens")
    drop_long: bool = Field(False, description="leave out problems with longer prompts; false: refuse them")
    shuffle: bool = True
    decontaminate: list[str] = Field(
        default_factory=list, description="benchmarks whose problems are not to be trained on"
    )
    decontaminate_ngram: int = Field(8, ge=2, le=1000, description="words of the n-grams that are compared")
    contaminated: Literal["drop", "refuse"] = Field("drop", description="what is done with such training problems")


Order = Literal["random", "easy_first", "informative_first"]


class DifficultySection(Section):
    """What pass rates of the training problems are used for; `penny difficulty` measures them."""

    min_pass_rate: float = Field(0.0, ge=0, le=1, description="train on problems that are solved at least so often")
    max_pass_rate: float = Field(1.0, ge=0, le=1, description="and at most so often; unknown ones are trained on")
    order: Order = Field("random", description="informative_first: those solved about half of the time")

    @property
    def has_band(self) -> bool:
        """Whether any problem could be left out."""
        return self.min_pass_rate > 0 or self.max_pass_rate < 1

    def includes(self, rate: float | None) -> bool:
        """Whether a problem with this pass rate is trained on; None: nobody knows it."""
        return rate is None or self.min_pass_rate <= rate <= self.max_pass_rate


class RewardsSection(Section):
    """Which functions grade a completion. A reward is the weighted sum of what they return."""

    functions: dict[str, float] = Field(description="name or path/file.py:function, and its weight")
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="extra keyword arguments by function")
    timeout: float = Field(10.0, gt=0, description="seconds one completion may take a process-isolated grader")
    workers: int = Field(2, ge=1, le=1024, description="grader processes")
    isolated: bool = Field(True, description="whether rewards that are not Penny's own run in a process of their own")
    batch_timeout: float = Field(
        600.0, gt=0, le=1e7, description="seconds that such a reward may take for a batch of up to 64 completions"
    )
    max_ungradable: float = Field(0.25, ge=0, le=1, description="share of a batch above which the run stops")
    correct_above: float = Field(
        0.999, description="a completion counts as solved when `accuracy` reward is above this"
    )
    accuracy: str | None = Field(None, description="which function says solved or not; default: the first")
    gated: list[str] = Field(default_factory=list, description="functions that count only where it says solved")
    sandbox: Mode = Field("auto", description="how programs are isolated; unsafe: not at all")
    folder: str | None = Field(
        None, description="where the files of functions lie; default: the working folder, or else the recipe's"
    )


class ScheduleEntry(Section):
    """What changes about rollouts from a step on."""

    from_step: int = Field(ge=1, description="the first step of which it holds")
    temperature: float | None = Field(None, gt=0)
    max_completion_length: int | None = Field(None, ge=1, le=2**24, description="tokens")


class RolloutSection(Section):
    """Who answers, and how completions are drawn."""

    engine: Literal["vllm", "transformers", "server", "auto"] = Field("auto", description="auto: vllm if installed")
    server_url: str | None = Field(
        None, description="server: of a vLLM server that runs, like http://localhost:8000/v1"
    )
    server_folder: str | None = Field(
        None, description="server: a folder that it sees too, for adapters; default: memory of this machine"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    dtype: Dtype = Field("auto", description="auto: the policy's dtype")
    num_generations: int = Field(8, ge=1, le=2**16, description="completions a problem (group size G)")
    max_completion_length: int = Field(256, ge=1, le=2**24, description="tokens")
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, lt=1)
    stop: list[str] = Field(default_factory=list)
    max_model_length: int | None = Field(
        None, ge=2, le=2**24, description="context; default: prompt + completion lengths"
    )
    weight_sync: Literal["auto", "merged", "adapter"] = Field(
        "auto", description="what the engine gets after a step; auto: merged weights"
    )
    max_staleness: Literal[0, 1] = Field(0, description="1: sample the next batch while this one is learned")
    max_gap: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        "auto",
        description="mean |log p_learner - log p_engine| above which the run stops; auto: compared with the first step",
    )
    gpu_memory_utilization: float = Field(0.4, gt=0, le=1, description="GPU: engine's share of the memory")
    enable_sleep_mode: bool = Field(False, description="GPU: engine frees its memory while the learner works")
    tensor_parallel_size: int = Field(1, ge=1, le=4096, description="GPUs of a server; Penny's own engine uses one")
    enforce_eager: bool = Field(True, description="skip compilation; false pays off on long GPU runs")
    kv_cache_gib: float = Field(1.0, gt=0, description="CPU: memory of the engine's KV cache, GiB")
    max_num_seqs: int = Field(256, ge=1, le=2**20, description="sequences the engine runs at once")
    schedule: list[ScheduleEntry] = Field(
        default_factory=list, description="temperature and length of later steps, as R1 changed them"
    )

    def at(self, step: int) -> "RolloutSection":
        """The section as it holds at a step: of the entries that have begun, the latest that says something."""
        begun = sorted((entry for entry in self.schedule if entry.from_step <= step), key=lambda entry: entry.from_step)
        changes = [entry.model_dump(exclude={"from_step"}, exclude_none=True) for entry in begun]
        return self.model_copy(update={key: value for change in changes for key, value in change.items()})

    @property
    def longest_completion(self) -> int:
        """`max_completion_length` of the step that has the highest."""
        return max([self.max_completion_length, *(entry.max_completion_length or 0 for entry in self.schedule)])


class RolloutRejection(Section):
    """Completions that are left out of the loss, by d = log(p_learner / p_engine) of their tokens.

    Each is off unless it is set. The names are verl's (`rollout_rs`).
    """

    seq_mean_k1: float | None = Field(
        None, gt=1, description="c: the geometric mean of the tokens' ratios is in [1/c, c], e.g. 1.01"
    )
    seq_mean_abs: float | None = Field(None, gt=0, description="largest mean |d|, nats")
    seq_mean_k3: float | None = Field(None, gt=0, description="largest mean exp(d) - 1 - d, nats")
    token_veto: float | None = Field(
        None, gt=0, lt=1, description="smallest ratio that a single token may have, e.g. 1e-4"
    )


class AlgorithmSection(Section):
    """How rewards become a gradient. Three of its parts may be functions of yours (docs/own-loss.md)."""

    problems_per_step: int = Field(8, ge=1, le=2**20, description="problems a step, over all ranks")
    advantage_estimator: Annotated[str, built_in_or_named(*ESTIMATORS)] = Field(
        "grpo", description=f"{', '.join(ESTIMATORS)}, or path/to/file.py:function"
    )
    scale_rewards: Literal["group", "batch", "none"] = "group"
    loss_type: Annotated[str, built_in_or_named(*LOSSES)] = Field(
        "dapo", description=f"{', '.join(LOSSES)} (bnpo is dapo), or path/to/file.py:function"
    )
    importance_sampling_level: Literal["token", "sequence"] = Field("token", description="sequence: GSPO")
    epsilon: float = Field(0.2, ge=0)
    epsilon_high: float | None = Field(None, ge=0, description="clip-higher; default: epsilon (cispo: its cap, 5)")
    beta: float = Field(0.0, ge=0, description="weight of the KL to the base model")
    kl_estimator: Literal["k1", "k2", "k3"] = "k3"
    entropy_coef: float = Field(0.0, ge=0, description="weight of the entropy bonus")
    num_iterations: int = Field(1, ge=1, le=10_000, description="updates on one batch (mu)")
    mask_truncated_completions: bool = False
    dynamic_sampling: bool = Field(False, description="replace groups without signal by further problems (DAPO)")
    dynamic_sampling_max_tokens: int | None = Field(
        None, ge=1, description="no more replacements after so many tokens of a step; default: 4 batches at full length"
    )
    importance_sampling_correction: Annotated[str, built_in_or_named(*CORRECTIONS)] = Field(
        "token_truncate",
        description="of the engine's log-probabilities against the learner's: none, token_truncate, token_mask, "
        "the same of sequence and geometric, or path/to/file.py:function",
    )
    importance_sampling_cap: float | None = Field(2.0, ge=1, description="largest ratio kept; null: no bound")
    importance_sampling_floor: float | None = Field(None, gt=0, lt=1, description="smallest ratio kept; null: no bound")
    rollout_rs: RolloutRejection = RolloutRejection()

    @property
    def plug_ins(self) -> dict[str, str]:
        """The functions of users that stand in the place of built-in ones, by the key that names them."""
        values = {key: str(getattr(self, key)) for key in WHAT}
        return {key: value for key, value in values.items() if is_named(value)}

    @property
    def clip_high(self) -> float:
        """`epsilon_high` as it holds; for cispo it bounds the ratio itself, and 5 is what its users take."""
        usual = USUAL_EPSILON_HIGH.get(self.loss_type, self.epsilon)
        return usual if self.epsilon_high is None else self.epsilon_high


class DistillationSection(Section):
    """On-policy distillation: a teacher scores the tokens that the policy samples."""

    teacher: str | None = Field(None, description="alias, local folder or hub id with the same tokenizer; None: off")
    revision: str | None = Field(None, description="hub commit to pin")
    weight: float = Field(1.0, gt=0, description="of the reverse KL to the teacher, an advantage of each token")
    reward_weight: float = Field(0.0, ge=0, description="of the advantages that come from the rewards")


class OptimizerSection(Section):
    """How the gradient becomes new weights."""

    name: Literal["adamw", "adamw_8bit"] = "adamw"
    learning_rate: float = Field(1e-5, ge=0)
    max_steps: int = Field(100, ge=1, description="steps; each is one batch of rollouts")
    lr_scheduler_type: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: int = Field(0, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.999, ge=0, lt=1)
    adam_epsilon: float = Field(1e-8, gt=0)
    max_grad_norm: float = Field(1.0, ge=0, description="0: no clipping")
    micro_batch_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        USUAL_PASS, description="packed tokens of one forward and backward pass, at most; auto: by measured memory"
    )
    micro_batch_size: int | None = Field(None, ge=1, description="completions of one pass, at most; default: no limit")

    @property
    def pass_tokens(self) -> int:
        """`micro_batch_tokens` as a number: the usual one as long as it is still to be measured."""
        return USUAL_PASS if self.micro_batch_tokens == "auto" else self.micro_batch_tokens


class Band(Section):
    """The result that a recipe promises, checked by the command itself."""

    min_gain: float = Field(description="pass@1 after minus before, at least")
    intervals_apart: bool = Field(True, description="95 % intervals of before and after must not touch")
    max_minutes: float | None = Field(
        None, gt=0, description="expected; a run that is slower says so and misses nothing"
    )


class EvaluationSection(Section):
    """What is measured before, during and after. `problems` overrides keys of the recipe's own problems."""

    problems: dict[str, Any] = Field(default_factory=dict, description="keys of `problems` that differ, e.g. split")
    size: int = Field(200, ge=1, le=10**7, description="held-out problems; never seen in training")
    every: int = Field(0, ge=0, description="steps between evaluations; 0: only before and after")
    temperature: float = Field(0.0, ge=0, description="0: greedy")
    num_samples: int = Field(1, ge=1, le=2**16)
    max_completion_length: int | None = Field(None, ge=1, le=2**24, description="default: the rollouts'")
    band: Band | None = None


class RunSection(Section):
    """Where the run is kept and what it costs."""

    dir: str | None = Field(None, description="run folder; default: runs/<recipe>-<time>")
    seed: int = Field(0, ge=0)
    save_steps: int = Field(10, ge=1)
    save_total_limit: int = Field(2, ge=1, description="last checkpoints kept, beside the best")
    dollars_per_hour: float = Field(0.0, ge=0, description="price of the machine")
    max_dollars: float | None = Field(None, gt=0, description="stop, with a checkpoint, once spent")
    max_hours: float | None = Field(None, gt=0, description="stop, with a checkpoint, once past")
    report_to: list[Literal["tensorboard", "wandb", "trackio"]] = Field(default_factory=list)
    num_processes: int = Field(1, ge=1, le=2**16, description="ranks that the recipe was written for (torchrun)")
    min_gpu_memory_gib: float | None = Field(None, gt=0, description="stated minimum; None: runs on CPU")


class Recipe(Section):
    """A whole recipe. `smoke` holds what its smoke run has otherwise than `rl.config.recipe_file.SMOKE`."""

    name: str = Field(pattern=r"^[A-Za-z0-9._-]+$")
    description: str = ""
    status: str = Field("not yet run", description="what was observed, on what hardware, or 'not yet run'")
    model: ModelSection
    problems: ProblemsSection
    difficulty: DifficultySection = DifficultySection()
    rewards: RewardsSection
    rollout: RolloutSection = RolloutSection()
    algorithm: AlgorithmSection = AlgorithmSection()
    distillation: DistillationSection = DistillationSection()
    optimizer: OptimizerSection = OptimizerSection()
    evaluation: EvaluationSection = EvaluationSection()
    run: RunSection = RunSection()
    smoke: dict[str, Any] = Field(default_factory=dict)
