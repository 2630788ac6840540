"""The benchmark's own arithmetic: order, ratios, tables, and that what it times side by side is the same."""

from pathlib import Path

import pytest
import torch

from benchmarks.parts import backward, compare_greedy, largest_difference, packed, padded
from benchmarks.step import markdown, number, precision_table, rates_table, spread
from benchmarks.workload import in_turn, token_rates
from rl.learner.packing import Sample
from rl.learner.policy import Policy, load_policy
from rl.recipe import ModelSection
from rl.rollout.engine import Completion


def sample(prompt: tuple[int, ...], completion: tuple[int, ...]) -> Sample:
    return Sample(prompt, completion, (0.0,) * len(completion), 1.0, True)


# Prompts and completions of unlike lengths, so that both sides are padded, and beginnings that are shared.
SAMPLES = [
    sample((5, 6, 7), (8, 9, 10, 11)),
    sample((5, 6, 7), (8, 9)),
    sample((12,), (13,)),
    sample((5, 6), (7, 8, 9)),
    sample((20, 21, 22, 23), (5, 5, 5)),
]


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> Policy:
    section = ModelSection(name=str(tiny_model), lora_r=4)
    made = load_policy(section, "cpu", torch.float32, seed=0, keep_reference=False)
    with torch.no_grad():
        for name, parameter in made.trainable.items():
            if "lora_B" in name:
                parameter.normal_(std=0.05)  # at 0 the adapter would be neither seen nor given a gradient for lora_A
    return made


@pytest.mark.parametrize("size", [2, 5])
@pytest.mark.parametrize("all_logits", [False, True])
def test_what_is_timed_side_by_side_gives_the_same_logps_and_gradients(
    policy: Policy, size: int, all_logits: bool
) -> None:
    columns, gradients = [], []
    for passes in (
        lambda: packed(policy, SAMPLES),
        lambda: packed(policy, SAMPLES, size),
        lambda: padded(policy, SAMPLES, size, all_logits=all_logits),
    ):
        columns.append(backward(policy, passes))
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in policy.trainable.values()]))
    assert len(columns[0]) == sum(len(s.completion_ids) for s in SAMPLES)
    assert largest_difference(columns) < 1e-5
    assert largest_difference(gradients) < 1e-5 * float(gradients[0].abs().max())


def test_padded_logps_are_those_of_each_sequence_alone(policy: Policy) -> None:
    expected = []
    for one in SAMPLES:
        with torch.no_grad():
            logits = policy.causal_lm(torch.tensor([one.prompt_ids + one.completion_ids])).logits[0]
        table = torch.log_softmax(logits[len(one.prompt_ids) - 1 : -1], -1)
        expected.append(table[range(len(one.completion_ids)), list(one.completion_ids)])
    (logps,) = padded(policy, SAMPLES, len(SAMPLES))
    assert largest_difference([torch.cat(expected), logps.detach()]) < 1e-5


def test_largest_difference_is_that_of_any_column_to_the_first() -> None:
    first = torch.tensor([1.0, 2.0])
    assert largest_difference([first, first + 0.25, torch.tensor([1.0, 1.5])]) == 0.5


def test_greedy_completions_are_compared_up_to_where_they_part() -> None:
    ours = [Completion((1, 2, 3), (-0.1, -0.2, -0.3), "length"), Completion((7, 2), (-1.0, -0.5), "stop")]
    theirs = [Completion((1, 2, 4), (-0.1, -0.25, -9.0), "length"), Completion((8, 2), (-5.0, -0.5), "stop")]
    result = compare_greedy(ours, theirs)
    assert result["max_difference"] == pytest.approx(0.05)
    assert (result["tokens_compared"], result["tokens"]) == (2, 5)


def test_every_other_repeat_goes_backwards() -> None:
    assert list(in_turn(["a", "b"], 3)) == [(1, "a"), (1, "b"), (2, "b"), (2, "a"), (3, "a"), (3, "b")]


def test_every_way_is_timed_once_a_repeat() -> None:
    calls = list[tuple[str, int]]()
    ways = {name: lambda repeat, name=name: calls.append((name, repeat)) or 10 for name in ("a", "b")}
    rates = token_rates(ways, 2)
    assert sorted(calls) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert all(len(values) == 2 and min(values) > 0 for values in rates.values())


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123456, "0.0123"), (12.345, "12.3"), (1234.5, "1,234"), (1e-6, "1e-06"), (0.0, "0")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


def test_spread_is_the_median_with_the_extremes() -> None:
    assert spread([3.0, 1.0, 200.0]) == "3 (1 to 200)"
    assert spread([3.0]) == "3"


def test_ratios_are_taken_repeat_by_repeat() -> None:
    # The ratios are 2, 5 and 1; that of the medians would be 4.
    text = rates_table({"fast": [20.0, 40.0, 50.0], "slow": [10.0, 8.0, 50.0]}, "slow")
    assert text.splitlines() == [
        "|  | completion tokens/s | times slow |",
        "| --- | --- | --- |",
        "| fast | 40 (20 to 50) | 2 (1 to 5) |",
        "| slow | 10 (8 to 50) | 1 (1 to 1) |",
    ]


def cell(gap: float) -> dict[str, list[float]]:
    names = ("rollout_tokens_per_second", "learner_tokens_per_second", "matrix_gflops")
    return {**{name: [1.0] for name in names}, "gap/mean": [gap], "gap/max": [gap]}


def test_precisions_are_listed_learner_by_learner() -> None:
    engines = {
        "float32": {"float32": cell(0.1), "bfloat16": cell(0.3)},
        "bfloat16": {"float32": cell(0.2), "bfloat16": cell(0.4)},
    }
    rows = [line.split(" | ") for line in precision_table(engines).splitlines()[2:]]
    assert [(row[0].strip("| "), row[1], row[5]) for row in rows] == [
        ("float32", "float32", "0.1"),
        ("float32", "bfloat16", "0.2"),
        ("bfloat16", "float32", "0.3"),
        ("bfloat16", "bfloat16", "0.4"),
    ]


def test_without_vllm_the_report_says_so() -> None:
    hardware = {"cpu": "A chip", "cores": 2, "memory_gib": 8.0, "system": "Linux", "gpus": []}
    machine = {"hardware": hardware, "versions": {"torch": "2"}, "git": None, "started": "now", "load": 0.0}
    sizes = {"model": "tiny", "repeats": 1, "prompts": 2, "samples": 2, "max_tokens": 4}
    learner = {"tokens_per_second": {"padded, a group a pass": [5.0]}, "max_difference": 1e-6, "completions": 2}
    text = markdown({"machine": machine, "sizes": sizes, "figures": {"learner": learner}, "seconds": {"learner": 3.0}})
    assert "A chip, 2 cores, 8.0 GiB, no GPU" in text
    assert "vLLM is not installed" in text
    assert "## Rollouts" not in text
