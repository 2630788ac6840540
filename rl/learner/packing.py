"""Packs completions into prefix trees: every distinct prefix of a micro-batch is computed once.

Node i of a tree holds one token; its ancestors are the tokens before it. A token attends to its ancestors and itself,
at the position that its depth gives, so its hidden state is the one that the whole sequence alone would have. Few-shot
examples shared by all problems, the prompt shared by a group, and equal beginnings of completions cost one computation
each, and there is no padding. The last token of a completion predicts nothing and is left out.

Nodes are numbered in preorder: a node, then all that descends from it, before its next sibling. So who sees whom takes
one number a node, `ends`: node i sees node j if j <= i < ends[j].

Models that cannot be computed as trees (rl/learner/selfcheck.py finds out) get padded rows, one sequence each.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

Layout = Literal["tree", "padded"]


@dataclass(frozen=True)
class Sample:
    """One completion to learn from.

    Attributes:
        prompt_ids: tokens of the prompt, at least one.
        completion_ids: the T sampled tokens.
        engine_logps: the engine's log-probability of each, length T.
        advantage: what the completion is worth; 0 teaches nothing.
        counted: False keeps it out of the loss (ungradable, or truncated with `mask_truncated_completions`).
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    engine_logps: tuple[float, ...]
    advantage: float
    counted: bool

    @property
    def path(self) -> tuple[int, ...]:
        """The tokens that something is predicted from."""
        return self.prompt_ids + self.completion_ids[:-1]


@dataclass(frozen=True)
class MicroBatch:
    """What the model reads, and the N completion tokens, of S sequences, that it predicts.

    A prefix tree is one row of L nodes; padded rows are S rows of the longest one's length, zeros on the right.
    """

    input_ids: Tensor  # [R, L]
    position_ids: Tensor  # [R, L] depth in the tree, place in the row
    ends: Tensor | None  # [L] one past each node's last descendant; None: padded rows
    source: Tensor  # [N] place in the flattened rows whose hidden state predicts the token
    target: Tensor  # [N] the token
    sequence: Tensor  # [N] which of the S sequences
    mask: Tensor  # [N] bool: True counts in the loss
    engine_logps: Tensor  # [N]
    advantages: Tensor  # [S]
    indices: tuple[int, ...]  # [S] place of each sequence among the samples
    budget: int  # tokens that a micro-batch of this packing may have

    def to(self, device: torch.device | str) -> "MicroBatch":
        """The same micro-batch with its tensors on `device`."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def with_indices(self, places: Sequence[int]) -> "MicroBatch":
        """The same micro-batch of a selection, its indices put back to where the selection was taken from."""
        return replace(self, indices=tuple(places[i] for i in self.indices))


@dataclass(frozen=True)
class Rows:
    """A layout worked out: its tensors, and where in the flattened rows the tokens of each path lie."""

    input_ids: Tensor  # [R, L]
    position_ids: Tensor  # [R, L]
    ends: Tensor | None  # [L]
    places: list[list[int]]  # by path, in the order of `add`


class Packer(Protocol):
    """Paths that become one micro-batch."""

    def size_with(self, path: Sequence[int]) -> int:
        """Tokens computed if `path` were added."""
        ...

    def add(self, path: Sequence[int]) -> None:
        """Add a path."""
        ...

    def rows(self) -> Rows:
        """The tensors of all paths."""
        ...


class PrefixTree:
    """Grows one node for each prefix not seen before."""

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._depths: list[int] = []
        self._children: list[dict[int, int]] = [{}]  # of the root, then of each node: token and node
        self._paths: list[list[int]] = []

    def size_with(self, path: Sequence[int]) -> int:
        """How many nodes the tree would have with `path`."""
        place = 0  # in `_children`, where node i's are at i + 1
        for depth, token in enumerate(path):
            child = self._children[place].get(token)
            if child is None:
                return len(self._tokens) + len(path) - depth
            place = child + 1
        return len(self._tokens)

    def add(self, path: Sequence[int]) -> None:
        """Add what is missing of a path from the root."""
        place, nodes = 0, []
        for depth, token in enumerate(path):
            node = self._children[place].get(token)
            if node is None:
                node = self._children[place][token] = len(self._tokens)
                self._tokens.append(token)
                self._depths.append(depth)
                self._children.append({})
            nodes.append(node)
            place = node + 1
        self._paths.append(nodes)

    def rows(self) -> Rows:
        """One row of all nodes, renumbered in preorder."""
        order, waiting = list[int](), list(reversed(self._children[0].values()))
        while waiting:
            node = waiting.pop()
            order.append(node)
            waiting += reversed(self._children[node + 1].values())
        new = {node: place for place, node in enumerate(order)}
        ends = list(range(1, len(order) + 1))
        for place in reversed(range(len(order))):  # children come after their parent, so theirs are known
            for child in self._children[order[place] + 1].values():
                ends[place] = max(ends[place], ends[new[child]])
        return Rows(
            input_ids=torch.tensor([[self._tokens[node] for node in order]]),
            position_ids=torch.tensor([[self._depths[node] for node in order]]),
            ends=torch.tensor(ends),
            places=[[new[node] for node in nodes] for nodes in self._paths],
        )


class PaddedRows:
    """One row a path, all as long as the longest."""

    def __init__(self) -> None:
        self._paths: list[list[int]] = []

    def size_with(self, path: Sequence[int]) -> int:
        """Tokens with padding, if `path` were a row, too."""
        return (len(self._paths) + 1) * max(len(path), *map(len, self._paths), 0)

    def add(self, path: Sequence[int]) -> None:
        """Add a row."""
        self._paths.append(list(path))

    def rows(self) -> Rows:
        """Zeros on the right: causal models do not let what comes before them see them."""
        width = max(map(len, self._paths))
        return Rows(
            input_ids=torch.tensor([path + [0] * (width - len(path)) for path in self._paths]),
            position_ids=torch.arange(width).repeat(len(self._paths), 1),
            ends=None,
            places=[[row * width + i for i in range(len(path))] for row, path in enumerate(self._paths)],
        )


PACKERS: dict[Layout, type[PrefixTree] | type[PaddedRows]] = {"tree": PrefixTree, "padded": PaddedRows}


def pack(
    samples: Sequence[Sample], max_tokens: int, max_sequences: int | None = None, layout: Layout = "tree"
) -> Iterator[MicroBatch]:
    """Cut samples, in order, into micro-batches of at most `max_tokens` computed tokens and `max_sequences` each.

    A sample longer than `max_tokens` gets a micro-batch of its own.
    """
    packer: Packer = PACKERS[layout]()
    members = list[int]()
    for index, sample in enumerate(samples):
        too_long = packer.size_with(sample.path) > max_tokens
        if members and (too_long or len(members) == max_sequences):
            yield build(packer.rows(), members, samples, max_tokens)
            packer, members = PACKERS[layout](), []
        packer.add(sample.path)
        members.append(index)
    if members:
        yield build(packer.rows(), members, samples, max_tokens)


def build(rows: Rows, members: Sequence[int], samples: Sequence[Sample], budget: int) -> MicroBatch:
    """The tensors of one micro-batch; `members` are the places of its sequences in `samples`."""
    chosen = [samples[index] for index in members]
    lengths = torch.tensor([len(sample.completion_ids) for sample in chosen])
    starts = [len(sample.prompt_ids) - 1 for sample in chosen]  # the prompt's last token predicts the first
    return MicroBatch(
        input_ids=rows.input_ids,
        position_ids=rows.position_ids,
        ends=rows.ends,
        source=torch.tensor([i for places, start in zip(rows.places, starts, strict=True) for i in places[start:]]),
        target=torch.tensor([token for sample in chosen for token in sample.completion_ids]),
        sequence=torch.arange(len(chosen)).repeat_interleave(lengths),
        mask=torch.tensor([sample.counted for sample in chosen]).repeat_interleave(lengths),
        engine_logps=torch.tensor([x for sample in chosen for x in sample.engine_logps], dtype=torch.float32),
        advantages=torch.tensor([sample.advantage for sample in chosen], dtype=torch.float32),
        indices=tuple(members),
        budget=budget,
    )
