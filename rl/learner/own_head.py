"""Asks a model itself for logits of given hidden states, so that a few of them are made at a time.

Models differ in what they do to their logits: Gemma 2 caps them, Granite and Cohere scale them. Each does so in its own
forward pass, after its decoder. So that pass is run with a decoder that answers with the hidden states at hand.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

# How hidden states become logits: by the matrix of the output embeddings alone, by what the model itself does to them,
# or all at once in the model's pass.
Head = Literal["plain", "own", "whole"]

LARGE = 100.0  # nats, of the largest logit that heads are compared on: caps and scales show there
EQUAL = 0.01  # of it: heads are equal if their logits are no further apart


@torch.no_grad()
def pick_head(model: Any) -> Head:
    """`plain` if the model does nothing to the logits of its output embeddings, else `own`.

    A model whose pass cannot be run with another decoder's answer is taken to be `plain`: compare what comes out.
    """
    matrix = model.get_output_embeddings()
    states = model.get_decoder()(input_ids=torch.zeros(1, 2, dtype=torch.long, device=model.device), use_cache=False)
    width, device = states.last_hidden_state.shape[-1], states.last_hidden_state.device
    random = torch.randn(8, width, generator=torch.Generator().manual_seed(0)).to(device)
    random *= LARGE / matrix(random.to(states.last_hidden_state.dtype)).abs().max().float()
    hidden = random.to(states.last_hidden_state.dtype)
    try:
        own = own_head(model, type(states))(hidden)
    except (TypeError, ValueError, RuntimeError, AttributeError):  # models refuse in their own ways
        return "plain"
    return "plain" if float((own - matrix(hidden)).abs().max()) <= EQUAL * LARGE else "own"


def own_head(model: Any, output: type[ModelOutput]) -> Callable[[Tensor], Tensor]:
    """The model's logits [U, V] as a function of hidden states [U, D]; `output` is what its decoder answers with."""
    decoder = model.get_decoder()

    def logits(hidden: Tensor) -> Tensor:
        ids = torch.zeros(1, len(hidden), dtype=torch.long, device=hidden.device)  # nobody looks at them
        with answering(decoder, output(last_hidden_state=hidden[None])):
            made: Tensor = model(input_ids=ids, use_cache=False).logits
        return made[0]

    return logits


@contextlib.contextmanager
def answering(module: nn.Module, answer: Any) -> Iterator[None]:
    """Let a module answer every call with `answer`."""
    own = vars(module).get("forward")  # a wrapper that some library put there
    module.forward = lambda *_, **__: answer
    try:
        yield
    finally:
        if own is None:
            del module.forward
        else:
            module.forward = own
