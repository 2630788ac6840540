"""Servers that send too much, too slowly, or what makes no sense: each request ends soon, in a sentence."""

import gzip
import itertools
import json
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rewards.errors import BadInput
from rl.rollout.endpoint import EndpointDown
from rl.rollout.openai_api import Malformed, read_models, read_refusal, read_reply, reply_limit
from tests.fake_endpoint import Answer, Body, FakeEndpoint, answers, client, completion, error, prompt_of, texts

SECONDS = 0.3  # for one request
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
RIGHT = json.dumps({"choices": [{"index": 0, "text": "42", "finish_reason": "stop"}]}).encode()


def slowly(whole: bytes, pause: float = 0.02) -> Iterator[bytes]:
    """Send byte by byte, and then go on for ever."""
    for byte in itertools.chain(whole, itertools.repeat(32)):
        time.sleep(pause)
        yield bytes([byte])


def for_ever(head: bytes, piece: bytes) -> Iterator[bytes]:
    yield head
    yield from itertools.repeat(piece)


def gzip_bomb() -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()


ENDLESS: dict[str, Callable[[], Iterator[bytes]]] = {
    "a body of a byte now and then": lambda: slowly(HEAD + b"Content-Length: 100000\r\n\r\n" + RIGHT),
    "a head of a byte now and then": lambda: slowly(HEAD + b"X-Long: "),
    "chunks of a byte now and then": lambda: slowly(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 10**4
    ),
    "informational replies for ever": lambda: for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers for ever": lambda: for_ever(HEAD, b"X-More: 1\r\n"),
    "a body for ever": lambda: for_ever(HEAD + b"\r\n", b"x" * 2**16),
    "chunks for ever": lambda: for_ever(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"4\r\nxxxx\r\n" * 1000),
    "an error's body for ever": lambda: for_ever(b"HTTP/1.1 500 No\r\n\r\n", b"x" * 2**16),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_reply_without_an_end_fails_in_the_time_of_a_request(name: str) -> None:
    with FakeEndpoint(lambda number, body: Answer(ENDLESS[name]())) as fake:
        began = time.monotonic()
        with pytest.raises(EndpointDown, match="stopped answering after 0 of 1 replies"):
            answers(client(fake, timeout=SECONDS, retries=0), texts("x"))
    assert time.monotonic() - began < 10 * SECONDS


def test_the_list_of_models_has_the_same_limits() -> None:
    for pieces in (slowly(HEAD), for_ever(HEAD + b"\r\n", b"x" * 2**20)):
        with FakeEndpoint(models=Answer(pieces)) as fake, pytest.raises(BadInput, match="No server answers at"):
            client(fake, timeout=SECONDS * 3).models()


BOMBS = {
    "gzip": (gzip_bomb(), "gzip", "a reply of more than"),
    "deflate": (zlib.compress(bytes(2**25)), "deflate", "a reply of more than"),
    "two layers": (gzip.compress(gzip_bomb()), "gzip, gzip", "encoding 'gzip, gzip', which was not asked for"),
    "brotli": (b"\x1b", "br", "encoding 'br', which was not asked for"),
    "no gzip": (b"plain", "gzip", "a reply that is not gzip"),
    "cut": (gzip.compress(RIGHT)[:20], "gzip", "cut off"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_is_unpacked_counts(name: str) -> None:
    body, encoding, words = BOMBS[name]
    packed = Answer(body, headers={"Content-Encoding": encoding})
    with FakeEndpoint(lambda number, _: packed) as fake, pytest.raises(EndpointDown, match=words):
        answers(client(fake, retries=0), texts("x"))


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "gzip"), (zlib.compress, "deflate")])
def test_a_packed_reply_is_read(pack: Callable[[bytes], bytes], name: str) -> None:
    with FakeEndpoint(lambda number, _: Answer(pack(RIGHT), headers={"Content-Encoding": name})) as fake:
        (reply,) = answers(client(fake), texts("x"))
        assert fake.asked[0].headers["accept-encoding"] == "identity"
    assert reply.text == "42"


def test_a_slow_reply_that_ends_in_time_is_read() -> None:
    def pieces() -> Iterator[bytes]:
        yield HEAD + b"Content-Length: %d\r\n\r\n" % len(RIGHT)
        for byte in RIGHT:
            time.sleep(0.001)
            yield bytes([byte])

    with FakeEndpoint(lambda number, body: Answer(pieces())) as fake:
        assert answers(client(fake, timeout=5), texts("x"))[0].text == "42"


def test_after_a_reply_that_was_too_slow_the_request_is_asked_again() -> None:
    def second_is_right(number: int, body: Body) -> Answer:
        return Answer(slowly(HEAD)) if number == 0 else completion(body, prompt_of(body), [1])

    with FakeEndpoint(second_is_right) as fake:
        assert answers(client(fake, timeout=SECONDS, retries=1), texts("x"))[0].text == "x"
        assert len(fake.asked) == 2


def test_a_server_leaves_no_cookie() -> None:
    def answer(number: int, body: Body) -> Answer:
        return Answer(RIGHT, headers={"Set-Cookie": "who=you; Path=/"})

    with FakeEndpoint(answer) as fake:
        answers(client(fake, concurrency=1), texts("x", "y"))
        assert all("cookie" not in asked.headers for asked in fake.asked)


@pytest.mark.parametrize("location", ["http://elsewhere/v1", "/v1/completions", "http://[", "", "\x1b[31m", "data:x"])
def test_a_redirect_ends_in_a_sentence(location: str) -> None:
    elsewhere = Answer(b"", 307, {"Location": location})
    with FakeEndpoint(lambda number, body: elsewhere) as fake, pytest.raises((BadInput, EndpointDown)) as said:
        answers(client(fake, retries=0), texts("x"))
    assert "\x1b" not in str(said.value)


def test_an_endless_error_is_said_by_its_beginning() -> None:
    def answer(number: int, body: Body) -> Answer:
        return error(422, "y" * 10**6)

    with FakeEndpoint(answer) as fake, pytest.raises(BadInput, match="y{100}") as said:
        answers(client(fake), texts("x"))
    assert len(str(said.value)) < 1000


def usage(**counts: Any) -> bytes:
    return json.dumps({"choices": [{"text": "x"}], "usage": counts}).encode()


NONSENSE = {
    "nothing": b"",
    "a page": b"<!DOCTYPE html><html></html>",
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"choices":' * 50_000,
    "a long number": b'{"choices": ' + b"9" * 5000 + b"}",
    "no choices": b'{"choices": []}',
    "choices missing": b'{"object": "text_completion"}',
    "choices of another type": b'{"choices": {"text": "x"}}',
    "more choices than asked": b'{"choices": [{"text": "a"}, {"text": "b"}]}',
    "a text that is none": b'{"choices": [{"text": 5}]}',
    "no text": b'{"choices": [{}]}',
    "bytes": bytes(range(256)),
    "UTF-16": '{"choices": [{"text": "x"'.encode("utf-16"),
    "negative count": usage(completion_tokens=-1),
    "negative prompt": usage(prompt_tokens=-5),
    "count of too many": usage(completion_tokens=1000),
    "absurd count": usage(completion_tokens=10**15),
    "absurd prompt": usage(prompt_tokens=10**15),
    "prompt longer than sent": usage(prompt_tokens=10**7),
    "count of another type": usage(completion_tokens="many"),
    "fraction of a token": usage(completion_tokens=1.5),
    "count that is no number": b'{"choices": [{"text": "x"}], "usage": {"completion_tokens": NaN}}',
    "infinite count": b'{"choices": [{"text": "x"}], "usage": {"completion_tokens": Infinity}}',
    "negative thinking": usage(completion_tokens=1000, completion_tokens_details={"reasoning_tokens": -1000}),
    "more tokens than asked": json.dumps({"choices": [{"text": "x", "token_ids": [1] * 100}]}).encode(),
    "negative token": json.dumps({"choices": [{"text": "x", "token_ids": [-1]}]}).encode(),
    "absurd token": json.dumps({"choices": [{"text": "x", "token_ids": [2**40]}]}).encode(),
    "log-probability that is none": b'{"choices": [{"text": "x", "logprobs": {"token_logprobs": [NaN]}}]}',
    "infinite log-probability": b'{"choices": [{"text": "x", "logprobs": {"token_logprobs": [-Infinity]}}]}',
    "probability above 1": b'{"choices": [{"text": "x", "logprobs": {"token_logprobs": [0.7]}}]}',
}


@pytest.mark.parametrize("name", NONSENSE)
def test_what_makes_no_sense_is_no_reply(name: str) -> None:
    with pytest.raises(Malformed) as said:
        read_reply(NONSENSE[name], max_tokens=8, sent=100)
    assert len(str(said.value)) < 500 and str(said.value).isprintable()


def test_thinking_outside_the_limit_is_no_fault() -> None:
    reply = read_reply(usage(completion_tokens=5000, completion_tokens_details={"reasoning_tokens": 4995}), 8, 100)
    assert reply.num_tokens == 5000


def test_nonsense_in_lists_and_errors_is_read_as_far_as_it_goes() -> None:
    deep = b"[" * 100_000
    assert read_models(deep) is None
    assert read_refusal(deep).sentence.startswith("[[[")


def test_the_limit_grows_with_what_is_asked() -> None:
    assert reply_limit(8, 100) < 2 * 2**20
    assert reply_limit(32_768, 100) > 32_768 * 1500  # a chat's token with its bytes and log-probability takes 150


ECHOES = {
    "a page": Answer(b"<html>Authorization: Bearer very-secret</html>"),
    "an error": error(500, "no user very-secret"),
    "a refusal": error(400, "no user very-secret"),
    "a redirect": Answer(b"", 302, {"Location": "http://elsewhere/?key=very-secret"}),
    "no admission": error(401, "very-secret is no key"),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_key_that_a_server_sends_back_is_not_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "very-secret")
    with FakeEndpoint(lambda number, body: ECHOES[name], models=ECHOES[name]) as fake:
        endpoint = client(fake, api_key_env="MY_KEY", retries=0)
        with pytest.raises((BadInput, EndpointDown)) as said:
            answers(endpoint, texts("x"))
        assert "very-secret" not in str(said.value) and "***" in str(said.value)
        if name != "a refusal":  # a server without a list of models is taken
            with pytest.raises(BadInput) as listed:
                endpoint.models()
            assert "very-secret" not in str(listed.value)
