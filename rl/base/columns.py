"""Tables and sentences as plain text: aligned columns where they fit, else a record for each row.

On a terminal text is as wide as the terminal. In a pipe or a file nothing is broken into lines and nothing is padded
at the end of a line, so other programs can read it. `COLUMNS` in the environment decides in both.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.cells import cell_len, chop_cells

from rl.base.visible import visible, visible_line

GAP = "  "  # between columns
NARROWEST, MOST_LINES = 20, 3  # a column of words is broken into lines of no less, and into about so many
LONGEST_WORD = 40  # characters; longer ones, such as paths, are cut where room is short


@dataclass(frozen=True)
class Column:
    """A column of text, one cell for each row; `left`: words, which may be broken into lines.

    Cells are kept as a terminal shows them (`visible_line`), since their width counts.
    """

    name: str
    cells: Sequence[str]
    left: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", visible_line(self.name))
        object.__setattr__(self, "cells", [visible_line(cell) for cell in self.cells])

    @property
    def widest(self) -> int:
        """Characters that the column takes where nothing is broken into lines."""
        return max(map(cell_len, (self.name, *self.cells)))

    @property
    def narrowest(self) -> int:
        """Characters that the column needs: its name may break between words, and its cells if they are words."""
        cells = max(map(cell_len, self.cells), default=0)
        if self.left:
            words = max((cell_len(word) for cell in self.cells for word in cell.split()), default=0)
            cells = min(cells, max(NARROWEST, min(words, LONGEST_WORD), -(-cells // MOST_LINES)))
        return max(cells, *map(cell_len, self.name.split()))


def output_width() -> int | None:
    """Return the characters in a line of standard output; None: it is no terminal, and `COLUMNS` does not say it."""
    if os.environ.get("COLUMNS", "").isdigit() or sys.stdout.isatty():
        return shutil.get_terminal_size().columns
    return None


def table_text(columns: Sequence[Column], width: int | None = None) -> str:
    """Write columns as lines of at most `width` characters; where that is too narrow, a record for each row."""
    wanted, least = [column.widest for column in columns], [column.narrowest for column in columns]
    gaps = len(GAP) * (len(columns) - 1)
    if width is None or sum(wanted) + gaps <= width:
        return "\n".join(_rows(columns, wanted))
    spare = width - gaps - sum(least)
    if spare < 0:
        return "\n".join(line for row in range(len(columns[0].cells)) for line in _record(columns, row, width))
    widths = []
    for most, fewest in zip(wanted, least, strict=True):
        widths.append(fewest + min(spare, most - fewest))
        spare -= widths[-1] - fewest
    return "\n".join(_rows(columns, widths))


def listing_text(pairs: Sequence[tuple[str, str]], width: int | None = None, indent: str = "") -> str:
    """Write names with what each means, a line for each; more lines of one hang below its first."""
    pairs = [(visible_line(name), visible(meaning)) for name, meaning in pairs]
    longest = max((cell_len(name) for name, _ in pairs), default=0)
    if width is not None:
        longest = min(longest, width // 2)
    rest = None if width is None else max(width - len(indent) - longest - len(GAP), 1)
    lines = []
    for name, meaning in pairs:
        folded = zip_longest(folded_text(name, longest), folded_text(meaning, rest), fillvalue="")
        lines += [f"{indent}{_padded(left, longest)}{GAP}{right}".rstrip() for left, right in folded]
    return "\n".join(lines)


def folded_text(text: str, width: int | None) -> list[str]:
    """Break text into lines of at most `width` characters, between words; only words that are longer are cut."""
    if width is None or cell_len(text) <= width:
        return [text]
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if cell_len(longer) <= width:
            line = longer
            continue
        lines += [line] if line else []
        *whole, line = chop_cells(word, width)
        lines += whole
    return [*lines, line]


def sentence_text(sentence: str, width: int | None) -> str:
    """Break a sentence into lines of at most `width` characters, but no word: paths and commands are to be copied."""
    lines = [""]
    for word in sentence.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width is None or cell_len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines)


def _rows(columns: Sequence[Column], widths: Sequence[int]) -> Iterator[str]:
    """Yield the line of names and the lines of all rows."""
    for row in (tuple(column.name for column in columns), *zip(*(column.cells for column in columns), strict=True)):
        cells = [folded_text(cell, width) for cell, width in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (
                _padded(part, width, column.left) for part, width, column in zip(parts, widths, columns, strict=True)
            )
            yield GAP.join(padded).rstrip()


def _record(columns: Sequence[Column], row: int, width: int) -> Iterator[str]:
    """Yield the first cell of a row, and below it each other cell with its name; what is unknown is left out."""
    title, *others = columns
    yield from folded_text(title.cells[row], width)
    known = [(column.name, column.cells[row]) for column in others if column.cells[row] not in ("", "–")]
    if known:
        yield listing_text(known, width, indent=GAP)


def _padded(text: str, width: int, left: bool = True) -> str:
    space = " " * (width - cell_len(text))
    return text + space if left else space + text
