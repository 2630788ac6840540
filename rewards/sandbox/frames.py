"""Messages over a stream socket: four bytes of length, most significant first, then as many bytes."""

import socket
from collections.abc import Callable

from rewards.sandbox.values import LARGEST_TEXT

HEADER = 4


class FrameError(ValueError):
    """The other side has gone, or sent what is no message."""


def send(channel: socket.socket, message: bytes) -> None:
    """Send one message. OSError if the other side has gone, TimeoutError after the socket's own time limit."""
    channel.sendall(len(message).to_bytes(HEADER, "big") + message)


def receive(channel: socket.socket, largest: int = LARGEST_TEXT, remaining: Callable[[], float] | None = None) -> bytes:
    """Wait for one message.

    Args:
        channel: a connected socket.
        largest: bytes that the message may have.
        remaining: the seconds left for it; it is asked before each wait, and may raise an error of its own.

    Raises:
        FrameError: the other side has gone, or says that it will send more.
        OSError: the socket fails.
    """
    length = int.from_bytes(_exactly(channel, HEADER, remaining), "big")
    if length > largest:
        raise FrameError(f"a message of {length} bytes was announced")
    return _exactly(channel, length, remaining)


def _exactly(channel: socket.socket, count: int, remaining: Callable[[], float] | None) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        if remaining is not None:
            channel.settimeout(remaining())
        try:
            part = channel.recv(min(count - len(parts), 1 << 20))
        except TimeoutError:
            if remaining is None:  # else it decides what that means
                raise
            continue
        if not part:
            raise FrameError("it has ended")
        parts += part
    return bytes(parts)
