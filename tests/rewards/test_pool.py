"""The grader pool: what hangs, dies or lies in a worker costs one job and nothing else."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rewards import pool as pool_module
from rewards.fairness import ProcessorTime
from rewards.pool import GraderPool, Result

HANG = (99, 98**5)  # as arguments of pow: days of one big-integer loop, which no signal interrupts
NAP = ("time:sleep", [(0.1,)])  # long enough that the memory is looked at
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, or needs PR_SET_PDEATHSIG")


@pytest.fixture
def pool() -> Iterator[GraderPool]:
    with GraderPool(workers=2, timeout=2) as made:
        made._read_time = lambda process: ProcessorTime(0.0, 0.0)  # never busy, whatever else this machine does
        yield made


def children() -> set[int]:
    """Process ids of this process's children, zombies included."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended since
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(stat.parent.name))
    return found


def test_results_come_in_the_order_of_the_jobs(pool: GraderPool) -> None:
    assert [result.value for result in pool.map("builtins:pow", [(2, n) for n in range(40)])] == [
        2**n for n in range(40)
    ]


def test_a_hanging_job_is_killed_alone_and_its_worker_replaced(pool: GraderPool) -> None:
    started = time.monotonic()
    results = pool.map("builtins:pow", [HANG, (2, 2), HANG, (2, 3), (2, 4)])
    assert [result.kind for result in results] == ["timed_out", "value", "timed_out", "value", "value"]
    assert [result.value for result in results] == [None, 4, None, 8, 16]
    assert time.monotonic() - started < 40  # two limits of 2 s and two new workers, side by side


@pytest.mark.parametrize(
    ("function", "job", "reason"),
    [
        ("os:abort", (), "SIGABRT"),
        ("os:_exit", (0,), "end of file"),
        ("sys:exit", ("bye",), "SystemExit: bye"),
        ("builtins:bytearray", (4 << 30,), "MemoryError"),
        ("builtins:int", ("x",), "ValueError"),
        ("builtins:str.ljust", ("a", 2 << 20), "more than 1024 KiB"),
        ("builtins:object", (), "TypeError"),  # a value that is not JSON
    ],
)
def test_a_crash_is_told_and_the_pool_heals(pool: GraderPool, function: str, job: tuple, reason: str) -> None:
    [crashed] = pool.map(function, [job])
    assert crashed.kind == "crashed"
    assert reason in crashed.reason
    assert [result.value for result in pool.map("builtins:pow", [(2, 2)] * 4)] == [4] * 4


@pytest.mark.slow
def test_when_the_control_fails_too_the_job_is_not_at_fault(pool: GraderPool) -> None:
    [slow] = pool.map("time:sleep", [(60,)], control="time:sleep")
    [broken] = pool.map("builtins:int", [("x",)], control="builtins:int")
    assert (slow.kind, broken.kind) == ("ungradable", "ungradable")


def test_a_function_that_does_not_import_stops_the_caller(pool: GraderPool) -> None:
    with pytest.raises(RuntimeError, match=r"cannot load no_such_module:f: ModuleNotFoundError"):
        pool.map("no_such_module:f", [()])


def test_a_worker_has_no_environment_and_is_limited(pool: GraderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    assert [result.value for result in pool.map("os:getenv", [("SECRET_TOKEN",), ("HOME",)])] == [None, None]
    limits = pool.map("resource:getrlimit", [(resource.RLIMIT_CORE,), (resource.RLIMIT_CPU,)])
    assert limits[0].value == [0, 0]
    assert 0 < limits[1].value[0] < 30  # CPU seconds: those used so far, and the job's


def test_modules_warm_up_once_in_each_worker_outside_the_limit(
    pool: GraderPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import time\ncalls = []\ndef warm_up(): time.sleep(2); calls.append(1)\ndef count(): return len(calls)\n"
    (tmp_path / "warm_module.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    results = pool.map("warm_module:count", [()] * 6)
    assert [result.value for result in results] == [1] * 6


def test_workers_are_recycled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "JOBS_OF_ONE_WORKER", 4)  # one of them loads the function
    with GraderPool(workers=1, timeout=5) as pool:
        processes = [result.value for result in pool.map("os:getpid", [()] * 6)]
    assert [processes.count(process) for process in dict.fromkeys(processes)] == [3, 3]


def test_workers_outlive_the_thread_that_called_first(pool: GraderPool) -> None:
    seen: list[set[int]] = []

    def use() -> None:
        seen.append({result.value for result in pool.map("os:getpid", [()] * 20)})

    for _ in range(2):
        thread = threading.Thread(target=use)
        thread.start()
        thread.join()
    use()
    assert set.union(*seen) == seen[0] | seen[1] | seen[2]
    assert len(set.union(*seen)) <= 2  # the same two workers all along


def test_several_threads_may_grade_at_once(pool: GraderPool) -> None:
    seen: dict[int, list[int]] = {}

    def use(base: int) -> None:
        seen[base] = [result.value for result in pool.map("builtins:pow", [(base, n) for n in range(20)])]

    threads = [threading.Thread(target=use, args=(base,)) for base in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {base: [base**n for n in range(20)] for base in range(5)}


@linux
def test_no_process_is_left_after_closing() -> None:
    before = children()
    with GraderPool(workers=2, timeout=1) as pool:
        pool.map("builtins:pow", [HANG, (1, 1), HANG])
        pool.map("os:abort", [()])
        assert children() > before
    assert children() <= before


def test_a_pool_starts_no_process_before_its_first_job() -> None:
    pool = GraderPool(workers=2, timeout=1)
    assert not pool._alive
    pool.close()


@linux
def test_workers_die_with_a_killed_parent_even_while_they_hang() -> None:
    program = """
import os, threading
from rewards.pool import GraderPool
pool = GraderPool(workers=1, timeout=60)
print(pool.map("os:getpid", [()])[0].value, flush=True)
threading.Timer(1, os.kill, (os.getpid(), 9)).start()
pool.map("builtins:pow", [(99, 98**5)])
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=python_path(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    stat = Path(f"/proc/{int(done.stdout)}/stat")
    deadline = time.monotonic() + 5
    while stat.exists() and " Z " not in stat.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not stat.exists() or " Z " in stat.read_text()


def test_a_forked_child_gets_workers_of_its_own() -> None:
    program = """
import os
from rewards.pool import GraderPool
pool = GraderPool(workers=1, timeout=20)
mine = pool.map("os:getpid", [()])
child = os.fork()
if child == 0:
    theirs = pool.map("os:getpid", [()])
    pool.close()
    os._exit(7 if theirs[0].kind == "value" and theirs[0].value != mine[0].value else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert pool.map("os:getpid", [()])[0].value == mine[0].value
pool.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], env=python_path(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def python_path() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_pool_works_inside_a_running_event_loop(pool: GraderPool) -> None:
    async def cell() -> list[Result]:
        return pool.map("builtins:pow", [(2, 3)])

    assert asyncio.run(cell())[0].value == 8


@linux
def test_kills_leave_no_descriptor_process_or_memory_behind() -> None:
    with GraderPool(workers=2, timeout=0.3) as pool:
        pool.map("os:abort", [()] * 4)
        threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
        pool.map("os:abort", [()] * 12)
        pool.map("builtins:pow", [HANG] * 4)
        assert threading.active_count() == threads
        assert len(os.listdir("/proc/self/fd")) <= descriptors + 2  # a worker each
        assert len(pool._alive) <= 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("grader")]


def test_a_worker_that_cannot_be_started_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("no processes left")

    monkeypatch.setattr("rewards.process.subprocess.Popen", refuse)
    with GraderPool(workers=1, timeout=1) as pool:
        before = len(os.listdir("/dev/fd"))
        [result] = pool.map("os:getpid", [()])
        assert result.kind == "ungradable" and "no grader process could be started" in result.reason
        assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_children_of_multiprocessing_grade_too(method: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(MULTIPROCESSING)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), method],
        env=python_path(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stdout) == (0, "8 8\n"), done.stderr


MULTIPROCESSING = """
import multiprocessing, sys
from rewards.pool import shared

def grade(n):
    return shared().map("builtins:pow", [(2, n)])[0].value

if __name__ == "__main__":
    mine = grade(3)  # the pool is in use when the child begins
    with multiprocessing.get_context(sys.argv[1]).Pool(1) as children:  # its processes are daemons
        print(mine, children.apply(grade, (3,)))
"""


def test_a_call_may_have_a_limit_of_its_own(pool: GraderPool) -> None:
    assert [result.kind for result in pool.map("time:sleep", [(0.4,), (60,)], seconds=0.8)] == ["value", "timed_out"]
    [result] = pool.map("time:sleep", [(0.3,)])
    assert result.kind == "value" and 0.3 <= result.seconds < 2


@linux
def test_a_worker_that_keeps_memory_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "LARGEST_KEPT", 1)
    with GraderPool(workers=1, timeout=5) as pool:
        before, _, after = (pool.map(*job)[0].value for job in [("os:getpid", [()]), NAP, ("os:getpid", [()])])
    assert before != after


def test_an_error_ends_running_jobs_at_once() -> None:
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), GraderPool(workers=2, timeout=60) as pool:
        pool.map("os:getpid", [()] * 4)
        thread = threading.Thread(target=pool.map, args=("time:sleep", [(50,)] * 2))
        thread.start()
        time.sleep(0.3)
        raise KeyboardInterrupt
    thread.join()
    assert time.monotonic() - started < 30
    assert not pool._alive
    with pool:  # and it can be used again
        assert pool.map("builtins:pow", [(2, 2)])[0].value == 4
