"""A reward function that fails: which function, at which line of its author's code, on which completion."""

import os
import sysconfig
import threading
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

OURS = Path(__file__).resolve().parent
LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib")})
ROW = "row_of_batch"
INDICES = ("i", "idx", "index", "row")  # what authors call the place of a completion in the batch
LONGEST_SAID = 300  # characters of an exception in the sentence
SHORTEST_VALUE = 2  # characters: Python keeps one object for all equal texts that are shorter


class RewardFailed(RuntimeError):
    """A reward function raised, called `sys.exit`, or ended its process. The text is one sentence without its end.

    Args:
        name: of the reward.
        said: what it did, in a few words that begin with a verb.
        line: the author's line that did it; empty where that is not known.
        row: the completion of the batch that the function worked on; None where that cannot be seen.
        trace: where the program was, in many lines.
        completion: the text of that completion, or the messages.

    Attributes:
        problem: the id of that completion's problem, for who knows it to fill in.
    """

    def __init__(
        self, name: str, said: str, line: str = "", row: int | None = None, trace: str = "", completion: Any = None
    ) -> None:
        super().__init__(name)
        self.name, self.said, self.line, self.row, self.trace = name, said, line, row, trace
        self.completion = completion
        self.problem: str | None = None

    def __str__(self) -> str:
        at = f" at {self.line}" if self.line else ""
        on = "" if self.row is None else f", on completion {self.row + 1} of the batch"
        whose = "" if self.problem is None else f" (problem {self.problem})"
        return f"the reward {self.name!r} {self.said}{at}{on}{whose}"

    def report(self) -> str:
        """The sentence, the whole traceback, and the completion."""
        completion = "" if self.completion is None else f"\nThe completion:\n\n{self.completion}\n"
        return f"{self}\n\n{self.trace}{completion}"


def failure_of(name: str, error: BaseException, given: Mapping[str, Any]) -> RewardFailed:
    """Describe an exception of a reward that was given these columns."""
    said = " ".join(f"{type(error).__name__}: {_text(error)}".split())[:LONGEST_SAID].rstrip(": ")
    steps = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    row = _row(error, given)
    completion = None if row is None else given["completions"][row]
    trace = "".join(traceback.format_exception(error))
    return RewardFailed(name, f"raised {said}", line_of(steps), row, trace, completion)


def is_failure(error: BaseException) -> bool:
    """Whether what a reward raised is its own failure: all but a Ctrl-C, which only the main thread gets."""
    if isinstance(error, KeyboardInterrupt):
        return threading.current_thread() is not threading.main_thread()
    return True


def _text(error: BaseException) -> str:
    """What an exception says, without halves of characters, which no file and no terminal takes."""
    try:
        return str(error).encode("utf-8", "replace").decode()
    except Exception:  # the author's own `__str__`
        return ""


def line_of(steps: Sequence[tuple[str, int]]) -> str:
    """The innermost line that is neither of a library nor of these rewards; the innermost of all if there is none.

    `steps`: files and numbers of lines, the innermost last.
    """
    if not steps:
        return ""
    own = [step for step in steps if _is_authors(step[0])] or steps
    file, number = own[-1]
    path = Path(file)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}, line {number}"


def _is_authors(file: str) -> bool:
    return os.path.isfile(file) and not file.startswith(LIBRARIES) and OURS not in Path(file).parents


def _row(error: BaseException, given: Mapping[str, Any]) -> int | None:
    """The completion that the function worked on, by what local variables held, the innermost frame first.

    Of a function that grades one at a time it is known: what calls it has a variable `row_of_batch`.
    """
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in frames:
        if ROW in frame.f_locals:
            return int(frame.f_locals[ROW])
    for frame in reversed(frames):
        rows = _rows_of_values(list(_values(frame)), given)
        if rows:
            return min(rows)
        places = {frame.f_locals[name] for name in INDICES if type(frame.f_locals.get(name)) is int}
        if len(places) == 1 and _is_authors(frame.f_code.co_filename):
            [place] = places
            return place if 0 <= place < len(given["completions"]) else None
    return None


def _values(frame: FrameType) -> Iterator[Any]:
    """What the local variables of a frame hold, and what stands in arguments and messages among them."""
    for value in list(frame.f_locals.values()):
        yield value
        if isinstance(value, dict) and len(value) < 100:  # the arguments of a call for one completion
            yield from value.values()
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
            yield value[0].get("content")


def _rows_of_values(values: Sequence[Any], given: Mapping[str, Any]) -> set[int]:
    """The rows whose completion is among the values, and whose columns are, as far as that tells them apart.

    Compared are identities: a value that is merely equal may come from anywhere.
    """
    rows = _holders(given["completions"], {id(value) for value in values if _tells(value)})
    for name, column in given.items():
        if name != "completions" and isinstance(column, list) and len(column) == len(given["completions"]):
            held = _holders(column, {id(value) for value in values if _tells(value)})
            rows = (rows & held or rows) if rows else held
    return rows


def _holders(column: Sequence[Any], held: Collection[int]) -> set[int]:
    return {row for row, value in enumerate(column) if id(value) in held}


def _tells(value: Any) -> bool:
    return isinstance(value, str | list | dict) and len(value) >= SHORTEST_VALUE
