"""A control for time-outs: a known quick job in the same sandbox, at the moment when a program says it was starved.

A program that had no processor because the machine is busy proves nothing, and its grading must not count. A program
that only looks so, because it kept itself from the processor, is late. The two differ in what becomes of another job.
"""

import socket
import time

from rewards.fairness import SPIN_SECONDS, STARVED_SHARE
from rewards.sandbox.host import Sandbox
from rewards.sandbox.limits import Limits

PATIENCE = 5.0  # seconds on the clock: a job that needs a hundred times as long is starved, too


def is_starved(sandbox: Sandbox, limits: Limits) -> bool:
    """Tell whether a job that only spins waits for a processor for longer than it has one. First end other programs.

    Raises:
        SandboxError: the job could not be started.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            pid = sandbox.start("rewards.fairness:spin", [theirs.fileno()], limits)
        began = time.monotonic()
        ours.settimeout(PATIENCE)
        try:
            ours.recv(1)
        except TimeoutError:
            return True
        finally:
            sandbox.end(pid)
    return (time.monotonic() - began) * (1 - STARVED_SHARE) > SPIN_SECONDS
