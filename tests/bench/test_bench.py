"""The benchmark's own arithmetic: order, ratios, fits, tables, and that what it times side by side is the same."""

import json
import os
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import part
from benchmarks.learner import rates_table as learner_table
from benchmarks.limits import layer_shapes, rest, rollouts_text, useful_flops
from benchmarks.memory import growth_table, made_up
from benchmarks.part import ChildFailed, Part, address, fresh, run_part
from benchmarks.quality import curve_of, reached, row
from benchmarks.report import median_ratio, number, percents, ratio_text, spread
from benchmarks.scaling import axis_table, exponent, fitted, plot
from benchmarks.shared import markdown as shared_markdown
from benchmarks.signal_reward import varied
from benchmarks.step import compare_greedy, precision_table, rates_table
from benchmarks.versus_trl import fastest, steps_table
from benchmarks.workload import in_turn, long_prompts, product_rates, shared_prefix, token_rates
from rewards.errors import BadInput
from rl.learner.packing import Sample
from rl.models.source import load_model, resolve_model
from rl.planner.shapes import Shape
from rl.rollout.engine import Completion


def test_greedy_completions_are_compared_up_to_where_they_part() -> None:
    ours = [Completion((1, 2, 3), (-0.1, -0.2, -0.3), "length"), Completion((7, 2), (-1.0, -0.5), "stop")]
    theirs = [Completion((1, 2, 4), (-0.1, -0.25, -9.0), "length"), Completion((8, 2), (-5.0, -0.5), "stop")]
    result = compare_greedy(ours, theirs)
    assert result["max_difference"] == pytest.approx(0.05)
    assert (result["tokens_compared"], result["tokens"]) == (2, 5)


def test_shared_weights_are_shown_beside_the_way_before() -> None:
    passes = {"float32": {"beside the base": [2.0, 4.0, 4.0], "shared": [1.0, 2.0, 2.0]}}
    results = {"rollouts": {"completion_tokens": 100}, "passes": passes, "gflops": {"float32": 50.0}, "seconds": 9.0}
    text = "\n".join(shared_markdown(results))
    assert "100 completion tokens" in text and "50 GFLOP/s" in text
    assert "50 (50 to 100)" in text and "2 (2 to 2)" in text


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
    assert percents([0.5, 0.25]) == "37.5 (25 to 50) %"


def test_ratios_are_taken_repeat_by_repeat() -> None:
    # The ratios are 2, 5 and 1; that of the medians would be 4.
    text = rates_table({"fast": [20.0, 40.0, 50.0], "slow": [10.0, 8.0, 50.0]}, "slow")
    assert text.splitlines() == [
        "|  | completion tokens/s | times slow |",
        "| --- | --- | --- |",
        "| fast | 40 (20 to 50) | 2 (1 to 5) |",
        "| slow | 10 (8 to 50) | 1 (1 to 1) |",
    ]


def test_ratios_of_runs_are_those_of_medians_with_the_worst_and_the_best_case() -> None:
    ratio = median_ratio([10.0, 12.0, 20.0], [2.0, 4.0, 5.0])
    assert ratio == [3.0, 2.0, 10.0]
    assert ratio_text(ratio) == "3 (2 to 10)"


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


def step(seconds: float, no_signal: float = 0.0) -> dict[str, float]:
    return {"step": seconds, "generate": seconds / 2, "learn": seconds / 4, "grade": 0.0, "rest": seconds / 4,
            "mean_length": 10.0, "no_signal": no_signal}  # fmt: skip


def test_steps_are_compared_by_rate_with_the_faster_peer() -> None:
    found = {"ours": [step(10.0, 0.5)] * 3, "slow": [step(200.0)] * 3, "fast": [step(100.0)] * 3}
    assert fastest(found, {"slow": 0, "fast": 0}) == "fast"
    ours = steps_table(found, "fast").splitlines()[2].split(" | ")
    assert ours[:3] == ["| ours", "360 (360 to 360)", "10 (10 to 10)"]
    assert ours[4] == "5 (5 to 5)" and ours[-1] == "50 (50 to 50) % |"


def test_the_learner_is_compared_with_the_faster_peer() -> None:
    seconds = {"Penny": [2.0], "TRL, gradient checkpointing": [20.0], "TRL, without": [10.0]}
    lines = learner_table(seconds, 100).splitlines()
    assert lines[0] == "|  | completion tokens/s | times TRL, without |"
    assert lines[2:4] == ["| Penny | 50 | 5 |", "| TRL, gradient checkpointing | 5 | 0.5 |"]


def test_what_is_neither_generating_nor_learning() -> None:
    assert rest([step(8.0), step(4.0)]) == "25 (25 to 25) %"


def test_the_engine_is_set_against_both_ways_of_vllm_alone() -> None:
    found = {"seconds": {"engine": [1.05], "vllm": [1.0]}, "stock_seconds": [2.1], "same": [1.0]}
    lines = rollouts_text(found).splitlines()
    assert [line.split(" | ")[2].rstrip(" |") for line in lines[2:5]] == ["1", "1.05", "0.5"]
    assert "100 % of the completions" in lines[-1]


def test_useful_operations_counted_by_hand() -> None:
    """Two completions of one prompt that begin alike: prompt 5 6, completions 7 8 and 7 9.

    The tree has 5, 6, 7 (the last tokens predict nothing); 6 and 7 predict. Pairs: 1 + 2 + 3.
    """
    shape = Shape(
        layers=2, hidden=4, feed_forward=8, query=4, key_value=2, vocabulary=10, matrices=1000, head=40,
        parameters=1040, trainable=100, adapter=100, exported=1000,
    )  # fmt: skip
    samples = [Sample((5, 6), (7, last), (0.0, 0.0), 1.0, True) for last in (8, 9)]
    matrices = 3 * (4 * 1000 + 6 * 100)  # forward and inputs' gradient; of the adapter the weights' too
    attention = 6 * 2 * 4 * (4 + 8)  # pairs, layers, width; two products forward and four backward
    head = 2 * 4 * 40
    assert useful_flops(shape, samples) == matrices + attention + head
    assert useful_flops(replace(shape, head=0), samples) == matrices + attention


def test_the_matrices_of_a_layer(tiny_model: Path) -> None:
    shapes = layer_shapes(load_model(str(tiny_model)))
    assert sorted(shapes) == [(64, 128), (64, 128), (128, 128), (128, 128), (128, 256), (256, 128), (256, 128)]


def test_the_rate_of_products_is_operations_over_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 9.0, 0.0, 1.0, 0.0, 4.0, 0.0, 2.0])  # the first round does not count; the median is 2 s
    monkeypatch.setattr("benchmarks.workload.time.perf_counter", lambda: next(clock))
    assert product_rates([(3, 5), (7, 2)], 4, torch.float32, "cpu") == 2 * 4 * (15 + 14) / 2


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_the_exponent_of_a_power_law_is_found(power: float) -> None:
    assert exponent([4, 8, 16, 32], [3 * size**power for size in (4, 8, 16, 32)]) == pytest.approx(power)


def test_exponents_are_fitted_to_all_repeats_and_shown_with_the_predicted(tmp_path: Path) -> None:
    points = {"2": {"generate": [1.0, 4.0], "learn": [2.0], "tokens": [8]},
              "4": {"generate": [2.0, 8.0], "learn": [8.0], "tokens": [16]}}  # fmt: skip
    assert fitted(points, "generate") == pytest.approx(1.0)
    expected = {"2": {"generate": 1.0, "learn": 1.0}, "4": {"generate": 4.0, "learn": 2.0}}
    last = axis_table("group", points, expected).splitlines()[-1]
    assert last == "| exponent | 1 | 2 | 2 | 1 |  |"
    plot({"group": points}, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_growth_is_told_beside_that_of_the_size() -> None:
    points = {"4": [(10.0, 100.0), (30.0, 100.0)], "16": [(20.0, 150.0), (40.0, 150.0)]}
    assert growth_table("x", points).splitlines()[-1] == "| 16 | 30 (20 to 40) | 1.5 | 150 (150 to 150) | 1.5 | 4 |"


def test_made_up_rollouts_share_their_prompts_and_all_have_advantages() -> None:
    samples = made_up(1000, problems=2, samples=3, tokens=5)
    assert [s.prompt_ids for s in samples[:3]] == [samples[0].prompt_ids] * 3 != [samples[3].prompt_ids] * 3
    assert len({s.completion_ids for s in samples}) == 6 and all(len(s.completion_ids) == 5 for s in samples)
    assert all(s.advantage for s in samples)


def test_minutes_to_the_target_leave_out_loading_and_evaluating() -> None:
    def line(step: int | None, wall: float, start: float, evaluate: float) -> dict[str, Any]:
        return {"step": step, "wall": wall, "seconds": {"start": start, "evaluate": evaluate}}

    ledger = [line(None, 50, 30, 20), line(1, 60, 0, 0), line(2, 90, 0, 30), line(None, 40, 0, 40)]
    evaluations = [{"step": 0, "pass@1": 0.2}, {"step": 2, "pass@1": 0.55}]
    curve = curve_of(evaluations, ledger)
    assert [point["minutes"] for point in curve["points"]] == [0.0, 2.0]
    assert curve["loading"] == 0.5
    assert reached(curve["points"], 0.35) and not reached(curve["points"], 0.36) and not reached(evaluations[:1], 0.0)
    assert row([curve], 0.35) == ("2", "0.5", "2, 2, 20.0% to 55.0%")
    assert row([curve], 0.5)[0] == "not reached (0 of 1 seeds)"


def test_a_group_has_a_signal_unless_its_answers_are_the_same() -> None:
    rewards = varied(["a", "b", "a"])
    assert rewards[0] == rewards[2] != rewards[1] and all(0 <= reward < 1 for reward in rewards)


def test_long_prompts_share_no_more_than_the_template(tiny_model: Path) -> None:
    prompts = long_prompts(str(tiny_model), 3, 150)
    assert all(150 <= len(prompt) < 165 for prompt in prompts)  # a token a byte, and a word more at most
    assert shared_prefix(prompts) == len("user\n") + 1  # <|im_start|>, and no word of the notes in common
    assert shared_prefix([(1, 2, 3), (1, 2), (1, 2, 4)]) == 2


@pytest.mark.slow
def test_a_measurement_has_a_process_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert fresh(os.getpid) != os.getpid()
    with pytest.raises(ChildFailed) as failure:
        fresh(resolve_model, name="./nowhere")
    assert failure.value.code == 2
    assert "error: The model nowhere does not exist" in capfd.readouterr().err
    assert address(fresh) == "benchmarks.part:fresh"


def example(run: Any) -> Part:
    def options(parser: ArgumentParser) -> None:
        part.at_least_one(parser, max_tokens=3)

    def markdown(results: part.Results) -> Iterator[str]:
        yield f"It is {results['figure']}."

    return Part("example", "An example", options, run, markdown)


def test_a_part_writes_markdown_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = example(lambda options: {"figure": options.max_tokens})
    assert run_part(whole, ["-o", str(tmp_path / "new"), "--max-tokens", "4"]) == 0
    stored = json.loads((tmp_path / "new" / "example.json").read_text())
    assert stored["figure"] == 4 and stored["options"] == {"max_tokens": 4} and stored["machine"]["hardware"]["cores"]
    text = (tmp_path / "new" / "example.md").read_text()
    assert text.startswith("# An example\n") and "It is 4." in text and f"{os.cpu_count()} cores" in text
    assert text == capsys.readouterr().out


def test_a_part_tells_why_it_did_not_measure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def failing(_: Any) -> dict[str, Any]:
        raise ChildFailed(7)

    def refusing(_: Any) -> dict[str, Any]:
        raise BadInput("There is nothing to measure.")

    assert run_part(example(failing), ["-o", str(tmp_path)]) == 7
    assert run_part(example(refusing), ["-o", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "error: There is nothing to measure.\n"
    with pytest.raises(SystemExit):
        run_part(example(failing), ["--max-tokens", "0"])
    assert not list(tmp_path.iterdir())
