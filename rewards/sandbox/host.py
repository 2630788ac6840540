"""The caller's side of the sandbox: starts a zygote, has it fork programs, and learns how they end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Literal, Self, get_args

from rewards.errors import BadInput
from rewards.process import environment
from rewards.sandbox.limits import Limits
from rewards.scratch import Scratch

Mode = Literal["auto", "namespaces", "landlock", "unsafe"]
MODES: tuple[Mode, ...] = get_args(Mode)
START_SECONDS = 60.0  # to import what programs need, on a machine under load
REPLY_SECONDS = 30.0  # for a request to a running zygote
STOP_SECONDS = 5.0
LARGEST_PACKET = 1 << 16


class SandboxError(RuntimeError):
    """The sandbox itself failed: nothing can be said of the program in it."""


@dataclass(frozen=True)
class Exit:
    """How a program ended.

    Attributes:
        exit_code: its exit status; None if a signal ended it.
        signal: the number of that signal, 0 if none. 9 where it was killed here.
        cpu_seconds: that it and what it waited for used.
        exceeded: what all its processes together had too much of, so that it was killed: `memory`, `disk` or
            `processes`; else empty.
        killed: it did not end by itself in the time that it was given for that.
    """

    exit_code: int | None
    signal: int
    cpu_seconds: float
    exceeded: str
    killed: bool = False


@dataclass(frozen=True)
class Usage:
    """What a running program has used. None: the system does not count it.

    Attributes:
        cpu_seconds: seconds of processor time, with all that it started.
        waited_seconds: that its main thread was ready to run and had no processor; 0 for one that can have made itself
            wait, by starting other processes or by lowering its priority.
    """

    cpu_seconds: float | None
    waited_seconds: float | None


class Sandbox:
    """A zygote and the programs forked from it. For one thread at a time.

    Args:
        mode: how programs are shut in (see `rewards.sandbox.jail`); `auto`: `namespaces`, else `landlock`, never
            `unsafe`.
        preload: modules of the roles that will be started.

    Raises:
        BadInput: this machine offers no isolation of that kind.
        SandboxError: the zygote did not start for another reason.
    """

    def __init__(self, mode: Mode = "auto", preload: Sequence[str] = ()) -> None:
        self.scratch: Scratch | None = None  # for the programs' files, where there are no namespaces
        refusals: dict[str, str] = {}
        for tier in ("namespaces", "landlock") if mode == "auto" else (mode,):
            greeting = self._launch(tier, preload)
            if "error" not in greeting:
                self.tier: str = greeting["tier"]
                self.layers: dict[str, str] = greeting["layers"]
                return
            refusals[tier] = greeting["error"]
            self._stop()
        self.close()
        why = "; ".join(f"{tier}: {error}" for tier, error in refusals.items())
        raise BadInput(
            f"this machine offers no isolation for programs ({why}); allow user namespaces, or set sandbox: unsafe to "
            "run them with your own rights"
        )

    @property
    def folder(self) -> str | None:
        """Where the programs' files are; None where each program has file systems of its own."""
        return None if self.scratch is None else self.scratch.path

    def start(self, role: str, descriptors: Sequence[int], limits: Limits) -> int:
        """Fork a program and return its number.

        Args:
            role: `module:function`, called in the new process with the descriptors; the module is in `preload`.
            descriptors: the child's ends of pipes and sockets, at most 8. Close them here afterwards, so that their
                other ends see when the program has ended.
            limits: what it may use.

        Raises:
            SandboxError: the program could not be started.
        """
        return int(self._ask({"start": role, "limits": asdict(limits)}, descriptors)["pid"])

    def prepare(self, function: str, arguments: Sequence[Any]) -> None:
        """Call a function of ours in the zygote, so that programs forked later find its work done.

        Never give it anything of a program's making: what it executes, it executes for all that follow.
        """
        self._ask({"prepare": function, "arguments": arguments})

    def usage(self, pid: int) -> Usage:
        """What a program that runs has used so far."""
        return Usage(**self._ask({"usage": pid}))

    def end(self, pid: int, grace: float = 0.0) -> Exit:
        """Kill a program and all that it started, unless it ends by itself within `grace` seconds."""
        reply = self._ask({"end": pid, "grace": grace})
        status = reply["status"]
        return Exit(
            exit_code=os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            signal=os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            cpu_seconds=reply["cpu_seconds"],
            exceeded=reply["exceeded"],
            killed=reply["killed"],
        )

    def close(self) -> None:
        """End the zygote, every program, and their files."""
        self._stop()
        if self.scratch is not None:
            self.scratch.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _launch(self, tier: str, preload: Sequence[str]) -> dict[str, Any]:
        if tier != "namespaces":
            self.scratch = Scratch("sandbox")
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-B", "-m", "rewards.sandbox.zygote"]
                + [str(theirs.fileno()), tier, str(os.getpid()), *preload],
                env=environment() | {"TMPDIR": self.folder or "/tmp"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return self._receive(START_SECONDS)

    def _ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        try:
            socket.send_fds(self.control, [json.dumps(request).encode()], list(descriptors))
        except OSError as error:
            raise SandboxError(f"the sandbox has ended: {error}") from error
        reply = self._receive(REPLY_SECONDS + request.get("grace", 0.0))
        if "error" in reply:
            raise SandboxError(reply["error"])
        return reply

    def _receive(self, seconds: float) -> dict[str, Any]:
        self.control.settimeout(seconds)
        try:
            packet = self.control.recv(LARGEST_PACKET)
        except OSError as error:
            raise SandboxError(f"the sandbox does not answer: {error}") from error
        if not packet:
            raise SandboxError("the sandbox has ended")
        return json.loads(packet)

    def _stop(self) -> None:
        """Let the zygote end by itself, which takes all programs with it; kill it if it does not."""
        self.control.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # ended just now
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
