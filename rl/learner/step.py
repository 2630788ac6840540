"""One learning step: from scored completions to new weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from rl.base import ranks
from rl.base.errors import PlugInFailed, RunStopped
from rl.config.recipe import AlgorithmSection, OptimizerSection
from rl.learner.correction import importance_weights
from rl.learner.distillation import reverse_kl_advantages
from rl.learner.experts import load_metrics
from rl.learner.fuse import LogitError, logit_error, relative_limit
from rl.learner.gap import gap_stats
from rl.learner.kl import kl_per_token
from rl.learner.losses import Totals, policy_loss
from rl.learner.packing import Layout, MicroBatch, Sample, pack
from rl.learner.plug_ins import PlugIns, load_plug_ins
from rl.learner.policy import Policy
from rl.learner.rejection import kept_tokens
from rl.learner.scaling import build_scaler, update_weights


@dataclass
class Update:
    """What a step did.

    Attributes:
        logps: by sample, the learner's log-probabilities before the update, if computed.
        logit_error: what the gap says of the logits, over all ranks (`fuse.py`).
    """

    metrics: dict[str, float]
    logps: dict[int, list[float]] = field(default_factory=dict)
    logit_error: LogitError = LogitError(0.0, 0)


@dataclass(frozen=True)
class Before:
    """Log-probabilities [N] of a micro-batch's tokens before the first update: the policy's, and a teacher's."""

    logps: Tensor
    teacher_logps: Tensor | None


@dataclass(frozen=True)
class LearnerSettings:
    """Recipe values that a step needs, beside its own sections.

    Attributes:
        max_gap: the gap's limit, nats, unless there is a `first_gap`.
        first_gap: what the gap is compared with (`fuse.py`).
    """

    temperature: float
    max_completion_length: int
    max_gap: float
    distillation_weight: float = 1.0
    router_aux_loss_coef: float = 0.0
    first_gap: LogitError | None = None


def learn(
    policy: Policy,
    optimizer: torch.optim.Optimizer,
    samples: Sequence[Sample],
    algorithm: AlgorithmSection,
    section: OptimizerSection,
    settings: LearnerSettings,
    teacher: Policy | None = None,
    scaler: torch.amp.GradScaler | None = None,
    plug_ins: PlugIns | None = None,
) -> Update:
    """Update the policy `num_iterations` times on this rank's samples; the gradient is that of all ranks' together.

    A `teacher` scores every token before the first update, and its scores are part of the advantages.

    The ratio's "old" log-probabilities are those of the first iteration, taken as it goes, so no extra pass is spent on
    them. `scaler` scales the loss in float16; by default it is a new one. `plug_ins`: those of `algorithm`, which a run
    loads once. Before the first update the gap to the engine is measured. Raises `RunStopped` if it is above its limit
    or if the gradient is not finite; the weights are then still the old ones. In float16 a gradient that is not finite
    skips the update (`scaling.py`). Raises `PlugInFailed`, on all ranks, if a user's function fails on one.
    """
    scaler, plug_ins = scaler or build_scaler(policy), plug_ins or load_plug_ins(algorithm)
    totals = batch_totals(samples, settings.max_completion_length)
    policy.routers.take_counts()  # those of earlier trials
    always = plug_ins.needs_all or teacher is not None or algorithm.beta > 0 or algorithm.entropy_coef > 0
    most = min(each.most_tokens for each in (policy, teacher) if each is not None)
    micro_batches = pack_useful(samples, section, policy.layout, always, most)
    nodes = sum(ranks.gather([sum(batch.input_ids.numel() for batch in micro_batches)]))  # of all ranks
    update, old, taught = Update({}), list[Tensor](), list[Tensor | None]()
    for iteration in range(algorithm.num_iterations):
        optimizer.zero_grad(set_to_none=True)
        sums = dict[str, float]()
        with failing_together(moved=iteration > 0):
            for number, cpu_batch in enumerate(micro_batches):
                batch = cpu_batch.to(policy.device)
                logps, entropy = policy.logps(batch, settings.temperature, with_entropy_grad=algorithm.entropy_coef > 0)
                if iteration == 0:
                    old.append(logps.detach())
                    taught.append(None if teacher is None else teacher.frozen_logps(batch, settings.temperature))
                first = Before(old[number], taught[number])
                loss, stats = batch_loss(policy, batch, logps, first, entropy, totals, algorithm, settings, plug_ins)
                if policy.routers and settings.router_aux_loss_coef:
                    balance = policy.routers.balance_loss() * batch.input_ids.numel() / nodes
                    loss = loss + settings.router_aux_loss_coef * balance
                    stats |= {"balance": balance.detach()}
                scaler.scale(loss).backward()
                for name, value in (stats | {"loss": loss.detach()}).items():
                    sums[name] = sums.get(name, 0.0) + float(value)
        ranks.add_gradients(policy.trainable.values())
        if iteration == 0:
            update.logps = logps_by_sample(micro_batches, old)
            update.logit_error = check_gap(samples, update, settings)
        taken = update_weights(policy, optimizer, scaler, section.max_grad_norm)
        if "skipped" in taken:
            taken["skipped"] += update.metrics.get("skipped", 0.0)
        update.metrics |= averages(ranks.gather([sums])) | taken
    if policy.routers:
        update.metrics |= load_metrics(ranks.gather([policy.routers.take_counts()]))
    return update


@contextmanager
def failing_together(moved: bool) -> Iterator[None]:
    """Raise what a user's function raised in the block, on every rank; `moved`: the weights have left the old ones."""
    failures = list[PlugInFailed]()
    try:
        yield
    except PlugInFailed as error:
        failures.append(error)
    for failure in ranks.gather(failures)[:1]:
        failure.moved = moved
        raise failure


def batch_totals(samples: Sequence[Sample], max_completion_length: int) -> Totals:
    """Counts over all ranks; losses divide by them, so that they do not depend on how the batch is split."""
    counts = ranks.gather([(len(samples), sum(len(s.completion_ids) for s in samples if s.counted))])
    sequences, tokens = (sum(column) for column in zip(*counts, strict=True))
    return Totals(sequences=sequences, tokens=tokens, max_completion_length=max_completion_length)


def pack_useful(
    samples: Sequence[Sample], section: OptimizerSection, layout: Layout, always: bool, most: int
) -> list[MicroBatch]:
    """Micro-batches of the samples that add to the gradient; of one sample alone if none does, to measure the gap.

    `always`: also those without an advantage do, by a KL term, an entropy bonus or a teacher. `most`: tokens of a
    micro-batch, if the recipe asks for more.
    """
    useful = [i for i, s in enumerate(samples) if s.counted and (always or s.advantage != 0)] or [0]
    batches = pack([samples[i] for i in useful], min(section.pass_tokens, most), section.micro_batch_size, layout)
    return [b.with_indices(useful) for b in batches]


def batch_loss(
    policy: Policy,
    batch: MicroBatch,
    logps: Tensor,  # [N]
    first: Before,
    entropy: Tensor,  # [N]
    totals: Totals,
    algorithm: AlgorithmSection,
    settings: LearnerSettings,
    plug_ins: PlugIns,
) -> tuple[Tensor, dict[str, Tensor]]:
    """This micro-batch's share of the loss, and sums for the metrics."""
    correction, correction_sums = importance_weights(
        first.logps,
        batch.engine_logps,
        batch.sequence,
        batch.mask,
        plug_ins.correction,
        algorithm.importance_sampling_cap,
        algorithm.importance_sampling_floor,
    )
    if limits := algorithm.rollout_rs.model_dump(exclude_none=True):
        kept, rejected_sums = kept_tokens(first.logps, batch.engine_logps, batch.sequence, batch.mask, limits)
        correction, correction_sums = correction * kept, correction_sums | rejected_sums
    kl = None
    if algorithm.beta > 0:
        kl = kl_per_token(logps, policy.reference_logps(batch, settings.temperature), algorithm.kl_estimator)
    token_advantages, taught_sums = None, dict[str, Tensor]()
    if first.teacher_logps is not None:
        token_advantages, taught_sums = reverse_kl_advantages(
            first.logps, first.teacher_logps, batch.mask, settings.distillation_weight
        )
    loss, sums = policy_loss(
        logps,
        first.logps,
        batch.advantages,
        batch.sequence,
        batch.mask,
        totals,
        loss_type=plug_ins.loss,
        epsilon=algorithm.epsilon,
        epsilon_high=algorithm.clip_high,
        importance_sampling_level=algorithm.importance_sampling_level,
        engine_logps=batch.engine_logps,
        correction=correction,
        kl=kl,
        beta=algorithm.beta,
        entropy=entropy,
        entropy_coef=algorithm.entropy_coef,
        token_advantages=token_advantages,
    )
    return loss, correction_sums | taught_sums | sums


def averages(parts: list[dict[str, float]]) -> dict[str, float]:
    """The step's metrics from the sums of all ranks: the loss adds up, the rest are means over counted tokens."""
    sums = {name: sum(part.get(name, 0.0) for part in parts) for name in {n for part in parts for n in part}}
    tokens = max(sums["tokens"], 1)
    metrics = {
        "loss": sums["loss"],
        "entropy": sums["entropy"] / tokens,
        "correction/mean": sums["correction"] / tokens,
        "correction/capped": sums["correction_capped"] / tokens,
        "correction/floored": sums["correction_floored"] / tokens,
    }
    rejected = [name for name in sums if name.partition("/")[0] == "rejected"]
    metrics |= {f"correction/{name}": sums[name] / max(sums["sequences"], 1) for name in rejected}
    if "balance" in sums:
        metrics["moe/balance_loss"] = sums["balance"]
    metrics |= {f"clip_ratio/{end}": sums[name] / tokens for end in ("low", "high") if (name := f"clip_{end}") in sums}
    means = [name for name in sums if name in ("kl", "reverse_kl") or name.startswith("loss/")]
    return metrics | {name: sums[name] / tokens for name in means}


def logps_by_sample(micro_batches: Sequence[MicroBatch], logps: Sequence[Tensor]) -> dict[int, list[float]]:
    """The flat log-probabilities of each micro-batch, cut up by the sample they belong to."""
    result = dict[int, list[float]]()
    for batch, flat in zip(micro_batches, logps, strict=True):
        lengths = batch.sequence.bincount().tolist()
        parts = flat.cpu().split(lengths)
        result |= {index: part.tolist() for index, part in zip(batch.indices, parts, strict=True)}
    return result


def check_gap(samples: Sequence[Sample], update: Update, settings: LearnerSettings) -> LogitError:
    """Add the gap of all ranks' computed samples, and its limit, to the metrics; `RunStopped` above the limit."""
    pairs = ranks.gather([(value, samples[i].engine_logps) for i, value in update.logps.items()])
    learner = torch.tensor([x for ours, _ in pairs for x in ours])
    engine = torch.tensor([x for _, theirs in pairs for x in theirs])
    gap, error, first = (
        gap_stats(learner, engine),
        logit_error(learner, engine, settings.temperature),
        settings.first_gap,
    )
    mean, limit, compared = gap["gap/mean"], settings.max_gap, ""
    if first is not None:
        limit = relative_limit(mean, error, first, settings.max_gap)
        compared = (
            f" (a logit's error is {error.mean:.4f}; it was {first.mean:.4f} in the first step, before any update)"
        )
    if not mean <= limit:
        raise RunStopped(
            "the engine and the learner disagree about the same tokens: mean |log p difference| "
            f"{mean:.4f} is above the limit {limit:.4g} of rollout.max_gap{compared}; either new weights do not reach "
            "the engine, or the two compute in too different precisions (rollout.dtype, model.dtype)"
        )
    update.metrics |= gap | {"gap/logit": error.mean, "gap/limit": limit}
    return error
