"""`rl.evaluation` and `rl.compare`: models and runs on benchmarks, and against each other."""

import html
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rewards.errors import BadInput
from rl.api.runs import Run, frame
from rl.base.columns import table_text
from rl.base.visible import emit
from rl.evaluation.compared import compare_evaluations, comparison_columns
from rl.evaluation.folder import EvaluationFolder
from rl.evaluation.show.table import results_text
from rl.evaluation.units import Protocol

if TYPE_CHECKING:
    from pandas import DataFrame

NOT_SHOWN = ("dataset", "answers", "verdicts", "pass@k", "maj@k")  # of a result: no single values


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that has been made.

    Attributes:
        path: its folder, with every answer.
    """

    path: Path

    @property
    def results(self) -> dict[str, Any]:
        """Return what `results.json` holds: see `rl.evaluation.folder`."""
        return EvaluationFolder.open(self.path).results()

    def table(self) -> "DataFrame":
        """Return the scores: a row for each benchmark under each template."""
        rows = [{key: value for key, value in row.items() if key not in NOT_SHOWN} for row in self.results["results"]]
        return frame(rows, "benchmark")

    def pass_at_1(self, benchmark: str) -> float:
        """Return pass@1 on a benchmark, under its best template. Raises BadInput if it was not measured."""
        scores = {row["benchmark"]: row["pass@1"] for row in self.results["results"] if row["best"]}
        if benchmark not in scores:
            raise BadInput(f"{self.path} has no {benchmark!r}: it has {', '.join(scores)}.")
        return float(scores[benchmark])

    def answers(self, benchmark: str) -> "DataFrame":
        """Return all answers to a benchmark with their grades, under its best template. Raises BadInput."""
        self.pass_at_1(benchmark)
        folder = EvaluationFolder.open(self.path)
        best = next(row for row in self.results["results"] if row["best"] and row["benchmark"] == benchmark)
        return frame([vars(row) for row in folder.rows(best)])

    def __str__(self) -> str:
        return results_text(self.results)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@dataclass(frozen=True)
class Comparison:
    """Two evaluations on the same problems, compared problem by problem.

    Attributes:
        results: of each benchmark, what `penny compare --json` prints: `difference`, `ci95`, `p_value`, `verdict`, ...
    """

    results: Sequence[Mapping[str, Any]]

    def table(self) -> "DataFrame":
        """Return a row for each benchmark."""
        return frame([dict(row) for row in self.results], "benchmark")

    def __str__(self) -> str:
        verdicts = [f"{row['benchmark']}: {row['verdict']}" for row in self.results]
        return "\n".join([table_text(comparison_columns(self.results)), *verdicts])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def evaluate(
    model: Run | str | Path | None,
    benchmarks: str | Sequence[str],
    *,
    checkpoint: str = "last",
    endpoint: str | None = None,
    samples: str | Path | None = None,
    templates: Sequence[str] = (),
    engine: str = "auto",
    output: str | Path | None = None,
    use_cache: bool = True,
    quiet: bool = False,
    **protocol: Any,
) -> Evaluation:
    """Measure a model on benchmarks.

    Args:
        model: a run, the folder of a model or an adapter, or a hub id; with `endpoint`, the server's name of the model;
            None with `samples`.
        benchmarks: names of benchmarks and suites, as a list or separated by commas.
        checkpoint: of a run: `last`, `best`, or a step.
        endpoint: URL of an OpenAI-compatible server.
        samples: file of stored outputs to grade, in place of a model.
        templates: prompt templates to try; default: the chat template where there is one.
        engine: `vllm`, `transformers`, or `auto`.
        output: folder to write; default: a new one.
        use_cache: reuse answers that were given before.
        quiet: print nothing.
        protocol: `limit` (problems), `num_samples`, `temperature`, `top_p`, `top_k`, `min_p`, `max_tokens`, `seed`;
            default: what each benchmark says.

    Raises:
        BadInput: something that was passed cannot be used; found before a model loads.
        RunStopped: the server is gone, a reward raised, or no answer could be graded.
    """
    from rl.evaluation.command import EvaluationRequest, Listener
    from rl.evaluation.command import evaluate as measure

    known = [field.name for field in fields(Protocol)]
    if unknown := [name for name in protocol if name not in known]:
        raise BadInput(f"rl.evaluate has no option {unknown[0]!r}: it has {', '.join(known)}.")
    names = benchmarks.split(",") if isinstance(benchmarks, str) else list(benchmarks)
    request = EvaluationRequest(
        benchmarks=[name.strip() for name in names],
        model=None if model is None else str(model.path if isinstance(model, Run) else model),
        checkpoint=str(checkpoint),
        endpoint=endpoint,
        samples=None if samples is None else Path(samples),
        templates=list(templates),
        engine=engine,
        protocol=Protocol(**protocol),
        output=None if output is None else Path(output),
        use_cache=use_cache,
    )
    listener = Listener() if quiet else Listener(lambda text: emit(f"note: {text}", file=sys.stderr))
    return Evaluation(measure(request, listener)[0])


def compare(first: Run | Evaluation | str | Path, second: Run | Evaluation | str | Path | None = None) -> Comparison:
    """Say whether the second evaluation is better than the first, problem by problem.

    Args:
        first: an evaluation, or a run, which stands for its answers to the held-out problems after its last step.
        second: another of the same problems; default: a run is compared with itself before training.

    Raises:
        BadInput: there is no such folder, or both have no problems in common.
    """
    paths = [side.path if isinstance(side, Run | Evaluation) else Path(side) for side in (first, second) if side]
    return Comparison(compare_evaluations(*paths))
