"""Which part of a completion is the program."""

import time

import pytest

from rewards.code import program_text
from rewards.code.extract import extract

CODE = "def add(a, b):\n    return a + b\n"


@pytest.mark.parametrize("tag", ["", "python", "py", "python3", "Python", " python ", "python title=a.py"])
def test_tags(tag: str) -> None:
    assert program_text(f"Here:\n```{tag}\n{CODE}```\nDone.") == CODE


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("```python\n1\n```\n```python\n2\n```", "2\n"),
        ("```python\n1\n```\nIt prints\n```\n3\n```", "1\n"),
        ("```\n1\n```\n```bash\nls\n```", "1\n"),
        ("```python\n1\n```\n```python\n2", "1\n"),
        ("```python\n1", None),
        ("```bash\nls\n```", None),
        ("~~~python\n1\n~~~", "1\n"),
        ("````python\n```\n````", "```\n"),
        ("1. first\n   ```python\n   if 1:\n       2\n   ```", "if 1:\n    2\n"),
        ("```python\r\n1\r\n```\r\n", "1\n"),
        ('```python\nx = """\n```\n"""\n```', 'x = """\n```\n"""\n'),
        ("```python\nx = '''\n```python\n1\n```\n'''\n```", "x = '''\n```python\n1\n```\n'''\n"),
        ('```python\nx = "\\"\\"\\""  # """\n```\n', 'x = "\\"\\"\\""  # """\n'),
        ("```python\n# don't\n```", "# don't\n"),
        ('```python\nx = """\n```\n```python\n2\n```', "2\n"),
        ("<think>\n```python\n1\n```\n</think>\n```python\n2\n```", "2\n"),
        ("<think>\n```python\n1\n```", None),
        ("thoughts</think>\n```python\n2\n```", "2\n"),
        ("```python\n1\n```\n<think>wait", None),
        ("```python\n1\n```\n<answer>\n```python\n2\n```\n</answer>", "2\n"),
        ("", None),
        (" \n", None),
    ],
)
def test_programs(completion: str, program: str | None) -> None:
    assert program_text(completion) == program


FENCED = f"```python\n{CODE}```"
CALL = "Use it:\n```python\nprint(add(1, 2))\n```"


@pytest.mark.parametrize(
    "mark", [*"\u00ad\u061c\u180e\u200b\u200d\u200e\u202a\u202e\u2060\u2063\u2066\u2069\ufe0f\ufeff"]
)
def test_marks_that_nobody_sees_hide_no_program(mark: str) -> None:
    lines = [f"{mark}{line}{mark}" for line in FENCED.split("\n")]
    for answer in (mark + FENCED, "\n".join(lines), f"```{mark}python\n{CODE}```{mark}", f"{mark}\n{mark}{CODE}{mark}"):
        found = program_text(answer, "add")
        assert found is not None and found.strip() == CODE.strip(), answer
    inside = program_text(FENCED.replace("a + b", f"a {mark}+ b"))
    assert inside is not None and mark in inside  # Python does not take it


@pytest.mark.parametrize(
    "answer",
    [
        f"{FENCED}\n{CALL}",
        f"{CALL}\n{FENCED}",
        f"{FENCED}\n```python\nassert add(1, 2) == 3\n```",
        f"{FENCED}\n```python\nfrom solution import add\nx = add(1, 2)\n```",
        f"{FENCED}\n```python\nif __name__ == '__main__':\n    print(add(1, 2))\n```",
        f"{FENCED}\n```python\ndef test_add():\n    assert add(1, 2) == 3\n```",
        f"{FENCED}\n```\n>>> add(1, 2)\n3\n```",
    ],
)
def test_a_block_that_uses_the_program_does_not_hide_it(answer: str) -> None:
    assert program_text(answer, "add") == CODE


BODIES = [
    "s = '</think>'",
    's = "a </think> b"',
    "'''Text.\n    </think>\n    '''",
    "s = f'{a}</think>'",
    "s = '<think>'",
]


@pytest.mark.parametrize("body", [*BODIES, "'''\n    </think>\n    </think>\n    '''"])
@pytest.mark.parametrize(
    "form", ["<think>x</think>\n{}", "<think>x</think>\n```python\n{}```", "it's ''' x</think>\n{}"]
)
def test_a_mark_of_thinking_in_a_string_is_text(body: str, form: str) -> None:
    code = f"def add(a, b):\n    {body}\n    return a + b\n"
    found = program_text(form.format(code), "add")
    assert found is not None and found.strip() == code.strip()


def test_thinking_may_end_twice() -> None:
    for thought in ("x</think>\ny</think>\n", "'''</think>\ny</think>\n", "x</think>\nit's '''\n</think>\n"):
        assert program_text(f"<think>{thought}{FENCED}", "add") == CODE


def test_the_whole_answer_where_there_is_no_fence() -> None:
    found = extract(CODE)
    assert found is not None and found.text == CODE and not found.fenced


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    ["```python\n", "```\n", "`", "'''\n", '"', "\\", "<think>", "</think>", "<answer>", " ", "```python\n'''\n"],
)
def test_time_is_linear(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    program_text(text)
    assert time.process_time() - started < 5
