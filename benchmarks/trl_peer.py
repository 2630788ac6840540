"""A recipe through TRL's GRPOTrainer, the peer in benchmarks: `python -m benchmarks.trl_peer RECIPE [KEY=VALUE ...]`.

TRL gets the problems of each step as `penny train` takes them, prompts that it tokenizes to the same ids, the recipe's
own graders, and samples with transformers. What TRL has no option for is refused; what belongs to an engine that it
does not use (and the correction for the gap to it) has no effect. Where it differs from `penny train`:

- `bnpo` divides by the tokens of a micro-batch, and the entropy bonus is a mean over it.
- Weight decay, without an adapter, leaves out biases and norms.
- With `algorithm.num_iterations` above 1 the learning rate's schedule advances with every update.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from rewards.errors import BadInput
from rewards.grading import Grader
from rl.base import atomic
from rl.base.visible import emit
from rl.config.recipe import Recipe
from rl.config.recipe_file import load_recipe
from rl.grading.answers import build_grader, grade_texts
from rl.learner.policy import lora_config
from rl.models.source import load_model, load_tokenizer
from rl.problems.problem import Prompt
from rl.problems.prompt import Prompter
from rl.problems.sets import load_sets
from rl.problems.stream import ProblemStream
from rl.rollout.build import pick_device
from rl.rollout.precision import pick_dtype
from rl.run.folder import default_path
from rl.training.checks import check_problems

BATCH = 8  # completions of a pass, TRL's default
# Keys that are handed on, and those that have no effect here (of the engine, of the gap to it, of how passes are cut).
KNOWN = {
    "model": {
        "name", "revision", "dtype", "use_peft", "lora_r", "lora_alpha", "lora_dropout", "lora_target_modules",
        "use_rslora", "use_dora", "gradient_checkpointing",
    },
    "rollout": {
        "device", "num_generations", "max_completion_length", "temperature", "top_p", "top_k", "min_p", "stop",
        "engine", "dtype", "max_model_length", "weight_sync", "max_gap", "gpu_memory_utilization", "enable_sleep_mode",
        "tensor_parallel_size", "enforce_eager", "kv_cache_gib", "max_num_seqs",
    },
    "algorithm": {
        "problems_per_step", "advantage_estimator", "scale_rewards", "loss_type", "importance_sampling_level",
        "epsilon", "epsilon_high", "beta", "kl_estimator", "entropy_coef", "num_iterations",
        "mask_truncated_completions", "importance_sampling_correction", "importance_sampling_cap",
        "importance_sampling_floor", "rollout_rs",
    },
    "optimizer": {
        "name", "learning_rate", "max_steps", "lr_scheduler_type", "warmup_steps", "weight_decay", "adam_beta1",
        "adam_beta2", "adam_epsilon", "max_grad_norm", "micro_batch_size", "micro_batch_tokens",
    },
    "distillation": set(),
    "difficulty": set(),
}  # fmt: skip


def build_trainer(
    recipe: Recipe,
    grader: Grader,
    output: Path,
    *,
    callbacks: Sequence[TrainerCallback] = (),
) -> GRPOTrainer:
    """TRL's trainer for a recipe, ready for `train()`; `output` is the folder that it may write to.

    Raises:
        BadInput: what `check_expressible`, `load_sets` and `Prompter` raise, or TRL would tokenize a prompt otherwise.
    """
    check_expressible(recipe)
    tokenizer = load_tokenizer(recipe.model.name, recipe.model.revision)
    prompts = prompts_in_order(recipe, tokenizer)
    model = load_start(recipe, tokenizer)
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=[as_reward(prompts, grader)],
        args=to_config(recipe, output),
        train_dataset=Dataset.from_dict(
            {"prompt": [text_for_trl(prompt, tokenizer) for prompt in prompts], "place": list(range(len(prompts)))}
        ),
        processing_class=tokenizer,
        peft_config=lora_config(recipe.model, model) if recipe.model.use_peft else None,
        callbacks=list(callbacks),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def check_expressible(recipe: Recipe) -> None:
    """Raise BadInput at the first key that TRL has no option for."""
    algorithm, rollout = recipe.algorithm, recipe.rollout
    if rollout.num_generations < 2:
        raise BadInput(f"rollout.num_generations is {rollout.num_generations}, and TRL needs at least 2 for a group.")
    if "loss_type" in algorithm.plug_ins:
        raise BadInput(f"TRL's GRPOTrainer takes no algorithm.loss_type={algorithm.loss_type}: use `penny train`.")
    if algorithm.advantage_estimator != "grpo":
        raise BadInput(
            f"TRL's GRPOTrainer knows no algorithm.advantage_estimator={algorithm.advantage_estimator}: use grpo, or "
            "`penny train`."
        )
    if algorithm.beta > 0 and algorithm.kl_estimator != "k3":
        raise BadInput(f"TRL knows no algorithm.kl_estimator={algorithm.kl_estimator}: use k3, or `penny train`.")
    if long := [text for text in rollout.stop if len(text) != 1 or not text.isascii()]:
        raise BadInput(
            f"TRL ends completions at single tokens, so rollout.stop={long[0]!r} cannot be handed on: use one ASCII "
            "character, or `penny train`."
        )
    for name, known in KNOWN.items():
        section = getattr(recipe, name)
        for key, field in type(section).model_fields.items():
            changed = getattr(section, key) != field.get_default(call_default_factory=True)
            if changed and key not in known:
                raise BadInput(f"TRL has no option like {name}.{key}: leave it at its default, or use `penny train`.")


def prompts_in_order(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> list[Prompt]:
    """The prompts of all steps one after the other, those of a step as `penny train` takes them with one rank."""
    training, _ = load_sets(recipe)
    prompter = Prompter(recipe.problems, tokenizer)
    count = recipe.optimizer.max_steps * recipe.algorithm.problems_per_step
    order = ProblemStream(len(training), recipe.run.seed, recipe.problems.shuffle).take(0, count)
    rendered = {index: prompter.render(training[index]) for index in set(order)}
    return [rendered[index] for index in order]


def text_for_trl(prompt: Prompt, tokenizer: PreTrainedTokenizerBase) -> str:
    """The text that TRL, which lets the tokenizer add what it adds, turns into the prompt's own token ids.

    Raises:
        BadInput: there is none.
    """
    opening = tokenizer.bos_token or ""
    for text in (prompt.text, prompt.text.removeprefix(opening)):
        if tuple(tokenizer(text=[text])["input_ids"][0]) == prompt.token_ids:
            return text
    raise BadInput(
        f"TRL would tokenize the prompt of problem {prompt.problem.id} otherwise (its tokenizer adds special tokens of "
        "its own): use `penny train`."
    )


def load_start(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Any:
    """The model that training starts from; TRL ends a completion at every end-of-sequence id that it declares.

    TRL cannot pass stop strings on (transformers wants a tokenizer with them, and the padding after one would be
    trained on), so each token that holds a stop character counts as an end of sequence.
    """
    section = recipe.model
    device = pick_device(recipe.rollout.device)
    dtype = pick_dtype(section.dtype, device)
    kept = dtype if section.use_peft else pick_dtype("float32", device)
    model = load_model(section.name, section.revision, dtype=kept, device=device)
    declared = model.generation_config.eos_token_id
    ends = declared if isinstance(declared, list) else [declared]
    model.generation_config.eos_token_id = sorted(
        {i for i in [*ends, tokenizer.eos_token_id] if i is not None} | tokens_with(recipe.rollout.stop, tokenizer)
    )
    return model


def tokens_with(characters: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Ids of the tokens whose text holds one of the characters."""
    if not characters:
        return set()
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=False)
    return {i for i, text in enumerate(texts) if any(character in text for character in characters)}


def as_reward(prompts: Sequence[Prompt], grader: Grader) -> Callable[..., list[float | None]]:
    """The recipe's graders as one TRL reward function; the column `place` says which prompt a completion answers."""

    def penny(
        completions: list[str],
        completion_ids: list[list[int]],
        place: list[int],
        log_metric: Callable[[str, float], None],
        **_: Any,
    ) -> list[float | None]:
        asked = [prompts[i] for i in place]
        texts = [prompt.prefill + text for prompt, text in zip(asked, completions, strict=True)]
        graded = grade_texts(asked, texts, completion_ids, grader)
        log_metric("pass_rate", statistics.fmean(bool(grade.solved) for grade in graded))
        return [grade.reward for grade in graded]

    return penny


def to_config(recipe: Recipe, output: Path) -> GRPOConfig:
    """The recipe's settings under TRL's names."""
    rollout, algorithm, section = recipe.rollout, recipe.algorithm, recipe.optimizer
    device = pick_device(rollout.device)
    completions = algorithm.problems_per_step * rollout.num_generations
    batch = pass_size(completions, section.micro_batch_size)
    dtype = str(pick_dtype(recipe.model.dtype, device))
    # TRL's cispo has no bound of its own, as ours has; what else is left out means the same on both sides.
    high = algorithm.clip_high if algorithm.loss_type == "cispo" else algorithm.epsilon_high
    return GRPOConfig(
        output_dir=str(output),
        use_cpu=device == "cpu",
        bf16=dtype == "torch.bfloat16",
        fp16=dtype == "torch.float16",
        seed=recipe.run.seed,
        shuffle_dataset=False,  # `prompts_in_order` has shuffled
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=completions // batch,
        gradient_checkpointing=recipe.model.gradient_checkpointing,
        num_generations=rollout.num_generations,
        max_completion_length=rollout.max_completion_length,
        temperature=rollout.temperature,
        top_p=rollout.top_p,
        top_k=rollout.top_k,
        min_p=rollout.min_p or None,
        num_iterations=algorithm.num_iterations,
        loss_type=algorithm.loss_type,
        importance_sampling_level=algorithm.importance_sampling_level,
        scale_rewards=algorithm.scale_rewards,
        epsilon=algorithm.epsilon,
        epsilon_high=high,
        beta=algorithm.beta,
        use_bias_correction_kl=False,
        entropy_coef=algorithm.entropy_coef,
        mask_truncated_completions=algorithm.mask_truncated_completions,
        optim={"adamw": "adamw_torch", "adamw_8bit": "adamw_8bit"}[section.name],
        learning_rate=section.learning_rate,
        lr_scheduler_type=section.lr_scheduler_type,
        warmup_steps=section.warmup_steps * algorithm.num_iterations,
        max_steps=section.max_steps * algorithm.num_iterations,
        weight_decay=section.weight_decay,
        adam_beta1=section.adam_beta1,
        adam_beta2=section.adam_beta2,
        adam_epsilon=section.adam_epsilon,
        max_grad_norm=section.max_grad_norm,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def pass_size(completions: int, asked: int | None) -> int:
    """Completions of one pass: the largest divisor of a step's that is at most what is asked, by default 8."""
    return max(size for size in range(1, min(completions, asked or BATCH) + 1) if completions % size == 0)


class MetricsLines(TrainerCallback):
    """Prints what TRL logs of a step as a line of JSON."""

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Print what TRL logs as a line of JSON."""
        emit(json.dumps({"step": state.global_step, **(logs or {})}), flush=True)


def main() -> int:
    """Train a recipe with TRL, a line of metrics a step; the adapter, or the model, is written in the end."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trl_peer", description="Train a recipe with TRL.")
    parser.add_argument("recipe", help="name or path")
    parser.add_argument("changes", nargs="*", metavar="SECTION.KEY=VALUE")
    parser.add_argument("--smoke", action="store_true", help="with the recipe's smoke settings")
    options = parser.parse_intermixed_args()
    try:
        recipe = load_recipe(options.recipe, options.changes, options.smoke)
        check_expressible(recipe)
        check_problems(recipe)
        output = Path(recipe.run.dir) if recipe.run.dir else default_path(f"{recipe.name}-trl")
        with build_grader(recipe.rewards) as grader:
            trainer = build_trainer(recipe, grader, output, callbacks=[MetricsLines()])
            trainer.train()
            with atomic.folder(output / "policy") as folder:
                trainer.save_model(str(folder))
    except BadInput as error:
        emit(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
