"""What a run is doing at this moment, and for how long."""

import time
from collections.abc import Callable

DOING = {  # by the phases of the ledger
    "start": "starting",
    "generate": "generating",
    "grade": "grading",
    "learn": "learning",
    "sync": "syncing weights",
    "evaluate": "evaluating",
    "save": "saving",
}
BETWEEN = {DOING[phase] for phase in ("start", "evaluate", "save")}  # phases that belong to no step
DONE = "done"


class Activity:
    """The phase and the step that a run is in, with their clocks.

    Attributes:
        step: the last finished one.
        done, wanted: answers of the phase that have come, and all that are asked for.
    """

    def __init__(self, total_steps: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total_steps
        self._clock = clock
        self._run_began = self._step_began = self._phase_began = clock()
        self._doing = DOING["start"]
        self.step = self.done = self.wanted = 0

    def begin(self, phase: str | None) -> None:
        """Enter a phase. Between two of them the last one goes on being shown, since what is left is short."""
        if phase is not None:
            before, self._doing = self._doing, DOING.get(phase, phase)
            self.done = self.wanted = 0
            self._phase_began = self._clock()
            if before in BETWEEN:
                self._step_began = self._phase_began

    @property
    def counting(self) -> bool:
        """Whether the phase is one whose answers are counted; others may go on while the next batch is sampled."""
        return self.wanted > 0 and self._doing in (DOING["generate"], DOING["evaluate"])

    def end(self) -> None:
        """Note that the run is done."""
        self._doing, self.done, self.wanted = DONE, 0, 0

    def count(self, done: int, wanted: int) -> None:
        """Note how many answers of the phase have come."""
        self.done, self.wanted = done, wanted

    def step_done(self, step: int) -> None:
        """Note that a step has ended, and the next one begins."""
        self.step, self._step_began = step, self._clock()

    def clocks(self) -> str:
        """Say what is done now, and the time in this step and in the run: `generating, 0:12 in step 4, 1:40 in all`."""
        now = self._clock()
        whole = f"{duration(now - self._run_began)} in all"
        if self._doing in (DOING["start"], DONE):
            return f"{self._doing}, {whole}"
        if self._doing in BETWEEN or self.step == self._total:
            return f"{self._doing}, {duration(now - self._phase_began)}, {whole}"
        return f"{self._doing}, {duration(now - self._step_began)} in step {self.step + 1}, {whole}"

    def counted(self) -> tuple[str, str]:
        """Return how many answers have come, and the time that the others will take, as text.

        In a step nothing is said of the time: a few long answers come last.
        """
        done, wanted = self.done, self.wanted  # the panel is drawn by a thread of its own
        if not done or self._doing != DOING["evaluate"]:
            return f"{done} of {wanted} answers", ""
        took = self._clock() - self._phase_began
        return f"{done} of {wanted} answers", f"{duration(took / done * (wanted - done))} left"

    def line(self) -> str:
        """Return the step, the phase, the clocks and the answers in one line."""
        answers = "".join(f", {text}" for text in self.counted() if text) if self.counting else ""
        return f"step {self.step}/{self._total} done; {self.clocks()}{answers}"


def duration(seconds: float) -> str:
    """Return seconds as a clock shows them: `0:07`, `12:40`, `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
