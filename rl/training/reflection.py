"""The "aha" monitor: how often completions doubt, check and correct themselves, step by step.

Words are counted, nothing is understood: after DeepSeek-R1 (arXiv:2501.12948, section 2.2.4 and the curves of
reflective words in the later journal version). A rise says that the policy writes such words, not that it means them;
so the pass rate of completions that do stands beside that of those that do not.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np

from rl.run.rollouts import RolloutRow

WORDS: Mapping[str, Sequence[str]] = {
    "reflection": (
        "wait", "hold on", "hmm", "however", "alternatively", "on second thought", "mistake", "wrong", "error",
        "let me think again", "let's think again", "reconsider", "rethink", "re-evaluate", "retry", "try again",
    ),
    "verification": (
        "check", "checking", "double-check", "recheck", "verify", "verifying", "verification", "confirm", "make sure",
        "plug it back", "plug back",
    ),
}  # fmt: skip
PATTERNS = {
    kind: re.compile(r"\b(?:" + "|".join(re.escape(word) for word in words) + r")\b", re.IGNORECASE)
    for kind, words in WORDS.items()
}


def reflection_metrics(rows: Sequence[RolloutRow]) -> dict[str, float]:
    """Of a step's completions, `aha/...`: the share with words of each kind, and such words a completion.

    `aha/pass_rate_with` and `aha/pass_rate_without` are pass rates of completions with any of these words and without;
    each is left out where there are none.
    """
    counts = {kind: [len(pattern.findall(row.completion)) for row in rows] for kind, pattern in PATTERNS.items()}
    metrics = {f"aha/{kind}": float(np.mean([count > 0 for count in counts[kind]])) for kind in counts}
    metrics["aha/words"] = float(np.mean([sum(each) for each in zip(*counts.values(), strict=True)]))
    for name, wanted in (("with", True), ("without", False)):
        solved = [
            row.solved
            for row, each in zip(rows, zip(*counts.values(), strict=True), strict=True)
            if any(each) is wanted and row.solved is not None
        ]
        if solved:
            metrics[f"aha/pass_rate_{name}"] = float(np.mean(solved))
    return metrics
