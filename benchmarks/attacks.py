"""Grades files of hostile programs by `penny grade` in both tiers of the sandbox, with bait laid out for them.

    PENNY_CASES=... python -m benchmarks.attacks

Rows whose `sandbox` is a tier are for that tier alone. In them `BAIT_PID` stands for a process of the user's;
`/tmp/victim` and `/tmp/bait.sock` are files of the user's, and `penny-bait` an abstract name. Exit code 1: bait was
touched. Whether the verdicts agree with the labels is printed; tests hold them.
"""

import contextlib
import fcntl
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILES = ("code_attacks", "code_more", "code_attacks_2")
TIERS = ("namespaces", "landlock")
VICTIM, PATH_SOCKET, NAME = Path("/tmp/victim"), Path("/tmp/bait.sock"), "\0penny-bait"
LOCK = "/tmp/penny-attacks.lock"

Row = dict[str, Any]


class Bait:
    """What the programs are after, in the places that they know.

    Attributes:
        pid: a process that sleeps.
    """

    def __init__(self, pid: int, sockets: list[socket.socket]) -> None:
        self.pid, self._sockets = pid, sockets
        self._before = self._state()

    def touched(self) -> list[str]:
        """Return what has happened to it."""
        after = self._state()
        found = [name for name, value in self._before.items() if after[name] != value]
        for each in self._sockets:
            each.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                each.accept()
                found.append(f"connection to {each.getsockname()!r}")
        return found

    def _state(self) -> Row:
        secret = VICTIM / "secret.txt"
        file, folder = secret.stat(), VICTIM.stat()
        return {
            "text": secret.read_text(encoding="utf-8"),
            "names": sorted(os.listdir(VICTIM)),
            "modes": (file.st_mode, folder.st_mode, file.st_uid, file.st_nlink),
            "times": (file.st_mtime_ns, file.st_ctime_ns, folder.st_mtime_ns),
            "attributes": os.listxattr(secret),
            "limits": resource.prlimit(self.pid, resource.RLIMIT_CPU),
            "process": Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z",
        }


@contextlib.contextmanager
def bait() -> Iterator[Bait]:
    """Bait for as long as the context lasts. Whoever else lays it out waits; what was left by a killed one goes.

    Raises:
        OSError: there are other files in these places.
    """
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(open(LOCK, "w", encoding="utf-8"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        _take_away()
        VICTIM.mkdir()
        stack.callback(_take_away)
        (VICTIM / "secret.txt").write_text("secret", encoding="utf-8")
        sockets = []
        for address in (str(PATH_SOCKET), NAME):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
            sockets.append(listener)
        sleeper = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(3600)"])
        stack.callback(sleeper.wait)
        stack.callback(sleeper.kill)
        yield Bait(sleeper.pid, sockets)


def _take_away() -> None:
    PATH_SOCKET.unlink(missing_ok=True)
    (VICTIM / "secret.txt").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        VICTIM.rmdir()


def rows_for(tier: str, name: str, pid: int) -> list[Row]:
    """Return the rows of a file that are meant for a tier, with the number of the bait's process."""
    lines = Path(os.environ["PENNY_CASES"], f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line.replace("BAIT_PID", str(pid))) for line in lines]
    return [row for row in rows if row.get("sandbox", tier) == tier]


def grade(tier: str, rows: list[Row], folder: str, workers: int = 2) -> tuple[list[Row], str]:
    """Return the rows with their verdicts, and what `penny grade` printed."""
    source, target = Path(folder, "rows.jsonl"), Path(folder, "graded.jsonl")
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [sys.executable, "-m", "rl.cli", "grade", "code", str(source), "-o", str(target)]
    options = ["--sandbox", tier, "--workers", str(workers)]
    done = subprocess.run(
        [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
    )
    return [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()], done.stdout


def disagreeing(graded: list[Row]) -> dict[str, str]:
    """Find the rows whose verdict is not that of their label, and why."""
    return {row["name"]: row["reason"] for row in graded if row["reward"] != row["expected_reward"]}


def main() -> int:
    """Grade every file in every tier and print the figures."""
    touched: list[str] = []
    for tier in TIERS:
        for name in FILES:
            with bait() as laid_out, tempfile.TemporaryDirectory() as folder:
                graded, said = grade(tier, rows_for(tier, name, laid_out.pid), folder)
                touched += [f"{tier}, {name}: {what}" for what in laid_out.touched()]
            print(f"{tier}, {name}:", *said.splitlines()[:2], sep="\n  ")
            for row, reason in disagreeing(graded).items():
                print(f"  disagrees: {row}: {reason}"[:200])
    print(*touched or ["no bait was touched"], sep="\n")
    return 1 if touched else 0


if __name__ == "__main__":
    sys.exit(main())
