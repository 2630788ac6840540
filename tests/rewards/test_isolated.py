"""Users' rewards in a process of their own: what breaks there becomes one sentence, and nothing of the run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rewards.errors import BadInput
from rewards.failures import RewardFailed
from rewards.grading import Grader
from rewards.isolated.reward import IsolatedReward, Settings
from tests.sampled import first_of

SETTINGS: dict[str, Any] = {"timeout": 5.0, "workers": 1, "accuracy": None, "correct_above": 0.5, "isolated": True}
SAID = ["right", "wrong", "right"]
IMPORTS = "import ctypes, multiprocessing, os, signal, subprocess, sys, threading, time\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(body: str, head: str = "def f(completion):") -> Grader:
    """A grader by a function with this body, each line of it on a line of its own from the third."""
    lines = "\n".join(f"    {line}" for line in body.split("\n"))
    Path("mine.py").write_text(f"{IMPORTS}{head}\n{lines}\n")
    return Grader({"mine.py:f": 1.0}, **SETTINGS)


def grade(grader: Grader, columns: dict[str, list[Any]] | None = None) -> list[float | None]:
    return [one.reward for one in grader.grade(SAID, ["p"] * len(SAID), columns or {})]


def failure(grader: Grader, columns: dict[str, list[Any]] | None = None) -> RewardFailed:
    with grader, pytest.raises(RewardFailed) as caught:
        grade(grader, columns)
    return caught.value


AT_TWO = "on completion 2 of the batch"
ENDS = {
    "ctypes.string_at(0)": f"crashed its process in compiled code (SIGSEGV) at mine.py, line 3, {AT_TWO}",
    "os.abort()": f"crashed its process in compiled code (SIGABRT) at mine.py, line 3, {AT_TWO}",
    "os._exit(0)": f"ended its process with exit code 0, as os._exit does, {AT_TWO}",
    "os._exit(7)": f"ended its process with exit code 7, as os._exit does, {AT_TWO}",
    "os.kill(os.getpid(), signal.SIGKILL)": (
        f"lost its process, which was killed (SIGKILL), as the system does when memory is short, {AT_TWO}"
    ),
    "os.kill(os.getpid(), signal.SIGUSR2)": f"lost its process, which was killed (SIGUSR2), {AT_TWO}",
    "os.killpg(0, signal.SIGALRM)": f"lost its process, which was killed (SIGALRM), {AT_TWO}",
    "os.closerange(3, 4096)": "closed the connection to the run, by closing descriptors that it did not open",
    "sys.exit(0)": f"raised SystemExit: 0 at mine.py, line 3, {AT_TWO}",
    "raise KeyboardInterrupt": f"raised KeyboardInterrupt at mine.py, line 3, {AT_TWO}",
    "raise MemoryError": f"raised MemoryError at mine.py, line 3, {AT_TWO}",
    "[os.write(int(fd), b'{}\\n') for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and "
    "os.path.exists(f'/proc/self/fd/{fd}')]": "wrote to the connection to the run, which is not its own",
}


@pytest.mark.parametrize(("deed", "said"), first_of(ENDS, 4))
def test_what_ends_the_process_is_said_in_a_sentence(deed: str, said: str) -> None:
    error = failure(write(f"if completion == 'wrong': {deed}\nreturn 1.0"))
    assert str(error).startswith(f"the reward 'mine.py:f' {said}")
    assert error.completion == ("wrong" if AT_TWO in said else None)
    with write("return 1.0") as grader:  # another one is started
        assert grade(grader) == [1.0, 1.0, 1.0]


HANGS = {
    "[0 for _ in iter(int, 1)]": "at mine.py, line 3, ",
    "time.sleep(1000)": "at mine.py, line 3, ",
    "99 ** 99 ** 99": "at mine.py, line 3, ",  # in compiled code, which no signal of Python's interrupts
    "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); time.sleep(1000)": "",
    "os.kill(os.getpid(), signal.SIGSTOP)": "",
    "threading.Lock().acquire() and threading.Lock().acquire() and threading.Event().wait()": "at mine.py, line 3, ",
}


@pytest.mark.parametrize(("deed", "where"), first_of(HANGS, 3))
def test_a_hang_ends_with_the_time_for_the_batch(deed: str, where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "batch_timeout", 0.5)
    error = failure(write(f"if completion == 'wrong': {deed}\nreturn 1.0"))
    said = f"gave no answer within 0.5 s (rewards.batch_timeout) {where}".rstrip() if where else ""
    assert str(error).startswith(f"the reward 'mine.py:f' {said}") and str(error).endswith(AT_TWO)
    assert not where or 'mine.py", line 3 in f' in error.report()
    assert error.report().endswith("The completion:\n\nwrong\n")


def test_a_large_batch_may_take_longer() -> None:
    assert [Settings(1, 5.0, 600.0).seconds(count) for count in (0, 1, 64, 65, 640)] == [600, 600, 600, 1200, 6000]


HARMLESS = {
    "os.killpg(0, signal.SIGTERM); os.killpg(0, signal.SIGHUP); os.killpg(0, signal.SIGINT)": "None",
    "with multiprocessing.get_context('fork').Pool(2) as pool: pool.map(len, ['a', 'b'])": "None",
    "multiprocessing.get_context('spawn').Process(target=len, args=['a']).start()": "None",
    "os.chdir('/')": "os.getcwd()",
    "signal.signal(signal.SIGINT, signal.SIG_IGN)": "signal.getsignal(signal.SIGINT)",
    "os.environ['PENNY_TEST_OF_REWARDS'] = 'x'": "os.environ.get('PENNY_TEST_OF_REWARDS')",
    "sys.path.clear()": "list(sys.path)",
    "sys.stdout = sys.stderr = None": "sys.stdout is None",
    "sys.stdout.close(); os.dup2(os.open('/dev/null', 0), 1)": "sys.stdout.closed",
    "threading.Thread(target=time.sleep, args=[1000]).start()": "threading.active_count() > 50",
    "sys.setrecursionlimit(300)": "sys.getrecursionlimit()",
    "os.umask(0o777)": "None",
    "sys.modules.pop('json', 0); sys.modules['rewards'] = None": "sys.modules['rewards'] is None",
    "import builtins; builtins.print = None": "print is None",
    "sys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)": "sys.gettrace()",
}


@pytest.mark.parametrize(("deed", "seen"), first_of(HARMLESS, 5))
def test_what_it_changes_of_its_process_the_run_does_not_see(deed: str, seen: str) -> None:
    names = {"os": os, "signal": signal, "sys": sys, "threading": threading}
    before = eval(seen, names)
    with write(f"{deed}\nreturn 1.0") as grader:
        assert grade(grader) == [1.0, 1.0, 1.0] == grade(grader)
        assert eval(seen, names) == before


def gone(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process ends within some seconds."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


LEFT = {
    "a child": "subprocess.Popen(['sleep', '1000']).pid",
    "a child of another session": "subprocess.Popen(['sleep', '1000'], start_new_session=True).pid",
    "an orphan of another session": "int(subprocess.run('setsid sleep 1000 >/dev/null 2>&1 & echo $!', shell=True, "
    "capture_output=True, text=True).stdout)",
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only the group of processes is ended")
@pytest.mark.parametrize("start", LEFT.values(), ids=LEFT)
def test_processes_that_it_leaves_behind_end_with_it(start: str) -> None:
    Path("mine.py").write_text(f"{IMPORTS}def f(completion):\n    return {start}\n")
    code = (
        "from rewards.grading import Grader\n"
        f"with Grader({{'mine.py:f': 1.0}}, **{SETTINGS!r}) as grader:\n"
        "    print(int(grader.grade(['x'], ['p'], {})[0].reward))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert gone(int(ended.stdout)), ended.stderr


def test_a_fork_that_returns_answers_nothing() -> None:
    with write("os.fork()\nreturn float(os.getpid())") as grader:
        pids = {*grade(grader), *grade(grader)}
    assert len(pids) == 1


def test_a_child_that_keeps_the_connection_open_hides_no_end() -> None:
    deed = "multiprocessing.get_context('fork').Process(target=time.sleep, args=[30]).start(); os._exit(3)"
    began = time.monotonic()
    assert "exit code 3" in str(failure(write(f"if completion == 'wrong': {deed}\nreturn 1.0")))
    assert time.monotonic() - began < 10


def test_a_flood_of_output_is_cut(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with write("print('x' * 3_000_000)\nreturn 1.0") as grader:
        assert grade(grader) == [1.0, 1.0, 1.0]
    until = time.monotonic() + 5
    while "the rest is dropped" not in caplog.text and time.monotonic() < until:
        time.sleep(0.02)
    assert len(capfd.readouterr().out) < 5_000_000
    assert "a reward writes more than 4 MiB in one batch; the rest is dropped" in caplog.text


def test_what_it_writes_is_shown_where_the_run_writes(capsys: pytest.CaptureFixture[str]) -> None:
    with write("print('seen', completion)\nprint('too', file=sys.stderr)\nreturn 1.0") as grader:
        grade(grader)
        time.sleep(0.2)
    shown = capsys.readouterr()
    assert shown.out == "seen right\nseen wrong\nseen right\n" and shown.err == "too\n" * 3


def test_standard_input_is_empty() -> None:
    assert "raised EOFError" in str(failure(write("input()\nreturn 1.0")))


IMPORT_ENDS = {
    "os._exit(3)": "ended its process with exit code 3, as os._exit does",
    "ctypes.string_at(0)": "crashed its process in compiled code (SIGSEGV) at mine.py, line 2",
    "raise KeyboardInterrupt": "raised KeyboardInterrupt at mine.py, line 2",
    "sys.exit(1)": "SystemExit: 1",
}


@pytest.mark.parametrize(("deed", "said"), first_of(IMPORT_ENDS, 2))
def test_a_file_that_ends_its_process_when_it_is_imported_is_bad_input(deed: str, said: str) -> None:
    Path("mine.py").write_text(f"{IMPORTS}{deed}\ndef f(completion): return 1.0\n")
    with pytest.raises(BadInput) as refused:
        Grader({"mine.py:f": 1.0}, **SETTINGS)
    assert "does not import: " in str(refused.value) and said in str(refused.value)
    assert str(refused.value).endswith("; correct it")


@pytest.mark.parametrize(
    ("deed", "said"),
    [
        ("raise KeyError('mine')", "raised KeyError: 'mine' at mine.py, line 4"),
        ("os._exit(3)", "ended its process with exit code 3, as os._exit does"),
    ],
)
def test_a_check_of_gold_answers_that_fails_is_bad_input(deed: str, said: str) -> None:
    Path("mine.py").write_text(
        f"import os\nfrom rewards.gold import checks_gold\ndef golds(columns, pool, options):\n    {deed}\n"
        "@checks_gold(golds)\ndef f(completion): return 1.0\n"
    )
    with Grader({"mine.py:f": 1.0}, **SETTINGS) as grader, pytest.raises(BadInput) as refused:
        grader.check_gold({"answer": ["1"]})
    assert str(refused.value) == f"the reward 'mine.py:f' {said}, when it checked problems; correct it"


def test_a_reward_that_fails_when_it_is_closed_loses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    for deed in ("raise KeyError", "os._exit(3)"):
        Path("mine.py").write_text(
            f"import os\nclass f:\n    def __call__(self, completion): return 1.0\n    def close(self): {deed}\n"
        )
        with Grader({"mine.py:f": 1.0}, **SETTINGS) as grader:
            assert grade(grader) == [1.0, 1.0, 1.0]
    assert caplog.text.count("the reward 'mine.py:f' could not be closed") == 2


def test_files_share_a_process_and_what_is_in_it_lasts() -> None:
    Path("other.py").write_text("import os\ndef g(completion): return float(os.getpid())\n")
    Path("mine.py").write_text("calls = []\ndef f(completion):\n    calls.append(1)\n    return float(len(calls))\n")
    with Grader({"mine.py:f": 1.0, "other.py:g": 0.0}, **SETTINGS) as grader:
        first, second = grader.grade(["a", "b"], ["", ""], {}), grader.grade(["c"], [""], {})
    assert [one.parts["mine.py:f"] for one in (*first, *second)] == [1.0, 2.0, 3.0]
    with Grader({"mine.py:f": 1.0}, **SETTINGS) as again:  # as of a module that is imported once
        assert grade(again) == [4.0, 5.0, 6.0]
    assert {one.parts["other.py:g"] for one in first} != {float(os.getpid())}


def test_a_reward_whose_process_ended_is_set_up_anew() -> None:
    with write("if completion == 'end': os._exit(1)\nreturn 1.0") as grader:
        with pytest.raises(RewardFailed):
            grader.grade(["end"], [""], {})
        assert grade(grader) == [1.0, 1.0, 1.0]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the end of the connection ends it, once it listens")
def test_it_ends_with_a_run_that_is_killed() -> None:
    Path("mine.py").write_text(
        f"{IMPORTS}def f(completion):\n    print(os.getpid(), flush=True)\n    time.sleep(1000)\n"
    )
    code = (
        f"from rewards.grading import Grader\nGrader({{'mine.py:f': 1.0}}, **{SETTINGS!r}).grade(['x'], ['p'], {{}})\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        run.kill()
    assert gone(pid)


def test_a_ctrl_c_reaches_the_run_and_ends_a_reward_that_hangs() -> None:
    Path("mine.py").write_text(
        f"{IMPORTS}signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "def f(completion):\n    print(os.getpid(), flush=True)\n    99 ** 99 ** 99\n"
    )
    code = (
        "from rewards.grading import Grader\n"
        f"with Grader({{'mine.py:f': 1.0}}, **{SETTINGS!r}) as grader: grader.grade(['x'], ['p'], {{}})\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None and run.stderr is not None
        pid = int(run.stdout.readline())
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt" in run.stderr.read()
    assert gone(pid) and time.monotonic() - began < 10


def test_closing_at_once_ends_work_of_another_thread() -> None:
    grader = write("time.sleep(1000)\nreturn 1.0")
    said: list[str] = []

    def work() -> None:
        with pytest.raises(RewardFailed) as caught:
            grade(grader)
        said.append(str(caught.value))

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.3)
    grader.close(now=True)
    thread.join(10)
    assert said == ["the reward 'mine.py:f' was stopped, on completion 1 of the batch"]


def test_a_limit_of_memory_that_it_sets_is_its_own() -> None:
    deed = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30,) * 2); return len(bytes(2 << 30))"
    assert "raised MemoryError at mine.py, line 3, on completion 1 of the batch" in str(failure(write(deed)))
    assert len(bytes(2 << 20)) == 2 << 20  # here there is none


def test_it_has_the_environment_and_the_folders_of_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "library").mkdir()
    (folder / "library" / "mine_only.py").write_text("WORTH = 0.25\n")
    monkeypatch.syspath_prepend(str(folder / "library"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with write(
        "import mine_only\nright = os.environ['CUDA_VISIBLE_DEVICES'] == '3' and os.path.isfile('mine.py')\n"
        "return mine_only.WORTH * right"
    ) as grader:
        assert grade(grader) == [0.25] * 3


def test_a_client_that_is_opened_in_a_loop_stays_usable() -> None:
    Path("mine.py").write_text(
        "import asyncio\nqueue = None\nasync def f(completion):\n    global queue\n"
        "    queue = queue or asyncio.Queue()\n    await queue.put(1)\n    await asyncio.sleep(0)\n"
        "    return float(queue.qsize())\n"
    )
    with Grader({"mine.py:f": 1.0}, **SETTINGS) as grader:
        assert max(filter(None, grade(grader))) == 3.0 and max(filter(None, grade(grader))) == 6.0


def test_grader_processes_work_there(folder: Path) -> None:
    Path("mine.py").write_text(
        "def f(completions, grader_pool):\n"
        "    results = grader_pool.map('rewards.worker:ready', [(1,)] * len(completions))\n"
        "    return [float(r.value) + grader_pool.workers for r in results]\n"
    )
    with Grader({"mine.py:f": 1.0}, **(SETTINGS | {"workers": 2})) as grader:
        assert grade(grader) == [3.0] * 3


def test_penny_s_own_rewards_stay_in_the_run() -> None:
    with Grader({"exact_number": 1.0}, **SETTINGS) as grader:
        assert not isinstance(grader._functions["exact_number"], IsolatedReward)
    with write("return 1.0") as grader:
        assert isinstance(grader._functions["mine.py:f"], IsolatedReward)
