"""The one reader of JSON Lines: bytes in, checked rows out, or one sentence that says which line is wrong and why.

A file holds one JSON object a line, in UTF-8, with or without a byte order mark, with any ends of lines, plain or
gzipped (whatever its name says). Empty lines are no rows. Beyond the standard, NaN and infinities are read, since
Python writes them: whoever needs a finite number checks for it.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rewards.errors import BadInput

Row = dict[str, Any]

BOM = b"\xef\xbb\xbf"
UTF16 = (b"\xff\xfe", b"\xfe\xff")
GZIP = b"\x1f\x8b"
OTHER_KINDS = {
    b"PAR1": "parquet",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
}
LONGEST_LINE = 2**28  # bytes; the longest row of a known data set has a fifth of it
DEEPEST = 200  # levels of lists and objects in a row: more of them overflow the stack of whoever walks them
ADVICE = "write one JSON object a line"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file that is not empty.

    Attributes:
        number: counted from 1.
        row: its object; empty if it is none.
        fault: what is wrong with it and what to do; empty if it is a row.
        end: bytes of the file up to the line's end.
    """

    number: int
    row: Row
    fault: str
    end: int


class _Repeated(ValueError):
    """An object has a key twice."""


def jsonl_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Read the objects of a JSON Lines file one by one, each with the number of its line, from 1.

    Raises:
        BadInput: the file cannot be read, or a line is no JSON object.
    """
    for line in read_lines(file_lines(path)):
        if line.fault:
            raise BadInput(f"{path}, line {line.number}: {line.fault}")
        yield line.number, line.row


def file_lines(path: Path) -> Iterator[bytes]:
    """Read the lines of a file one by one, unpacked if it is gzipped. Raises BadInput where it cannot be read."""
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] == GZIP:
                with gzip.open(file) as unpacked:
                    yield from _limited(unpacked, path)
            else:
                yield from _limited(file, path)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        # OSError: also what is gzipped wrongly; EOFError: it is cut off; ValueError: a name with a NUL character.
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path} cannot be read: {reason}; give an existing file of JSON lines") from error


def _limited(file: BinaryIO | gzip.GzipFile, path: Path) -> Iterator[bytes]:
    """Read lines as the file itself does, but none that fills the memory. Raises BadInput for a longer one."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE and not (len(line) == LONGEST_LINE + 1 and line.endswith(b"\n")):
            raise BadInput(f"{path}, line {number}: more than {LONGEST_LINE:,} bytes: {ADVICE}")
        yield line


def plain_size(path: Path) -> int:
    """Count the bytes that `file_lines` will read; 0 if that is not known, as of a pipe or a gzipped file."""
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return 0 if file.peek(2)[:2] == GZIP else path.stat().st_size


def read_lines(lines: Iterable[bytes], mend_text: bool = False) -> Iterator[Line]:
    """Read the lines of a file opened in binary mode, which splits at newlines alone; JSON texts may hold U+2028.

    `mend_text`: half of a surrogate pair, which has no UTF-8 form, is read as U+FFFD, as UTF-8 encoders write it; that
    is for files of completions, which may be cut anywhere. Else the line is refused.
    """
    end = 0
    for number, line in enumerate(lines, start=1):
        end += len(line)
        text = line.removeprefix(BOM).strip()  # files that were joined have marks in the middle
        if text:
            value, fault = parse(text, mend_text)
            if not fault and not isinstance(value, dict):
                fault = f"a JSON {_kind(value)}, not a JSON object: {ADVICE}"
            yield Line(number, {} if fault else value, fault, end)


def parse(text: bytes, mend_text: bool = False) -> tuple[Any, str]:
    """The value of a JSON text, or what is wrong with it and what to do. `mend_text`: see `read_lines`."""
    try:
        value = _DECODER.decode(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        return None, _not_utf8(text, error)
    except json.JSONDecodeError as error:
        return None, _not_json(text, error)
    except RecursionError:
        return None, _too_deep()
    except _Repeated as error:
        return None, f"the key {error.args[0]!r} is there twice: leave one out"
    except ValueError:  # of Python's limit on digits, the only one that is left
        return None, "not JSON that can be read (a number has more than 4,300 digits): write the number as a text"
    if text.count(b"[") + text.count(b"{") > DEEPEST and _depth(value) > DEEPEST:
        return None, _too_deep()
    if _SURROGATE.search(text):
        return _whole_text(value, mend_text)
    return value, ""


def _unique(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        seen: set[str] = set()
        raise _Repeated(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _whole_text(value: Any, mend: bool) -> tuple[Any, str]:
    """A value whose texts have a UTF-8 form."""
    written = json.dumps(value, ensure_ascii=False)
    try:
        written.encode("utf-8")
    except UnicodeEncodeError as error:
        half = f"\\u{ord(written[error.start]):04x}"
        if not mend:
            return None, f"{half} is half of a character (a lone surrogate): write the whole character, or leave it out"
        return json.loads(written.encode("utf-16", "surrogatepass").decode("utf-16", "replace")), ""
    return value, ""


def _depth(value: Any) -> int:
    """How many lists and objects are inside each other; counted without recursion."""
    depth, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [item for items in level for item in (items.values() if isinstance(items, dict) else items)]
    return depth


def _too_deep() -> str:
    return f"not JSON that can be read (nested more than {DEEPEST} levels deep): write nested data as a text"


def _not_utf8(text: bytes, error: UnicodeDecodeError) -> str:
    for magic, kind in OTHER_KINDS.items():
        if text.startswith(magic):
            return f"not UTF-8 text but a {kind} file: write it as JSON lines"
    if text.startswith(UTF16):
        return "not UTF-8 text but UTF-16: save the file as UTF-8"
    return f"not UTF-8 text (byte 0x{text[error.start]:02x} at position {error.start + 1}): save the file as UTF-8"


def _not_json(text: bytes, error: json.JSONDecodeError) -> str:
    if b"\0" in text:
        return "not JSON (it has NUL bytes, as UTF-16 text or a damaged file has): save the file as UTF-8"
    if error.msg == "Extra data":
        return f"not JSON (another value begins at character {error.pos + 1}): {ADVICE}"
    if error.msg.startswith("Unterminated string") or error.pos >= len(error.doc):
        return f"not JSON (it ends within a value, as if cut off or written over several lines): {ADVICE}"
    return f"not JSON ({error.msg.removesuffix(' at')} at character {error.pos + 1}): {ADVICE}"


def _kind(value: Any) -> str:
    kinds = {list: "list", str: "text", bool: "truth value", type(None): "null"}
    return kinds.get(type(value), "number")
