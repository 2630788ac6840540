"""GRPO from its parts, in one file: `python examples/rl_loop.py`.

The loop does in the open what `rl.train` does: sample a group of completions for each problem, grade them by a rule,
turn rewards into advantages, take a gradient step, and give the new weights to the engine. It leaves out what a long
run needs: checkpoints, resume, budgets, a report. Change a line and see what happens.

It trains SmolLM2-135M on sums of two-digit numbers, on a CPU, in a few minutes. `smoke` uses a tiny random model.
"""

import sys
from collections.abc import Iterator
from typing import Any

import torch

import rl

STEPS, PROBLEMS, GROUP = 30, 8, 16  # in each step: PROBLEMS problems with GROUP completions each
LEARNING_RATE, CLIP, TEMPERATURE, LONGEST = 2e-4, 0.2, 1.0, 16


def correct(completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """Pay 1 for a completion that is the right number."""
    return [float(text.strip() == gold) for text, gold in zip(completions, answer, strict=True)]


def batches(problems: list[rl.Problem], size: int) -> Iterator[list[rl.Problem]]:
    """Yield so many problems at a time, without end."""
    while True:
        for start in range(0, len(problems) - size + 1, size):
            yield problems[start : start + size]


def main(smoke: bool = False) -> list[float]:
    """Train, print a line for each step, and return the mean rewards of the steps."""
    recipe = rl.load_recipe("quickstart", {"model.dtype": "float32"}, smoke=smoke)  # for problems, model and engine
    steps, size, group = (2, 2, 4) if smoke else (STEPS, PROBLEMS, GROUP)
    training, _ = rl.load_sets(recipe)
    tokenizer = rl.load_tokenizer(recipe.model.name)
    prompter = rl.Prompter(recipe.problems, tokenizer)

    engine = rl.build_engine(recipe)
    policy = rl.load_policy(
        recipe.model, "cpu", torch.float32, seed=0, keep_reference=False, engine_dtype=torch.float32
    )
    optimizer = torch.optim.AdamW(policy.trainable.values(), lr=LEARNING_RATE, weight_decay=0.0)
    params = rl.SamplingParams(max_tokens=LONGEST, temperature=TEMPERATURE, stop=tuple(recipe.rollout.stop))
    engine.load_weights(policy.export())
    means = []
    for step, problems in zip(range(1, steps + 1), batches(training, size), strict=False):
        # 1. Sample. The engine takes token ids and returns token ids with their log-probabilities.
        prompts = [prompter.render(problem) for problem in problems]
        seeds = [rl.completion_seeds(0, step, place, group) for place in range(size)]
        completions = engine.generate([prompt.token_ids for prompt in prompts], params, seeds)

        # 2. Grade by a rule. A row of `rewards` is a group: the completions of one problem.
        rewards = torch.tensor(
            [
                correct(
                    [tokenizer.decode(each.token_ids, skip_special_tokens=True) for each in answers],
                    answer=[problem.columns["answer"]] * group,
                )
                for problem, answers in zip(problems, completions, strict=True)
            ]
        )  # [P, G]

        # 3. Advantages: the reward minus the mean of the group, divided by its standard deviation (arXiv:2402.03300).
        advantages = rl.compute_advantages("grpo", "group", rewards, torch.ones_like(rewards, dtype=torch.bool))

        # 4. Learn. Completions are packed, so that a prompt that they share is computed once.
        samples = [
            rl.Sample(prompt.token_ids, each.token_ids, each.logprobs, float(advantage), counted=True)
            for prompt, answers, row in zip(prompts, completions, advantages, strict=True)
            for each, advantage in zip(answers, row, strict=True)
        ]
        loss = update(policy, optimizer, samples)

        # 5. Give the new weights to the engine.
        engine.load_weights(policy.export())
        means.append(rewards.mean().item())
        print(f"step {step}/{steps}  reward {means[-1]:.3f}  loss {loss:+.4f}", flush=True)
    engine.close()
    return means


def update(policy: rl.Policy, optimizer: torch.optim.Optimizer, samples: list[rl.Sample]) -> float:
    """Take one gradient step on the clipped loss of the samples; return the loss."""
    totals = rl.Totals(len(samples), sum(len(sample.completion_ids) for sample in samples), LONGEST)
    optimizer.zero_grad()
    whole = 0.0
    for batch in rl.pack(samples, max_tokens=4096):
        logps, _ = policy.logps(batch, TEMPERATURE)  # [N]: one number for each completion token
        loss, _ = rl.policy_loss(
            logps,
            logps.detach(),  # the policy before the update: this is the first and only update of the step
            batch.advantages,
            batch.sequence,
            batch.mask,
            totals,
            loss_type="dapo",
            epsilon=CLIP,
            epsilon_high=CLIP,
        )
        loss.backward()
        whole += loss.item()
    torch.nn.utils.clip_grad_norm_(policy.trainable.values(), 1.0)
    optimizer.step()
    return whole


if __name__ == "__main__":
    main(smoke="smoke" in sys.argv[1:])
