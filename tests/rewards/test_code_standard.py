"""Check scripts that catch what a program prints, answer what it asks, or give it mocks and exceptions."""

from collections.abc import Iterator

import pytest

from rewards.code import grade_code
from rewards.pool import GraderPool

PROGRAM = """
import sys
def hello(n):
    for i in range(n): print("hi", i)
def both():
    print("e", file=sys.stderr)
    sys.stdout.write("o\\n")
def ask():
    try: return int(input("number? "))
    except (EOFError, ValueError): return -1
def lines(): return [input(), *(line.strip() for line in sys.stdin)]
def use(callback, thing):
    for i in range(3): callback(i)
    thing.go(5, k=1)
    return thing.name
def key(function):
    try: return function()
    except KeyError as error: return error.args[0]
    except OSError as error: return error.errno, error.strerror
def pry():
    for name in ("_file", "getvalue", "seek", "truncate", "__dict__", "__class__", "__init__"):
        try: getattr(sys.stdout, name)
        except AttributeError: continue
        if name in ("_file", "getvalue", "seek", "truncate"): print(name)
"""
MOCK = "from unittest.mock import MagicMock, Mock, call, patch\n"
STREAMS = "import contextlib, io, sys\nout = io.StringIO()\n"
RIGHT = [
    STREAMS + "with contextlib.redirect_stdout(out): hello(2)\nhello(1)\nassert out.getvalue() == 'hi 0\\nhi 1\\n'",
    STREAMS + "err = io.StringIO()\nwith contextlib.redirect_stderr(err), contextlib.redirect_stdout(out): both()\n"
    "assert (err.getvalue(), out.getvalue()) == ('e\\n', 'o\\n')",
    STREAMS + "sys.stdin = io.StringIO('a\\nb\\nc\\n')\nassert lines() == ['a', 'b', 'c']",
    MOCK + "with patch('builtins.print') as said: hello(2)\nhello(1)\n"
    "assert said.call_args_list == [call('hi', 0), call('hi', 1)]",
    MOCK
    + "with patch('builtins.input', side_effect=['x', EOFError, '7']): assert [ask(), ask(), ask()] == [-1, -1, 7]",
    "import builtins\nbuiltins.input = lambda prompt: '4' if prompt == 'number? ' else '5'\nassert ask() == 4",
    MOCK + "callback, thing = MagicMock(), Mock()\nthing.name = 'n'\nassert use(callback, thing) == 'n'\n"
    "assert callback.call_args_list == [call(0), call(1), call(2)]\nthing.go.assert_called_once_with(5, k=1)",
    "def fail(): raise KeyError('k')\nassert key(fail) == 'k'",
    "def fail(): raise OSError(2, 'none')\nassert key(fail) == (2, 'none')",
    STREAMS + "with contextlib.redirect_stdout(out): pry()\nassert out.getvalue() == ''",
]
WRONG = [
    STREAMS + "with contextlib.redirect_stdout(out): hello(1)\nassert out.getvalue() == 'ho 0\\n'",
    MOCK + "with patch('builtins.input', return_value='4'): assert ask() == 5",
    STREAMS + "with contextlib.redirect_stdout(out): hello(1)\nhello(1)\nassert out.getvalue() == 'hi 0\\nhi 0\\n'",
]


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(2, 10) as made:
        yield made


@pytest.mark.parametrize(("checks", "outcome"), [(RIGHT, "correct"), (WRONG, "wrong")], ids=["right", "wrong"])
def test_scripts_that_stand_around_a_program(pool: GraderPool, checks: list[str], outcome: str) -> None:
    rows = [{"completion": f"```python\n{PROGRAM}\n```", "check": check} for check in checks]
    verdicts = zip(checks, grade_code(rows, pool), strict=True)
    assert {check: said.reason for check, said in verdicts if said.outcome != outcome} == {}
