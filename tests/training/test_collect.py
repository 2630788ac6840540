"""A batch is the same whoever ends first; grading goes on beside generating; flat groups are replaced meanwhile."""

import hashlib
import itertools
import random
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewards.failures import RewardFailed
from rewards.grading import Grade, Grader
from rl.base import ranks
from rl.config.recipe import AlgorithmSection, Recipe
from rl.grading.answers import Answer, grade_all
from rl.problems.problem import Problem, Prompt
from rl.problems.stream import completion_seeds
from rl.rollout.engine import Completion, IndexedCompletion, Refill, SamplingParams
from rl.training.batch import Batch, from_state, to_state
from rl.training.collect import Halted, Source, Task, collect, has_signal, position_of, token_budget
from tests.conftest import byte_tokenizer

GROUP = 3
BEGIN = 100  # stream position of the step's first problem
STEP = 5
TOKENIZER = byte_tokenizer()
TEN = Path(__file__).parent / "letter_reward.py"


def said(prompt: Sequence[int], seed: int) -> Completion:
    """What a seed says: after up to 8 letters 7, or, one time in three, 6."""
    number = hashlib.sha256(f"{list(prompt)}/{seed}".encode()).digest()
    text = "x" * (number[0] % 8) + " " + ("6" if number[1] % 3 == 0 else "7")
    ids = tuple(TOKENIZER(text).input_ids)
    return Completion(ids, (-1.0,) * len(ids), "stop")


class ShuffledEngine:
    """A `RolloutEngine` of which one running completion after the other ends, in any order."""

    name = "shuffled"

    def __init__(self, order: random.Random, speak: Callable[[Sequence[int], int], Completion] = said) -> None:
        self._order, self._speak = order, speak
        self.begun_beside: list[int] = []  # of each refill, how many completions still ran

    def stream(
        self,
        prompts_P: Sequence[Sequence[int]],
        params: SamplingParams,
        seeds_P_G: Sequence[Sequence[int]],
        refill: Refill | None = None,
    ) -> Generator[IndexedCompletion, None, None]:
        asked, first, running = list(zip(prompts_P, seeds_P_G, strict=True)), 0, list[IndexedCompletion]()
        while True:
            running += [
                (first + p, g, self._speak(prompt, seed))
                for p, (prompt, seeds) in enumerate(asked)
                for g, seed in enumerate(seeds)
            ]
            first += len(asked)
            if not running:
                return
            yield running.pop(self._order.randrange(len(running)))
            asked = list(refill()) if refill else []
            if asked:
                self.begun_beside.append(len(running))


def prompt_at(position: int) -> Prompt:
    return Prompt(Problem(f"p{position}", {"answer": "7"}), (position,), f"problem {position}")


def make_recipe(wanted: int, **algorithm: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "model": {"name": "tiny"},
            "problems": {"source": "arithmetic"},
            "rewards": {"functions": {"exact_number": 1.0}},
            "rollout": {"num_generations": GROUP, "max_completion_length": 10},
            "algorithm": {"problems_per_step": wanted, **algorithm},
        }
    )


def make_grader(name: str = "exact_number") -> Grader:
    return Grader({name: 1.0}, timeout=5, workers=1, accuracy=None, correct_above=0.999)


def run(recipe: Recipe, engine: Any, grader: Grader, halt: threading.Event | None = None) -> Batch:
    source = Source(recipe, engine, grader, TOKENIZER, prompt_at, frozenset({"answer"}))
    return collect(source, Task(STEP, BEGIN, weights=STEP - 1), lambda name: nullcontext(), halt or threading.Event())


def groups(wanted: int) -> Iterator[list[Completion]]:
    """What the seeds of each place say, in stream order."""
    for place in itertools.count():
        seeds = completion_seeds(0, STEP, place, GROUP)
        yield [said((BEGIN + place,), seed) for seed in seeds]


def right(completion: Completion) -> bool:
    return completion.token_ids[-1] == TOKENIZER("7").input_ids[0]


def expected(wanted: int, budget: float) -> tuple[list[int], int]:
    """Places of the batch, and groups tried, if problems are asked one after the other."""
    signal, tokens = list[bool](), 0
    for group in groups(wanted):
        if len(signal) >= wanted and (sum(signal) == wanted or tokens >= budget):
            break
        signal.append(len({right(completion) for completion in group}) > 1)
        tokens += sum(len(completion.token_ids) for completion in group)
    useful = [place for place, has in enumerate(signal) if has]
    idle = [place for place, has in enumerate(signal) if not has]
    return sorted(useful + idle[: wanted - len(useful)]), len(signal)


@given(
    st.integers(1, 5),
    st.sampled_from([0, 1, 40, 120, 10_000]),
    st.sampled_from(["exact_number", f"{TEN}:ends_in_seven"]),
    st.randoms(use_true_random=False),
)
def test_any_order_of_ending_gives_the_same_batch(wanted: int, budget: int, name: str, order: random.Random) -> None:
    options = {"dynamic_sampling": True, "dynamic_sampling_max_tokens": budget} if budget else {}
    with make_grader(name) as grader:
        batch = run(make_recipe(wanted, **options), ShuffledEngine(order), grader)
    places, tried = expected(wanted, budget)
    assert batch.positions == tuple(BEGIN + place for place in places)
    assert (batch.step, batch.weights, batch.end) == (STEP, STEP - 1, BEGIN + tried)
    sampled = list(itertools.islice(groups(wanted), tried))
    assert [answer.completion for answer in batch.answers] == [c for place in places for c in sampled[place]]
    assert [answer.sample for answer in batch.answers] == [*range(GROUP)] * wanted
    assert [answer.prompt.problem.id for answer in batch.answers] == [
        f"p{BEGIN + place}" for place in places for _ in range(GROUP)
    ]
    assert [answer.graded.reward for answer in batch.answers] == [
        float(right(c)) for place in places for c in sampled[place]
    ]
    flat = [completion for group in sampled for completion in group]
    counted = batch.tried
    assert (counted.groups, counted.completions, counted.ungradable) == (tried, tried * GROUP, 0)
    assert counted.useful == sum(len({right(c) for c in group}) > 1 for group in sampled)
    assert counted.solved == sum(right(completion) for completion in flat)
    assert counted.tokens == sum(len(completion.token_ids) for completion in flat)
    assert batch.generated >= counted.tokens


def test_flat_groups_are_replaced_while_the_rest_still_runs() -> None:
    engine = ShuffledEngine(random.Random(1))
    with make_grader() as grader:
        run(make_recipe(20, dynamic_sampling=True), engine, grader)
    assert engine.begun_beside and max(engine.begun_beside) > 0


def test_with_no_signal_at_all_the_batch_is_the_first_problems() -> None:
    def always_wrong(prompt: Sequence[int], seed: int) -> Completion:
        return Completion(tuple(TOKENIZER("6").input_ids), (-1.0,), "stop")

    recipe = make_recipe(2, dynamic_sampling=True)
    assert token_budget(recipe) == 4 * 2 * GROUP * 10
    with make_grader() as grader:
        batch = run(recipe, ShuffledEngine(random.Random(0), always_wrong), grader)
    assert batch.positions == (BEGIN, BEGIN + 1)
    assert batch.tried.groups == token_budget(recipe) // GROUP and batch.tried.useful == 0
    assert batch.end == BEGIN + batch.tried.groups


def test_grading_goes_on_while_the_engine_still_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last completion waits for the grades of the first: were they to come at the end, it would wait for ever."""
    graded = threading.Event()

    class Waiting(ShuffledEngine):
        def stream(self, *args: Any) -> Generator[IndexedCompletion, None, None]:
            *others, last = super().stream(*args)
            yield from others
            assert graded.wait(timeout=20)
            yield last

    with make_grader() as grader:
        grade = grader.grade
        monkeypatch.setattr(grader, "grade", lambda *args: (grade(*args), graded.set())[0])
        assert len(run(make_recipe(2), Waiting(random.Random(0)), grader).answers) == 2 * GROUP


def test_a_users_function_gets_whole_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    with make_grader(f"{TEN}:ends_in_seven") as grader:
        grade = grader.grade
        monkeypatch.setattr(grader, "grade", lambda *args: (calls.append(args), grade(*args))[1])
        batch = run(make_recipe(4), ShuffledEngine(random.Random(3)), grader)
    assert not grader.one_by_one and len(calls) == 4
    by_prompt = {prompts[0]: texts for texts, prompts, _ in calls}
    assert [text for p in range(4) for text in by_prompt[f"problem {BEGIN + p}"]] == [a.text for a in batch.answers]
    assert all(set(prompts) == {prompts[0]} for _, prompts, _ in calls)


@pytest.mark.parametrize("name", ["math", f"{TEN}:ends_in_seven"])
def test_what_rewards_log_is_that_of_the_whole_batch(name: str) -> None:
    with make_grader(name) as grader:
        batch = run(make_recipe(4), ShuffledEngine(random.Random(4)), grader)
        assert grader.one_by_one == (name == "math")
        completions = [[a.completion for a in batch.answers[i : i + GROUP]] for i in range(0, 4 * GROUP, GROUP)]
        whole = grade_all([prompt_at(position) for position in batch.positions], completions, grader, TOKENIZER)
        assert batch.logged == pytest.approx(grader.metrics) and len(batch.logged) >= 1
        if name == "math":
            assert batch.logged == grader.metrics
            assert [answer.graded.extra for answer in batch.answers] == [answer.graded.extra for answer in whole]


def test_an_error_of_a_reward_names_the_reward() -> None:
    with make_grader(f"{TEN}:broken") as grader, pytest.raises(RewardFailed, match="raised KeyError: 'mine'"):
        run(make_recipe(3), ShuffledEngine(random.Random(0)), grader)


def test_a_batch_that_is_not_wanted_any_more_is_left() -> None:
    halt = threading.Event()
    halt.set()
    with make_grader() as grader, pytest.raises(Halted):
        run(make_recipe(3), ShuffledEngine(random.Random(0)), grader, halt)


def answers(*rewards: float | None, cut: Sequence[int] = ()) -> list[Answer]:
    return [
        Answer(prompt_at(0), g, Completion((1,), (0.0,), "length" if g in cut else "stop"), "", Grade(r, {}, None))
        for g, r in enumerate(rewards)
    ]


def test_a_group_has_signal_if_an_advantage_counts() -> None:
    plain, masking = AlgorithmSection(), AlgorithmSection(mask_truncated_completions=True)
    assert has_signal(answers(1, 0, 0), plain) and has_signal(answers(1, 0, None), plain)
    assert not has_signal(answers(1, 1, 1), plain) and not has_signal(answers(None, None, None), plain)
    assert not has_signal(answers(1, None, None), plain)  # alone it has no baseline
    assert has_signal(answers(1, 0, 0, cut=[0, 1, 2]), plain)
    assert not has_signal(answers(1, 0, 0, cut=[0, 1, 2]), masking)  # nothing of it is in the loss
    assert has_signal(answers(1, 0, 0, cut=[0, 1]), masking)


def test_ranks_share_the_stream_without_asking_a_problem_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "world_size", lambda: 2)
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        found.append([position_of(place, share=3) for place in range(5)])
    assert found == [[0, 1, 2, 6, 8], [3, 4, 5, 7, 9]]


def test_a_batch_comes_back_from_a_checkpoint_as_it_was(tmp_path: Path) -> None:
    with make_grader("math") as grader:
        batch = run(make_recipe(3, dynamic_sampling=True), ShuffledEngine(random.Random(5)), grader)
    torch.save(to_state(batch), tmp_path / "batch.pt")
    state = torch.load(tmp_path / "batch.pt", weights_only=True)
    found = from_state(state, prompt_at)
    assert found.generated == 0 and batch.generated > 0
    assert Batch(**{**vars(found), "generated": batch.generated}) == batch
