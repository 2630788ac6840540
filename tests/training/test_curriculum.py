"""The order of problems: by what is known, by what is seen, and the same again after a stop."""

import json

from hypothesis import given
from hypothesis import strategies as st

from rl.problems.stream import ProblemStream
from rl.run.rollouts import RolloutRow
from rl.training.curriculum import Curriculum

NAMES = ["a", "b", "c", "d"]
RATES = {"a": 0.0, "b": 0.5, "c": 1.0}  # nobody knows d


def made(order: str, **keys: object) -> Curriculum:
    return Curriculum(ProblemStream(4, 0, shuffle=False), NAMES, order, dict(RATES), **keys)  # type: ignore[arg-type]


def row(problem: str, solved: bool | None) -> RolloutRow:
    return RolloutRow(
        problem_id=problem, sample=0, prompt="", completion="", prompt_token_ids=(1,), token_ids=(1,), logprobs=(0.0,),
        finish_reason="stop", reward=0.0, solved=solved, advantage=0.0, learner_logprobs=None, parts={}, extra={},
    )  # fmt: skip


def names(curriculum: Curriculum, position: int, count: int) -> str:
    return "".join(NAMES[index] for index in curriculum.take(position, count))


def test_easy_first_and_informative_first() -> None:
    assert names(made("easy_first"), 0, 4) == "cbda"  # 1, 0.5, unknown counts as 0.5, 0
    assert names(made("informative_first"), 0, 4) == "bdac"
    assert names(made("random"), 0, 4) == "abcd"


def test_an_epoch_goes_by_what_the_one_before_has_seen() -> None:
    curriculum = made("easy_first")
    assert names(curriculum, 0, 2) == "cb"
    curriculum.observe(
        [row("c", False), row("c", False), row("a", True), row("a", None), row("b", True), row("b", False)]
    )
    assert names(curriculum, 2, 2) == "da"  # the epoch that has begun stays as it was
    assert names(curriculum, 4, 4) == "abdc"  # a 1, b 0.5, d unknown, c 0


def test_a_checkpoint_keeps_what_was_seen_and_settled() -> None:
    curriculum = made("easy_first")
    curriculum.take(0, 1)
    curriculum.observe([row("c", False)])
    again = made("easy_first")
    again.restore(curriculum.to_state())
    assert names(again, 0, 8) == names(curriculum, 0, 8)
    assert json.dumps(curriculum.to_state()["rates"]) == json.dumps(again.to_state()["rates"])


@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 30), st.sampled_from(["easy_first", "informative_first"]))
def test_each_epoch_is_a_permutation_however_it_is_cut(size: int, position: int, count: int, order: str) -> None:
    def fresh() -> Curriculum:
        rates = {str(index): index / size for index in range(size)}
        stream = ProblemStream(size, 3)
        return Curriculum(stream, [str(i) for i in range(size)], order, rates)  # type: ignore[arg-type]

    whole = fresh().take(0, 5 * size)
    assert all(sorted(whole[epoch * size : (epoch + 1) * size]) == list(range(size)) for epoch in range(5))
    if position + count <= 5 * size:
        assert fresh().take(position, count) == whole[position : position + count]
