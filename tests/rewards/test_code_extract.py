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


def test_the_whole_answer_where_there_is_no_fence() -> None:
    found = extract(CODE)
    assert found is not None and found.text == CODE and not found.fenced


@pytest.mark.parametrize(
    "piece",
    ["```python\n", "```\n", "`", "'''\n", '"', "\\", "<think>", "</think>", "<answer>", " ", "```python\n'''\n"],
)
def test_time_is_linear(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    started = time.process_time()
    program_text(text)
    assert time.process_time() - started < 5
