"""`penny difficulty`: how often a recipe's model solves its training problems, before it is trained."""

from contextlib import ExitStack
from typing import Any

from rl.base.caches import cache_folder
from rl.base.errors import RunStopped
from rl.config.recipe import Recipe
from rl.evaluation.answerers import CachedAnswers
from rl.evaluation.cache import AnswerCache
from rl.evaluation.command import Listener, answer_and_grade, started_graders
from rl.evaluation.outcome import Tally
from rl.evaluation.sources import model_source
from rl.evaluation.units import fitted
from rl.models.source import pinned
from rl.pipelines.traces import asked_unit, grouped, keep_rates
from rl.problems.difficulty import histogram
from rl.problems.sets import prepare_sets
from rl.run.failures import reward_failures


def measure_difficulty(recipe: Recipe, samples: int, limit: int | None, listener: Listener) -> dict[str, Any]:
    """Ask every training problem `samples` times, as training will, and keep the pass rates.

    Answers come from the cache where they were given before, so a killed measurement goes on.

    Returns:
        `problems`, `answers`, `tokens`, the mean `pass_rate`, the `histogram` of pass rates, and `in_band`: problems
        inside the recipe's own band.

    Raises:
        BadInput: the recipe cannot be used.
        RunStopped: a reward raised, or not one answer could be graded.
    """
    problems = prepare_sets(recipe).training[:limit]
    source = model_source(pinned(recipe.model.name, recipe.model.revision), "last", recipe.rollout.engine)
    [unit], notes = fitted(
        [asked_unit(recipe, problems, [samples] * len(problems), source)], source.context, None, recipe.model.name
    )
    for note in notes:
        listener.say(note)
    with ExitStack() as stack:
        graders = started_graders([unit], stack)
        cache = stack.enter_context(AnswerCache(cache_folder()))
        tally = Tally([unit])
        answers = CachedAnswers(source.starter([unit], stack), cache, source.identity)
        with reward_failures(cache_folder()):
            answer_and_grade([unit], graders, answers, tally, listener)
    rates = {name: rate.share for name, rate in keep_rates(recipe, grouped(problems, tally.rows[0])).items()}
    if not rates:
        raise RunStopped("Not one answer could be graded, so nothing is known: check the rewards.")
    return {
        "problems": len(rates),
        "answers": tally.answers,
        "tokens": tally.tokens,
        "pass_rate": sum(rates.values()) / len(rates),
        "histogram": histogram(rates.values()),
        "in_band": sum(recipe.difficulty.includes(rate) for rate in rates.values()),
    }
