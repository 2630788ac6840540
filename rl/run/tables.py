"""Rows as parquet files, and back."""

import io
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rl.run import atomic
from rl.run.disk import writing

# Log-probabilities keep 64 bits, so that what was trained on is what is read back.
TOKENS = pa.list_(pa.int32())
LOGPROBS = pa.list_(pa.float64())


def write_rows(path: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows atomically; the schema keeps the types of columns that hold only nulls."""
    with writing(path):
        path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), buffer, compression="zstd")
    atomic.write_bytes(path, buffer.getvalue())


def read_rows(path: Path, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """Return the rows of one parquet file; columns in `without` are not read."""
    columns = [name for name in pq.read_schema(path).names if name not in without]
    return pq.read_table(path, columns=columns).to_pylist()


def step_of(path: Path) -> int:
    """Return the step that the name of a file or folder `step-000012` or `step-000012.parquet` gives."""
    return int(path.stem.removeprefix("step-"))
