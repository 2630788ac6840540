"""Runs programs that nobody trusts, without a daemon, root rights or a network service."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewards.sandbox.host import MODES, Exit, Mode, Sandbox, SandboxError, Usage
    from rewards.sandbox.limits import Limits

__all__ = ["MODES", "Exit", "Limits", "Mode", "Sandbox", "SandboxError", "Usage"]


def __getattr__(name: str) -> Any:  # late, as in the package above, and for the same reason
    if name in __all__:
        return getattr(importlib.import_module(f"rewards.sandbox.{'limits' if name == 'Limits' else 'host'}"), name)
    raise AttributeError(f"module 'rewards.sandbox' has no attribute {name!r}")
