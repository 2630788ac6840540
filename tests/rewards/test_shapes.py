import asyncio
import functools
import inspect
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pytest

from rewards.coroutines import AT_ONCE
from rewards.errors import BadInput
from rewards.grading import Grader
from rewards.shapes import REQUIRED, as_batch
from rewards.verdict import Verdict

BATCH = {"completions": ["a", "bb"], "prompts": ["P", "Q"], "completion_ids": [[1], [2, 3]], "answer": ["a", "x"]}


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    return {name: p.default for name, p in inspect.signature(function).parameters.items()}


def test_per_sample_gets_the_values_of_its_row() -> None:
    seen = []

    def equals(completion: str, answer: str, prompt: str, completion_ids: list[int], bonus: float = 0.0) -> float:
        seen.append((completion, answer, prompt, completion_ids))
        return float(completion == answer) + bonus

    reward = as_batch(equals, "equals")
    assert reward(**BATCH, bonus=0.5) == [1.5, 0.5]
    assert seen == [("a", "a", "P", [1]), ("bb", "x", "Q", [2, 3])]
    assert list(parameters(reward)) == ["completions", "answer", "prompts", "completion_ids", "bonus"]
    assert parameters(reward)["answer"] is inspect.Parameter.empty and parameters(reward)["bonus"] == 0.0
    assert reward.__name__ == "equals" and reward([], [], [], []) == []


def test_per_sample_with_any_columns_gets_every_column_of_its_row() -> None:
    def keys(completion: str, **columns: Any) -> float:
        assert columns == {"answer": "a", "prompt": "P", "completion_ids": [1]}
        return 1.0

    assert as_batch(keys, "keys")(["a"], prompts=["P"], completion_ids=[[1]], answer=["a"], log_extra=print) == [1.0]


def test_the_data_s_own_completion_does_not_hide_the_model_s() -> None:
    reward = as_batch(lambda completion, **columns: completion == "model's" and columns["prompt"] == "sent", "f")
    assert reward(["model's"], prompts=["sent"], completion=["gold"], prompt=["raw"]) == [1.0]


def test_per_sample_gets_what_trainers_offer() -> None:
    def offered(completion: str, solved: bool | None = False, grader_pool: Any = None) -> float:
        return float(solved is True and grader_pool == "pool")

    reward = as_batch(offered, "offered")
    assert reward(["a", "b"], solved=[True, None], grader_pool="pool") == [1.0, 0.0]
    assert reward(["a"], solved=None, grader_pool="pool") == [0.0]  # a trainer that knows no verdicts


def test_an_option_of_a_list_may_be_as_long_as_the_batch() -> None:
    def among(completion: str, allowed: list[str] = []) -> bool:  # noqa: B006
        return completion in allowed

    assert as_batch(among, "among")(["a", "c"], allowed=["a", "b"]) == [1.0, 0.0]


def test_a_column_where_an_option_stands_is_refused() -> None:
    def f(completion: str, unit: str = "m") -> float:
        return float(unit == "m")

    with pytest.raises(BadInput, match="'f' got a list for 'unit'.*give 'unit' no default.*rename it"):
        as_batch(f, "f")(["a", "b"], unit=["m", "cm"])


def test_a_column_of_another_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="shorter"):
        as_batch(lambda completion, answer: 1.0, "f")(["a", "b"], answer=["a"])


def test_a_batch_function_is_called_as_it_is() -> None:
    def f(prompts: list[str], completions: list[str], answer: list[str], level: int = 0, **columns: Any) -> list[float]:
        assert prompts == ["P", "Q"] and columns == {"completion_ids": [[1], [2, 3]]}
        return [level + float(c == a) for c, a in zip(completions, answer, strict=True)]

    reward = as_batch(f, "f")
    assert reward(**BATCH, level=2) == [3.0, 2.0]
    assert inspect.signature(reward).parameters == inspect.signature(f).parameters


def test_results_come_as_a_list_and_as_they_are() -> None:
    verdict = Verdict("correct", "equal")
    assert as_batch(lambda completions: (True, None, verdict, 0.5), "f")([]) == [True, None, verdict, 0.5]
    assert as_batch(lambda completion: verdict, "f")(["a", "b"]) == [verdict, verdict]
    assert as_batch(lambda completions: numpy.array([0.5, 1]), "f")([]) == [0.5, 1.0]


KINDS = {
    "numpy.float32(0.5)": 0.5,
    "numpy.bool_(True)": 1.0,
    "numpy.int64(2)": 2.0,
    "torch.tensor(0.25)": 0.25,
    "True": 1.0,
    "None": None,
    "Fraction(1, 4)": 0.25,
    "Verdict('correct', '')": 1.0,
    "Verdict('ungradable', '')": None,
    "Verdict('unparseable', '')": 0.0,
}


@pytest.mark.parametrize("isolated", [False, True])
@pytest.mark.parametrize(("written", "number"), KINDS.items())
def test_every_kind_of_number_is_taken(written: str, number: float | None, isolated: bool, tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(
        "import numpy, torch\nfrom fractions import Fraction\nfrom rewards.verdict import Verdict\n"
        f"def sample(completion): return {written}\n"
        f"async def batch(completions): return [{written} for _ in completions]\n"
    )
    sample, batch = f"{tmp_path}/f.py:sample", f"{tmp_path}/f.py:batch"
    settings: dict[str, Any] = {"accuracy": None, "correct_above": 0.9, "isolated": isolated}
    with Grader({sample: 1.0, batch: 1.0}, timeout=5, workers=1, **settings) as grader:
        (graded,) = grader.grade(["x"], ["p"], {})
    assert graded.parts == {sample: number, batch: number}


def test_what_is_no_list_is_left_for_the_grader_to_refuse() -> None:
    assert as_batch(lambda completions: 1.0, "f")(["a"]) == 1.0


async def batch_later(completions: list[str], **columns: Any) -> list[float]:
    await asyncio.sleep(0)
    return [float(len(c)) for c in completions]


def test_async_runs_to_completion_also_inside_a_running_loop() -> None:
    async def sample_later(completion: str) -> float:
        await asyncio.sleep(0)
        return float(len(completion))

    for function in (batch_later, sample_later, functools.partial(batch_later, level=1)):
        reward = as_batch(function, "f")
        assert not inspect.iscoroutinefunction(reward)
        assert reward(["a", "bb"]) == [1.0, 2.0]

        async def in_a_notebook(reward: Callable[..., Any] = reward) -> Any:
            return reward(["a", "bb"])

        assert asyncio.run(in_a_notebook()) == [1.0, 2.0]


def test_async_samples_run_at_the_same_time_but_not_too_many() -> None:
    running, most = 0, 0

    async def slow(completion: str) -> float:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        return float(completion)

    count = AT_ONCE + 10
    assert as_batch(slow, "slow")([str(i) for i in range(count)]) == list(range(count))
    assert most == AT_ONCE


def test_the_first_error_of_async_samples_ends_the_others() -> None:
    ended = threading.Event()

    async def fails(completion: str) -> float:
        if completion == "bad":
            raise ZeroDivisionError("mine")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.set()
            raise
        return 1.0

    with pytest.raises(ZeroDivisionError, match="mine"):
        as_batch(fails, "fails")(["good", "bad"])
    assert ended.wait(5)


class Lookup:
    """A class with set-up, whose events are counted by the class."""

    events: list[str] = []

    def __init__(self, word: str, factor: float = 1.0) -> None:
        self.word, self.factor = word, factor
        self.events.append(f"made {word}")

    def setup(self) -> None:
        self.events.append("set up")
        self.table = {self.word: self.factor}

    def __call__(self, completion: str, answer: str, plus: float = 0.0) -> float:
        return self.table.get(completion, 0.0) + plus

    def close(self) -> None:
        self.events.append("closed")


def test_a_class_is_made_and_set_up_once_when_first_needed() -> None:
    Lookup.events.clear()
    reward = as_batch(Lookup, "Lookup")
    assert Lookup.events == []
    assert parameters(reward) == {
        "completions": inspect.Parameter.empty,
        "answer": inspect.Parameter.empty,
        "plus": 0.0,
        "word": REQUIRED,
        "factor": 1.0,
    }
    assert reward(["a", "b"], ["", ""], word="a", factor=2.0) == [2.0, 0.0]
    assert reward(["a"], [""], word="a", factor=2.0, plus=1.0) == [3.0]
    assert Lookup.events == ["made a", "set up"]
    assert reward(["a"], [""], word="b") == [0.0]
    assert Lookup.events == ["made a", "set up", "closed", "made b", "set up"]
    reward.close()  # type: ignore[attr-defined]
    reward.close()  # type: ignore[attr-defined]
    assert Lookup.events[5:] == ["closed"]
    reward(["a"], [""], word="b")
    assert Lookup.events[6:] == ["made b", "set up"]
    del reward
    assert Lookup.events[8:] == ["closed"]


def test_a_class_is_set_up_once_by_many_threads() -> None:
    made = []

    class Slow:
        def setup(self) -> None:
            made.append(self)
            time.sleep(0.05)

        def __call__(self, completions: list[str]) -> list[float]:
            return [1.0 for _ in completions]

    reward = as_batch(Slow, "Slow")
    threads = [threading.Thread(target=reward, args=(["a"],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_class_may_be_a_dataclass_and_async_throughout() -> None:
    events = []

    @dataclass
    class Client:
        url: str = "here"

        async def setup(self) -> None:
            self.loop = asyncio.get_running_loop()

        async def __call__(self, completion: str) -> float:
            assert asyncio.get_running_loop() is self.loop  # what setup opened can be used in every batch
            return float(len(completion))

        async def close(self) -> None:
            events.append(self.url)

    reward = as_batch(Client, "Client")
    assert reward(["a"], url="there") == [1.0] and reward(["bb"], url="there") == [2.0]
    reward.close()  # type: ignore[attr-defined]
    assert events == ["there"]


def test_an_instance_that_has_set_up_is_set_up() -> None:
    Lookup.events.clear()
    reward = as_batch(Lookup("a"), "lookup")
    assert Lookup.events == ["made a"]
    assert reward(["a"], [""]) == [1.0] and Lookup.events == ["made a", "set up"]
    assert reward.__name__ == "Lookup"


def test_a_class_without_what_it_needs_is_refused() -> None:
    with pytest.raises(BadInput, match="'Lookup' cannot be made without 'word'; give it in rewards.options"):
        as_batch(Lookup, "Lookup")(["a"], [""])


def conversation(completions: list[Any], prompts: list[Any], **columns: Any) -> list[float]:
    """As those of TRL: strings would raise here."""
    assert prompts[0][-1]["role"] == "user"
    return [float(completion[0]["content"] == "a") for completion in completions]


def test_conversational_functions_get_messages() -> None:
    with pytest.raises(TypeError):
        as_batch(conversation, "f")(["a"], ["P"])
    wrapped = functools.wraps(conversation)(lambda **given: conversation(**given))
    wrapped.conversational = True  # type: ignore[attr-defined]
    messages = [[{"role": "assistant", "content": "a"}]]
    assert as_batch(wrapped, "f")(completions=["a", "b"], prompts=["P", "Q"]) == [1.0, 0.0]
    assert as_batch(wrapped, "f")(completions=messages, prompts=[[{"role": "user", "content": "P"}]]) == [1.0]


def test_conversational_classes_and_samples_get_messages() -> None:
    class Sample:
        conversational = True

        def __call__(self, completion: list[dict[str, str]]) -> bool:
            return completion[-1]["content"] == "a"

    assert as_batch(Sample, "f")(["a", "b"]) == [1.0, 0.0]


class NotCallable:
    pass


class Clash:
    def __init__(self, level: int = 0) -> None: ...

    def __call__(self, completion: str, level: int = 0) -> float:
        return 0.0


class Neither:
    def __call__(self, text: str) -> float:
        return 0.0


def by_position(answer: list[str], /, completions: list[str]) -> list[float]:
    return []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (lambda completion, completions: 0.0, "takes both `completion`.*and `completions`"),
        (lambda completion, prompts: 0.0, "`prompts`, which is of a batch; keep to"),
        (lambda texts, answer: [], "no function of `completions`; define it as"),
        (lambda: [], "no function of `completions`"),
        (by_position, "takes 'answer' by position only"),
        (3, "is of the type int"),
        (NotCallable, "class 'f' cannot be called; define __call__"),
        (NotCallable(), "is of the type NotCallable"),
        (Clash, "takes 'level' in __init__ and in __call__; rename"),
        (Neither, "no function of `completions`"),
        (min, "parameters of the reward 'f' cannot be read"),
    ],
)
def test_other_shapes_are_refused_in_one_sentence(found: Any, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        as_batch(found, "f")
    assert "\n" not in str(caught.value)


def logs_one(completion: str, log_extra: Any, log_metric: Any, answer: str = "") -> float:
    log_extra("length", len(completion))
    if completion == "bb":
        log_extra("odd", [completion])  # as of a batch of one
    log_metric("size", len(completion))
    return 1.0


async def logs_one_later(completion: str, log_extra: Any, log_metric: Any) -> float:
    await asyncio.sleep(0.002 * (3 - len(completion)))  # the first one ends last
    return logs_one(completion, log_extra, log_metric)


class LogsOne:
    def __call__(self, completion: str, log_extra: Any = None, log_metric: Any = None) -> float:
        return logs_one(completion, log_extra, log_metric)


class LogsOneLater:
    def setup(self) -> None: ...

    async def __call__(self, completion: str, log_metric: Any, log_extra: Any) -> float:
        return await logs_one_later(completion, log_extra, log_metric)


@pytest.mark.parametrize(
    "found", [logs_one, logs_one_later, LogsOne, LogsOneLater, LogsOne(), functools.partial(logs_one, answer="x")]
)
def test_per_sample_rewards_log_one_value_a_completion(found: Any) -> None:
    columns: dict[str, list[Any]] = {}
    metrics: list[tuple[str, float]] = []
    reward = as_batch(found, "f")
    given = {"log_extra": columns.__setitem__, "log_metric": lambda name, value: metrics.append((name, value))}
    assert reward(["a", "bb", ""], **given) == [1.0, 1.0, 1.0]
    assert columns == {"length": [1, 2, 0], "odd": [None, "bb", None]}
    assert sorted(metrics) == [("size", 0), ("size", 1), ("size", 2)]


def test_per_sample_rewards_that_log_are_graded_with_their_logs(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "async def f(completion, log_extra, log_metric):\n"
        "    log_extra('tries', {'count': len(completion)})\n"
        "    log_metric('size', len(completion))\n"
        "    return 0.5\n"
        "def g(completion, log_extra=None):\n"
        "    log_extra('again', [1, 2])\n"
        "    return 1.0\n"
    )
    names = [f"{tmp_path}/mine.py:f", f"{tmp_path}/mine.py:g"]
    with Grader(dict.fromkeys(names, 1.0), timeout=5, workers=1, accuracy=None, correct_above=0.9) as grader:
        graded = grader.grade(["a", "bbb"], ["", ""], {})
    assert [grade.extra for grade in graded] == [
        {"tries": {"count": 1}, "again": [1, 2]},
        {"tries": {"count": 3}, "again": [1, 2]},
    ]
    assert grader.metrics == {"size": 2.0}


def test_a_per_sample_reward_is_called_without_logs_where_nobody_wants_them() -> None:
    def f(completion: str, log_extra: Any = None) -> float:
        return float(log_extra is None)

    assert as_batch(f, "f")(["a"]) == [1.0]
