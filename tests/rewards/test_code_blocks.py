"""How an answer is read: fences, thinking, tags, marks of chat templates, characters without width."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.code import program_text
from rewards.code.blocks import read
from rewards.code.lines import CLOSED, masked

ADD = "def add(a, b):\n    return a + b\n"
STRIP = "def strip(text):\n    return text.split('</think>')[-1].replace('<think>', '')\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"Here is it: ```python\n{ADD}```",
        f"Use `add`: ```python\n{ADD}```",
        f"1. ```python\n   {ADD.replace('    ', '       ')}   ```",
        f"  - ```py\n    {ADD.replace('    ', '        ')}    ```",
        f"```python {ADD}```",
        f"```python\n{ADD[:-1]}```",
        f"```{{.python .numberLines}}\n{ADD}```",
        f"```python3.11\n{ADD}```",
        f"```add.py\n{ADD}```",
        f"```python\n{ADD}``` \t\nThat is it.",
        f"{ADD}```",
        f"{ADD}```\nThat is it.",
        f"python\n{ADD}```",
        f"{ADD[:-1]}```",
        f"\n{ADD}```\n```\n3\n```",
        f"<answer>```python\n{ADD}```</answer>",
        f"<answer>\n{ADD}```\n</answer>",
        f"```python\n1\n\nNo:\n```python\n{ADD}```",
        f"~~~ python\n{ADD}~~~~",
        f"```python\r\n{ADD}```".replace("\n", "\r\n"),
        f"```python\n{ADD}```".replace("\n", "\r"),
        f"````python\n{ADD}````\n```text\n3\n```",
        f"```markdown\n```python\n{ADD}```\n```",
    ],
)
def test_fences(answer: str) -> None:
    found = program_text(answer, "add")
    assert found is not None and found.strip() == ADD.strip()


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{ADD}",
        f"Here: ```python\n{ADD}",
        "So:\n```\nno code",
        f"<think>\n```python\n{ADD}```\n",
        "```",
        "~~~\n",
    ],
)
def test_a_block_that_is_never_closed_is_none(answer: str) -> None:
    assert program_text(answer, "add") is None


@pytest.mark.parametrize(
    "mark",
    [
        "<|endoftext|>",
        "<|im_end|>",
        "</s>",
        "<|eot_id|>",
        "<｜end▁of▁sentence｜>",
        "<|EOT|>",
        "<end_of_turn>",
        "<eos>",
        "\u200b",
        "\ufeff",
    ],
)
def test_marks_count_for_nothing(mark: str) -> None:
    for answer in (
        ADD + mark,
        ADD[:-1] + mark,
        f"```python\n{ADD}```{mark}",
        f"```python\n{ADD}{mark}```\n{mark}",
    ):
        found = program_text(answer, "add")
        assert found is not None and found.strip() == ADD.strip(), answer
    assert program_text(f"{mark}{ADD}", "add") == program_text(f"{mark}{mark}{ADD}", "add") == ADD


@pytest.mark.parametrize(
    "mark", ["<|endoftext|>", "<|im_end|>", "</s>", "<s>", "\u200b", "<answer>", "</answer>", "```"]
)
def test_marks_in_strings_stay(mark: str) -> None:
    program = f"def clean(text):\n    return text.replace('{mark}', \"{mark}\")\n"
    assert program_text(program, "clean") == program_text(f"```python\n{program}```", "clean") == program


def test_other_turns_and_documents_are_left_out() -> None:
    other = "```python\ndef add(a, b):\n    return 0\n```"
    for mark in ("<|im_end|>\n<|im_start|>user\n", "<|endoftext|>", "<end_of_turn>\n<start_of_turn>user\n"):
        assert program_text(f"```python\n{ADD}```\n{mark}{other}", "add") == ADD
        assert str(program_text(f"{ADD}{mark}{other}", "add")).strip() == ADD.strip()
    assert program_text(f"<|im_start|>assistant\n{ADD}<|im_end|>", "add") == "\n" + ADD


def test_a_character_without_width_within_a_line_stays() -> None:
    program = ADD.replace("a + b", "a\u200b + b")
    assert program_text(f"```python\n{program}```", "add") == program_text(program, "add") == program


def test_spaces_that_python_does_not_know() -> None:
    assert program_text(f"```python\n{ADD.replace('    ', chr(160) * 4)}```", "add") == ADD
    assert program_text(ADD.replace("    ", "\u3000" * 4), "add") == ADD
    kept = "x = '\u00a0\u200b'\n"
    assert program_text(f"```python\n{kept}```") == kept


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{STRIP}```",
        STRIP,
        f"<think>The tag `</think>` ends it.\n```python\n'</think>'\n```\n</think>\n```python\n{STRIP}```",
        f"<think>\n```python\ndef strip(</think>\n```python\n{STRIP}```",
        f"<think>\n```python\nx = '''\n</think>\n```python\n{STRIP}```",
        f"I don't know</think>\n```python\n{STRIP}```",
        f"It's said 'so'.</think>That's it:\n```python\n{STRIP}```",
        f"<think>a</think>b<think>c</think>\n```python\n{STRIP}```\nIt's 'done'.",
    ],
)
def test_thinking_ends_outside_of_strings(answer: str) -> None:
    assert program_text(answer, "strip") == STRIP


@pytest.mark.parametrize(
    "answer", [f"```python\n{ADD}```\n<think>wait", f"<think>```python\n{ADD}```", f"<think>'</think>'\n{ADD}"]
)
def test_thinking_that_never_ends(answer: str) -> None:
    assert program_text(answer, "add") is None and read(answer).thinking


@pytest.mark.parametrize(
    "tags",
    ["<answer></answer>", "<answer>add</answer>", "<answer>", "</answer>", "<answer>\n```text\n3\n```\n</answer>"],
)
def test_one_bad_tag_hides_no_program(tags: str) -> None:
    assert program_text(f"```python\n{ADD}```\n{tags}", "add") == ADD
    if "`" not in tags:
        bare = tags.replace("add", "") + ADD
        assert program_text(bare, "add") == program_text(ADD + tags.replace("add", ""), "add") == ADD


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("x = 'a' + \"b\"  # c", "x =     +"),
        ("f('''a''', r'\\'')", "f(       , r    )"),
        ("x = '''a", "x ="),
        ("don't", "don"),
        ("x", "x"),
    ],
)
def test_masked(line: str, shown: str) -> None:
    mask, _ = masked(line, CLOSED)
    assert mask.rstrip() == shown and len(mask) == len(line)


@given(st.text(alphabet="ab'\"#\\([{)]} \t"), st.sampled_from(["", "'''", '"""']))
def test_a_masked_line_is_as_long_as_the_line(line: str, quote: str) -> None:
    mask, _ = masked(line, CLOSED._replace(quote=quote))
    assert len(mask) == len(line) and all(shown in (" ", own) for shown, own in zip(mask, line, strict=True))
    assert "\\" in line or not {"'", '"', "#"} & {*mask}


@given(
    st.lists(
        st.sampled_from(
            [
                "```python\n",
                "```\n",
                "```",
                "<think>",
                "</think>",
                "<answer>",
                "</answer>",
                "def add(a, b):\n",
                "    return a\n",
                "'''",
                "'",
                "\n",
                "<|im_end|>",
                "<|endoftext|>",
                "\u200b",
                "Text. ",
                "~~~\n",
                "...\n",
                "x = 1\n",
                "class Solution:\n",
                "(",
                "#",
                "\\",
            ]
        )
    )
)
def test_anything_can_be_read(pieces: list[str]) -> None:
    for wanted in ("add", None):
        found = program_text("".join(pieces), wanted)
        assert found is None or found.strip()


@pytest.mark.parametrize("line", ["```<answer></answer>", "<answer>```</answer>", "<answer>```python</answer>"])
def test_tags_on_the_line_of_a_block_that_is_cut_off_count_for_nothing(line: str) -> None:
    assert program_text(f"{line}\ndef f(): return 1") is None
    whole = "<answer>\n```python\ndef f(): return 2\n```\n</answer>"
    assert program_text(f"{whole}\n{line}\ndef f(): return 1") == "def f(): return 2\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "'</think>' ",
        '"\\"',
        "```python\n<answer>\n",
        "a ``` ",
        "<|x|>",
        "</think>\n",
        "\u200b",
        "'<think>\n",
        "x```\n",
        "<answer></answer>",
    ],
)
def test_time_is_linear(piece: str) -> None:
    text = piece * (500_000 // len(piece))
    started = time.process_time()
    program_text(text, "add")
    assert time.process_time() - started < 5
