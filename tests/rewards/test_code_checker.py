"""Check scripts that use more of a program than functions of plain values."""

from collections.abc import Iterator
from typing import Any

import pytest

from rewards.code import grade_code
from rewards.pool import GraderPool

VECTOR = """
class Vector:
    def __init__(self, *xs): self.xs = list(xs)
    def __repr__(self): return f"Vector{tuple(self.xs)}"
    def __format__(self, spec): return "|".join(format(x, spec) for x in self.xs)
    def __add__(self, other): return Vector(*(a + b for a, b in zip(self.xs, other.xs)))
    def __sub__(self, other): return Vector(*(a - b for a, b in zip(self.xs, other.xs)))
    def __mul__(self, k): return Vector(*(k * a for a in self.xs))
    __rmul__ = __mul__
    def __imul__(self, k): self.xs = [k * a for a in self.xs]; return self
    def __neg__(self): return Vector(*(-a for a in self.xs))
    def __abs__(self): return sum(a * a for a in self.xs) ** 0.5
    def __eq__(self, other): return isinstance(other, Vector) and self.xs == other.xs
    def __lt__(self, other): return abs(self) < abs(other)
    def __hash__(self): return hash(tuple(self.xs))
    def __bool__(self): return any(self.xs)
    def __len__(self): return len(self.xs)
    def __getitem__(self, i): return self.xs[i - 1]
    def __setitem__(self, i, x): self.xs[i - 1] = x
    def __delitem__(self, i): del self.xs[i - 1]
    def __iter__(self): return iter(self.xs)
    def __contains__(self, x): return x in self.xs
    def __call__(self, x): return Vector(*(a + x for a in self.xs))
    def __float__(self): return float(sum(self.xs))
    def __matmul__(self, other): return sum(a * b for a, b in zip(self.xs, other.xs))
    @property
    def norm(self): return abs(self)
    @classmethod
    def zero(cls, n): return cls(*[0] * n)
    size = 3
"""
OPERATORS = [
    "assert Vector(1, 2) + Vector(3, 4) == Vector(4, 6)",
    "assert Vector(1, 2) * 3 == 3 * Vector(1, 2) == Vector(3, 6) != Vector(3, 7)",
    "assert -Vector(1, 2) == Vector(-1, -2) and abs(Vector(3, 4)) == 5.0",
    "v = Vector(1, 2)\nw = v\nv *= 2\nassert list(v) == [2, 4] and w == v",
    "assert str(Vector(1, 2)) == repr(Vector(1, 2)) == f'{Vector(1, 2)!r}' == 'Vector(1, 2)'",
    "assert f'{Vector(1.5, 2.25):.1f}' == '1.5|2.2'",
    "assert sorted([Vector(3), Vector(1), Vector(2)])[0] == Vector(1) and Vector(1) < Vector(2)",
    "assert max(Vector(3), Vector(1)) == Vector(3) and Vector(3) > Vector(2)",
    "assert len({Vector(1), Vector(1), Vector(2)}) == 2 and {Vector(1): 5}[Vector(1)] == 5",
    "assert Vector(1) in [Vector(1)] and Vector(3) not in [Vector(1)]",
    "assert Vector(0, 1) and not Vector(0, 0)",
    "v = Vector(5, 6)\nv[1] = 7\nassert v[1] == 7 and v[2] == 6 and len(v) == 2 and 6 in v and 5 not in v",
    "v = Vector(5, 6)\ndel v[1]\nassert list(v) == [6]",
    "assert sum(x for x in Vector(1, 2, 3)) == 6 and [*Vector(1, 2)] == [1, 2] and dict(a=Vector(1))['a'] == Vector(1)",
    "a, b = Vector(1, 2)\nassert (a, b) == (1, 2)",
    "assert Vector(1)(2) == Vector(3) and float(Vector(1, 2)) == 3.0 and Vector(1, 2) @ Vector(3, 4) == 11",
    "assert isinstance(Vector(1), Vector) and not isinstance(3, Vector) and Vector.zero(2) == Vector(0, 0)",
    "assert Vector(3, 4).norm == 5 and Vector.size == 3 and type(Vector(1)).__name__ != 'list'",
    "import copy\nv = Vector(1, 2)\nw = copy.deepcopy(v)\nw[1] = 9\nassert v == Vector(1, 2) and w == Vector(9, 2)",
    "v = Vector(1)\nv.color = 'red'\nassert v.color == 'red'\ndel v.color\nassert not hasattr(v, 'color')",
    "assert (Vector(1) == 1) is False and Vector(1) != None and Vector(1) is not None",
    "try:\n    Vector(1) + 1\nexcept AttributeError:\n    pass\nelse:\n    assert False",
    "def check(c):\n    assert sum([c(1), c(2)], c(0)) == c(3)",
]


@pytest.fixture(scope="module")
def pool() -> Iterator[GraderPool]:
    with GraderPool(1, 10) as pool:
        yield pool


def outcomes(pool: GraderPool, program: str, checks: list[str], **columns: Any) -> dict[str, str]:
    """What came of each script, of those that the program did not pass."""
    rows = [{"completion": f"```python\n{program}\n```", "check": check, **columns} for check in checks]
    verdicts = zip(checks, grade_code(rows, pool), strict=True)
    return {check: f"{said.outcome}: {said.reason}" for check, said in verdicts if said.outcome != "correct"}


def test_operators(pool: GraderPool) -> None:
    assert outcomes(pool, VECTOR, OPERATORS, entry_point="Vector") == {}
    wrong = VECTOR.replace("a + b", "a - b").replace("k * a", "k + a").replace("-a for", "a for").replace("i - 1", "i")
    failed = outcomes(pool, wrong, [OPERATORS[place] for place in (0, 1, 2, 3, 11)], entry_point="Vector")
    assert [said.partition(":")[0] for said in failed.values()] == ["wrong"] * 5, failed


BANK = """
import contextlib
class BankError(Exception): pass
class Insufficient(BankError, ValueError):
    def __init__(self, needed, message="not enough"):
        super().__init__(message); self.needed = needed
class Account:
    count = 0
    def __init__(self, balance=0): self.balance = balance; self.log = []
    def withdraw(self, n):
        if n > self.balance: raise Insufficient(n - self.balance)
        self.balance -= n; return self
    def __enter__(self): self.log.append("in"); return self
    def __exit__(self, kind, error, trace): self.log.append(kind.__name__ if kind else "out"); return kind is KeyError
@contextlib.contextmanager
def opened(log):
    log.append("open")
    try: yield len(log)
    finally: log.append("close")
def fail(kind): raise {"plain": BankError("no"), "key": KeyError("k"), "two": ValueError("a", 2)}[kind]
LIMIT = 100
TABLE = {"a": [1, 2]}
"""
CONTEXTS = [
    "with Account(3) as a:\n    assert a.balance == 3\nassert a.log == ['in', 'out']",
    "a = Account()\nwith a:\n    raise KeyError(1)\nassert a.log[-1] == 'KeyError'",
    "try:\n    with Account():\n        raise ValueError(1)\nexcept ValueError as e:\n    assert e.args == (1,)\n"
    "else:\n    assert False",
    "with opened([]) as n:\n    assert n == 1",
]
EXCEPTIONS = [
    "try:\n    Account(1).withdraw(5)\nexcept Insufficient as e:\n    assert e.needed == 4 and str(e) == 'not enough'\n"
    "else:\n    assert False",
    "try:\n    Account(1).withdraw(5)\nexcept BankError as e:\n    assert type(e) is Insufficient\n"
    "else:\n    assert False",
    "try:\n    Account(1).withdraw(5)\nexcept ValueError:\n    pass\nelse:\n    assert False",
    "try:\n    fail('plain')\nexcept Insufficient:\n    assert False\n"
    "except BankError as e:\n    assert str(e) == 'no'",
    "try:\n    fail('key')\nexcept KeyError as e:\n    assert e.args == ('k',) and str(e) == \"'k'\"",
    "try:\n    fail('two')\nexcept ValueError as e:\n    assert e.args == ('a', 2)",
    "assert issubclass(Insufficient, BankError) and issubclass(Insufficient, ValueError)",
    "assert LIMIT == 100 and TABLE['a'] == [1, 2] and Account(LIMIT).balance == 100",
    "import unittest\nclass T(unittest.TestCase):\n    def test_it(self):\n"
    "        with self.assertRaises(Insufficient) as c:\n            Account(1).withdraw(5)\n"
    "        self.assertEqual(c.exception.needed, 4)\n"
    "        with self.assertRaisesRegex(BankError, 'enough'):\n            Account(1).withdraw(5)\n"
    "if __name__ == '__main__':\n    unittest.main()",
    "assert Insufficient(3).needed == 3",
    "a = Account(5)\nassert a.withdraw(2).withdraw(1) is a and a.balance == 2 and Account.count == 0",
]


def test_context_managers_and_exceptions(pool: GraderPool) -> None:
    assert outcomes(pool, BANK, CONTEXTS + EXCEPTIONS) == {}
    wrong = (
        BANK.replace("(BankError, ValueError)", "(Exception)").replace("not enough", "no").replace("- self.", "+ self.")
    )
    assert len(outcomes(pool, wrong, EXCEPTIONS[:3])) == 3


CALLS = """
import functools
def apply(f, xs): return [f(x) for x in xs]
def twice(f): return lambda x: f(f(x))
def memo(f):
    seen = {}
    @functools.wraps(f)
    def inner(*a):
        if a not in seen: seen[a] = f(*a)
        return seen[a]
    return inner
def compose(*fs): return functools.reduce(lambda f, g: lambda x: g(f(x)), fs)
def safe(f, x, default=None):
    try: return f(x)
    except ValueError: return default
def take(iterator, n): return [next(iterator) for _ in range(n)]
def total(node):
    t = 0
    while node: t, node = t + node.val, node.next
    return t
def reverse(node):
    last = None
    while node: node.next, last, node = last, node, node.next
    return last
def order(things): return sorted(things)
def same(x): return x
def gen(n):
    for i in range(n): got = yield i
    return "end"
def forever():
    n = 0
    while True: yield n; n += 1
async def later(x): return x + 1
def fact(n, k=lambda x: x): return k(1) if n == 0 else fact(n - 1, lambda x: k(n * x))
"""
NODE = """
class Node:
    def __init__(self, val, next=None): self.val, self.next = val, next
def chain(*xs):
    node = None
    for x in reversed(xs): node = Node(x, node)
    return node
def listed(node): return [] if node is None else [node.val, *listed(node.next)]
"""
CALLBACKS = [
    "assert apply(lambda x: x + 1, [1, 2]) == [2, 3] and apply(str, [1]) == ['1'] and apply(abs, [-1]) == [1]",
    "import math, operator\nassert apply(math.sqrt, [4.0]) == [2.0] and apply(operator.neg, [1]) == [-1]",
    "seen = []\napply(seen.append, [1, 2])\nassert seen == [1, 2]",
    "assert twice(lambda x: x * 3)(2) == 18 and compose(lambda x: x + 1, str, len)(99) == 3",
    "calls = []\n@memo\ndef f(x):\n    calls.append(x)\n    return x * 2\n"
    "assert (f(2), f(2), f(3)) == (4, 4, 6) and calls == [2, 3] and f.__name__ == 'f'",
    "assert apply(lambda x: fact(x), [0, 3, 5]) == [1, 6, 120] and fact(4, lambda x: x + 1) == 25",
    "def bad(x): raise ValueError('no')\nassert safe(bad, 1, 5) == 5 and safe(int, '3') == 3",
    "class Boom(Exception): pass\ndef bad(x): raise Boom(x)\ntry:\n    safe(bad, 7)\n"
    "except Boom as e:\n    assert e.args == (7,)\nelse:\n    assert False",
    "assert take(iter([1, 2, 3]), 2) == [1, 2] and take((i * i for i in range(9)), 3) == [0, 1, 4]",
    NODE + "assert total(chain(1, 2, 3)) == 6 and listed(reverse(chain(1, 2, 3))) == [3, 2, 1] and total(None) == 0",
    NODE + "n = chain(4)\nassert same(n) is n and same([n])[0] is n and same(print) is print or True",
    "class P:\n    def __init__(self, x): self.x = x\n    def __lt__(self, o): return self.x < o.x\n"
    "a, b = P(2), P(1)\nassert order([a, b]) == [b, a]",
    "g = gen(2)\nassert next(g) == 0 and list(g) == [1] and list(gen(3)) == [0, 1, 2] and next(g, 'x') == 'x'",
    "import itertools, types\nassert list(itertools.islice(forever(), 3)) == [0, 1, 2]\n"
    "assert isinstance(gen(1), types.GeneratorType) and iter(g := gen(1)) is not None and sum(gen(4)) == 6",
    "import numpy\nout = twice(abs)\nassert not isinstance(out, bool) and not isinstance(gen(1), numpy.ndarray)",
    "g = gen(1)\nassert g.send(None) == 0\ntry:\n    g.send(1)\n"
    "except StopIteration as e:\n    assert e.value == 'end'\nelse:\n    assert False",
    "def outer():\n    return (yield from gen(2))\no = outer()\nassert [next(o), next(o)] == [0, 1]",
    "import asyncio\nasync def main(): return await asyncio.gather(later(1), later(2))\n"
    "assert asyncio.run(main()) == [2, 3] and asyncio.run(later(5)) == 6",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor(4) as e:\n"
    "    assert list(e.map(lambda n: fact(n), range(5))) == [1, 1, 2, 6, 24]",
    "assert callable(apply) and apply.__name__ == 'apply' and apply(f=lambda x: x, xs=(1, 2)) == [1, 2]",
]


def test_functions_iterators_and_objects_as_arguments(pool: GraderPool) -> None:
    assert outcomes(pool, CALLS, CALLBACKS) == {}


IN_PLACE = """
def my_sort(xs): xs.sort()
def sort_too(xs): xs.sort(); return xs
def rotate(m): m[:] = [list(row) for row in zip(*m[::-1])]
def flip(m):
    for row in m: row.reverse()
def swap(m): m[0], m[1] = m[1], m[0]
def count(d, x): d[x] = d.get(x, 0) + 1
def drop(s, q, b): s.discard(1); q.append(3); b[0] = 65
def deep(t): t["a"][0][1].append(t)
def fill(a): a[a < 0] = 0
def same(x): return x
def first(xs): return xs[0]
class Sorter:
    def run(self, xs): xs.sort()
"""
CHANGED = [
    "xs = [3, 1, 2]\nmy_sort(xs)\nassert xs == [1, 2, 3]",
    "def check(c):\n    xs = [3, 1, 2]\n    assert c(xs) is None and xs == [1, 2, 3]\ncheck(my_sort)",
    "xs = [3, 1, 2]\nsort_too(xs)\nassert xs == [1, 2, 3]",
    "m = [[1, 2], [3, 4]]\nrotate(m)\nassert m == [[3, 1], [4, 2]]",
    "m = [[1, 2], [3, 4]]\nrow = m[0]\nflip(m)\nassert m == [[2, 1], [4, 3]] and m[0] is row",
    "a, b = [1], [2]\nm = [a, b]\nswap(m)\nassert m == [[2], [1]] and m[0] is b and m[1] is a and a == [1]",
    "d = {}\ncount(d, 'a')\ncount(d, 'a')\nassert d == {'a': 2}",
    "from collections import *\nd = Counter('ab')\ncount(d, 'a')\nassert d == {'a': 2, 'b': 1} and type(d) is Counter",
    "from collections import deque\ns, q, b = {1, 2}, deque([1], maxlen=1), bytearray(b'xy')\ndrop(s, q, b)\n"
    "assert s == {2} and list(q) == [3] and b == b'Ay'",
    "t = {'a': [(0, [])]}\ndeep(t)\nassert t['a'][0][1][0] is t",
    "import numpy as np\na = np.array([1, -2, 3])\nfill(a)\nassert a.tolist() == [1, 0, 3]",
    "xs = [3, 1, 2]\nSorter().run(xs)\nassert xs == [1, 2, 3]",
    "xs = [[1], [2]]\nassert same(xs) is xs and first(xs) is xs[0]",
]


def test_changed_arguments(pool: GraderPool) -> None:
    assert outcomes(pool, IN_PLACE, CHANGED) == {}
    idle = IN_PLACE.replace(".sort()", ".copy()").replace("row.reverse()", "pass").replace("m[:] =", "m =")
    assert len(outcomes(pool, idle, [*CHANGED[:5], CHANGED[11]])) == 6


@pytest.mark.parametrize(
    "check",
    [
        "import sys\nassert f(sys) == 3",
        "class Mine(Base): pass\nassert Mine().x == 3",
        "async def g(): pass\nassert f(g()) == 3",
    ],
)
def test_what_no_stand_in_can_do_is_no_fault_of_the_program(pool: GraderPool, check: str) -> None:
    (said,) = outcomes(pool, "class Base: x = 3\ndef f(x): return 3", [check]).values()
    assert said.startswith("ungradable: the check script itself fails") and "cannot be given to a program" in said


def test_a_script_may_end_itself(pool: GraderPool) -> None:
    program = "def f(x): return x + 1"
    ends = ["import sys\nassert f(1) == 2\nsys.exit()", "assert f(1) == 2\nraise SystemExit(0)"]
    assert outcomes(pool, program, ends) == {}
    assert len(outcomes(pool, program, ["import sys\nsys.exit(f(1) != 3)", "raise SystemExit(f(1))"])) == 2
