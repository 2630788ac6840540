"""Answers that are only the body of a function whose head was the prompt."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.code.continuation import continued
from rewards.code.extract import extract
from rewards.code.names import defines

HEAD = 'def add(a, b):\n    """Add."""\n'
BODY = "    return a + b\n"


@pytest.mark.parametrize(
    ("completion", "body"),
    [
        (BODY, BODY),
        ("\n\n" + BODY, "\n\n" + BODY),
        ("\treturn a + b", "\treturn a + b\n"),
        ("    # sum\n" + BODY, "    # sum\n" + BODY),
        ("# sum\n" + BODY, "# sum\n" + BODY),
        (f"```python\n{BODY}```", BODY),
        (f"```\n{BODY}```\nThat is it.", BODY),
        (f"The body:\n```py\n{BODY}\n\ndef next():\n    pass\n```", BODY),
        (f"<think>hm</think>\n{BODY}", "\n" + BODY),
        (f"<answer>\n{BODY}</answer>", "\n" + BODY),
        (BODY + "\n\ndef next(x):\n    return", BODY),
        (BODY + "\n\nclass Next:", BODY),
        (BODY + "\n\n# test\nprint(", BODY),
        (BODY + "\nif __name__ == '__main__':\n    add(1, 2)", BODY),
        (BODY + "@cache\ndef next():\n    pass", BODY),
        (BODY + "```", BODY),
        (BODY + "```\nUse it so:\n```python\nprint(add(1, 2))\n```", BODY),
        (BODY + "\n\ndef add(a, b):\n    return 5\n", BODY),
        ("    if a:\n\n        a = b\n# why\n    return a\n# end", "    if a:\n\n        a = b\n# why\n    return a\n"),
        ("    x = f(\na,\nb)\n    return x\ny", "    x = f(\na,\nb)\n    return x\n"),
        ("    x = '''\nno\n'''\n    return x\n'''", "    x = '''\nno\n'''\n    return x\n"),
        ("    x = 1 + \\\n2\n    return x\nz", "    x = 1 + \\\n2\n    return x\n"),
        ("    x = '('  # [ {\n    return x\nz", "    x = '('  # [ {\n    return x\n"),
        ("    def inner():\n        pass\n    return inner\ndef", "    def inner():\n        pass\n    return inner\n"),
    ],
)
def test_a_body_is_put_after_its_head(completion: str, body: str) -> None:
    found = extract(completion, HEAD, ("add",))
    assert found is not None and found.text == HEAD + body
    assert found.fenced == ("```p" in completion[:20] or completion.startswith("```"))


WHOLE = "def add(a, b):\n    return a + b\n"


@pytest.mark.parametrize(
    "program",
    [
        WHOLE,
        "def helper(a):\n    return a\n\n\n" + WHOLE,
        "from operator import add\n",
        "add = sum\n",
        "async def add(a, b):\n    pass\n",
        "class Solution:\n    def add(self, a, b):\n        return a + b\n",
        "    # first words\n" + WHOLE,
        "print(add(1, 2))\n",  # fails, as it would have
    ],
)
def test_a_whole_program_stays_whole(program: str) -> None:
    for completion in (program, f"```python\n{program}```", f"<answer>\n```\n{program}```\n</answer>"):
        assert extract(completion, HEAD, ("add",)) == extract(completion)
    assert extract(f"    Here it is:\n```python\n{WHOLE}```", HEAD, ("add",)) == extract(f"```python\n{WHOLE}```")
    assert extract(f"<answer> {WHOLE}</answer>", HEAD, ("add",)) == extract(f"<answer>{WHOLE}</answer>")


def test_without_a_head_nothing_is_put_together() -> None:
    found = extract(BODY)
    assert found is not None and found.text == BODY
    assert extract("```python\n    return a", HEAD, ("add",)) is None  # cut off
    assert extract("<think>\n" + BODY, HEAD, ("add",)) is None


def test_a_head_may_end_anywhere_in_its_last_line() -> None:
    assert continued("def f():", "\n    return 1") == "def f():\n\n    return 1\n"
    assert continued("def f():\n    ", "    return 1") == "def f():\n    return 1\n"
    assert continued("def f():\n", "return 1") is None
    assert continued("def f():\n", "\n# only words") is None


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("def add():", True),
        ("x = '''\ndef add():\n'''", False),
        ("    def add():", False),
        ("def adder():", False),
        ("add: int", False),
        ("add: int = sum", True),
        ("import math as add", True),
        ("print(add)", False),
        ("f(\nadd = 1)", False),
    ],
)
def test_what_defines_a_name(text: str, known: bool) -> None:
    assert defines(text, "add") == known
    assert defines(text.replace("add", "Solution"), "Solution.add") == known


@given(st.lists(st.sampled_from(["    x = 1", "", "# c", "def g():", "    (", ")", "'''", "        return x"])))
def test_a_body_ends_where_nothing_of_the_function_can_follow(lines: list[str]) -> None:
    program = continued(HEAD, "\n".join(["    y = 2", *lines]))
    assert program is not None and program.startswith(HEAD + "    y = 2\n")
    taken = program.removeprefix(HEAD).rstrip("\n").split("\n")
    assert ["    y = 2", *lines][: len(taken)] == taken
    rest = [line for line in ["    y = 2", *lines][len(taken) :] if line and not line.startswith("#")]
    assert not rest or not rest[0].startswith(" ")


@pytest.mark.slow
@pytest.mark.parametrize("piece", ["    x\n", "    (\n", "'''\n", "#\n", "\n", "\\\n", "from \n", " ", "    '''\"\n"])
def test_time_is_linear(piece: str) -> None:
    text = "    y\n" + piece * (1_000_000 // len(piece))
    started = time.process_time()
    continued(HEAD, text)
    defines(text, "add")
    assert time.process_time() - started < 5
