"""The sandbox of a grader process: made when first needed, kept warm, made anew when it breaks."""

import functools
from collections.abc import Callable
from typing import TypeVar

from rewards.sandbox.host import Mode, Sandbox, SandboxError

Value = TypeVar("Value")
_warm: dict[tuple[Mode, tuple[str, ...]], Sandbox] = {}


def with_sandbox(mode: Mode, preload: tuple[str, ...], work: Callable[[Sandbox], Value]) -> Value:
    """What `work` returns, given this process's sandbox of that kind; tried twice, should the sandbox break.

    Raises:
        BadInput: no such sandbox can be had here.
        SandboxError: it broke twice.
    """
    try:
        return work(warm(mode, preload))
    except SandboxError:
        cool(mode, preload)
    try:
        return work(warm(mode, preload))
    except SandboxError:
        cool(mode, preload)
        raise


@functools.cache
def check_isolation(mode: Mode) -> None:
    """Start a sandbox of that kind once, to see that it can be had, where the caller can still hear of it.

    Raises:
        BadInput: no such sandbox can be had here.
    """
    Sandbox(mode).close()


def warm(mode: Mode, preload: tuple[str, ...]) -> Sandbox:
    """This process's sandbox of that kind, started if there is none."""
    if (mode, preload) not in _warm:
        _warm[mode, preload] = Sandbox(mode, preload)
    return _warm[mode, preload]


def cool(mode: Mode, preload: tuple[str, ...]) -> None:
    """End that sandbox, if there is one."""
    if sandbox := _warm.pop((mode, preload), None):
        sandbox.close()
