"""Calibrations without measuring: a named GPU by its published figures, this machine by its rate of matrix products."""

from rl.config.recipe import Recipe
from rl.planner import rates as assumed
from rl.planner.calibrate import memory_here
from rl.planner.gpus import MEMORY_FROM, PRICES_AS_OF, Gpu
from rl.planner.memory import precision_of
from rl.planner.predict import Calibration, Observation
from rl.planner.shapes import Shape
from rl.rollout.build import pick_device


def of_gpu(recipe: Recipe, shape: Shape, gpu: Gpu, observed: Observation, priced: bool) -> Calibration:
    """A named GPU. `priced`: the price per hour is the caller's, not the table's."""
    precision, eager = precision_of(recipe, "cuda"), recipe.rollout.enforce_eager
    assumptions = [
        f"{gpu.name}: {gpu.teraflops:g} TFLOP/s dense bfloat16, {gpu.bandwidth:g} GB/s ({gpu.source}), "
        f"{gpu.memory_gib:.1f} GiB that torch finds, {MEMORY_FROM}",
        f"learner at {assumed.LEARNER_SHARE:.0%} of that rate; decoding at {assumed.DECODE_BANDWIDTH_SHARE:.0%} of the "
        f"bandwidth and {assumed.DECODE_FLOPS_SHARE:.0%} of the rate, and {assumed.STEP_SECONDS[eager] * 1000:g} ms a "
        "decode step on top",
        f"start-up {assumed.GPU_START_SECONDS[eager]:g} s, grading {assumed.GRADING_SECONDS * 1000:g} ms a completion",
    ]
    if not priced:
        assumptions.append(f"${gpu.dollars_per_hour:.2f} an hour, typical of {PRICES_AS_OF} (--dollars-per-hour)")
    return Calibration(
        shape=shape,
        rates=assumed.gpu_rates(gpu, shape, eager=eager, itemsize=precision.engine.itemsize),
        observed=observed,
        device="cuda",
        memory_gib=gpu.memory_gib,
        assumptions=tuple(assumptions),
    )


def of_this_machine(recipe: Recipe, shape: Shape, observed: Observation) -> Calibration:
    """This machine, its rate of matrix products measured and nothing else."""
    device = pick_device(recipe.rollout.device)
    precision = precision_of(recipe, device)
    product = assumed.product_rate(device, precision.learner)
    assumptions = [
        f"learner at {assumed.CPU_LEARNER_SHARE:.0%}, decoding at {assumed.CPU_DECODE_SHARE:.0%} of the measured "
        f"{product / 1e9:.0f} GFLOP/s of matrix products",
        f"start-up {assumed.CPU_START_SECONDS:g} s, grading {assumed.GRADING_SECONDS * 1000:g} ms a completion",
    ]
    return Calibration(
        shape=shape,
        rates=assumed.cpu_rates(product, shape),
        observed=observed,
        device=device,
        memory_gib=memory_here(device),
        assumptions=tuple(assumptions),
    )
