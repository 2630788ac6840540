"""Many slow calls at once, in threads, with results as they come."""

import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import TypeVar

T = TypeVar("T")
TICK = 0.05  # seconds between two questions for further calls: about a step of an engine


def fan_out(
    call: Callable[[int, threading.Event], T],
    count: int,
    concurrency: int,
    patience: float,
    more: Callable[[], int] | None = None,
) -> Generator[tuple[int, T], None, None]:
    """Call `call(i, halt)` for each i below `count`, at most `concurrency` at once; yield (i, result) as they come.

    `more` says, whenever there is nothing to hand over, how many further calls there are now; their numbers go on where
    the last one ended. All is over when nothing runs and it says 0.

    When a call raises, no new one begins; those that run are waited for, at most `patience` seconds, and yielded; then
    the first exception is raised. From then on `halt` is set, and calls should not wait for anything that can be left.
    The threads are daemons and are never joined: an interrupt, or leaving the loop, does not wait for them.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, T] | Exception | None] = queue.SimpleQueue()  # None: a thread has ended
    halt = threading.Event()
    known = working = 0

    def work() -> None:
        while not halt.is_set():
            try:
                index = todo.get_nowait()
            except queue.Empty:
                break
            try:
                done.put((index, call(index, halt)))
            except Exception as error:  # whatever it was, the reader must hear of it, or it would wait for ever
                halt.set()
                done.put(error)
        done.put(None)

    def begin(further: int) -> None:
        nonlocal known, working
        for index in range(known, known + further):
            todo.put(index)
        known += further
        for _ in range(min(concurrency - working, todo.qsize())):
            working += 1
            threading.Thread(target=work, daemon=True).start()

    failure: Exception | None = None
    deadline = 0.0
    try:
        begin(count)
        while True:
            if failure is None and done.empty():
                # Also for those whose thread saw an empty queue just before they came.
                begin(more() if more else 0)
            if not working:
                break
            rest = TICK if more else None
            try:
                item = done.get(timeout=rest if failure is None else max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                if failure is None:
                    continue
                break
            if item is None:
                working -= 1
            elif not isinstance(item, Exception):
                yield item
            elif failure is None:
                failure, deadline = item, time.monotonic() + patience
    finally:
        halt.set()
    if failure is not None:
        raise failure
