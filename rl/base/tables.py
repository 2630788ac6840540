"""Rows as parquet files, and back."""

import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rl.base import atomic
from rl.base.disk import writing
from rl.base.stored import damaged

# Log-probabilities keep 64 bits, so that what was trained on is what is read back.
TOKENS = pa.list_(pa.int32())
LOGPROBS = pa.list_(pa.float64())
CURE = "bring it back from a copy, or delete it, and do without its rows"
STEP = re.compile("step-([0-9]{6,9})")


def write_rows(path: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows atomically; the schema keeps the types of columns that hold only nulls."""
    with writing(path):
        path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(list(rows), schema=schema)
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    atomic.write_bytes(path, buffer.getvalue())


def read_rows(
    path: Path, schema: pa.Schema, without: Collection[str] = (), may_lack: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Return the rows of one parquet file, with columns that the schema does not name, too.

    Args:
        path: the file.
        schema: columns that it has, with their types.
        without: columns that are not read.
        may_lack: columns of the schema that it need not have.

    Raises:
        BadInput: the file is damaged, lacks a column, or has one of another type.
        FileNotFoundError: there is none.
    """
    try:
        found = pq.read_schema(path)
        columns = [name for name in found.names if name not in without]
        rows: list[dict[str, Any]] = pq.read_table(path, columns=columns, page_checksum_verification=True).to_pylist()
    except FileNotFoundError:
        raise
    # OSError: unreadable, or pages that do not fit their checksums. ArrowException: no parquet. ValueError: no UTF-8.
    except (OSError, pa.ArrowException, ValueError) as error:
        raise damaged(path, "it cannot be read as a parquet file", CURE) from error
    types = dict(zip(found.names, found.types, strict=True))
    for name, kind in zip(schema.names, schema.types, strict=True):
        if name not in types and name not in may_lack:
            raise damaged(path, f"it has no column {name}", CURE)
        if types.get(name, kind) != kind:
            raise damaged(path, f"its column {name} is of another type", CURE)
    return rows


def step_paths(place: Path, suffix: str = "") -> dict[int, Path]:
    """Return the files or folders `step-000012` in a folder, with a suffix such as `.json`, by step and in order.

    What has any other name, such as the copy of a file, is nobody's.
    """
    found = {}
    for path in place.glob(f"step-*{suffix}"):
        if match := STEP.fullmatch(path.name.removesuffix(suffix)):
            found[int(match.group(1))] = path
    return dict(sorted(found.items()))
