"""What programs in the sandbox hold and use is counted, however they hide it. See tests/sandbox_memory.py."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from rewards.errors import BadInput
from rewards.sandbox import Limits, Sandbox, Usage, zygote
from rewards.sandbox.zygote import Child, Zygote, usage
from tests import sandbox_memory, sandbox_time

LIMITS = Limits(seconds=5, memory_mib=64, disk_mib=16, processes=24)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(params=["namespaces", "landlock"], scope="module")
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    try:
        made = Sandbox(request.param, preload=[sandbox_memory.__name__, sandbox_time.__name__])
    except BadInput:
        pytest.skip(f"no {request.param} here")
    with made:
        yield made


def exceeded(sandbox: Sandbox, attack: str, limits: Limits = LIMITS) -> str:
    module = sandbox_memory if hasattr(sandbox_memory, attack) else sandbox_time
    pid = sandbox.start(f"{module.__name__}:{attack}", [], limits)
    return sandbox.end(pid, grace=sandbox_memory.PATIENCE).exceeded


@pytest.mark.parametrize(
    "attack",
    [
        "several_processes",
        "grandchildren_in_sessions_of_their_own",
        "orphans",
        "orphans_of_orphans",
        "siblings",
        "unreadable_processes",
        "shared_memory_of_a_dead_child",
        "shared_memory_of_several_processes",
        "shared_memory_with_its_first_page_kept",
        "shared_memory_with_its_last_page_kept",
        "shared_memory_with_a_page_kept_by_each_of_several",
        "shared_memory_without_rights",
        "full_sockets",
        "full_sockets_of_packets",
        "full_pipes",
        "many_locks",
        pytest.param("many_mappings", marks=pytest.mark.slow),
    ],
)
def test_memory_is_counted(sandbox: Sandbox, attack: str) -> None:
    assert exceeded(sandbox, attack) == "memory"


def test_files_are_counted_beside_memory(sandbox: Sandbox) -> None:
    limits = Limits(seconds=5, memory_mib=128, disk_mib=64)
    assert exceeded(sandbox, "files_beside_memory", limits) == "memory"


@pytest.mark.parametrize(
    "attack", ["sockets_on_their_way", "connections_that_nobody_accepts", "datagrams_whose_senders_have_gone"]
)
def test_sockets_are_counted_that_no_process_has(sandbox: Sandbox, attack: str) -> None:
    """Where nobody else's sockets are in sight. Without namespaces, such sockets cannot be made."""
    if sandbox.tier != "namespaces":
        pytest.skip("its filter is to refuse these calls")
    assert exceeded(sandbox, attack, Limits(seconds=5, memory_mib=32, processes=24)) == "memory"


@pytest.mark.parametrize(
    "attack",
    [
        "several_files",
        "files_without_a_name",
        "files_that_are_only_mapped",
        "files_below_deep_folders",
        "files_in_a_closed_folder",
        "many_empty_files",
    ],
)
def test_files_are_counted(sandbox: Sandbox, attack: str) -> None:
    """In namespaces, a file system of that size holds them, and the program fails."""
    found = exceeded(sandbox, attack)
    assert found == "disk" if sandbox.tier != "namespaces" else not found


@pytest.mark.parametrize(
    "program",
    [
        "holds_most_of_it",
        "shares_a_little_again_and_again",
        "several_small_processes",
        "a_dozen_sockets_and_pipes",
    ],
)
def test_honest_programs_are_left_alone(sandbox: Sandbox, program: str) -> None:
    assert exceeded(sandbox, program) == ""


def used(sandbox: Sandbox, program: str) -> Usage:
    """What a program is said to have used, once it says that it has used all."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            pid = sandbox.start(f"{sandbox_time.__name__}:{program}", [theirs.fileno()], LIMITS)
        assert ours.recv(1) == b"1"
        found = sandbox.usage(pid)
        sandbox.end(pid)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        "children_that_are_waited_for",
        "children_that_nobody_waits_for",
        "children_of_one_who_ignores_them",
        "children_of_one_who_wants_no_zombies",
        "children_that_end_without_a_signal",
        "chain",
        "many_short_lives",
        "grandchildren_that_nobody_waits_for",
    ],
)
def test_the_time_of_other_processes_is_counted_and_their_parent_is_given_no_more(
    sandbox: Sandbox, program: str
) -> None:
    """0.4 seconds in all."""
    found = used(sandbox, program)
    assert found.cpu_seconds is not None and 0.36 < found.cpu_seconds < 1
    assert found.waited_seconds == 0.0


@pytest.mark.parametrize("program", ["alone", "threads_that_have_ended"])
def test_a_program_alone_may_have_waited(sandbox: Sandbox, program: str) -> None:
    found = used(sandbox, program)
    assert found.cpu_seconds is not None and 0.36 < found.cpu_seconds < 1
    assert found.waited_seconds is not None and found.waited_seconds > 0


def test_sleep_is_no_wait_for_a_processor(sandbox: Sandbox) -> None:
    found = used(sandbox, "sleeper")
    assert found.cpu_seconds is not None and found.cpu_seconds < 0.2
    assert found.waited_seconds is not None and found.waited_seconds < 0.2


@pytest.mark.parametrize("nice", [0, 5])
def test_a_program_that_gives_way_to_others_is_given_no_more_time(nice: int) -> None:
    code = f"import os, time; os.nice({nice}); end = time.process_time() + 0.1\nwhile time.process_time() < end: pass\n"
    command = [sys.executable, "-c", code + "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None and program.stdout.readline()
        found = usage(program.pid, [program.pid])
        program.kill()
    assert found["cpu_seconds"] >= 0.1 and (found["waited_seconds"] > 0) == (nice == 0)


def test_what_another_program_starts_meanwhile_belongs_to_that_program(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, other, orphan = 10, 20, 30
    started: list[int] = []

    def look(process: int) -> list[int]:
        found = list(started) if process == other else [ours, other, orphan, *started]
        started.append(100 + len(started))  # the other program forks after each look
        return found

    monkeypatch.setattr(zygote, "descendants", look)
    prepared: Any = SimpleNamespace(tier="landlock")
    connection: Any = None
    forking = Zygote(connection, prepared, None, "")
    forking.children = {pid: Child(pid, LIMITS, "") for pid in (ours, other)}
    assert forking.family(forking.children[ours]) == [ours, orphan]
