"""What honest programs ask of the system works in both tiers of the sandbox."""

import asyncio
import fcntl
import multiprocessing
import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rewards.sandbox import Limits, Sandbox


def copies_files() -> None:
    Path("a").write_text("text")
    os.makedirs("tree/below")
    shutil.copy("a", "b")
    shutil.copy2("a", Path("tree", "below", "c"))
    shutil.copytree("tree", "second", dirs_exist_ok=True)
    shutil.move("b", "d")
    assert Path("second/below/c").read_text() == Path("d").read_text() == "text"
    shutil.rmtree("second")


def touches_and_changes_modes() -> None:
    Path("a").touch()
    Path("a").touch()
    Path("a").chmod(0o600)
    os.chmod(os.path.abspath("a"), 0o600)
    os.utime("a", (1, 1))
    os.utime("a", ns=(1, 1), follow_symlinks=False)


def unpacks_archives() -> None:
    Path("a").write_text("text")
    with tarfile.open("t.tar.gz", "w:gz") as archive:
        archive.add("a")
    with zipfile.ZipFile("z.zip", "w") as packed:
        packed.write("a")
    for name in ("t.tar.gz", "z.zip"):
        shutil.unpack_archive(name, name + "-out")
        assert Path(name + "-out", "a").read_text() == "text"


def uses_temporary_files() -> None:
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"x")
    with tempfile.TemporaryFile() as unnamed:
        unnamed.write(b"x")


def keeps_a_database() -> None:
    with sqlite3.connect("x.db") as base:
        base.execute("pragma journal_mode = wal")
        base.execute("create table t (n integer)")
        base.executemany("insert into t values (?)", [(n,) for n in range(100)])
    with sqlite3.connect("x.db") as second:
        assert second.execute("select sum(n) from t").fetchone() == (4950,)


def locks_its_own_file() -> None:
    with open("own", "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_UN)


def runs_a_loop_and_threads() -> None:
    async def main() -> int:
        reader = asyncio.to_thread(sum, range(10))
        process = await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", "print(7)", stdout=subprocess.PIPE)
        out, _ = await process.communicate()
        return await reader + int(out)

    assert asyncio.run(main()) == 52
    done: list[int] = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    assert done == [1]


def uses_pairs_of_sockets() -> None:
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC):
        ours, theirs = socket.socketpair(type=kind)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ours.settimeout(1)
        theirs.sendall(b"hello")
        assert ours.recv(10) == b"hello"


def starts_programs() -> None:
    assert subprocess.run(["/bin/sh", "-c", "echo 5 | cat"], capture_output=True, text=True, check=True).stdout == "5\n"
    pid = os.fork()
    if pid == 0:
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3


def add_often(total: Any, lock: Any, queue: Any) -> None:
    with multiprocessing.Lock():  # another one than the parent makes meanwhile
        for _ in range(50):
            with lock:
                total.value += 1
    queue.put("done")


def shares_work_between_processes() -> None:
    with multiprocessing.Pool(2) as pool:
        assert pool.map(abs, range(-3, 1)) == [3, 2, 1, 0]
    total, lock, queue = multiprocessing.Value("i", 0, lock=False), multiprocessing.Lock(), multiprocessing.Queue()
    started = [multiprocessing.Process(target=add_often, args=(total, lock, queue)) for _ in range(2)]
    for process in started:
        process.start()
    assert [queue.get(timeout=5) for _ in started] == ["done", "done"]
    for process in started:
        process.join()
    assert total.value == 100
    locks = [multiprocessing.Semaphore(2) for _ in range(300)]
    assert all(lock.acquire(block=False) for lock in (*locks, *locks))
    assert not any(lock.acquire(block=False) for lock in locks)
    once = multiprocessing.RLock()
    assert once.acquire() and once.acquire() and list(multiprocessing.Array("d", [1.5])) == [1.5]


def asks_about_itself() -> None:
    resource.setrlimit(resource.RLIMIT_STACK, resource.getrlimit(resource.RLIMIT_STACK))
    assert resource.prlimit(0, resource.RLIMIT_NOFILE) == resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)
    assert os.sched_getaffinity(0) and os.cpu_count() and os.getpriority(os.PRIO_PROCESS, 0) >= 0
    assert not os.isatty(0)


HONEST: dict[str, Callable[[], None]] = {
    made.__name__: made
    for made in (
        copies_files,
        touches_and_changes_modes,
        unpacks_archives,
        uses_temporary_files,
        keeps_a_database,
        locks_its_own_file,
        runs_a_loop_and_threads,
        uses_pairs_of_sockets,
        starts_programs,
        shares_work_between_processes,
        asks_about_itself,
    )
}


def play(channel: int) -> None:
    """In the sandbox: do what is asked for, and say how that went."""
    name = os.read(channel, 100).decode()
    try:
        HONEST[name]()
        os.write(channel, b"done")
    except Exception as error:  # told outside
        os.write(channel, f"{type(error).__name__}: {error}".encode())


@pytest.fixture(params=["namespaces", "landlock"], scope="module")
def sandbox(request: pytest.FixtureRequest):
    try:
        made = Sandbox(request.param, preload=[__name__])
    except BadInput as error:
        pytest.skip(str(error))
    with made:
        yield made


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_program_is_let_be(sandbox: Sandbox, name: str) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            pid = sandbox.start(f"{__name__}:play", [theirs.fileno()], Limits(seconds=5))
        ours.settimeout(10)
        ours.sendall(name.encode())
        said = ours.recv(1000).decode()
    sandbox.end(pid)
    assert said == "done"
