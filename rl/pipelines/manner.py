"""How a model was asked when it was trained and measured: what is put around a question, and how an answer ends.

`penny chat` and `penny serve` ask in the same manner, since a model that has learned one form answers another badly.
"""

from dataclasses import dataclass
from pathlib import Path

from rl.config.recipe import ProblemsSection, Recipe
from rl.config.recipe_file import load_recipe
from rl.evaluation.subject import Subject
from rl.pipelines.books import PipelineFolder, is_pipeline, open_pipeline
from rl.pipelines.schema import AskingStage, GrpoStage, as_recipe
from rl.problems.sets import held_out_section
from rl.problems.template import fill, template_columns
from rl.rollout.engine import SamplingParams
from rl.run.folder import RunFolder

PLACE = "\ue000"  # where the question goes; a character that no template has
QUESTION = "question"


@dataclass(frozen=True)
class Manner:
    """The manner of a run's evaluation.

    Attributes:
        section: system prompt, examples, chat template or plain text, prefill.
        before, after: what the prompt template puts around the question.
        params: length, temperature and stop strings.
        source: whose manner it is.
    """

    section: ProblemsSection
    before: str
    after: str
    params: SamplingParams
    source: str

    def put(self, question: str) -> str:
        """Put a question into the prompt template; an end that it has already is not added again."""
        end = self.after.strip()
        if end and question.rstrip().endswith(end):
            question = question.rstrip().removesuffix(end).rstrip()
        return self.before + question + self.after

    def sentence(self) -> str:
        """Say in one line what is done to a question and to its answer."""
        section, params = self.section, self.params
        parts = ["chat template" if section.chat_template else "plain text"]
        parts += [f"system prompt {section.system_prompt!r}"] if section.system_prompt else []
        parts += [f"{len(section.few_shot)} examples first"] if section.few_shot else []
        parts += [f"prompt {self.before + '{question}' + self.after!r}"] if self.before or self.after else []
        parts += [f"prefill {section.prefill!r}"] if section.prefill else []
        parts += [f"stop at {', '.join(map(repr, params.stop))}"] if params.stop else []
        parts += [f"at most {params.max_tokens} tokens"]
        parts += [f"temperature {params.temperature:g}" if params.temperature else "greedy"]
        return f"asked as {self.source} was measured: {', '.join(parts)} (--raw: freely)"


def manner_of(model: str, subject: Subject) -> Manner | None:
    """Return the manner in which the model of a run or of a pipeline was asked; None: nobody knows it.

    Args:
        model: what the user gave, of which `subject` are the weights.
    """
    if subject.run is not None:
        return manner_in(load_recipe(str(RunFolder(subject.run).recipe)), str(subject.run))
    return manner_of_pipeline(open_pipeline(Path(model))) if is_pipeline(Path(model)) else None


def manner_of_pipeline(books: PipelineFolder) -> Manner | None:
    """Return the manner of the last `grpo` stage, or else of the last stage that asks problems; None: there is none."""
    asking = [stage for stage in books.pipeline.stages.values() if isinstance(stage, AskingStage)]
    asking.sort(key=lambda stage: isinstance(stage, GrpoStage))
    return manner_in(as_recipe("pipeline", asking[-1]), str(books.path)) if asking else None


def manner_in(recipe: Recipe, source: str) -> Manner:
    """Return the manner of a recipe's evaluation, without a prompt template of several columns: nobody types these."""
    section = held_out_section(recipe)
    columns = template_columns(section.prompt)
    filled = fill(section.prompt, {columns[0]: PLACE}, "a chat") if len(columns) == 1 else PLACE
    before, _, after = filled.partition(PLACE) if filled.count(PLACE) == 1 else ("", "", "")
    rollout = recipe.rollout.at(recipe.optimizer.max_steps)
    params = SamplingParams(
        recipe.evaluation.max_completion_length or rollout.max_completion_length,
        recipe.evaluation.temperature,
        stop=tuple(rollout.stop),
    )
    return Manner(section, before, after, params, source)
