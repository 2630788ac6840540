"""Packs completions into prefix trees: every distinct prefix of a micro-batch is computed once.

Node i of a tree holds one token; its ancestors are the tokens before it. A token attends to its ancestors and itself,
at the position that its depth gives, so its hidden state is the one that the whole sequence alone would have. Few-shot
examples shared by all problems, the prompt shared by a group, and equal beginnings of completions cost one computation
each, and there is no padding. The last token of a completion predicts nothing and is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor


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


@dataclass(frozen=True)
class MicroBatch:
    """A prefix tree of L nodes and the N completion tokens, of S sequences, that it predicts."""

    input_ids: Tensor  # [L]
    position_ids: Tensor  # [L] depth in the tree
    attends: Tensor  # [L, L] bool: row may look at column
    source: Tensor  # [N] node whose hidden state predicts the token
    target: Tensor  # [N] the token
    sequence: Tensor  # [N] which of the S sequences
    mask: Tensor  # [N] bool: True counts in the loss
    engine_logps: Tensor  # [N]
    advantages: Tensor  # [S]
    indices: tuple[int, ...]  # [S] place of each sequence among the samples

    def to(self, device: torch.device | str) -> "MicroBatch":
        """The same micro-batch with its tensors on `device`."""
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)

    def with_indices(self, places: Sequence[int]) -> "MicroBatch":
        """The same micro-batch of a selection, its indices put back to where the selection was taken from."""
        return replace(self, indices=tuple(places[i] for i in self.indices))


class PrefixTree:
    """Grows one node for each prefix not seen before."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.parents: list[int] = []
        self.depths: list[int] = []
        self._children: dict[tuple[int, int], int] = {}

    def missing(self, path: Sequence[int]) -> int:
        """How many nodes `insert(path)` would add."""
        node = -1
        for depth, token in enumerate(path):
            child = self._children.get((node, token))
            if child is None:
                return len(path) - depth
            node = child
        return 0

    def insert(self, path: Sequence[int]) -> list[int]:
        """Add what is missing of a path from the root; returns its nodes."""
        node, nodes = -1, []
        for depth, token in enumerate(path):
            key = (node, token)
            if key not in self._children:
                self._children[key] = len(self.tokens)
                self.tokens.append(token)
                self.parents.append(node)
                self.depths.append(depth)
            node = self._children[key]
            nodes.append(node)
        return nodes

    def ancestry(self) -> Tensor:
        """[L, L] bool: True where the column is the row's ancestor or the row itself."""
        attends = torch.eye(len(self.tokens), dtype=torch.bool)
        for node, parent in enumerate(self.parents):  # a parent always comes before its children
            if parent >= 0:
                attends[node] |= attends[parent]
        return attends


def pack(samples: Sequence[Sample], max_tokens: int, max_sequences: int | None = None) -> Iterator[MicroBatch]:
    """Cut samples, in order, into micro-batches of at most `max_tokens` tree nodes and `max_sequences` completions.

    A sample longer than `max_tokens` gets a micro-batch of its own.
    """
    tree, members = PrefixTree(), list[int]()
    for index, sample in enumerate(samples):
        path = sample.prompt_ids + sample.completion_ids[:-1]
        too_long = len(tree.tokens) + tree.missing(path) > max_tokens
        if members and (too_long or len(members) == max_sequences):
            yield build(tree, members, samples)
            tree, members = PrefixTree(), []
        tree.insert(path)
        members.append(index)
    if members:
        yield build(tree, members, samples)


def build(tree: PrefixTree, members: Sequence[int], samples: Sequence[Sample]) -> MicroBatch:
    """The tensors of one micro-batch; `members` are the places of its sequences in `samples`."""
    source, target, sequence = list[int](), list[int](), list[int]()
    mask, engine_logps = list[bool](), list[float]()
    for s, index in enumerate(members):
        sample = samples[index]
        nodes = tree.insert(sample.prompt_ids + sample.completion_ids[:-1])
        source += nodes[len(sample.prompt_ids) - 1 :]
        target += sample.completion_ids
        sequence += [s] * len(sample.completion_ids)
        mask += [sample.counted] * len(sample.completion_ids)
        engine_logps += sample.engine_logps
    return MicroBatch(
        input_ids=torch.tensor(tree.tokens),
        position_ids=torch.tensor(tree.depths),
        attends=tree.ancestry(),
        source=torch.tensor(source),
        target=torch.tensor(target),
        sequence=torch.tensor(sequence),
        mask=torch.tensor(mask),
        engine_logps=torch.tensor(engine_logps, dtype=torch.float32),
        advantages=torch.tensor([samples[i].advantage for i in members], dtype=torch.float32),
        indices=tuple(members),
    )
