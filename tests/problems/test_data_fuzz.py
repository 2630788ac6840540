"""Files of any content through every reader of rows: rows come out, or one sentence that names file and line."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from rewards.errors import BadInput
from rewards.files import grade_file
from rewards.kit.rows import answers_of, gold_completions, prompts_of, read_rows
from rl.base import jsonl
from rl.config.recipe import ProblemsSection
from rl.evaluation import stored
from rl.pipelines.examples import Encoder, other_rows
from rl.pipelines.schema import DataSection
from rl.problems.decontaminate import as_question, question_columns
from rl.problems.prompt import Prompter
from rl.problems.sets import content_key
from rl.problems.sources import load_problems

KEYS = st.sampled_from(
    [
        *("question", "prompt", "answer", "solution", "ground_truth", "nums", "target", "operands", "operators"),
        *("gold", "response", "output", "outputs", "completion", "id", "index", "resps", "doc_id", "sample", "tokens"),
        *("messages", "conversations", "problem", "problem_id", "role", "content", "tests", "kind", "doc"),
    ]
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**18)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["#### 5", "\\boxed{5}", "user", "assistant", "\u2028", "\0", "é", "\U0001f600", 10**4000])
)
MESSAGE = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]) | LEAVES, "content": LEAVES})
VALUES = st.recursive(
    LEAVES | st.lists(MESSAGE, min_size=1, max_size=3),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(KEYS, inside, max_size=3),
    max_leaves=6,
)
CHAT = [{"role": "user", "content": "2 + 3?"}, {"role": "assistant", "content": "It is 5."}]
GOOD = {"question": "2 + 3?", "prompt": CHAT[:1], "answer": "5", "gold": 5, "response": "5", "messages": CHAT, "id": 1}
ROWS = st.one_of(
    st.dictionaries(KEYS, VALUES, max_size=5),
    st.tuples(KEYS, VALUES).map(lambda item: {**GOOD, item[0]: item[1]}),
    st.just(GOOD),
)
RAW = st.sampled_from(
    [
        *(b"{}", b"[]", b"null", b"", b" \r", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b"PAR1", b"\0", b"{'a': 1}"),
        *(b'{"question": "\\ud800", "answer": "1"}', b'{"question": NaN}', b'{"question": "a", "question": "b"}'),
        *(b"[" * 3000, b'{"question": ' * 3000, b'{"answer": ' + b"9" * 5000 + b"}", b'{"question": -Infinity}'),
    ]
)
LINES = st.one_of(ROWS.map(lambda row: json.dumps(row).encode()), ROWS.map(lambda row: json.dumps([row]).encode()), RAW)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """The bytes of a file: lines, joined, put into an encoding, cut, packed."""
    data = draw(st.sampled_from([b"\n", b"\r\n", b"\r", b"\n\n"])).join(draw(st.lists(LINES, max_size=4)))
    encoding = draw(st.sampled_from(["", "", "", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"]))
    if encoding:
        data = data.decode("utf-8", "replace").encode(encoding, "replace")
    cut = draw(st.sampled_from([0, 0, 0, 1, 7]))
    data = data[: len(data) - cut]
    return gzip.compress(data)[: -cut or None] if draw(st.integers(0, 5)) == 0 else data


def problems(path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    for keys in ({}, {"prompt": "{prompt}"}, {"prompt": "{messages} {question}", "answer": "gold"}):
        section = ProblemsSection(source="jsonl", path=str(path), max_prompt_length=10**6, **keys)  # type: ignore[arg-type]
        loaded = load_problems(section)
        prompter = Prompter(section, tokenizer)
        for problem in loaded:
            prompter.render(problem)
            content_key(problem, section.prompt)
            as_question(problem, question_columns(section.prompt))


def audits(path: Path, _: PreTrainedTokenizerFast) -> None:
    rows = read_rows(path, {}, 10)
    prompts_of(rows)
    gold_completions(rows, answers_of(rows, []))


def grades(path: Path, _: PreTrainedTokenizerFast) -> None:
    for kind in ("math", "code"):
        said: list[str] = []
        target = path.with_name("graded.jsonl")
        summary = grade_file(kind, path, target, workers=1, timeout=2.0, on_bad_row=said.append)  # type: ignore[arg-type]
        assert len(said) == summary.bad_rows and all(re.match(r"line \d+: [^\n]+$", reason) for reason in said)
        assert len(target.read_bytes().split(b"\n")) - 1 == summary.rows


def chats(path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    encoder = Encoder(ProblemsSection(source="jsonl", max_prompt_length=10**6), tokenizer)
    for where, row in other_rows(DataSection(source="jsonl", path=str(path))):
        encoder.encode(row, where)


def answers(path: Path, _: PreTrainedTokenizerFast) -> None:
    stored.read_rows(path)


def logs(path: Path, _: PreTrainedTokenizerFast) -> None:
    jsonl.read(path)


NAMES_ITS_PLACE = re.compile(
    r"line \d+|item \d+|cannot be read|(row|problem) rows/\d+|has no rows?$|has no rows?[:;]|is empty"
)


@pytest.mark.parametrize("read", [problems, audits, grades, chats, answers, logs], ids=lambda read: read.__name__)
def test_any_file_ends_in_rows_or_in_one_sentence(
    read: Callable[[Path, PreTrainedTokenizerFast], None], tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    path = tmp_path / "rows.jsonl"

    @settings(max_examples=EXAMPLES.get(read.__name__, 60), deadline=None, database=None)
    @given(files())
    def check(data: bytes) -> None:
        path.write_bytes(data)
        try:
            read(path, tokenizer)
        except BadInput as error:
            assert "\n" not in str(error) and "rows" in str(error)
            assert NAMES_ITS_PLACE.search(str(error)), str(error)

    check()


EXAMPLES = {"grades": 25}
