"""The sandbox on the real kernel. Hostile programs by the dozen are in test_code_attacks.py; here are the layers."""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from rewards.errors import BadInput
from rewards.sandbox import Limits, Sandbox, SandboxError, jail, landlock
from rewards.sandbox.attempts import ATTEMPTS
from rewards.sandbox.host import Exit
from rewards.sandbox.probe import probe_all

ROOT = Path(__file__).parents[2]
SYSTEM_PYTHON = "/usr/bin/python3"
QUICK = Limits(seconds=5)


def offers(tier: str) -> bool:
    try:
        Sandbox(tier).close()  # type: ignore[arg-type]
    except BadInput:
        return False
    return True


needs = {tier: pytest.mark.skipif(not offers(tier), reason=f"no {tier} here") for tier in ("namespaces", "landlock")}
TIERS = [pytest.param(tier, marks=needs[tier]) for tier in needs]


# Roles: called in the sandboxed process.


def say_name(channel: int) -> None:
    os.write(channel, __name__.encode())


def list_tmp_then_write(channel: int) -> None:
    found = []
    for folder in (os.environ["TMPDIR"], "/dev/shm"):
        try:
            found.append(os.listdir(folder))
            Path(folder, "left").write_text("x")
        except PermissionError:  # Landlock opens no /dev/shm
            found.append([])
    os.write(channel, json.dumps(found).encode())


def spin(channel: int) -> None:
    while True:
        pass


def leave_daemon(channel: int) -> None:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)


def exit_with_seven(channel: int) -> None:
    os._exit(7)


def crash(channel: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CPU, (0, 0))


def hog_together(channel: int) -> None:
    for _ in range(8):
        if os.fork() == 0:
            taken = bytearray(b"x") * (64 << 20)
            time.sleep(600)
            os._exit(len(taken))
    time.sleep(600)


def run(sandbox: Sandbox, role: str, limits: Limits = QUICK, grace: float = 2.0) -> tuple[bytes, Exit]:
    """What a role says, and how it ended."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            pid = sandbox.start(f"{__name__}:{role}", [theirs.fileno()], limits)
        ours.settimeout(grace)
        said = b""
        try:
            while part := ours.recv(4096):
                said += part
        except TimeoutError:
            return said, sandbox.end(pid)
        return said, sandbox.end(pid, grace)


@pytest.fixture(params=TIERS, scope="module")
def sandbox(request: pytest.FixtureRequest):
    with Sandbox(request.param, preload=[__name__]) as made:
        yield made


def test_a_role_speaks_and_ends(sandbox: Sandbox) -> None:
    said, ended = run(sandbox, "say_name")
    assert said.decode() == __name__
    assert (ended.exit_code, ended.signal, ended.exceeded) == (0, 0, "")


def test_exit_statuses_are_told_apart(sandbox: Sandbox) -> None:
    assert run(sandbox, "exit_with_seven")[1].exit_code == 7
    _, ended = run(sandbox, "spin", grace=0.2)
    assert ended.exit_code is None and ended.signal == signal.SIGKILL
    assert 0.05 < ended.cpu_seconds < 1


def test_a_program_that_kills_itself_is_not_our_failure(sandbox: Sandbox) -> None:
    said, ended = run(sandbox, "crash")
    assert said == b"" and (ended.signal in (signal.SIGKILL, signal.SIGXCPU) or ended.exit_code == 0)


@pytest.mark.slow
def test_cpu_time_is_limited_by_the_kernel_too(sandbox: Sandbox) -> None:
    _, ended = run(sandbox, "spin", Limits(seconds=0.5), grace=20)  # rounded up, and one second more
    assert ended.signal == signal.SIGKILL and 1.5 < ended.cpu_seconds < 3.5


def test_no_file_of_one_program_reaches_the_next(sandbox: Sandbox) -> None:
    interpreter = {Path(folder).parts[2] for folder in jail.covered_folders()}  # shown again, if it is below /tmp
    for _ in range(2):
        said, _ = run(sandbox, "list_tmp_then_write")
        temporary, *shared = json.loads(said)
        assert set(temporary) <= interpreter and not any(shared)
    if sandbox.folder is not None:
        assert not list(Path(sandbox.folder).iterdir())


def test_memory_counts_over_all_processes(sandbox: Sandbox) -> None:
    _, ended = run(sandbox, "hog_together", Limits(seconds=5, memory_mib=200), grace=10)
    assert ended.exceeded == "memory" and ended.signal == signal.SIGKILL


def test_nothing_is_left(sandbox: Sandbox) -> None:
    run(sandbox, "leave_daemon")
    zygotes = {sandbox.process.pid, *below(sandbox.process.pid)}
    assert len(zygotes) <= 2  # the zygote, and in namespaces the process that waits for it


def below(process: int) -> set[int]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return {int(child) for child in children} | {pid for child in children for pid in below(int(child))}


def test_what_fails_in_the_zygote_is_told_and_it_goes_on(sandbox: Sandbox) -> None:
    with pytest.raises(SandboxError, match="no_such_role"):
        sandbox.start("os:no_such_role", [], QUICK)
    with pytest.raises(SandboxError, match="KeyError"):
        sandbox.end(123456789)
    assert run(sandbox, "say_name")[0].decode() == __name__


@pytest.mark.slow
@pytest.mark.parametrize("tier", TIERS)
def test_every_escape_is_held(tier: str) -> None:
    probes = probe_all(tier)  # type: ignore[arg-type]
    assert [probe.layer for probe in probes] == list(ATTEMPTS)
    assert [(probe.layer, probe.detail) for probe in probes if probe.escape != "held"] == []
    assert all(probe.active for probe in probes)


@pytest.mark.slow
def test_the_probes_see_an_escape_where_nothing_holds() -> None:
    escaped = {probe.layer for probe in probe_all("unsafe") if probe.escape == "ESCAPED"}
    assert {"read files", "write files", "network", "other processes", "shared memory"} <= escaped


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or not os.path.exists(SYSTEM_PYTHON), reason="needs root and a system Python")
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("user", [12345, pytest.param(0, marks=pytest.mark.slow)])
def test_a_normal_user_is_held_too_and_root_with_a_number_to_give(tier: str, user: int, tmp_path: Path) -> None:
    code = "import sys; from rewards.sandbox.probe import probe_all; print({p.escape for p in probe_all(sys.argv[1])})"
    copy = tmp_path / "rewards"
    subprocess.run(["cp", "-r", ROOT / "rewards", copy], check=True)
    for folder in [tmp_path, *tmp_path.parents]:
        if not folder.stat().st_mode & 1:
            folder.chmod(folder.stat().st_mode | 0o55)
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", code, tier],
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        user=user,
        group=user,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "{'held'}", done.stderr


LAZY = """
import os, socket, sys
from rewards.sandbox import Limits, Sandbox
ours, theirs = socket.socketpair()
with Sandbox(sys.argv[1], preload=["early"]) as sandbox:
    pid = sandbox.start("early:import_late", [theirs.fileno()], Limits(seconds=5))
    theirs.close()
    print(ours.recv(100).decode())
"""


@pytest.mark.parametrize("tier", TIERS)
def test_an_interpreter_below_tmp_is_still_there(tier: str) -> None:
    """Where each program has a /tmp of its own, that must not hide the packages."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", f"{folder}/venv"], check=True)
        (packages,) = Path(folder, "venv", "lib").glob("python*/site-packages")
        (packages / "late.py").write_text("WORD = 'there'\n")
        (packages / "early.py").write_text(
            "import os\ndef import_late(channel):\n    import late\n    os.write(channel, late.WORD.encode())\n"
        )
        done = subprocess.run(
            [f"{folder}/venv/bin/python", "-c", LAZY, tier],
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.strip() == "there", done.stderr


FALL_BACK = """
import sys
from rewards.errors import BadInput
from rewards.sandbox import Sandbox, calls, kernel, seccomp
kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
del calls.PRCTL_DENIED["PR_SET_CHILD_SUBREAPER"]  # of which most containers think nothing
seccomp.install(seccomp.program())  # refuses namespaces, as most containers do
with Sandbox("auto") as sandbox:
    print(sandbox.tier)
try:
    Sandbox("namespaces")
except BadInput as error:
    print(error)
"""


@needs["landlock"]
def test_auto_falls_back_where_namespaces_are_refused() -> None:
    done = subprocess.run([sys.executable, "-c", FALL_BACK], cwd=ROOT, capture_output=True, text=True, check=True)
    tier, sentence = done.stdout.strip().split("\n")
    assert tier == "landlock"
    assert "no isolation" in sentence and "unshare" in sentence and "sandbox: unsafe" in sentence


def test_landlock_alone_is_refused_without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)
    with pytest.raises(OSError, match="Landlock"):
        jail.layers("landlock", None)


@pytest.mark.slow
@pytest.mark.parametrize("tier", [*TIERS, "unsafe"])
def test_a_killed_host_leaves_no_process_and_no_file(tier: str) -> None:
    code = (
        "import sys, time; from rewards.sandbox import Limits, Sandbox; sandbox = Sandbox(sys.argv[1])\n"
        "sandbox.start('signal:pause', [], Limits()); print(sandbox.folder, flush=True); time.sleep(600)"
    )
    host = subprocess.Popen([sys.executable, "-c", code, tier], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert host.stdout is not None
    folder = host.stdout.readline().strip()
    family = below(host.pid)
    assert len(family) >= 2
    host.kill()
    host.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in family):
        time.sleep(0.02)
    assert not [pid for pid in family if Path(f"/proc/{pid}").exists()]
    assert folder == "None" if tier == "namespaces" else not Path(folder).exists()
