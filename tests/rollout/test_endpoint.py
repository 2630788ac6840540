"""The client against a real HTTP server of the test's own (`tests/fake_endpoint.py`). Nothing waits for long."""

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from rewards.errors import BadInput
from rl.rollout.endpoint import EndpointDown, Reply, exponential, retry_after
from rl.rollout.engine import SamplingParams
from tests.fake_endpoint import (
    GREEDY,
    Answer,
    Body,
    FakeEndpoint,
    answers,
    chat,
    client,
    completion,
    echo,
    error,
    prompt_of,
    texts,
)


def test_replies_come_as_they_are_ready_with_the_index_of_their_request() -> None:
    others_done = threading.Event()

    def first_is_slow(number: int, body: Body) -> Answer:
        if prompt_of(body) == "p0":
            assert others_done.wait(5)
        return echo(number, body)

    prompts = [f"p{i}" for i in range(6)]
    with FakeEndpoint(first_is_slow) as fake:
        order = []
        for index, reply in client(fake, concurrency=2).stream(texts(*prompts), GREEDY):
            assert reply.text == prompts[index]
            order.append(index)
            if len(order) == 5:
                others_done.set()
    assert order == [1, 2, 3, 4, 5, 0]


def test_as_many_requests_at_once_as_concurrency_says() -> None:
    together = threading.Barrier(4)  # breaks, and with it the test, unless four are there at once
    running: list[int] = []
    most = []

    def meet(number: int, body: Body) -> Answer:
        running.append(number)
        most.append(len(running))
        together.wait(5)
        running.remove(number)
        return echo(number, body)

    with FakeEndpoint(meet) as fake:
        assert len(answers(client(fake, concurrency=4), texts(*"abcdefgh"))) == 8
    assert max(most) == 4


@pytest.mark.parametrize("concurrency", [1, 7])
def test_concurrency_does_not_change_the_replies(concurrency: int) -> None:
    prompts = [f"prompt {i}" for i in range(20)]
    with FakeEndpoint() as fake:
        replies = answers(client(fake, concurrency=concurrency), texts(*prompts))
    assert [reply.text for reply in replies] == prompts


def test_a_completion_of_text_comes_back_whole() -> None:
    with FakeEndpoint() as fake:
        (reply,) = answers(client(fake), texts("two words"))
        assert fake.asked[0].path == "/v1/completions"
    assert reply == Reply("two words", tuple(b"two words"), (-0.5,) * 9, 9, 2, "stop")


def test_a_chat_completion_comes_back_whole() -> None:
    with FakeEndpoint() as fake:
        (reply,) = answers(client(fake), [chat("abc")])
        assert fake.asked[0].path == "/v1/chat/completions"
        assert fake.asked[0].body["messages"] == [{"role": "user", "content": "abc"}]
    assert reply == Reply("abc", (97, 98, 99), (-0.5,) * 3, 3, 1, "stop")


def test_sampling_is_sent_as_asked() -> None:
    params = SamplingParams(max_tokens=5, temperature=0.7, top_p=0.9, top_k=20, min_p=0.05, stop=("\n", "Q:"))
    with FakeEndpoint() as fake:
        answers(client(fake), [chat("x", seed=11)], params)
    asked = {"max_tokens": 5, "temperature": 0.7, "top_p": 0.9, "top_k": 20, "min_p": 0.05, "stop": ["\n", "Q:"]}
    ours = {"return_token_ids": True, "logprobs": True, "include_stop_str_in_output": True, "repetition_penalty": 1.0}
    talk = {"model": "tiny", "messages": [{"role": "user", "content": "x"}], "seed": 11}
    assert fake.asked[0].body == asked | ours | talk


def test_greedy_sampling_switches_off_what_a_server_may_have_on() -> None:
    with FakeEndpoint() as fake:
        answers(client(fake), texts("x"))
    off = {"temperature": 0.0, "top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
    rest = {"model": "tiny", "prompt": "x", "max_tokens": 8, "logprobs": 1, "return_token_ids": True}
    assert fake.asked[0].body == off | rest  # and neither a seed nor stop strings


def test_a_failure_that_passes_is_asked_again() -> None:
    waits = []

    def fails_twice(number: int, body: Body) -> Answer:
        return error(500, "out of order") if number < 2 else echo(number, body)

    def backoff(attempt: int) -> float:
        waits.append(attempt)
        return 0.0

    with FakeEndpoint(fails_twice) as fake:
        (reply,) = answers(client(fake, backoff), texts("x"))
        assert len(fake.asked) == 3
    assert reply.text == "x"
    assert waits == [0, 1]


@pytest.mark.parametrize("status", [402, 408, 409, 429, 500, 502, 503, 529])
def test_statuses_that_may_pass(status: int) -> None:
    def fails_once(number: int, body: Body) -> Answer:
        return Answer(b"<html>busy</html>", status) if number == 0 else echo(number, body)

    with FakeEndpoint(fails_once) as fake:
        assert answers(client(fake), texts("x"))[0].text == "x"


def test_the_time_that_a_server_asks_for_is_waited() -> None:
    came = []

    def busy_once(number: int, body: Body) -> Answer:
        came.append(time.monotonic())
        return error(429, "slow down", Retry_After="0.15") if number == 0 else echo(number, body)

    with FakeEndpoint(busy_once) as fake:
        answers(client(fake), texts("x"))
    assert 0.15 <= came[1] - came[0] < 5


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("-3", 0.0), ("1e9", 300.0), ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0), ("soon", None), (None, None)],
)
def test_retry_after_header(header: str | None, seconds: float | None) -> None:
    assert retry_after(header) == seconds


def test_waits_double_up_to_a_minute() -> None:
    for attempt, longest in enumerate([1, 2, 4, 8, 16, 32, 60, 60]):
        assert 0.75 * longest <= exponential(attempt) <= longest


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"<html>",
        b"",
        b"[]",
        b'"text"',
        b'{"choices": []}',
        b'{"error": {"message": "overloaded"}}',
        b'{"choices": [{"finish_reason": "stop"}]}',
        b'{"choices": [{"text": ["a list"]}]}',
        b'{"choices": [{"text": "half an ans", "finish_reason": "abort"}]}',
    ],
)
def test_a_reply_that_is_no_completion_counts_as_a_failure(broken: bytes) -> None:
    with FakeEndpoint(lambda number, body: Answer(broken) if number == 0 else echo(number, body)) as fake:
        assert answers(client(fake), texts("x"))[0].text == "x"
        assert len(fake.asked) == 2
    with FakeEndpoint(lambda number, body: Answer(broken)) as fake, pytest.raises(EndpointDown, match="a reply|broken"):
        answers(client(fake, retries=1), texts("x"))


def test_a_server_that_goes_midway_leaves_what_came() -> None:
    def dies_at_the_fourth(number: int, body: Body) -> Answer:
        if number == 3:
            fake.die()
        return echo(number, body)

    came = []
    with FakeEndpoint(dies_at_the_fourth) as fake:
        began = time.monotonic()
        with pytest.raises(EndpointDown) as down:
            for index, reply in client(fake, concurrency=1, retries=2).stream(texts(*"abcdefgh"), GREEDY):
                came.append((index, reply.text))
        assert time.monotonic() - began < 5
    assert came == [(0, "a"), (1, "b"), (2, "c")]
    said = str(down.value)
    assert fake.url in said and "3 of 8 replies" in said and "Connection refused" in said
    assert "the same command goes on from there" in said


def test_when_one_request_fails_those_on_their_way_are_still_yielded() -> None:
    failed, all_asked = threading.Event(), threading.Barrier(3, timeout=5)

    def one_fails(number: int, body: Body) -> Answer:
        all_asked.wait()
        if prompt_of(body) == "bad":
            failed.set()
            return error(500, "no luck")
        failed.wait(5)
        return echo(number, body)

    came = []
    with FakeEndpoint(one_fails) as fake, pytest.raises(EndpointDown, match=r"2 of 3 replies \(HTTP 500: no luck\)"):
        for index, _ in client(fake, retries=0).stream(texts("a", "bad", "c"), GREEDY):
            came.append(index)
    assert sorted(came) == [0, 2]


def test_a_request_that_waits_to_be_asked_again_gives_up_with_the_others() -> None:
    waiting = threading.Event()

    def both_fail(number: int, body: Body) -> Answer:
        if prompt_of(body) == "refused":
            waiting.wait(5)
            return error(400, "no")
        return error(500, "no luck")

    def an_hour(attempt: int) -> float:
        waiting.set()
        return 3600.0

    with FakeEndpoint(both_fail) as fake:
        began = time.monotonic()
        with pytest.raises(BadInput, match="refused"):
            answers(client(fake, an_hour, concurrency=2), texts("fails", "refused"))
        assert time.monotonic() - began < 5


def test_a_server_that_hangs_runs_into_the_time_limit() -> None:
    def hang(number: int, body: Body) -> Answer:
        fake.closing.wait(10)
        return echo(number, body)

    with FakeEndpoint(hang) as fake:
        began = time.monotonic()
        with pytest.raises(EndpointDown, match="0 of 2 replies .no answer in time"):
            answers(client(fake, timeout=0.1, retries=1), texts("x", "y"))
        assert time.monotonic() - began < 5
        assert len(fake.asked) == 4


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C is heard, also where the tests were started in the background, whose processes ignore it."""
    old = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, old)


def test_an_interrupt_stops_at_once_and_no_thread_holds_the_process(heard: None) -> None:
    def hang(number: int, body: Body) -> Answer:
        threading.Timer(0.05, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
        fake.closing.wait(10)
        return echo(number, body)

    with FakeEndpoint(hang) as fake:
        before = set(threading.enumerate())
        stream = client(fake, concurrency=1).stream(texts("x", "y"), GREEDY)
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        assert time.monotonic() - began < 5
        ours = [thread for thread in set(threading.enumerate()) - before if thread.name.endswith("(work)")]
        assert len(ours) == 1 and ours[0].daemon
        assert len(fake.asked) == 1


def test_leaving_the_loop_sends_nothing_new() -> None:
    with FakeEndpoint() as fake:
        stream = client(fake, concurrency=1).stream(texts(*(str(i) for i in range(1000))), GREEDY)
        next(stream)
        stream.close()
        time.sleep(0.05)
        sent = len(fake.asked)
        time.sleep(0.05)
        assert sent < 1000 and len(fake.asked) == sent


def test_closing_while_a_stream_is_under_way_ends_it() -> None:
    with FakeEndpoint() as fake:
        endpoint = client(fake, concurrency=1)
        stream: Iterator[tuple[int, Reply]] = endpoint.stream(texts(*(str(i) for i in range(1000))), GREEDY)
        next(stream)
        endpoint.close()
        with pytest.raises(RuntimeError, match="closed"):
            list(stream)


def test_thinking_that_the_server_gives_apart_is_put_back() -> None:
    with FakeEndpoint(lambda number, body: completion(body, "42", reasoning_content="six times seven")) as fake:
        (reply,) = answers(client(fake), [chat("x")])
    assert reply.text == "<think>\nsix times seven\n</think>\n\n42"
