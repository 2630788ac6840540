"""`evaluate`: the models of the stages so far, on the same problems, by `penny eval`, each beside the one before."""

from pathlib import Path
from typing import Any

from rl.base import atomic
from rl.config.recipe_file import dump_recipe
from rl.evaluation.command import EvaluationRequest, Listener, evaluate
from rl.evaluation.compared import compare_evaluations
from rl.evaluation.folder import EvaluationFolder, is_evaluation
from rl.models.source import pinned
from rl.pipelines.books import PipelineFolder, StageResult
from rl.pipelines.schema import BASE, HELD_OUT, EvaluateStage, as_recipe, models_before
from rl.run.ledger import Ledger


def measure(
    name: str, stage: EvaluateStage, books: PipelineFolder, folder: Path, ledger: Ledger, listener: Listener
) -> StageResult:
    """Run an `evaluate` stage. Answers that were given before come from the cache, and a model that is done is kept."""
    benchmarks = stage.benchmarks or [str(held_out_file(name, stage, folder))]
    scores: dict[str, list[dict[str, Any]]] = {}
    before: Path | None = None
    compared: dict[str, list[dict[str, Any]]] = {}
    for subject in stage.models or models_before(books.pipeline, name):
        place = folder / subject
        if not is_evaluation(place):
            listener.say(f"{name}: measuring {subject}")
            revision = stage.model.revision if subject == BASE else None
            request = EvaluationRequest(
                benchmarks=benchmarks,
                model=pinned(books.model_of(subject), revision),
                engine=stage.rollout.engine,
                output=place,
                dollars_per_hour=stage.run.dollars_per_hour,
            )
            with ledger.phase("evaluate"):
                _, results = evaluate(request, listener)
            ledger.add_tokens(generated=results["cost"]["tokens"])
            ledger.step_done(None)
        found = EvaluationFolder(place).results()["results"]
        scores[subject] = [score(result, bool(stage.benchmarks)) for result in found if result["best"]]
        if before is not None:
            compared[subject] = compare_evaluations(before, place)
        before = place
    return StageResult(stage.kind, figures={"scores": scores, "over_the_one_before": compared})


def held_out_file(name: str, stage: EvaluateStage, folder: Path) -> Path:
    """A recipe whose held-out problems are the stage's, for `penny eval` to read, also later."""
    path = folder / "held-out.yaml"
    atomic.write_text(path, dump_recipe(as_recipe(name, stage)))
    return path


def score(result: dict[str, Any], named: bool) -> dict[str, Any]:
    """What a ladder shows of one result."""
    benchmark = result["benchmark"] if named else HELD_OUT
    kept = {key: result[key] for key in ("pass@1", "ci95", "n", "mean_length", "truncated", "unparseable")}
    return {"benchmark": benchmark, **kept}
