"""Rows of files: JSON Lines and tables of tab-separated values, on disk or in a data set on the hub."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from rewards.errors import BadInput
from rewards.jsonl import BOM, Row, file_lines, jsonl_rows
from rl.models.hub import why_hub_is_silent


def tsv_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a tab-separated file without a header, as text; quotation marks mean nothing in it.

    Raises:
        BadInput: the file cannot be read, or a line does not have one value for each of `columns`.
    """
    for index, data in enumerate(file_lines(path)):
        line = _text(data, f"{path}, line {index + 1}")
        if not line.strip():
            continue
        values = line.rstrip("\r\n").split("\t")
        if len(values) != len(columns):
            raise BadInput(
                f"{path}, line {index + 1}: {len(values)} values between tabs, and problems.options.columns names "
                f"{len(columns)}; name as many columns as the file has."
            )
        yield dict(zip(columns, values, strict=True))


def file_rows(paths: Sequence[Path], columns: Sequence[str]) -> Iterator[Row]:
    """The rows of several files, `.tsv` (with these columns) or JSON Lines, one file after the other."""
    for path in paths:
        yield from tsv_rows(path, columns) if path.suffix == ".tsv" else (row for _, row in jsonl_rows(path))


def hub_files(name: str, revision: str | None, files: Sequence[str]) -> list[Path]:
    """Named files of a data set on the hub, downloaded at a commit unless they are in the cache.

    Raises:
        OSError, ValueError: no network, no such data set, file or revision.
    """
    # Imported late: it takes a second, and a run from local files does not need it.
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    silent = why_hub_is_silent()  # if it is, no request is tried again and again
    try:
        return [Path(hf_hub_download(name, file, repo_type="dataset", revision=revision)) for file in files]
    except LocalEntryNotFoundError as error:
        raise LocalEntryNotFoundError(f"not in the cache, and {silent}" if silent else str(error)) from error


def _text(line: bytes, where: str) -> str:
    try:
        return line.removeprefix(BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{where}: not UTF-8 text ({error}); save the file as UTF-8.") from error
