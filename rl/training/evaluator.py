"""Measures the engine's weights on the held-out problems of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewards.grading import Grader
from rl.base import ranks
from rl.config.recipe import Recipe
from rl.evaluation.statistics.measures import mean_reward, measures
from rl.grading.answers import accuracy_of, answer_all, grade_all, highest_part, training_row
from rl.problems.problem import Prompt
from rl.rollout.engine import RolloutEngine, SamplingParams
from rl.run.display import Display
from rl.run.evaluations import EvaluationRow
from rl.run.ledger import Ledger


@dataclass(frozen=True)
class Evaluator:
    """Samples answers to the held-out problems and grades them; each rank takes its share of the problems.

    Attributes:
        held_out: the prompts of all ranks.
        problems_sha256: names the held-out problems, so that scores on different problems are not compared.
    """

    recipe: Recipe
    held_out: Sequence[Prompt]
    problems_sha256: str | None
    engine: RolloutEngine
    grader: Grader
    tokenizer: Any
    ledger: Ledger
    display: Display

    def is_due(self, step: int) -> bool:
        """Return whether the recipe wants a measurement after this step: before, after, and every so many steps."""
        every = self.recipe.evaluation.every
        return step in (0, self.recipe.optimizer.max_steps) or (every > 0 and step % every == 0)

    def measure(self) -> tuple[dict[str, Any], list[EvaluationRow]]:
        """Return the scores and every answer, of all ranks."""
        section, rollout = self.recipe.evaluation, self.recipe.rollout
        length = section.max_completion_length or rollout.max_completion_length
        params = SamplingParams(length, temperature=section.temperature, stop=tuple(rollout.stop))
        with self.ledger.phase("evaluate"):
            mine = self.held_out[ranks.rank() :: ranks.world_size()]
            seed, progress = self.recipe.run.seed, self.display.progress
            completions = answer_all(self.engine, mine, params, section.num_samples, seed, progress)
            self.ledger.add_tokens(generated=sum(len(c.token_ids) for group in completions for c in group))
            answers = ranks.gather(grade_all(mine, completions, self.grader, self.tokenizer))
        rows = [training_row(answer, accuracy_of(self.recipe.rewards)) for answer in answers]
        result = {**measures(rows, majority=False), **mean_reward(rows)}
        result["accuracy/max"] = highest_part([answer.graded.parts for answer in answers], self.recipe.rewards)
        return result | {"problems_sha256": self.problems_sha256}, rows
