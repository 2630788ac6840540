"""Completions as they end, and more prompts while others run: the same completions as all asked at once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rl.rollout.engine import RolloutEngine, SampleRequest, SamplingParams
from rl.rollout.transformers_engine import TransformersEngine

PROMPTS = [(5, 6, 7), (8, 9), (10, 11, 12, 13), (14, 15)]
SEEDS = [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]
PARAMS = SamplingParams(max_tokens=12)


@pytest.fixture(
    scope="module", params=["transformers", pytest.param("vllm", marks=[pytest.mark.vllm, pytest.mark.slow])]
)
def engine(request: pytest.FixtureRequest, tiny_model: Path) -> Iterator[RolloutEngine]:
    """An engine that runs no more than four completions at once."""
    if request.param == "transformers":
        yield TransformersEngine(str(tiny_model), max_num_seqs=4)
        return
    pytest.importorskip("vllm", reason="vLLM is not installed here")
    from rl.rollout.vllm_engine import VllmEngine, VllmSettings

    settings = VllmSettings("cpu", "float32", 64, 4, True, 1.0, 0.4, False)
    engine = VllmEngine(str(tiny_model), None, settings)
    yield engine
    engine.close()


def test_what_is_refilled_takes_the_places_that_follow(engine: RolloutEngine) -> None:
    expected = engine.generate(PROMPTS, PARAMS, SEEDS)
    later = [[(PROMPTS[2], SEEDS[2])], [], [(PROMPTS[3], SEEDS[3])]]  # asked in the first calls

    def refill() -> Sequence[SampleRequest]:
        return later.pop(0) if later else []

    found = {(p, g): said for p, g, said in engine.stream(PROMPTS[:2], PARAMS, SEEDS[:2], refill)}
    assert later == []
    assert {place: said.token_ids for place, said in found.items()} == {
        (p, g): said.token_ids for p, group in enumerate(expected) for g, said in enumerate(group)
    }


def test_a_stream_that_has_run_dry_is_refilled(engine: RolloutEngine) -> None:
    """`refill` is called once more when the last completion was handed over."""
    seen = list[int]()
    more = [[(PROMPTS[1], SEEDS[1])]]

    def refill() -> Sequence[SampleRequest]:
        return more.pop() if len(seen) == 3 and more else []

    for p, _, _ in engine.stream(PROMPTS[:1], PARAMS, SEEDS[:1], refill):
        seen.append(p)
    assert seen == [0, 0, 0, 1, 1, 1]


def test_a_closed_stream_drops_what_runs(engine: RolloutEngine) -> None:
    stream = engine.stream(PROMPTS, PARAMS, SEEDS)
    next(stream)
    stream.close()
    again = engine.generate(PROMPTS[:1], PARAMS, SEEDS[:1])
    assert [said.token_ids for said in again[0]] == [
        said.token_ids for said in engine.generate(PROMPTS, PARAMS, SEEDS)[0]
    ]


def test_an_error_of_refill_ends_the_stream(engine: RolloutEngine) -> None:
    def refill() -> Sequence[SampleRequest]:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(engine.stream(PROMPTS, PARAMS, SEEDS, refill))
    assert len(engine.generate(PROMPTS, PARAMS, SEEDS)) == 4
