"""Files of stored outputs, in the shapes that people have them in, read as rows of one shape.

A file is JSONL (also gzipped), a JSON list, or parquet. A row names its problem by an id (`id`, `task_id`,
`problem_id`, or the benchmark's own column), by an index (`index`, `doc_id`), or not at all. Its answers are in one of

- `output`, `completion`, `response`, `generation`: a text, a number, a list of chat messages, or null for an empty
  answer; a list of such is several answers;
- `outputs`, `completions`, `responses`, `generations`: a list of answers;
- `solution` beside `task_id`, as EvalPlus writes it;
- `resps`, as lm-evaluation-harness logs them, or what its filter made of them (`filtered_resps`) where that is all.

`num_tokens` (a count), `tokens` (a count, or the tokens), `finish_reason`, and how the answers were drawn
(`rl.evaluation.stated`) are kept.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rewards.errors import BadInput
from rewards.jsonl import BOM, file_lines, parse, read_lines
from rl.evaluation.stated import stated_sampling

Row = Mapping[str, Any]

ID_COLUMNS = ("id", "task_id", "problem_id")
INDEX_COLUMNS = ("index", "doc_id")
ANSWER_COLUMNS = (
    *("output", "outputs", "completion", "completions"),
    *("response", "responses", "generation", "generations"),
)
ASKED_COLUMNS = ("question", "problem")
PER_TOKEN = {"token_ids", "logprobs", "prompt_token_ids"}  # large, and not needed


@dataclass(frozen=True)
class StoredOutput:
    """One answer from a file.

    Attributes:
        text: the answer, valid Unicode.
        num_tokens: its length in tokens; None: the file does not say.
        finish_reason: why it ended, in the file's words (`stop`, `length`); None: the file does not say.
    """

    text: str
    num_tokens: int | None = None
    finish_reason: str | None = None


@dataclass(frozen=True)
class StoredRow:
    """One row of a file.

    Attributes:
        place: the row for people, such as `line 3`.
        id: the id of its problem as text, if it has one.
        index: the number of its problem, if it has one.
        outputs: its answers; at least one.
        sample: the place of its answers among those to one problem, if the row says.
        filter: lm-evaluation-harness logs the same answers once for each of its filters.
        asked: texts of the question, by column, if the row has them.
        stated: how its answers were drawn, as far as the row says.
    """

    place: str
    id: str | None
    index: int | None
    outputs: tuple[StoredOutput, ...]
    sample: int | None = None
    filter: str | None = None
    asked: Mapping[str, str] = field(default_factory=dict)
    stated: Mapping[str, float] = field(default_factory=dict)


def read_rows(path: Path, id_column: str | None = None) -> list[StoredRow]:
    """Read a file of stored outputs; `id_column` is the benchmark's own column of ids.

    Raises:
        BadInput: there is no such file, it is not what its name says, or a row has no answer or an id of a wrong kind.
    """
    rows = [_stored_row(row, f"{path}, {place}", place, id_column) for place, row in _objects(path)]
    if not rows:
        raise BadInput(f"{path} has no rows: give one JSON object a line, with `index` or `id`, and `output`.")
    return rows


def _objects(path: Path) -> Iterator[tuple[str, Row]]:
    """Each row of the file, and where it is."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise BadInput(f"The file of stored outputs {path} {what}: give a .jsonl, .json, .jsonl.gz or .parquet file.")
    if path.suffix == ".parquet":
        yield from _parquet_rows(path)
        return
    data = b"".join(file_lines(path))
    if data.removeprefix(BOM).lstrip().startswith(b"["):  # whatever the name says
        items, fault = parse(data.removeprefix(BOM).strip(), mend_text=True)
        if fault:
            begins = data[: data.index(b"[")].count(b"\n") + 1
            raise BadInput(f"{path}, the list that begins in line {begins}: {fault}, or one list of objects.")
        yield from ((f"item {number}", _object(item, f"{path}, item {number}")) for number, item in enumerate(items))
        return
    for line in read_lines(data.split(b"\n"), mend_text=True):
        if line.fault:
            raise BadInput(f"{path}, line {line.number}: {line.fault}.")
        yield f"line {line.number}", line.row


def _parquet_rows(path: Path) -> Iterator[tuple[str, Row]]:
    try:
        with pq.ParquetFile(path) as file:
            wanted = [name for name in file.schema_arrow.names if name not in PER_TOKEN]
            rows = file.read(columns=wanted).to_pylist()
    except (OSError, pa.ArrowException) as error:
        reason = str(error).split("\n")[0].strip(" .")
        raise BadInput(f"{path} cannot be read as parquet ({reason}): write the file again.") from error
    yield from ((f"row {number}", row) for number, row in enumerate(rows))


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise BadInput(f"{where} is not a JSON object: write one with `index` or `id`, and `output`.")
    return value


def _stored_row(row: Row, where: str, place: str, id_column: str | None) -> StoredRow:
    asked = row["doc"] if isinstance(row.get("doc"), dict) else row
    sample = row.get("sample")
    return StoredRow(
        place=place,
        id=_id(row, where, [*ID_COLUMNS, *([id_column] if id_column else [])]),
        index=_index(row, where),
        outputs=_outputs(row, where),
        sample=sample if isinstance(sample, int) else None,
        filter=row["filter"] if "doc_id" in row and isinstance(row.get("filter"), str) else None,
        asked={name: asked[name] for name in ASKED_COLUMNS if isinstance(asked.get(name), str)},
        stated=stated_sampling(row),
    )


def _id(row: Row, where: str, columns: Sequence[str]) -> str | None:
    column = next((column for column in columns if row.get(column) is not None), None)
    if column is None:
        return None
    value = row[column]
    if isinstance(value, float) and value.is_integer():  # what pandas makes of integers in a column with gaps
        value = int(value)
    if not isinstance(value, str | int) or isinstance(value, bool):
        raise BadInput(f"{where}: {column} is {value!r}: give a text or a whole number.")
    return str(value).strip()


def _index(row: Row, where: str) -> int | None:
    column = next((column for column in INDEX_COLUMNS if row.get(column) is not None), None)
    if column is None:
        return None
    text = str(row[column]).removesuffix(".0")
    if isinstance(row[column], bool) or not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise BadInput(f"{where}: {column} is {row[column]!r}: give the problem's number, counted from 0.")
    return int(text)


def _outputs(row: Row, where: str) -> tuple[StoredOutput, ...]:
    answers = _answers(row, where)
    texts = [_answer_text(answer, where) for answer in answers]
    if not texts:
        raise BadInput(f"{where} has an empty list of outputs: give [null] for an empty answer, or leave the row out.")
    counts = _token_counts(row, len(texts))
    reasons = _one_each(row.get("finish_reason"), len(texts), str)
    return tuple(map(StoredOutput, texts, counts, reasons))


def _answers(row: Row, where: str) -> list[Any]:
    """The row's answers as they are in the file."""
    if row.get("output") is not None and row.get("outputs") is not None:
        raise BadInput(f"{where} has both `output` and `outputs`: leave one out.")
    columns = [*(["solution"] if "task_id" in row else []), *ANSWER_COLUMNS]
    column = next((column for column in columns if row.get(column) is not None), None)
    logged = row.get("resps") or row.get("filtered_resps")
    if column is None and isinstance(logged, list):  # a list for each request of lists of its repeats
        return [answer for request in logged for answer in (request if isinstance(request, list) else [request])]
    if column is None and not any(column in row for column in columns):
        raise BadInput(f"{where} has no output, only {', '.join(row) or 'nothing'}: give it as `output` or `outputs`.")
    value = None if column is None else row[column]
    return value if isinstance(value, list) and not _is_chat(value) else [value]


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "role" in item for item in value)


def _answer_text(answer: Any, where: str) -> str:
    """An answer as text: itself, or what the assistant said last."""
    if _is_chat(answer):
        said = [message for message in answer if message["role"] == "assistant"]
        if not said:
            raise BadInput(f"{where} has a chat in which no assistant speaks: give the assistant's answer.")
        answer = said[-1]
    if isinstance(answer, dict) and "role" in answer:
        content = answer.get("content")
        parts = content if isinstance(content, list) else []
        answer = "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict)) if parts else content
    if answer is None:
        return ""
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise BadInput(f"{where} has an output that is neither a text nor a list of chat messages: give it as a text.")
    # Half a surrogate pair has no UTF-8 form, so it could not be kept.
    return str(answer).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _token_counts(row: Row, number: int) -> list[int | None]:
    """The length of each of `number` answers in tokens, where the row tells it."""
    if row.get("num_tokens") is not None:
        return _one_each(row["num_tokens"], number, int)
    tokens = row.get("tokens")
    if isinstance(tokens, list) and number == 1 and not (tokens and isinstance(tokens[0], list)):
        return [len(tokens)]  # the tokens themselves
    if isinstance(tokens, list):
        tokens = [len(item) if isinstance(item, list) else item for item in tokens]
    return _one_each(tokens, number, int)


def _one_each(value: Any, number: int, kind: type) -> list[Any]:
    """`value` as one of `kind` for each answer; None where it is none, or does not fit."""
    values = value if isinstance(value, list) else [value]
    if len(values) != number:
        return [None] * number
    return [item if isinstance(item, kind) and not isinstance(item, bool) else None for item in values]
