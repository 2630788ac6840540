"""The result of a run for machines, and whether it is the one its recipe promised."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from rl.base import atomic
from rl.base.stored import NUMBER, read_object
from rl.config.recipe import Band
from rl.run.folder import RunFolder

Result = Mapping[str, Any]  # an evaluation: at least pass@1, ci95 and n
ROUNDING = 1e-9  # 0.55 - 0.2 must count as 0.35


def write_summary(
    folder: RunFolder,
    before: Result,
    after: Result,
    band: Band | None,
    minutes: float,
    dollars: float,
    tokens: int,
    warnings: Sequence[str] = (),
) -> dict[str, Any]:
    """Write `summary.json` and return it; `band_met` is None if the recipe promises nothing, or nothing comparable was
    measured (`same_problems`)."""
    same = before.get("problems_sha256") in (None, after.get("problems_sha256"))
    met: bool | None = None
    if not same:
        reason = "The held-out problems changed during the run: before and after are not of the same questions."
    elif band:
        met, reason = check_band(before, after, band)
    else:
        reason = "The recipe states no band."
    summary = {
        "before": _kept(before),
        "after": _kept(after),
        "same_problems": same,
        "band_met": met,
        "band_reason": reason,
        "slower": slower_than_expected(minutes, band.max_minutes if band else None),
        "minutes": minutes,
        "dollars": dollars,
        "tokens": tokens,
        "warnings": list(warnings),
    }
    atomic.write_json(folder.summary, summary)
    return summary


def _kept(result: Result) -> dict[str, Any]:
    rewards = {key: result.get(key) for key in ("reward", "reward_ci95")}  # an older run did not measure them
    return {key: result[key] for key in ("pass@1", "ci95", "n")} | rewards


def read_summary(folder: RunFolder) -> dict[str, Any] | None:
    """Return `summary.json`, or None if the run has not ended. Raises BadInput if it is damaged."""
    if not folder.summary.exists():
        return None
    cure = f"`penny train --resume {folder.path}` writes it again"
    return read_object(folder.summary, cure, {"before": dict, "after": dict, "band_reason": str, "tokens": NUMBER})


def check_band(before: Result, after: Result, band: Band) -> tuple[bool, str]:
    """Return whether the result is within the recipe's band, and one sentence with the numbers that decide it.

    Time decides nothing: a slow machine learns the same (`slower_than_expected`).
    """
    gain = after["pass@1"] - before["pass@1"]
    change = (
        f"pass@1 {'rose' if gain >= 0 else 'fell'} by {100 * abs(gain):.1f} points "
        f"({percent(before['pass@1'])} to {percent(after['pass@1'])})"
    )
    intervals = f"{interval(before)} before and {interval(after)} after"
    checks = [
        (
            gain >= band.min_gain - ROUNDING,
            f"{change}, at least {100 * band.min_gain:.1f} promised",
            f"{change} where at least {100 * band.min_gain:.1f} were promised",
        )
    ]
    if band.intervals_apart:
        apart = after["ci95"][0] > before["ci95"][1]
        checks.append((apart, f"the 95 % intervals are apart ({intervals})", f"the 95 % intervals touch ({intervals})"))
    if all(met for met, _, _ in checks):
        return True, f"Band met: {'; '.join(good for _, good, _ in checks)}."
    return False, f"Band missed: {'; '.join(bad for met, _, bad in checks if not met)}."


def slower_than_expected(minutes: float, expected: float | None) -> str | None:
    """Return a note on a run that took longer than its recipe expects; None if it did not."""
    if expected is None or minutes <= expected:
        return None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"Slower than expected: {minutes:.1f} minutes on {cores} core{'' if cores == 1 else 's'} of this machine, "
        f"{expected:g} expected. The result does not depend on it."
    )


def reward_change(before: Result, after: Result) -> str | None:
    """Return the held-out mean rewards as text, where they say something that pass@1 does not; else None."""
    results = (before, after)
    if any(result.get("reward") is None for result in results):
        return None
    if all(abs(result["reward"] - result["pass@1"]) < ROUNDING for result in results):
        return None
    old, new = (_reward(result) for result in results)
    return f"mean reward {old} before, {new} after, {after['reward'] - before['reward']:+.3f}"


def _reward(result: Result) -> str:
    if result.get("reward_ci95") is None:
        return f"{result['reward']:.3f}"
    low, high = result["reward_ci95"]
    return f"{result['reward']:.3f} [{low:.3f}, {high:.3f}]"


def never_solved(
    correct_above: float, accuracy: str, metrics: Sequence[Mapping[str, Any]], evaluations: Sequence[Result]
) -> str | None:
    """Return a warning if no answer of a run, in training or held out, was ever solved; None if one was.

    `metrics` and `evaluations` are the run's; `accuracy` is the function whose reward says what is solved.
    """
    solved = [row.get(key) for row in metrics for key in ("pass_rate", "sampling/pass_rate")]
    solved += [result["pass@1"] for result in evaluations]
    if not metrics or any(solved):
        return None
    seen = [row["accuracy/max"] for row in (*metrics, *evaluations) if row.get("accuracy/max") is not None]
    highest = f"the highest reward of {accuracy} was {max(seen):.3g}" if seen else f"{accuracy} gave no reward at all"
    lower = " Lower it," if seen and max(seen) > 0 else " Check the reward on an answer that is right,"
    return (
        f"Nothing was ever solved: no answer was above rewards.correct_above = {correct_above:g}; {highest}.{lower} "
        "take easier problems, or a stronger model."
    )


def cost(dollars: float) -> str:
    """Return a price as text: `$12.40`, and below a dollar `0.4 cents`."""
    cents = 100 * dollars
    if cents >= 99.5:
        return f"${dollars:.2f}"
    text = f"{cents:.0f}" if cents >= 10 else f"{cents:.2g}" if cents >= 0.001 else "under 0.001" if cents > 0 else "0"
    return f"{text} cent{'' if text == '1' else 's'}"


def percent(share: float) -> str:
    """Return a share as text: 0.275 as `27.5 %`."""
    return f"{100 * share:.1f} %"


def interval(result: Result) -> str:
    """Return the 95 % interval of a result as text: `[21.5 %, 34.2 %]`."""
    low, high = result["ci95"]
    return f"[{percent(low)}, {percent(high)}]"
