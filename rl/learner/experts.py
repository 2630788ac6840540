"""Mixture-of-experts models: which of their weights learn, how even the experts are used, and the loss that evens it.

Their experts are stacked into matrices of three dimensions, so an adapter on `all-linear` layers would miss them or,
with peft's own mapping, adapt the router, too. Here it is the experts and not the router, which stays as it was unless
asked: engine and learner must send the same tokens to the same experts, and a router that moves makes them part.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

EXPERTS = 3  # dimensions of a stack of matrices


def find_routers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that send tokens to experts, by name; none in a dense model."""
    return {name: module for name, module in model.named_modules() if is_router(module)}


def is_router(module: nn.Module) -> bool:
    """Whether a module has a row of weights for each expert and chooses the `top_k` highest."""
    weight = None if isinstance(module, BaseTunerLayer) else getattr(module, "weight", None)
    return hasattr(module, "top_k") and hasattr(module, "num_experts") and isinstance(weight, Tensor)


def adapter_targets(model: nn.Module, train_router: bool) -> dict[str, list[str]]:
    """Options of peft's `LoraConfig` that adapt every linear layer and all experts of a mixture, but for the head."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    linear = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, nn.Linear) and m is not head}
    stacks = {".".join(n.split(".")[-3:]) for n, p in model.named_parameters() if p.dim() == EXPERTS}
    routers = {".".join([*n.split(".")[-2:], "weight"]) for n in find_routers(model)} if train_router else set()
    return {"target_modules": sorted(linear), "target_parameters": sorted(stacks | routers)}


def freeze_routers(model: nn.Module) -> None:
    """Keep routers as they are, where all other weights learn."""
    for router in find_routers(model).values():
        router.requires_grad_(False)


class RouterWatch:
    """Sees every choice of a model's routers while it is open.

    Attributes:
        counts: tokens that were sent to each expert [E], by router.
    """

    def __init__(self, model: nn.Module) -> None:
        self._routers = find_routers(model)
        self._open = False
        self._logits: dict[str, Tensor] = {}  # [T, E] of the last pass
        self.counts: dict[str, Tensor] = {}
        for name, router in self._routers.items():
            router.register_forward_hook(self._hook(name))

    def __bool__(self) -> bool:
        return bool(self._routers)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Count, and keep the last pass's logits, while the block runs."""
        self._open, self._logits = True, {}
        try:
            yield
        finally:
            self._open = False

    def balance_loss(self) -> Tensor:
        """The load-balancing loss of the last pass (Switch Transformer, arXiv:2101.03961, eq. 4 to 6): a scalar.

        `top_k` where every expert gets as many tokens; more where some get more.
        """
        first: Any = next(iter(self._routers.values()))
        logits: Any = tuple(self._logits.values())
        loss = load_balancing_loss_func(logits, first.num_experts, first.top_k)
        assert isinstance(loss, Tensor)
        return loss

    def take_counts(self) -> dict[str, Tensor]:
        """The counts since the last call."""
        counts, self.counts = self.counts, {}
        return counts

    def _hook(self, name: str) -> Any:
        def note(router: Any, _: Any, output: Any) -> None:
            if not self._open:
                return
            logits, chosen = output[0], output[-1]
            self._logits[name] = logits
            used = torch.bincount(chosen.detach().flatten(), minlength=logits.shape[-1]).cpu()
            self.counts[name] = self.counts.get(name, 0) + used

        return note


def load_metrics(counts: Sequence[Mapping[str, Tensor]]) -> dict[str, float]:
    """How even the experts were used, from the counts [E] by router of all ranks.

    They are of tokens that were computed: prompts once, and padding where there is any.
    `moe/max_load` is the busiest expert's share over the even one, `moe/idle_experts` the share of experts without a
    token; means over the routers.
    """
    names = sorted({name for part in counts for name in part})
    if not names:
        return {}
    totals = torch.stack([sum((part[name] for part in counts if name in part), torch.tensor(0)) for name in names])
    shares = totals.float() / totals.sum(dim=1, keepdim=True).clamp(min=1)  # [R, E]
    return {
        "moe/max_load": float((shares.amax(dim=1) * shares.shape[1]).mean()),
        "moe/idle_experts": float((totals == 0).float().mean()),
    }
