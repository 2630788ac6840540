"""Floating-point operations and bytes of a step, counted from the sizes of the model and of the batch.

A product of [m, k] and [k, n] counts 2 m k n operations. Norms, activations and softmax are not counted: they are a few
thousandths of a decoder's, and what they take is in the measured time of a counted operation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rl.config.recipe import Recipe
from rl.planner import lengths
from rl.planner.lengths import Survival
from rl.planner.shapes import Shape


@dataclass(frozen=True)
class TreeCounts:
    """What the learner computes of some completions, packed so that equal beginnings are computed once.

    Attributes:
        nodes: tokens that are computed.
        predicting: those of them whose next token is learned, each a row of the vocabulary projection.
        pairs: (token, token it attends to), itself included.
        passes: micro-batches.
    """

    nodes: float
    predicting: float
    pairs: float
    passes: float = 1.0


@dataclass(frozen=True)
class Batch:
    """What a step is made of, on average.

    Attributes:
        problems: of one rank.
        group: completions a problem.
        prompt: tokens of a prompt.
        shared: tokens at its beginning that all prompts have in common.
        survival: how long completions get.
        branching: completions of a problem share beginnings: g of them have g**branching times the tokens of one.
        signal: share of the groups whose rewards differ; the others are skipped before anything is computed.
    """

    problems: float
    group: int
    prompt: float
    shared: float
    survival: Survival
    branching: float = 1.0
    signal: float = 1.0

    @property
    def completions(self) -> float:
        """Completions of a step."""
        return self.problems * self.group


def count_tree(paths: Sequence[tuple[Sequence[int], Sequence[int]]]) -> TreeCounts:
    """Exact counts for one micro-batch of (prompt, completion) token ids.

    The last token of a completion predicts nothing and is left out; every token of it is predicted by the one before.
    """
    children: dict[tuple[int, int], int] = {}
    depths, predicting = list[int](), set[int]()
    for prompt, completion in paths:
        node = -1
        for depth, token in enumerate([*prompt, *completion[:-1]]):
            key = (node, token)
            if key not in children:
                children[key] = len(depths)
                depths.append(depth)
            node = children[key]
            if depth >= len(prompt) - 1:
                predicting.add(node)
    return TreeCounts(len(depths), len(predicting), float(sum(depth + 1 for depth in depths)))


def expect_tree(batch: Batch, micro_batch_tokens: int) -> TreeCounts:
    """Expected counts of a step's groups with signal, cut into passes of at most `micro_batch_tokens` tokens.

    What all prompts share is computed once a pass; a group that two passes share has its prompt computed in both.
    """
    groups = max(batch.problems * batch.signal, min(1.0, batch.problems))
    own = batch.prompt - batch.shared
    distinct = batch.group**batch.branching / batch.group  # of the completions' tokens
    completion_nodes = (lengths.mean_length(batch.survival) - 1) * batch.group * distinct
    room = max(micro_batch_tokens - batch.shared, 1.0)
    passes = float(max(1, math.ceil(groups * (own + completion_nodes) / room)))
    cut_groups = min(passes - 1, groups * max(batch.group - 1, 0))
    prompts = groups + cut_groups
    prompt_pairs = passes * _triangle(batch.shared) + prompts * (_triangle(batch.prompt) - _triangle(batch.shared))
    completion_pairs = groups * batch.group * distinct * lengths.tree_pairs(batch.survival, batch.prompt)
    return TreeCounts(
        nodes=passes * batch.shared + prompts * own + groups * completion_nodes,
        predicting=prompts + groups * completion_nodes,
        pairs=prompt_pairs + completion_pairs,
        passes=passes,
    )


def _triangle(tokens: float) -> float:
    return tokens * (tokens + 1) / 2


def branching_of(groups: Sequence[Sequence[Sequence[int]]]) -> float:
    """The exponent of `Batch.branching`, from the completions of some problems.

    Between 0 (all completions of a problem are the same) and 1 (they share no beginning).
    """
    ratios = []
    for group in groups:
        alone = sum(len(completion) - 1 for completion in group)
        together = count_tree([((0,), completion) for completion in group]).nodes - 1
        if len(group) > 1 and alone > 0:
            ratios.append(1 + math.log(max(together, 1) / alone) / math.log(len(group)))
    return float(np.clip(np.mean(ratios), 0.0, 1.0)) if ratios else 1.0


def forward_flops(shape: Shape, tree: TreeCounts, *, adapter: bool = True) -> float:
    """One forward pass: the layers' matrices, attention, and the vocabulary projection where a token is predicted."""
    return _layers_forward(shape, tree, adapter) + 2 * shape.head * tree.predicting


def backward_flops(shape: Shape, tree: TreeCounts) -> float:
    """One backward pass.

    Attention costs twice its forward pass. A matrix that learns costs twice its own (gradients of inputs and weights),
    a frozen one once (inputs); so does the head, whose logits are formed once. The first layer's inputs count like the
    others', though nothing needs the gradient of a frozen embedding.
    """
    attention = 8 * shape.layers * shape.query * tree.pairs
    if shape.full:
        return 4 * shape.matrices * tree.nodes + attention + 4 * shape.head * tree.predicting
    matrices = 2 * shape.matrices + 4 * shape.adapter
    return matrices * tree.nodes + attention + 2 * shape.head * tree.predicting


def learner_flops(shape: Shape, tree: TreeCounts, recipe: Recipe, teacher: Shape | None = None) -> float:
    """All updates of a step, each with the reference model's forward pass where there is a KL term; before them, once,
    that of a teacher whose tokens are scored."""
    one = update_flops(shape, tree, recipe.model.gradient_checkpointing)
    if recipe.algorithm.beta > 0:
        one += forward_flops(shape, tree, adapter=False)
    taught = 0.0 if teacher is None else forward_flops(teacher, tree, adapter=False)
    return recipe.algorithm.num_iterations * one + taught


def update_flops(shape: Shape, tree: TreeCounts, checkpointing: bool) -> float:
    """Forward and backward, and the layers' forward pass again with gradient checkpointing."""
    again = _layers_forward(shape, tree, adapter=True) if checkpointing else 0.0
    return forward_flops(shape, tree) + backward_flops(shape, tree) + again


def _layers_forward(shape: Shape, tree: TreeCounts, adapter: bool) -> float:
    weights = shape.matrices + (shape.adapter if adapter else 0)
    return 2 * weights * tree.nodes + 4 * shape.layers * shape.query * tree.pairs


def decode_flops(shape: Shape) -> float:
    """Of one new token, without its attention."""
    return 2.0 * shape.token_weights


def attention_flops(shape: Shape) -> float:
    """Of one new token looking at one earlier one, over all layers."""
    return 4.0 * shape.layers * shape.query


def cache_bytes(shape: Shape, itemsize: int) -> int:
    """Keys and values of one token, over all layers."""
    return shape.layers * 2 * shape.key_value * itemsize
