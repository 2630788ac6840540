"""Loads the models of a run that learn or score, and says how they are computed."""

from collections.abc import Callable

import torch

from rl.config.recipe import Recipe
from rl.learner.policy import Policy, load_policy, load_teacher
from rl.learner.selfcheck import pick_layout
from rl.rollout.build import context_length, shared_dtype
from rl.rollout.precision import pick_dtype
from rl.run.loading import loading


def load_learner(recipe: Recipe, device: str, say: Callable[[str], None]) -> Policy:
    """Load the policy, in the layout that it can be computed in."""
    dtype, beta = pick_dtype(recipe.model.dtype, device), recipe.algorithm.beta
    with loading(f"loading {recipe.model.name} to learn, on {device}", say):
        policy = load_policy(
            recipe.model,
            device,
            dtype,
            seed=recipe.run.seed,
            keep_reference=beta > 0,
            engine_dtype=shared_dtype(recipe, device),
        )
        why_padded = pick_layout(policy, context_length(recipe))
    if why_padded:
        say(f"the learner computes padded rows, which is slower than prefix trees: {why_padded}")
    if apart := why_apart(policy):
        say(apart)
    return policy


def why_apart(policy: Policy) -> str | None:
    """Say why, in 16 bits, the policy does not compute with the very weights that the engine gets; None if it does."""
    if not policy.has_adapter or policy.compute_dtype == torch.float32:
        return None
    if policy.shared is None:
        return "the learner adds its adapter to the base weights, as the engine does (rollout.weight_sync=adapter)"
    if policy.shared.left:
        return (
            f"{policy.shared.left} of {policy.shared.left + len(policy.shared)} adapted layers are more than a sum of "
            "matrices (dropout, DoRA), so the learner does not compute them with the rounded weights that the engine "
            "gets: expect a wider gap"
        )
    return None


def load_scorer(recipe: Recipe, policy: Policy, say: Callable[[str], None]) -> Policy:
    """The teacher of on-policy distillation; what it cannot compute as trees, the policy does not either."""
    with loading(f"loading the teacher {recipe.distillation.teacher}", say):
        teacher = load_teacher(recipe.distillation, policy.device.type, policy.compute_dtype)
        why_padded = pick_layout(teacher, context_length(recipe))
    if why_padded and policy.layout == "tree":
        say(f"the learner computes padded rows, which is slower, as the teacher must: {why_padded}")
        policy.use_layout("padded")
    teacher.use_layout(policy.layout)
    return teacher
