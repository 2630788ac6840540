"""Awaiting users' coroutines from synchronous code, also where an event loop already runs, as in Jupyter.

All of them run in one private loop in a thread of its own, which lives as long as the process: a client that a reward
opened there (a session, a pool of connections) stays usable from one batch to the next.
"""

import asyncio
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

AT_ONCE = 64  # coroutines of one batch


class _Carried(Exception):
    """Brings an exit or interrupt of a coroutine to its caller: raised in the loop, it would end the loop."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error


def finished(value: Any) -> Any:
    """The value itself, or what it gives when it is awaited, if it has to be."""
    return _run(_awaited(value)) if inspect.isawaitable(value) else value


def gathered(function: Callable[..., Awaitable[Any]], calls: Sequence[dict[str, Any]]) -> list[Any]:
    """The results of calling a coroutine function with each set of keywords, in order, `AT_ONCE` at a time.

    The first exception ends the others and is raised.
    """
    return _run(_gathered(function, calls))


def is_async(function: Any) -> bool:
    """True if calling it gives a coroutine: a coroutine function, a partial of one, or an object that is called so."""
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


async def _awaited(value: Awaitable[Any]) -> Any:
    try:
        return await value
    except (SystemExit, KeyboardInterrupt) as error:
        raise _Carried(error) from None


async def _gathered(function: Callable[..., Awaitable[Any]], calls: Sequence[dict[str, Any]]) -> list[Any]:
    free = asyncio.Semaphore(AT_ONCE)

    async def one(call: dict[str, Any], row_of_batch: int) -> Any:  # named so for `rewards.failures`
        async with free:
            return await _awaited(function(**call))

    tasks = [asyncio.ensure_future(one(call, row)) for row, call in enumerate(calls)]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _run(coroutine: Any) -> Any:
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop(os.getpid()))
    try:
        return future.result()
    except _Carried as carried:
        raise carried.error from None
    except BaseException:  # Ctrl-C while waiting must not leave it running
        future.cancel()
        raise


@functools.lru_cache(maxsize=1)
def _loop(process_id: int) -> asyncio.AbstractEventLoop:
    """The private loop of this process; a forked child, which has none of its parent's threads, makes its own."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="rewards-async", daemon=True).start()
    return loop
