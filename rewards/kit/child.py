"""The inside of the process in which an audit runs a reward. Run by `rewards.kit.subject`, never by hand.

The first line in says which reward; each line after it is one batch, answered by one line out, all JSON.
"""

import ctypes
import inspect
import json
import os
import signal
import socket
import sys
import time
from typing import Any

from rewards.errors import BadInput
from rewards.failures import RewardFailed
from rewards.grading import Grader
from rewards.registry import load_reward, required_columns

LONGEST_REASON = 500  # characters
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> None:
    """Serve the socket whose descriptor is the first argument, until the parent closes it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with socket.socket(fileno=int(sys.argv[1])) as connection, connection.makefile("rw", encoding="utf-8") as lines:
        connection.set_inheritable(False)
        start = json.loads(lines.readline())
        try:
            grader = _grader(**start)
            _tell(lines, _needs(start["spec"]))
        except BadInput as error:
            _tell(lines, {"bad_input": str(error)})
            return
        with grader:
            for line in lines:
                _tell(lines, _batch(grader, start["spec"], **json.loads(line)))


def _grader(spec: str, options: dict[str, Any], workers: int, seconds: float) -> Grader:
    return Grader(
        {spec: 1.0}, options={spec: options}, timeout=seconds, workers=workers, accuracy=None, correct_above=0.0
    )


def _needs(spec: str) -> dict[str, Any]:
    function = load_reward(spec)
    return {
        "required": sorted(required_columns(function)),
        "token_ids": "completion_ids" in inspect.signature(function).parameters,
        "extraction": "extraction" in inspect.signature(function).parameters,
    }


def _batch(
    grader: Grader, spec: str, completions: list[str], prompts: list[str], columns: dict[str, list[Any]]
) -> dict[str, Any]:
    """Grade one batch: `rewards` and the `seconds` it took, or the `error`."""
    began = time.perf_counter()
    try:
        graded = grader.grade(completions, prompts, columns)
        return {"rewards": [one.parts[spec] for one in graded], "seconds": time.perf_counter() - began}
    except BaseException as error:  # whatever it raises, SystemExit too, is what the audit wants to know
        raised = error.__cause__ if isinstance(error, RewardFailed) and error.__cause__ else error
        return {"error": " ".join(f"{type(raised).__name__}: {raised}".split())[:LONGEST_REASON]}


def _tell(lines: Any, told: dict[str, Any]) -> None:
    lines.write(json.dumps(told) + "\n")
    lines.flush()


if __name__ == "__main__":
    main()
    os._exit(0)  # a reward's own threads do not keep it alive
