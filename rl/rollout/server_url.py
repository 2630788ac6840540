"""Where a server is, and the key for it."""

import ipaddress
import os

import httpx

from rewards.errors import BadInput
from rl.config.key_variable import check_key_variable, looks_like_key


def normalized(url: str) -> str:
    """The base URL: `/v1` where there is no path, no slash and no method of the API at the end. Raises `BadInput`."""
    if looks_like_key(url.strip()):
        raise BadInput("What should be the URL of a server looks like a key (not shown): give its URL.")
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise BadInput(f"{url!r} is no URL ({error}): give one like http://localhost:8000/v1.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host or not 0 < (parsed.port or 80) < 65536:
        raise BadInput(f"{url!r} is no URL of a server: give one like http://localhost:8000/v1.")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise BadInput(
            f"The URL of the server at {parsed.host} has more than a path: leave out what follows ? or # or stands "
            "before @, and put a key into the environment variable."
        )
    path = parsed.path.rstrip("/")
    for method in ("/chat/completions", "/completions", "/models"):
        path = path.removesuffix(method)
    return str(parsed.copy_with(path=path or "/v1"))


def is_local(url: str) -> bool:
    """True if the URL is one of this machine, so that no proxy can be in between."""
    host = httpx.URL(url).host
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def read_key(name: str) -> str:
    """The key in the environment variable; empty if there is none. Raises `BadInput` if it cannot be sent."""
    check_key_variable(name, "The option for the server's key")
    key = os.environ.get(name, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise BadInput(f"The environment variable {name} holds what cannot be a key: set it to the key alone.")
    return key
