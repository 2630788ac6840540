"""Which blocks of an answer are its program, where it has several.

Where the tests name a function or class:

1. The last block that defines it is the program; a definition whose body is left out counts only if there is no other.
   So a corrected version replaces the first try, and a block that only uses the function is passed over.
2. A name that the program takes from elsewhere brings in the block that defines it: the last one before, else the
   first one after. So the parts of a program may stand in several blocks.
3. A later block that defines a function or class of the program again, and does not mention what the tests name,
   replaces that part.

Where the tests run the program as a script:

1. The last block that reads and writes is the program, else the last that does so with the blocks that it needs, else
   the last that does anything; not one that makes its own input, has code left out, or is a part of another block.
2. Rule 2 above holds.

Where no block qualifies, it is the last one of Python, else the last one without a language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rewards.code.blocks import Block
from rewards.code.names import Names, container, names_of, provides

READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0\b|\bfileinput\b|\bos\s*\.\s*read\s*\(")
WRITES = re.compile(r"\bprint\b|\bstdout\b|\bos\s*\.\s*write\s*\(")
OWN_INPUT = re.compile(r"\bstdin\s*=.*\bStringIO\s*\(\s*[^)\s]|\bsubprocess\b")
GAP = re.compile(r"^\s*(?:\.\.\.|…)\s*$|^\s*#\s*(?:\.\.\.|…)", re.MULTILINE)
MOST_BLOCKS = 100  # of an answer, its last; each is compared with each


@dataclass(frozen=True, slots=True)
class Part:
    """A block and its names."""

    block: Block
    names: Names


def choose(blocks: Sequence[Block], wanted: Sequence[str]) -> Block | None:
    """The program that blocks hold, or None.

    Args:
        blocks: of one answer.
        wanted: names that the tests use, the most important one first; none where they run the program as a script.
    """
    candidates = [block for block in blocks if block.may_be_python and block.text.strip()][-MOST_BLOCKS:]
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    parts = [Part(block, names_of(block.text)) for block in candidates]
    places = _definers(parts, wanted) if wanted else _scripts(parts)
    if not places:
        tagged = [block for block in candidates if block.language]
        return (tagged or candidates)[-1]
    first, last = _completed(parts, places, wanted)
    texts = [parts[place].block.text for place in [*first, *last]]
    return Block("python", "\n".join(texts), 0, 0, all(parts[place].block.fenced for place in places))


def _definers(parts: Sequence[Part], wanted: Sequence[str]) -> list[int]:
    """The block of each name: the last that defines it, a whole definition before a sketch."""
    places = set()
    for name in wanted:
        found = [(place, provides(part.names, name)) for place, part in enumerate(parts)]
        whole = [place for place, definition in found if definition is not None and not definition.is_sketch]
        sketches = [place for place, definition in found if definition is not None]
        classes = [place for place, part in enumerate(parts) if container(name) in part.names.defined]
        places.update((whole or sketches or classes)[-1:])
    return sorted(places)


def _scripts(parts: Sequence[Part]) -> list[int]:
    """The block that is a whole script, as far as there is one."""
    acting = [place for place, part in enumerate(parts) if part.names.acts and not OWN_INPUT.search(part.block.text)]
    whole = [place for place in acting if _is_whole(parts, place, [place])]
    whole = whole or [place for place in acting if _is_whole(parts, place, sum(_completed(parts, [place], ()), []))]
    return (whole or [place for place in acting if parts[place].block.language] or acting)[-1:]


def _is_whole(parts: Sequence[Part], place: int, together: Sequence[int]) -> bool:
    """Whether a block, together with some, reads and writes, and is no excerpt of a block before it."""
    text = parts[place].block.text
    if GAP.search(text) or text[:1] in (" ", "\t"):
        return False
    program = "\n".join(parts[number].block.text for number in together)
    if not (READS.search(program) and WRITES.search(program)):
        return False
    return not any(text.strip() in other.block.text and len(text) < len(other.block.text) for other in parts[:place])


def _completed(parts: Sequence[Part], chosen: Sequence[int], wanted: Sequence[str]) -> tuple[list[int], list[int]]:
    """The chosen blocks with those that they need; then those that replace a part of them."""
    included = set(chosen)
    waiting = list(chosen)
    while waiting:
        place = waiting.pop()
        for name in parts[place].names.taken:
            need = _source(parts, place, name, wanted)
            if need is not None and need not in included:
                included.add(need)
                waiting.append(need)
    own = {name for place in included for name in parts[place].names.defined}
    own -= {*wanted, *map(container, wanted)}
    again = [
        place
        for place in range(max(included) + 1, len(parts))
        if not _uses(parts[place], wanted) and _replaces(parts[place].names, own)
    ]
    helpers = sorted(included - set(chosen))
    return [*helpers, *sorted(chosen)], again if wanted else []


def _source(parts: Sequence[Part], place: int, name: str, wanted: Sequence[str]) -> int | None:
    """The block from which another takes a name: the nearest one before it, else the first one after it."""
    order = [*range(place - 1, -1, -1), *range(place + 1, len(parts))]
    fitting = (number for number in order if name in parts[number].names.defined)
    return next((number for number in fitting if not _is_example(parts[number], wanted)), None)


def _is_example(part: Part, wanted: Sequence[str]) -> bool:
    """Whether a block uses what the tests name, and does not define it."""
    return any(name.partition(".")[0] in part.names.taken for name in wanted)


def _uses(part: Part, wanted: Sequence[str]) -> bool:
    """Whether a block mentions what the tests name."""
    return any(re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", part.block.text) for name in wanted)


def _replaces(names: Names, own: set[str]) -> bool:
    """Whether a block defines again, in full, a function or class of the program."""
    return any(
        name in own and name not in names.assigned and "." not in name and not definition.is_sketch
        for name, definition in names.defined.items()
    )
