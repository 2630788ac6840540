"""Which part of a completion is its program. Nothing is run or compiled here, and time is linear in the length.

The answer is what follows the last `</think>` (nothing, if the thinking never ends), in it the last
`<answer>...</answer>` that holds a program, if there is one. The program is a fenced block of Python there, or of no
language; which one, and what is put together from several, says `rewards.code.choose`. A block that is never closed
does not count: it was cut off. Where there is no fence at all, the whole answer is taken, and has no program if it does
not compile. `rewards.code.blocks` says what is a block, and what counts for nothing.

Where the task has a head to be completed (`prefix`), a block or an answer that is only the body of it is put after it.
Whole programs come first: see `extract`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rewards.code.bare import stretches
from rewards.code.blocks import Reading, read
from rewards.code.choose import choose
from rewards.code.continuation import continued
from rewards.code.names import defines


@dataclass(frozen=True)
class Program:
    """A program. `fenced`: it was in a fenced block, so it is meant to be one."""

    text: str
    fenced: bool


def program_text(completion: str, entry_point: str | None = None) -> str | None:
    """The text of a completion's program, or None.

    Args:
        completion: text.
        entry_point: the function that its tests call; None: they run it as a script.
    """
    found = extract(completion, wanted=(entry_point,) if entry_point else ())
    return None if found is None else found.text


def extract(completion: str, prefix: str = "", wanted: Sequence[str] = ()) -> Program | None:
    """A completion's program, or None.

    Args:
        completion: text.
        prefix: head of a function that the completion may go on from. Where a block, or else the whole answer, begins
            with an indented line (as no program does), the program is the head with it. A block that defines what is
            wanted by itself is taken whole, also if the answer begins with indented words.
        wanted: names that the tests use, the most important one first; none where they run the program as a script.
    """
    answer = read(completion)
    if answer.thinking:
        return None
    inside = answer.tagged()
    if inside is not None and not answer.opened and not _is_outside(answer, inside, wanted):
        return _unfenced(inside.text.strip(), inside.text, prefix, wanted)
    if inside is not None and any(block.may_be_python for block in inside.blocks):
        answer = inside
    if answer.opened:
        return _fenced(answer, prefix, wanted)
    return _unfenced(answer.untagged, answer.untagged, prefix, wanted)


def _is_outside(answer: Reading, inside: Reading, wanted: Sequence[str]) -> bool:
    """Whether the program stands outside of the answer tags, where there are no fences."""
    if not wanted:
        return not inside.text.strip()
    return not defines(inside.text, wanted[0]) and defines(answer.untagged, wanted[0])


def _unfenced(text: str, body: str, prefix: str, wanted: Sequence[str]) -> Program | None:
    """The whole answer, put after the head if it is a body, or the code that stands in its prose.

    Args:
        text: the answer, read as a program.
        body: the same with the white space that a body begins with.
        prefix: the head.
        wanted: see `extract`.
    """
    if not text.strip():
        return None
    program = continued(prefix, text) if prefix else None
    if prefix and program is None and not (wanted and defines(text, wanted[0])):
        program = continued(prefix, body)
    if program is None:
        bare = choose(stretches(text.split("\n")) or [], wanted)
        program = text if bare is None else bare.text
    return Program(program, fenced=False)


def _fenced(answer: Reading, prefix: str, wanted: Sequence[str]) -> Program | None:
    """The program that the blocks hold; what stands before or between them, if they hold none."""
    blocks = answer.blocks
    if prefix:
        blocks = [replace(block, text=continued(prefix, block.text) or block.text) for block in blocks]
    chosen = choose(blocks, wanted)
    found = None if chosen is None else Program(chosen.text, chosen.fenced)
    if not wanted or (found is not None and defines(found.text, wanted[0])):
        return found
    program = continued(prefix, answer.text) if prefix else None
    if program is None:
        lines = answer.lines[answer.first :]
        moved = [replace(block, first=block.first - answer.first, last=block.last - answer.first) for block in blocks]
        bare = choose(stretches(lines, moved) or [], wanted)
        program = bare.text if bare is not None and defines(bare.text, wanted[0]) else None
    return found if program is None else Program(program, fenced=False)
