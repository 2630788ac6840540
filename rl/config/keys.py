"""What other trainers call the keys of a recipe, for hints; they are not taken as keys."""

from collections.abc import Sequence

from rl.base.nearest import nearest

LIKE = 0.7  # a key of another section must be nearer than one of the same section

# TRL, verl, OpenRLHF, tinker-cookbook, vLLM, peft and transformers, by the last part of their names.
ELSEWHERE = {
    "optimizer.learning_rate": ("lr", "actor_learning_rate", "peak_lr"),
    "optimizer.max_steps": (
        "epochs", "max_epochs", "max_iters", "max_train_steps", "n_steps", "num_epochs", "num_steps",
        "num_train_epochs", "num_training_steps", "steps", "total_epochs", "total_steps", "total_training_steps",
    ),
    "optimizer.lr_scheduler_type": ("lr_schedule", "lr_scheduler", "scheduler", "warmup_style"),
    "optimizer.warmup_steps": (
        "lr_warmup_steps", "lr_warmup_steps_ratio", "num_warmup_steps", "warmup", "warmup_ratio",
    ),
    "optimizer.max_grad_norm": ("clip_grad", "grad_clip", "gradient_clipping"),
    "optimizer.adam_beta1": ("beta1", "betas"),
    "optimizer.adam_beta2": ("beta2",),
    "optimizer.name": ("optim", "optimizer_name"),
    "optimizer.micro_batch_size": (
        "gradient_accumulation_steps", "micro_train_batch_size", "per_device_micro_batch_size",
        "ppo_micro_batch_size_per_gpu",
    ),
    "optimizer.micro_batch_tokens": ("max_tokens_per_batch", "ppo_max_token_len_per_gpu"),
    "algorithm.problems_per_step": (
        "batch_size", "generation_batch_size", "groups_per_batch", "per_device_train_batch_size", "ppo_mini_batch_size",
        "rollout_batch_size", "train_batch_size",
    ),
    "algorithm.beta": (
        "init_kl_coef", "kl_beta", "kl_coef", "kl_coeff", "kl_loss_coef", "kl_penalty_coef", "kl_weight",
    ),
    "algorithm.kl_estimator": ("kl_loss_type", "kl_penalty"),
    "algorithm.epsilon": (
        "clip_eps", "clip_epsilon", "clip_range", "clip_ratio", "clip_ratio_low", "cliprange", "eps_clip",
    ),
    "algorithm.epsilon_high": ("clip_ratio_high", "eps_clip_high"),
    "algorithm.advantage_estimator": ("adv_estimator",),
    "algorithm.entropy_coef": ("entropy_coeff", "entropy_loss_coef", "entropy_weight"),
    "algorithm.loss_type": ("loss", "loss_agg_mode", "loss_fn", "policy_loss"),
    "algorithm.num_iterations": ("mu", "num_ppo_epochs", "num_substeps", "ppo_epochs"),
    "algorithm.importance_sampling_correction": (
        "rollout_is", "tis", "vllm_importance_sampling_correction", "vllm_importance_sampling_mode",
    ),
    "algorithm.importance_sampling_cap": (
        "rollout_is_threshold", "tis_imp_ratio_cap", "vllm_importance_sampling_cap",
        "vllm_importance_sampling_clip_max",
    ),
    "algorithm.importance_sampling_floor": ("vllm_importance_sampling_clip_min",),
    "algorithm.rollout_rs": ("rollout_rs_threshold", "rollout_token_veto_threshold"),
    "rollout.num_generations": (
        "g", "group_size", "k", "n", "n_samples_per_prompt", "num_completions", "num_return_sequences", "num_rollouts",
        "num_samples_per_prompt", "rollouts_per_prompt", "samples_per_prompt",
    ),
    "rollout.max_completion_length": (
        "generate_max_len", "max_completion_tokens", "max_generation_length", "max_new_tokens", "max_response_length",
        "max_tokens", "response_length",
    ),
    "rollout.max_model_length": (
        "max_length", "max_model_len", "max_seq_len", "max_seq_length", "vllm_max_model_length",
    ),
    "rollout.engine": ("backend", "use_vllm", "vllm_mode"),
    "rollout.server_url": ("base_url", "vllm_server_base_url", "vllm_server_host"),
    "rollout.stop": ("stop_sequences", "stop_strings", "stop_words"),
    "rollout.enable_sleep_mode": ("vllm_enable_sleep_mode",),
    "rollout.gpu_memory_utilization": ("gpu_memory", "vllm_gpu_memory_utilization"),
    "rollout.tensor_parallel_size": ("tensor_model_parallel_size", "tp", "tp_size", "vllm_tensor_parallel_size"),
    "rollout.max_staleness": ("async_training", "max_steps_off_policy"),
    "problems.max_prompt_length": ("max_prompt_len", "prompt_length", "prompt_max_len"),
    "problems.name": ("dataset", "dataset_id", "dataset_name"),
    "problems.config": ("dataset_config", "dataset_config_name"),
    "problems.split": ("dataset_split", "dataset_train_split"),
    "problems.path": ("data_files", "data_path", "file", "train_file", "train_files"),
    "problems.prompt": ("prompt_template", "template"),
    "problems.system_prompt": ("system", "system_message"),
    "problems.few_shot": ("examples", "fewshot", "num_fewshot", "shots"),
    "problems.drop_long": ("filter_overlong_prompts",),
    "model.name": ("base_model", "model_id", "model_name", "model_name_or_path", "model_path", "pretrained"),
    "model.revision": ("model_revision",),
    "model.dtype": ("bf16", "fp16", "model_dtype", "precision", "torch_dtype"),
    "model.lora_r": ("lora_rank", "r", "rank"),
    "model.lora_alpha": ("alpha",),
    "model.lora_target_modules": ("target_modules",),
    "model.use_peft": ("lora", "use_lora"),
    "model.gradient_checkpointing": ("activation_checkpointing", "enable_gradient_checkpointing"),
    "rewards.functions": ("reward", "reward_funcs", "reward_function", "reward_functions", "reward_weights"),
    "evaluation.every": ("eval_every", "eval_freq", "eval_interval", "eval_steps", "test_freq"),
    "evaluation.size": ("eval_size", "max_eval_samples"),
    "run.dir": ("default_local_dir", "log_dir", "log_path", "output", "output_dir", "save_path"),
    "run.save_steps": ("save_every", "save_freq", "save_interval"),
    "run.save_total_limit": ("max_checkpoints",),
    "run.report_to": ("logger", "log_with", "use_wandb", "wandb", "wandb_project"),
    "run.dollars_per_hour": ("price",),
    "distillation.teacher": ("teacher_model", "teacher_name_or_path"),
}  # fmt: skip
OURS = {name: key for key, names in ELSEWHERE.items() for name in names}


def meant_key(dotted: str, known: Sequence[str]) -> str | None:
    """Return the known key that a mistyped or misplaced one stands for; None: none is like it.

    Looked for in turn: what another trainer's name stands for; the same name in another section; the nearest in the
    same section; the nearest in all sections.
    """
    section, _, leaf = dotted.rpartition(".")
    siblings = {
        key.removeprefix(f"{section}.") if section else key: key for key in known if key.rpartition(".")[0] == section
    }
    leaves: dict[str, str] = {}
    for key in known:
        leaves.setdefault(key.rpartition(".")[2], key)
    plain = leaf.casefold().replace("-", "_")
    ours = OURS.get(plain)
    if ours is not None:
        name = ours.rpartition(".")[2]
        return ours if ours in known else siblings.get(name) or leaves.get(name)
    if plain in leaves:
        return leaves[plain]
    if near := nearest(leaf, siblings):
        return siblings[near[0]]
    near = nearest(leaf, leaves, cutoff=LIKE)
    return leaves[near[0]] if near else None
