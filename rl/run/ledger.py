"""What a run costs: seconds and tokens per phase, peak memory, dollars.

The ledger is only ever added to. A resumed run does the steps after its last checkpoint again, and both times were
paid. What a killed process spent after its last line is the one thing it cannot know.
"""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from rl.base import jsonl
from rl.base.stored import NUMBER, Kind
from rl.run.folder import RunFolder

Phase = Literal["start", "generate", "grade", "learn", "sync", "evaluate", "save"]
PHASES: tuple[str, ...] = (*get_args(Phase), "idle")  # idle: wall time outside all phases
NEEDS: dict[str, Kind] = {  # what each line has
    "session": int,
    "wall": NUMBER,
    "seconds": dict,
    "tokens": dict,
    "dollars": NUMBER,
    "peak_memory_gib": dict,
}


class Ledger:
    """Measures one session of a run and writes a line of `ledger.jsonl` per step.

    A line covers all the time since the line before it (the first: since the ledger was made), so the lines of a
    session add up to its wall time. Used as a context manager, it writes a last line on the way out.
    """

    def __init__(
        self,
        folder: RunFolder,
        dollars_per_hour: float,
        clock: Callable[[], float] = time.monotonic,
        began: float | None = None,
        on_phase: Callable[[Phase | None], None] = lambda name: None,
    ) -> None:
        """`began`: what the clock showed when the session did, if that was before; the time since then is `start`.

        `on_phase` hears of each phase when it begins, and None when it ends.
        """
        self._path = folder.ledger
        self._rate = dollars_per_hour
        self._clock = clock
        self._on_phase = on_phase
        jsonl.mend(self._path)
        before = ledger_totals(folder)
        self._session = before["sessions"] + 1
        self._earlier_seconds = before["total_seconds"]
        self._earlier_dollars = before["dollars"]
        now = clock()
        self._began = self._line_began = now if began is None else began
        self._open: str | None = None
        self._reset()
        self._seconds["start"] = now - self._began

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self.step_done(None)

    @property
    def hours(self) -> float:
        """Hours of all sessions so far, up to now."""
        return (self._earlier_seconds + self._clock() - self._began) / 3600

    @property
    def dollars(self) -> float:
        """Dollars of all sessions so far, up to now."""
        return self._earlier_dollars + (self._clock() - self._began) / 3600 * self._rate

    @contextmanager
    def phase(self, name: Phase) -> Iterator[None]:
        """Count the seconds of the block as `name`; phases do not nest."""
        if self._open:
            raise RuntimeError(f"phase {name} inside phase {self._open}")
        self._open = name
        self._on_phase(name)
        began = self._clock()
        try:
            yield
        finally:
            self._seconds[name] += self._clock() - began
            self._open = None
            self._on_phase(None)

    def add_tokens(self, generated: int = 0, trained: int = 0) -> None:
        """Count tokens sampled, and completion tokens that a gradient was computed for."""
        self._tokens["generated"] += generated
        self._tokens["trained"] += trained

    def step_done(self, step: int | None) -> dict[str, float]:
        """Write the line of everything since the last one, and return its costs under their names in the metrics.

        `time/step` is the wall time of the line without `start`; `dollars` is that of the whole run. A checkpoint saved
        after the call counts in the next line. `step` is None for work that is no step, such as loading.
        """
        now = self._clock()
        wall = now - self._line_began
        seconds = self._seconds | {"idle": wall - sum(self._seconds.values())}
        tokens = self._tokens
        line = {
            "session": self._session,
            "step": step,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall": wall,
            "seconds": seconds,
            "tokens": tokens,
            "dollars": wall / 3600 * self._rate,
            "peak_memory_gib": peak_memory_gib(),
        }
        jsonl.append(self._path, line)
        self._line_began = now
        self._reset()
        step_seconds = wall - seconds["start"]
        return {
            **{f"time/{name}": value for name, value in seconds.items() if name != "start"},
            "time/step": step_seconds,
            "tokens_per_second": tokens["generated"] / step_seconds if step_seconds > 0 else 0.0,
            "dollars": self.dollars,
        }

    def _reset(self) -> None:
        self._seconds = dict.fromkeys(get_args(Phase), 0.0)
        self._tokens = {"generated": 0, "trained": 0}


def peak_memory_gib() -> dict[str, float]:
    """Return the most memory this process has held so far, in GiB: `ram`, and `gpu` if it used one."""
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes there and in KiB elsewhere
    peak = {"ram": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30}
    import torch  # it takes seconds, and reading a ledger needs none of it

    if torch.cuda.is_initialized():
        peak["gpu"] = torch.cuda.max_memory_allocated() / 2**30
    return peak


def ledger_totals(folder: RunFolder) -> dict[str, Any]:
    """Return the sums over all sessions: `seconds` and `dollars_by_phase` per phase, `total_seconds`, `tokens`,
    `dollars`, `sessions` and the highest `peak_memory_gib`."""
    lines = jsonl.read(folder.ledger, NEEDS)
    seconds = {name: sum(line["seconds"][name] for line in lines) for name in PHASES}
    rates = [line["dollars"] / line["wall"] if line["wall"] else 0.0 for line in lines]  # may change between sessions
    dollars = {
        name: sum(line["seconds"][name] * rate for line, rate in zip(lines, rates, strict=True)) for name in PHASES
    }
    return {
        "seconds": seconds,
        "total_seconds": sum(line["wall"] for line in lines),
        "tokens": {name: sum(line["tokens"][name] for line in lines) for name in ("generated", "trained")},
        "dollars": sum(line["dollars"] for line in lines),
        "dollars_by_phase": dollars,
        "sessions": max((line["session"] for line in lines), default=0),
        "peak_memory_gib": {
            name: max(line["peak_memory_gib"].get(name, 0.0) for line in lines)
            for name in {name for line in lines for name in line["peak_memory_gib"]}
        },
    }
