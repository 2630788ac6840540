"""Programs that would profit from what check scripts can do with their objects."""

from collections.abc import Iterator

import pytest

from rewards.code import grade_code
from rewards.pool import GraderPool
from tests.rewards.test_code_checker import outcomes


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(1, 10) as pool:
        yield pool


LIAR = """
class {name}:
    def __init__(self, *a, **k): pass
    def same(self, *a, **k): return self
    def yes(self, *a, **k): return True
    def zero(self, *a, **k): return 0.0
    __sub__ = __rsub__ = __round__ = zero
    __abs__ = __neg__ = __add__ = __mul__ = __enter__ = __getattr__ = __call__ = same
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __exit__ = __bool__ = yes
    def __ne__(self, other): return False
    def __hash__(self): return 3
"""
BY_VALUE = [
    "assert f(1) == 3",
    "assert 3 == f(1)",
    "assert abs(f(1) - 3) < 1e-9",
    "assert abs(3 - f(1)) < 1e-9",
    "assert not f(1) != 3",
    "assert f(1) in [3]",
    "assert f(1) in {3}",
    "assert [f(1)] == [3]",
    "assert f(1) >= 3 and f(1) <= 3",
    "assert {f(1): 1} == {3: 1}",
    "import math\nassert math.isclose(f(1), 3)",
    "import numpy as np\nassert np.allclose(f(1), 3)",
    "import numpy as np\nassert np.isclose(3, f(1)).all()",
    "import numpy as np\nnp.testing.assert_allclose(f(1), 3)",
    "import numpy as np\nnp.testing.assert_array_less(f(1), 4)",
    "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(1), 3)\nunittest.main()",
]
FAKES = {
    "object": LIAR.format(name="Liar") + "def f(x): return Liar()",
    "class": LIAR.format(name="f"),
    "method": LIAR.format(name="Liar") + "class Solution:\n    def f(self, x): return Liar()",
    "empty array": "import numpy\ndef f(x): return numpy.array([])",
    "empty list": "def f(x): return []",
    "exit": "import sys\ndef f(x): sys.exit(0)",
    "exits": "import os\ndef f(x): os._exit(0)",
    "interrupt": "def f(x): raise KeyboardInterrupt",
    "stop": "def f(x): raise StopIteration(3)",
    "generator's exit": "def f(x): raise GeneratorExit",
    "not implemented": "def f(x): raise NotImplementedError",
    "returns NotImplemented": "def f(x): return NotImplemented",
    "skip": "import unittest\ndef f(x): raise unittest.SkipTest('3')",
    "ours": "class ProgramGone(BaseException): pass\ndef f(x): raise ProgramGone('the program ended')",
    "assertion": "def f(x): raise AssertionError",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAKES)
def test_what_is_expected_is_never_asked_of_the_program(pool: GraderPool, name: str) -> None:
    failed = outcomes(pool, FAKES[name], BY_VALUE, entry_point="f")
    assert failed.keys() == set(BY_VALUE) and all(said.startswith("wrong") for said in failed.values()), failed


def test_a_method_that_returns_an_object_is_not_asked_either(pool: GraderPool) -> None:
    row = {"completion": f"```python\n{FAKES['method']}\n```", "entry_point": "Solution.f"}
    check = "def check(c):\n    assert abs(c(1) - 3) < 1e-9\n"
    (said,) = grade_code([{**row, "check": check}], pool)
    assert said.outcome == "wrong", said


UNFAIR = {
    "empties its argument": ("def f(xs): xs.clear(); return []", "xs = [2, 1]\nassert f(xs) == sorted(xs)"),
    "and returns it": ("def f(xs): xs.clear(); return xs", "xs = [2, 1]\nassert f(xs) == sorted(xs)"),
    "equals all": (
        "class V:\n    def __init__(self, *a): pass\n    def __add__(self, o): return self\n"
        "    def __eq__(self, o): return True",
        "assert V(1) + V(2) == V(3)",
    ),
    "two orders": (
        "class Two:\n    def __init__(self, xs): self.xs = xs\n    def __len__(self): return len(self.xs)\n"
        "    def __iter__(self): return iter(self.xs)\n    def __getitem__(self, i): return i\n"
        "def f(xs): return Two(xs)",
        "out = f([3, 1, 2])\nassert sorted(out) == [1, 2, 3] and all(out[i] <= out[i + 1] for i in range(2))",
    ),
    "another order later": (
        "class Two:\n    n = 0\n    def __init__(self, xs): self.xs = xs\n    def __len__(self): return len(self.xs)\n"
        "    def __iter__(self): Two.n += 1; return iter(self.xs if Two.n < 3 else sorted(self.xs))\n"
        "def f(xs): return Two(xs)",
        "out = f([3, 1, 2])\nassert len(list(out)) == len(out) == 3\nf([1])\nassert list(out) == [3, 1, 2]\n"
        "assert list(out) == [1, 2, 3]",
    ),
    "reads the script": (
        "def f(g): return g.__globals__['SECRET']",
        "SECRET = 42\nassert f(lambda: 0) == 42",
    ),
    "reads the script by an object": (
        "def f(o):\n    for path in (lambda: o.run.__globals__, lambda: o.__class__.run.__globals__, "
        "lambda: o.__init__.__globals__, lambda: o.__dict__):\n        try: return path()['SECRET']\n"
        "        except Exception: pass",
        "SECRET = 42\nclass O:\n    def run(self): pass\nassert f(O()) == 42",
    ),
    "reads the script by a generator": (
        "def f(g): return g.gi_frame.f_globals['SECRET']",
        "SECRET = 42\ndef g(): yield 1\nassert f(g()) == 42",
    ),
    "runs code in the script": (
        "def f(g): return g('SECRET')",
        "SECRET = 42\nassert f(eval) == 42",
    ),
    "asks for objects it was not given": (
        "import gc\ndef f(g):\n    from rewards.sandbox.server import Server\n"
        "    s = next(o for o in gc.get_objects() if type(o) is Server)\n"
        "    return s.ask('get', s.object_of(-5), '__globals__')",
        "SECRET = 42\nassert f(lambda: 0) == 42",
    ),
}


@pytest.mark.parametrize("name", UNFAIR)
def test_tricks_with_objects(pool: GraderPool, name: str) -> None:
    program, check = UNFAIR[name]
    (said,) = outcomes(pool, program, [check]).values()
    assert said.startswith("wrong"), said
