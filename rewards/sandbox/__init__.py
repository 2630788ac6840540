"""Runs programs that nobody trusts, without a daemon, root rights or a network service."""

from rewards.sandbox.host import MODES, Ended, Mode, Sandbox, SandboxError, Usage
from rewards.sandbox.limits import Limits

__all__ = ["MODES", "Ended", "Limits", "Mode", "Sandbox", "SandboxError", "Usage"]
