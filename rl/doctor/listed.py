"""The checks of `penny doctor gpu`, in the order in which they run."""

from rl.doctor import engine, learner, machine, runs, shapes
from rl.doctor.check import Check

CHECKS = (
    Check("driver", "machine", "GPU, driver, CUDA", 30, machine.driver),
    Check("compiler", "machine", "C compiler and Python's headers, for Triton", 30, machine.compiler),
    Check("precisions", "machine", "products in float32, bfloat16, float16", 30, machine.precisions),
    Check("products", "machine", "rate of matrix products", 60, machine.products),
    Check("bandwidth", "machine", "rate of copies in memory", 30, machine.bandwidth),
    Check("attention", "learner", "prefix trees against padded rows", 120, learner.attention),
    Check("compiles", "learner", "compiled kernels for forty lengths", 120, learner.compiles),
    Check("attention-speed", "learner", "prefix trees, timed", 60, learner.attention_speed),
    Check("liger", "learner", "Liger's fused kernels", 60, learner.liger),
    Check("adamw-8bit", "learner", "8-bit AdamW", 30, learner.adamw_8bit),
    *(
        Check(
            f"shape-{size}",
            f"shape-{size}",
            f"a learner of {size.upper()}, beside the plan",
            90,
            shapes.shape_check(size),
        )
        for size in shapes.QWEN
    ),
    Check("engine", "engine", "vLLM starts", 120, engine.start),
    Check("engine-speed", "engine", "completions, many at once", 60, engine.speed),
    Check("gap", "engine", "engine and learner, equal weights", 60, engine.gap),
    Check("reload", "engine", "new weights reach the engine", 60, engine.reload),
    Check("prefix-cache", "engine", "prompts that are asked again", 60, engine.prefix_cache),
    Check("adapter", "adapter", "adapters reach the engine", 120, engine.adapter),
    Check("sleep", "sleep", "the engine sleeps and wakes", 120, engine.sleep),
    Check("graphs", "graphs", "vLLM with CUDA graphs", 240, engine.graphs),
    Check("sft", "sft", "supervised fine-tuning", 120, runs.sft),
    Check("resume", "run", "quickstart, killed and resumed", 240, runs.resume),
    Check("plan", "run", "a step of it, planned and measured", 240, runs.plan),
    Check("ranks", "ranks", "two ranks train as one", 240, runs.ranks),
    Check("server", "server", "a vLLM server on a second GPU", 300, runs.server),
)
