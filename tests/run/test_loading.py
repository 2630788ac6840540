"""What libraries write while they load is kept out of the terminal, and shown where loading fails."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOISE = """
    import ctypes, logging, os, sys, warnings
    print("python noise")
    print("error noise", file=sys.stderr)
    warnings.warn("a warning", FutureWarning)
    logging.basicConfig()
    logging.warning("logged noise")
    os.write(1, b"C noise on 1\\n")
    os.write(2, b"C noise on 2\\n")
    os.system("echo child noise")
"""
EACH = ("python noise", "error noise", "a warning", "logged noise", "C noise on 1", "C noise on 2", "child noise")


def penny(code: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run code with `loading` in a process of its own."""
    head = "from pathlib import Path\nfrom rl.run.loading import keep_log, loading, tell, terminal\n"
    return subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TMPDIR": str(folder), **environment},
    )


def noisy(*after: str) -> str:
    return (
        'with loading("loading it, usually 1 s"):' + textwrap.dedent(NOISE).replace("\n", "\n    ") + "\n".join(after)
    )


def test_one_sentence_is_seen_and_the_rest_is_in_the_log(tmp_path: Path) -> None:
    after = ['\nkeep_log(Path("libraries.log"))', "print('ours')", "logging.warning('a later one')"]
    done = penny(noisy(*after), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ours\n", "loading it, usually 1 s\n")
    log = (tmp_path / "libraries.log").read_text()
    assert all(text in log for text in EACH)
    assert "a later one" in log  # handlers that were made meanwhile write there for good
    assert [path.name for path in tmp_path.iterdir()] == ["libraries.log"]  # the temporary file is gone


def test_without_a_place_the_log_goes_with_the_process(tmp_path: Path) -> None:
    done = penny(noisy(), tmp_path)
    assert (done.stdout, done.stderr) == ("", "loading it, usually 1 s\n")
    assert list(tmp_path.iterdir()) == []


def test_all_of_it_is_seen_when_asked_for(tmp_path: Path) -> None:
    done = penny(noisy(), tmp_path, PENNY_VERBOSE="1")
    assert all(text in done.stdout + done.stderr for text in EACH)


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        ("raise RuntimeError('no\\n memory')", "loading it failed, RuntimeError: no memory (the traceback"),
        ("sys.exit(5)", "loading it failed, SystemExit: 5 (the traceback"),
        ("raise OSError('no such model')", "loading it failed, OSError: no such model (the traceback"),
    ],
)
def test_a_failure_is_one_sentence_behind_the_last_lines(failure: str, sentence: str, tmp_path: Path) -> None:
    code = noisy("\n    [print(i) for i in range(99)]", "    print('x' * 500)", f"    {failure}")
    done = penny(
        f"from rl.base.exits import expected_errors\nwith expected_errors(False):\n{textwrap.indent(code, '    ')}",
        tmp_path,
    )
    lines = done.stderr.splitlines()
    assert lines[:2] == ["loading it, usually 1 s", "the last lines that libraries wrote:"]
    assert lines[2:12] == [*(f"  {i}" for i in range(90, 99)), "  " + "x" * 200]
    [log] = tmp_path.iterdir()
    assert f"error: {sentence}" in done.stderr and str(log) in done.stderr
    assert "python noise" in log.read_text() and "Traceback" in log.read_text()


def test_what_the_system_refuses_goes_on_as_it_is(tmp_path: Path) -> None:
    done = penny(noisy("\n    raise OSError(28, 'No space left on device')"), tmp_path)
    assert "RunStopped" not in done.stderr and "No space left" in done.stderr


def test_a_mistake_of_the_user_is_a_sentence_without_a_log(tmp_path: Path) -> None:
    code = "from rewards.errors import BadInput\n" + noisy("\n    raise BadInput('mend it')")
    done = penny(code, tmp_path)
    assert "failed" not in done.stderr and "mend it" in done.stderr


def test_a_thread_leaves_the_output_of_the_process_alone(tmp_path: Path) -> None:
    code = """
        import threading
        def work():
            with loading("it"):
                print("what others print meanwhile")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    """
    assert penny(code, tmp_path).stdout == "what others print meanwhile\n"


def test_what_is_told_and_bound_streams_reach_the_terminal_meanwhile(tmp_path: Path) -> None:
    code = """
        import sys
        ours = terminal(sys.stdout)
        with loading("one"), loading("two"):
            print("noise")
            tell("stopping\\n")
            print("panel", file=ours)
        tell("later\\n")
    """
    done = penny(code, tmp_path)
    assert (done.stdout, done.stderr) == ("panel\n", "one\ntwo\nstopping\nlater\n")


def test_a_second_run_of_a_process_has_a_log_of_its_own(tmp_path: Path) -> None:
    code = """
        keep_log(Path("one.log"))
        with loading("one"):
            print("first")
        Path("one.log").rename("gone.log")
        keep_log(Path("two.log"))
        with loading("two"):
            print("second")
    """
    assert penny(code, tmp_path).returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "gone.log": "first\n",
        "two.log": "second\n",
    }


def test_a_log_that_is_there_is_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "libraries.log").write_text("first session\n")
    penny(noisy('\nkeep_log(Path("libraries.log"))', 'keep_log(Path("libraries.log"))'), tmp_path)
    log = (tmp_path / "libraries.log").read_text()
    assert log.startswith("first session\n") and log.count("python noise") == 1
