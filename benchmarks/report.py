"""What every report of the benchmarks has: the machine, medians with their extremes, ratios, tables."""

import os
import statistics
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rl.run.manifest import PROJECT, git_state, hardware, versions


def machine() -> dict[str, Any]:
    """Hardware, versions, code, time, and what else keeps the processors busy."""
    return {
        "hardware": hardware(),
        "versions": versions(),
        "git": git_state(PROJECT),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": os.getloadavg()[0],
    }


def machine_text(facts: Mapping[str, Any]) -> str:
    """The machine in a sentence or three."""
    hard, code = facts["hardware"], facts["git"]
    gpus = ", ".join(gpu["name"] for gpu in hard["gpus"]) or "no GPU"
    revision = "no git checkout" if code is None else code["revision"][:12] + (" with changes" if code["dirty"] else "")
    return (
        f"{hard['cpu']}, {hard['cores']} cores, {hard['memory_gib']} GiB, {gpus}, {hard['system']}; load average "
        f"{facts['load']:.1f} at the start, {facts['started']}. Code: {revision}. "
        f"Versions: {', '.join(f'{name} {version}' for name, version in facts['versions'].items())}."
    )


def spread(values: Sequence[float]) -> str:
    """Median, and the lowest and highest where there are several."""
    middle = number(statistics.median(values))
    return f"{middle} ({number(min(values))} to {number(max(values))})" if len(values) > 1 else middle


def number(value: float) -> str:
    """Three figures, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percents(shares: Sequence[float]) -> str:
    """Shares as `spread` shows them, in percent."""
    return f"{spread([100 * share for share in shares])} %"


def median_ratio(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Ratio of the medians, then its lowest and highest: each end of one over the other end of the other.

    For measurements that were not taken in pairs; of pairs, take the ratio within each.
    """
    return [
        statistics.median(values) / statistics.median(base),
        min(values) / max(base),
        max(values) / min(base),
    ]


def ratio_text(ratio: Sequence[float]) -> str:
    """What `median_ratio` returned."""
    middle, low, high = ratio
    return f"{number(middle)} ({number(low)} to {number(high)})"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
