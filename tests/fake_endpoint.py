"""A small real HTTP server with the OpenAI-compatible API, for tests, and a client to ask it.

What it answers is a function of the test's.
"""

import contextlib
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from rl.rollout.endpoint import Endpoint, EndpointSettings, Reply, Request
from rl.rollout.engine import SamplingParams

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What goes back: a dictionary as JSON, bytes as they are, or pieces that go on the wire as they are, head and all.

    Pieces are written one by one, and then the connection ends.
    """

    body: Body | bytes | Iterator[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleRequest:
    """One request as it came."""

    path: str
    headers: dict[str, str]  # names in lower case
    body: Body


def prompt_of(body: Body) -> str:
    """The text that is continued (token ids with a space between them), or the last message."""
    if "prompt" not in body:
        return str(body["messages"][-1]["content"])
    prompt = body["prompt"]
    return prompt if isinstance(prompt, str) else " ".join(map(str, prompt))


def completion(body: Body, text: str, token_ids: Sequence[int] = (), **message: Any) -> Answer:
    """A completion as vLLM answers it; token ids and log-probabilities (-0.5 each) where the request asks for them.

    `message` are further fields of a chat message.
    """
    choice: Body = {"index": 0, "finish_reason": "stop"}
    if body.get("return_token_ids"):
        choice["token_ids"] = list(token_ids)
    if "prompt" in body:
        choice["text"] = text
        if body.get("logprobs") is not None:
            choice["logprobs"] = {"token_logprobs": [-0.5 for _ in token_ids]}
    else:
        choice["message"] = {"role": "assistant", "content": text} | message
        if body.get("logprobs"):
            choice["logprobs"] = {"content": [{"token": "?", "logprob": -0.5} for _ in token_ids]}
    usage = {"prompt_tokens": len(prompt_of(body).split()), "completion_tokens": len(token_ids)}
    return Answer({"object": "text_completion", "choices": [choice], "usage": usage})


def echo(number: int, body: Body) -> Answer:
    """The prompt again, and as its tokens the bytes."""
    text = prompt_of(body)
    return completion(body, text, list(text.encode()))


def error(status: int, message: str, param: str | None = None, **headers: str) -> Answer:
    """An error as OpenAI puts it."""
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer({"error": {"message": message, "param": param, "code": None}}, status, shown)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # the client has left: some tests want that
            super().handle_error(request, client_address)


class FakeEndpoint:
    """A server on a free port of this machine, in threads; a context manager.

    `answer(number, body)` gives what a POST gets back; `number` counts them from 0. It runs in the thread of its
    request, may block (wait on `closing`, which is set when the server goes), and may call `die`.

    Attributes:
        url: with `/v1`.
        asked: every POST, in the order in which they came.
        models: what GET /v1/models gives: names, or an `Answer`.
    """

    def __init__(
        self, answer: Callable[[int, Body], Answer] = echo, models: Sequence[str] | Answer = ("tiny",)
    ) -> None:
        self.asked: list[SampleRequest] = []
        self.models = models
        self.closing = threading.Event()
        self._answer = answer
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> "FakeEndpoint":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.die()

    def die(self) -> None:
        """Stop listening and cut every connection, as a killed server does."""
        if self.closing.is_set():
            return
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self._connections:
            with contextlib.suppress(OSError):  # gone already
                connection.shutdown(socket.SHUT_RDWR)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept, as real servers do
            disable_nagle_algorithm = True  # or each reply waits 40 ms between its head and its body

            def setup(self) -> None:
                super().setup()
                fake._connections.append(self.connection)

            def do_GET(self) -> None:
                models = fake.models
                listed = models if isinstance(models, Answer) else Answer({"data": [{"id": name} for name in models]})
                self._send(listed if self.path == "/v1/models" else error(404, "no such page"))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with fake._lock:
                    number = len(fake.asked)
                    fake.asked.append(SampleRequest(self.path, headers, body))
                self._send(fake._answer(number, body))

            def _send(self, answer: Answer) -> None:
                if isinstance(answer.body, Iterator):
                    self.close_connection = True
                    with contextlib.suppress(OSError):  # the client has left
                        for piece in answer.body:
                            self.wfile.write(piece)
                    return
                data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
                headers = {"Content-Type": "application/json", "Content-Length": str(len(data))} | answer.headers
                try:
                    self.send_response(answer.status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    self.close_connection = True  # the client has left

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


GREEDY = SamplingParams(max_tokens=8, temperature=0.0)


def at_once(attempt: int) -> float:
    return 0.0


def client(fake: FakeEndpoint, backoff: Callable[[int], float] = at_once, **settings: Any) -> Endpoint:
    """A client of the server, that waits for nothing and, unless told, has no key."""
    chosen = {"model": "tiny", "api_key_env": "PENNY_TEST_NO_KEY"} | settings
    return Endpoint(EndpointSettings(fake.url, **chosen), backoff)


def texts(*prompts: str) -> list[Request]:
    return [Request(messages=None, text=prompt, seed=None) for prompt in prompts]


def chat(prompt: str, seed: int | None = None) -> Request:
    return Request(messages=({"role": "user", "content": prompt},), text=None, seed=seed)


def answers(endpoint: Endpoint, requests: list[Request], params: SamplingParams = GREEDY) -> list[Reply]:
    """Replies in the order of the requests."""
    found = dict(endpoint.stream(requests, params))
    return [found[index] for index in range(len(requests))]
