"""A vLLM server that really runs, for tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rewards.errors import BadInput
from rl.rollout.endpoint import Endpoint, EndpointSettings

COMMAND = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1"]
OPTIONS = {
    "served-model-name": "tiny",
    "dtype": "float32",
    "max-model-len": "256",
    "max-num-batched-tokens": "4096",
    "block-size": "32",
    "logprobs-mode": "processed_logprobs",
}
FLAGS = ("--enforce-eager", "--no-enable-chunked-prefill")
SURROUNDINGS = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True)
class Server:
    """Where it is, and its process."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """The server and its engine, which is a process of its own."""
        with contextlib.suppress(ProcessLookupError):  # gone already
            os.killpg(self.process.pid, signal.SIGKILL)


@contextlib.contextmanager
def serving(
    model: str, flags: tuple[str, ...] = (), surroundings: Mapping[str, str] | None = None, seconds: float = 300
) -> Iterator[Server]:
    """A server of `model` under the name `tiny`, from when it answers on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [part for name, value in OPTIONS.items() for part in (f"--{name}", value)]
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port), "--model", model, *options, *FLAGS, *flags],
        env=os.environ | SURROUNDINGS | dict(surroundings or {}),
        start_new_session=True,
    )
    server = Server(f"http://127.0.0.1:{port}/v1", process)
    try:
        await_answer(server, time.monotonic() + seconds)
        yield server
    finally:
        server.kill()
        process.wait(60)


def await_answer(server: Server, deadline: float) -> None:
    """Wait until it gives its list of models."""
    with contextlib.closing(Endpoint(EndpointSettings(server.url, "tiny"))) as endpoint:
        while True:
            try:
                endpoint.check()
                return
            except BadInput:
                assert server.process.poll() is None and time.monotonic() < deadline, "the server did not start"
                time.sleep(1)
