"""An HTTP client whose requests end: all parts of a request share one time limit, and a reply has a limit of bytes.

httpx limits the time of each single read alone, so a server that sends a byte a second holds a request for ever; and
it keeps whole replies, and unpacks compressed ones, whatever their size.
"""

import contextlib
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

PACKED = {"gzip": 31, "x-gzip": 31, "deflate": 47}  # `wbits` of zlib
CHUNK = 2**16  # bytes
ERROR_LIMIT = 2**16  # bytes: its first sentence is all that is shown


class TooLarge(httpx.RequestError):
    """A reply has more bytes than the limit."""


class UnknownPacking(httpx.RequestError):
    """A reply is compressed in a way that nobody asked for."""


@dataclass(frozen=True)
class HttpReply:
    """A reply, read to its end."""

    status: int
    headers: httpx.Headers
    content: bytes

    @property
    def success(self) -> bool:
        """True if the server did what was asked."""
        return 200 <= self.status < 300

    @property
    def redirect(self) -> str | None:
        """The address that the server sends the client to; None if the server does not."""
        return self.headers.get("Location") if 300 <= self.status < 400 else None


class BoundedClient:
    """A client for several threads. It keeps connections open until `close`."""

    def __init__(self, headers: Mapping[str, str], connect: float, keep: int, trust_env: bool) -> None:
        """Connects to nothing yet.

        Args:
            headers: of each request.
            connect: seconds in which a connection must be made.
            keep: how many idle connections stay open.
            trust_env: whether the environment may name a proxy.
        """
        self._connect = connect
        self._client = httpx.Client(
            headers={"Accept-Encoding": "identity"} | dict(headers),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=keep),
            trust_env=trust_env,
        )
        # httpx has no public option for the network of its pools. `tests/rollout/test_bounded.py` sees that this works.
        transports: list[Any] = [self._client._transport, *self._client._mounts.values()]
        for transport in transports:
            if transport is not None:
                transport._pool._network_backend = _ClockedBackend(transport._pool._network_backend)

    def send(self, method: str, url: str, seconds: float, limit: int, content: str | None = None) -> HttpReply:
        """Send a request and read the reply, in at most so many seconds and bytes.

        The reply of an error is cut after `ERROR_LIMIT` bytes.

        Raises:
            httpx.RequestError: no whole reply came; `TooLarge` and `UnknownPacking` are such errors too.
        """
        try:
            return self._send(method, url, seconds, limit, content)
        except httpx.InvalidURL as error:  # httpx reads the address of a redirect, even where it does not follow it
            raise httpx.RemoteProtocolError(f"a redirect to no URL ({error})") from error

    def _send(self, method: str, url: str, seconds: float, limit: int, content: str | None) -> HttpReply:
        timeout = httpx.Timeout(seconds, connect=min(seconds, self._connect), pool=None)
        with (
            _until(time.monotonic() + seconds),
            self._client.stream(method, url, content=content, timeout=timeout) as response,
        ):
            body = bytearray()
            for piece in _unpacked(response):
                body += piece
                if response.is_success and len(body) > limit:
                    raise TooLarge(f"a reply of more than {limit:,} bytes", request=response.request)
                if not response.is_success and len(body) > ERROR_LIMIT:
                    break
            self._client.cookies.clear()  # a server may not make the client remember anything
            return HttpReply(response.status_code, response.headers, bytes(body))

    def close(self) -> None:
        """Drop the connections, those of unanswered requests too."""
        self._client.close()


def _unpacked(response: httpx.Response) -> Iterator[bytes]:
    """Read the body in pieces of limited size, whatever it was compressed from."""
    names = [name.strip().lower() for name in response.headers.get("Content-Encoding", "").split(",")]
    packing = [name for name in names if name not in ("", "identity")]
    if not packing:
        yield from response.iter_raw()
        return
    if len(packing) > 1 or packing[0] not in PACKED:
        name = ", ".join(packing)
        raise UnknownPacking(
            f"a reply in the encoding {name[:40]!r}, which was not asked for", request=response.request
        )
    try:
        unpack = zlib.decompressobj(PACKED[packing[0]])
        begun = False
        for piece in response.iter_raw():
            begun = True
            while piece and not unpack.eof:
                yield unpack.decompress(piece, CHUNK)
                piece = unpack.unconsumed_tail
            if unpack.eof:
                return
        if begun:
            raise httpx.RemoteProtocolError("a compressed reply that is cut off", request=response.request)
    except zlib.error as error:
        raise httpx.DecodingError(f"a reply that is not {packing[0]}", request=response.request) from error


def describe(error: httpx.RequestError) -> str:
    """Return what went wrong, in words."""
    if isinstance(error, httpx.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return str(error) or type(error).__name__


_deadline = threading.local()  # httpx works in the thread of its caller


@contextlib.contextmanager
def _until(moment: float) -> Iterator[None]:
    _deadline.moment = moment
    try:
        yield
    finally:
        _deadline.moment = None


def _rest(timeout: float | None, late: type[Exception]) -> float | None:
    """Cut a time limit to what the request has left. Raises `late` where nothing is left."""
    moment = getattr(_deadline, "moment", None)
    if moment is None:
        return timeout
    rest = float(moment) - time.monotonic()
    if rest <= 0:
        raise late("the time of the request is over")
    return rest if timeout is None else min(timeout, rest)


class _ClockedBackend:
    """A network of httpcore whose streams keep the deadline of their thread's request."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, **options: Any) -> "_ClockedStream":
        rest = _rest(timeout, httpcore.ConnectTimeout)
        return _ClockedStream(self._inner.connect_tcp(host, port, timeout=rest, **options))

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _ClockedStream:
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _rest(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for begin in range(0, len(buffer), CHUNK):  # each write may wait as long as it is allowed
            self._inner.write(buffer[begin : begin + CHUNK], _rest(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_ClockedStream":
        rest = _rest(timeout, httpcore.ConnectTimeout)
        return _ClockedStream(self._inner.start_tls(ssl_context, server_hostname, rest))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
