"""Long tables of cases, of which the default tests run a few."""

from collections.abc import Mapping
from typing import Any

import pytest


def first_of(cases: Mapping[str, Any], count: int) -> list[Any]:
    """Return the parameters of all cases, each a name and the rest; those after the first so many are slow."""
    return [
        pytest.param(name, case, marks=[pytest.mark.slow] * (place >= count), id=name[:60])
        for place, (name, case) in enumerate(cases.items())
    ]
