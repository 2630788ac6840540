"""What a check script takes from the program."""

import marshal

import pytest

from rewards.code.script import ScriptError, compiled
from rewards.sandbox.checker import DISCARDED
from rewards.sandbox.remote import discarded


@pytest.mark.parametrize(
    ("check", "entry_point", "names"),
    [
        ("assert add(1, 2) == 3", None, ["add"]),
        ("assert add(Pair(1, 2)) == 3", None, ["Pair", "add"]),
        ("assert sum(1, 2) == 3", None, ["sum"]),
        ("assert set(add(1)) == set([2]) and sorted(abs(3))", None, ["add"]),
        ("assert abs(sum(1)) == 3", None, []),
        ("assert abs(sum(1)) == 3", "sum", ["sum"]),
        ("import math\nassert math.isclose(f(1), math.pi)", None, ["f"]),
        ("assert math.isclose(f(1), np.pi)", None, ["f"]),
        ("def ref(x):\n    f = 3\n    return f\nassert f(1) == ref(1)", None, ["f"]),
        ("def check(candidate):\n    assert candidate(1) == helper(2)", "f", ["f", "helper"]),
        ("def f(x):\n    '''Stub.'''\ndef check(candidate):\n    assert candidate(1)", "f", ["f"]),
        ("def helper(x): return x\ndef check(candidate):\n    assert candidate(1) == helper(2)", "f", ["f"]),
        ("for i, (x, y) in enumerate([(1, 2)]):\n    assert f(x) == y", None, ["f"]),
    ],
)
def test_names(check: str, entry_point: str | None, names: list[str]) -> None:
    assert compiled(check, entry_point).names == names


def run(check: str, entry_point: str | None, **names: object) -> None:
    exec(marshal.loads(compiled(check, entry_point).code), {DISCARDED: discarded, **names})


def test_check_is_called_once() -> None:
    calls: list[int] = []
    check = "def check(candidate):\n    candidate(1)\n"
    run(check, "f", f=calls.append)
    run(check + "check(f)\n", "f", f=calls.append)
    run("def f(x): pass\n" + check, "f", f=calls.append)
    assert calls == [1, 1, 1]


def test_forgotten_imports_are_the_standard_library() -> None:
    run("from __future__ import annotations\nassert math.pi > f()", None, f=lambda: 3, math=None)


@pytest.mark.parametrize(
    "check", ["assert (", "def check(candidate): pass", "\0", "(" * 10_000 + ")" * 10_000], ids=range(4)
)
def test_useless_scripts(check: str) -> None:
    with pytest.raises(ScriptError):
        compiled(check, None)


def test_lines() -> None:
    script = compiled("x = 1\n  \nassert f(x)\n", None)
    assert script.line(3) == "assert f(x)" and script.line(0) == script.line(99) == ""
