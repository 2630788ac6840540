"""A client of any server with the OpenAI-compatible API: vLLM, a teacher, a hosted model.

Threads and plain HTTP. An option that only helps (token ids, log-probabilities, what is switched off anyway) is left
out for good once the server has refused it; what changes the samples is never left out. Retries stand here and not in
a client package, since a server that is down must stop all requests at once, and since a reply that is no completion
is a failure too.
"""

import contextlib
import difflib
import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from rewards.errors import BadInput
from rl.base.errors import RunStopped
from rl.rollout.bounded import BoundedClient, HttpReply, describe
from rl.rollout.engine import SamplingParams
from rl.rollout.fan_out import fan_out
from rl.rollout.openai_api import (
    Malformed,
    Refusal,
    Reply,
    Request,
    build_body,
    excerpt,
    read_models,
    read_refusal,
    read_reply,
    reply_limit,
)
from rl.rollout.server_url import is_local, normalized, read_key

PASSING = frozenset({402, 408, 409, 425, 429})  # with every 5xx: may pass. 402 is an account without money.
LONGEST_WAIT = 300.0  # seconds: a server that asks for more is asked again anyway
CONNECT_TIMEOUT = 20.0  # seconds
CHECK_TIMEOUT = 30.0  # seconds
LIST_LIMIT = 2**24  # bytes of a list of models, or of the reply to a command
LAST_WAIT = 60.0  # seconds: a vLLM server that is told to end keeps some connections open and never answers
_JITTER = random.Random()  # of its own: nothing that is sampled may depend on it


class EndpointDown(RunStopped):
    """The server stopped answering; the replies before were handed over. `what` is the fact without the advice."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}: what came is kept, and when it is up again the same command goes on from there.")
        self.what = what


@dataclass(frozen=True)
class EndpointSettings:
    """Where the server is and how hard to press it.

    Attributes:
        url: base URL. Without a path it gets `/v1`; a slash or a method (`/chat/completions`) at its end is dropped.
        model: the name that the server gives it.
        api_key_env: environment variable with the key. Without one, a server on this machine gets the key `EMPTY`
            and another none.
        concurrency: most requests at once.
        retries: how often one request is asked again.
        timeout: seconds for one request, from the connection to the last byte of the reply.
    """

    url: str
    model: str
    api_key_env: str = "OPENAI_API_KEY"
    concurrency: int = 16
    retries: int = 6
    timeout: float = 600.0


def exponential(attempt: int) -> float:
    """Seconds to wait after try number `attempt` (from 0): 1, 2, 4, ... 60, less up to a quarter by chance.

    The chance keeps requests that failed together from coming back together.
    """
    return min(60.0, 2.0**attempt) * _JITTER.uniform(0.75, 1.0)


class Endpoint:
    """A connection to one server. Of several threads, each may stream."""

    def __init__(self, settings: EndpointSettings, backoff: Callable[[int], float] = exponential) -> None:
        """Connects to nothing yet. `backoff` gives the seconds to wait after each try.

        Raises:
            BadInput: the URL or the key cannot be used.
        """
        self.url = normalized(settings.url)
        self._settings = settings
        self._backoff = backoff
        self._key = read_key(settings.api_key_env)
        self._unknown: set[str] = set()  # options that the server has refused
        self._limit = "max_tokens"  # what a chat server calls it
        local = is_local(self.url)
        key = self._key or ("EMPTY" if local else "")
        self._client = BoundedClient(
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            connect=CONNECT_TIMEOUT,
            keep=settings.concurrency,
            trust_env=not local,  # no proxy between us and this machine
        )

    def check(self) -> None:
        """Ask once for the list of models; a server that has none is accepted.

        Raises:
            BadInput: no server answers, it does not take the key, or the model is not on its list.
        """
        model, names = self._settings.model, self.models()
        if names and not {model, f"models/{model}"} & set(names):
            near = difflib.get_close_matches(model, names, n=3, cutoff=0.4) or sorted(names)[:3]
            raise BadInput(
                f"The server at {self.url} has no model {model!r}: name one of its own, like {', '.join(near)}."
            )

    def models(self) -> list[str]:
        """Names of the server's models; none if it has no list.

        Raises:
            BadInput: no server answers, it does not take the key, or what it gives is no list.
        """
        try:
            seconds = min(self._settings.timeout, CHECK_TIMEOUT)
            response = self._client.send("GET", f"{self.url}/models", seconds, LIST_LIMIT)
        except httpx.RequestError as error:
            raise BadInput(
                f"No server answers at {self.url} ({describe(error)}): start it, or correct the URL."
            ) from error
        self._require_admission(response, f"{self.url}/models")
        if response.status >= 500 and response.status != 501:
            said = f"HTTP {response.status}: {self._refusal(response).sentence}"
            raise BadInput(f"The server at {self.url} is not ready ({said}): try again when it is.")
        if not response.success:
            return []
        names = read_models(response.content)
        if names is None:
            raise BadInput(
                f"{self.url}/models gives no list of models but {self._without_key(excerpt(response.content))}: "
                "give the base URL of an OpenAI-compatible server, such as http://localhost:8000/v1."
            )
        return names

    def stream(
        self,
        requests: Sequence[Request],
        params: SamplingParams,
        refill: Callable[[], Sequence[Request]] | None = None,
    ) -> Generator[tuple[int, Reply], None, None]:
        """Ask everything, at most `concurrency` at once, and yield (index of the request, its reply) as they come.

        `refill` is called again and again for what else to ask; the numbers of those requests follow.

        When a request fails for good no new one is sent, and those on their way are waited for (a minute at most) and
        yielded. Leaving the loop, or an interrupt, stops at once.

        Raises:
            EndpointDown: a request failed as often as `retries` allows.
            BadInput: the server refuses a request for what it asks, or the key.
        """
        count, asked = 0, list(requests)

        def more() -> int:
            further = refill() if refill else ()
            asked.extend(further)
            return len(further)

        calls = fan_out(
            lambda index, halt: self._ask(asked[index], params, halt),
            len(asked),
            self._settings.concurrency,
            patience=min(self._settings.timeout, LAST_WAIT),
            more=more if refill else None,
        )
        try:
            with contextlib.closing(calls):
                for answered in calls:
                    count += 1
                    yield answered
        except _Trouble as trouble:
            raise EndpointDown(
                f"The server at {self.url} stopped answering after {count} of {len(asked)} replies ({trouble})"
            ) from trouble

    def command(self, method: str, body: dict[str, Any]) -> Refusal | None:
        """Tell the server something that is no question, once; what it says if it will not.

        Raises:
            EndpointDown: it did not answer.
            BadInput: it does not take the key.
        """
        url, seconds = f"{self.url}/{method}", self._settings.timeout
        try:
            response = self._client.send("POST", url, seconds, LIST_LIMIT, json.dumps(body))
        except httpx.RequestError as error:
            raise EndpointDown(f"The server at {self.url} did not answer to {method} ({describe(error)})") from error
        self._require_admission(response, url)
        return None if response.success else self._refusal(response)

    def close(self) -> None:
        """Drop the connections, those of unanswered requests too."""
        self._client.close()

    def _ask(self, request: Request, params: SamplingParams, halt: threading.Event) -> Reply:
        """One request, asked again while that may help. Raises `_Trouble` and `BadInput`."""
        for attempt in itertools.count():
            try:
                return self._ask_once(request, params)
            except _Trouble as trouble:
                wait = self._backoff(attempt) if trouble.wait is None else trouble.wait + self._backoff(0)
                if attempt >= self._settings.retries or halt.wait(wait):
                    raise
        raise AssertionError("unreachable")

    def _ask_once(self, request: Request, params: SamplingParams) -> Reply:
        """One request, in words that the server knows. Raises `_Trouble` and `BadInput`."""
        while True:
            must, may = build_body(self._settings.model, request, params)
            may = {name: value for name, value in may.items() if name not in self._unknown}
            if request.messages is not None:
                must[self._limit] = must.pop("max_tokens")
            url, body = f"{self.url}/{request.path}", json.dumps(must | may)
            limit = reply_limit(params.max_tokens, len(body))
            try:
                response = self._client.send("POST", url, self._settings.timeout, limit, body)
            except httpx.RequestError as error:
                raise _Trouble(describe(error)) from error
            if response.success:
                try:
                    return read_reply(response.content, params.max_tokens, len(body))
                except Malformed as error:
                    raise _Trouble(self._without_key(str(error))) from error
            if response.status in PASSING or response.status >= 500:
                said = f"HTTP {response.status}: {self._refusal(response).sentence}"
                raise _Trouble(said, retry_after(response.headers.get("Retry-After")))
            self._require_admission(response, url)
            self._adapt(response, must, may)

    def _adapt(self, response: HttpReply, must: dict[str, Any], may: dict[str, Any]) -> None:
        """Learn from a refusal how to ask the next time. Raises `BadInput` where the request itself is refused.

        Each call removes a field or renames one, so asking again comes to an end.
        """
        refusal = self._refusal(response)
        says = f"the server at {self.url} says (HTTP {response.status}): {refusal.sentence}"
        if refusal.too_long:
            raise BadInput(f"A prompt with its completion does not fit the model, allow fewer tokens; {says}")
        if "messages" in must and "max_tokens" in must and "max_completion_tokens" in refusal.sentence:
            self._limit = "max_completion_tokens"
            return
        named = refusal.names(must | may)
        options = named & may.keys() if named else may.keys()
        if options:
            self._unknown.update(options)
        elif named:
            names = ", ".join(sorted(named))
            raise BadInput(f"{names} cannot be asked of this model, leave it at what the server takes; {says}")
        else:
            raise BadInput(f"A request was refused, correct what it is about; {says}")

    def _refusal(self, response: HttpReply) -> Refusal:
        """What the server says, without the key."""
        refusal = read_refusal(response.content)
        return Refusal(self._without_key(refusal.sentence), refusal.parameter)

    def _without_key(self, said: str) -> str:
        """Blot out the key: some servers send back what they were sent."""
        return said.replace(self._key, "***") if self._key else said

    def _require_admission(self, response: HttpReply, url: str) -> None:
        if response.redirect is not None:
            behind = self._without_key(excerpt(response.redirect.encode()))
            raise BadInput(f"{url} redirects to {behind}: give the URL behind it.")
        if response.status in (401, 403):
            what = "does not take the key in" if self._key else "asks for a key, and there is none in"
            raise BadInput(
                f"The server at {self.url} {what} the environment variable {self._settings.api_key_env} "
                f"(HTTP {response.status}: {self._refusal(response).sentence}): set it to a key that may use "
                f"{self._settings.model!r}."
            )


class _Trouble(Exception):
    """A try failed in a way that may pass; `wait` is how many seconds the server asks to wait, if it does."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def retry_after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, given in seconds or as a date; None without a readable one."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(header).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_WAIT)
