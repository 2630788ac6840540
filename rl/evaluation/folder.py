"""The folder of an evaluation: `results.json`, and every answer in `answers/<benchmark>.<template>.parquet`.

`results.json` holds

- `created` (UTC), `complete` (False if an answer is missing: a server went away before the end, or a file of outputs
  does not answer all problems), `penny`, `versions`, `hardware`, `command`;
- `subject`: `kind` (`model`, `adapter`, `endpoint`, `samples`), `name` as it was given, `checkpoint` (the folder, hub
  id or URL that it stood for), `base` (of an adapter; else None), `fingerprint` (of the weights; None where unknown);
- `engine` (`vllm`, `transformers`, `endpoint`, `stored`), `dtype`;
- `cost`: `seconds` (wall time in all), `load_seconds`, `generating_seconds`, `tokens` (generated now), `cached_tokens`
  (taken from the cache), `dollars_per_hour`, `dollars`, `dollars_per_million_tokens` (None if no token was generated);
- `results`: one object for each benchmark under each template:
  `benchmark`, `description`, `template`, `best` (of the templates of this benchmark), `answers` (path of the parquet
  file in the folder), `dataset` (`name`, `config`, `split`, `revision`, `sha256` of all its problems), `problems` and
  `asked` (problems, and answers to them, that were wanted), `unknown_rows` (of a file of outputs: rows that were left
  out, as they name no problem);
  what `rl.evaluation.statistics.measures` says of the answers: `n` (problems with a grade), `pass@1`, `ci95`, `stderr`;
  `unanswered` and `partly_answered` (problems with no answer, and with fewer than `num_samples`), `missing` (answers),
  `pass@1_all` and `ci95_all` (the score if each missing answer counts as not solved);
  of benchmarks that the reward `math` grades, `pass@1_strict`, `ci95_strict`, `pass@1_flexible` and `ci95_flexible`:
  under both ways of reading answers, of which `extraction` is the one that `pass@1` goes by (None for others);
  `pass@k` and `maj@k` (objects by k; `maj@k` None where answers cannot vote), `samples` (answers), `mean_length`
  (tokens; None where unknown), `truncated` (None where unknown), `unparseable`, `ungradable` (shares of the answers),
  `verdicts` (counts);
  and how: `num_samples` (answers to a problem that were wanted; of a file, as many as most problems have), `shots`
  (worked examples in the prompt), `temperature`, `top_p`, `top_k`, `min_p`, `max_tokens`, `stop`, `seed` (all None for
  stored outputs, but for what their file says), `prompt_tokens`, `tokens`, `cached_tokens`.

Folders of older versions lack some of these fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewards.errors import BadInput
from rl.base import atomic
from rl.base.nearest import missing_folder
from rl.base.stored import damaged, read_object
from rl.run.evaluations import EvaluationRow, read_answers, write_answers

RESULTS = "results.json"
RESULT = {"benchmark", "template", "best", "answers", "dataset", "pass@1"}  # keys of each result, in every version
CURE = "bring it back from a copy, or measure again with the same command of `penny eval`"


@dataclass(frozen=True)
class EvaluationFolder:
    """The paths of one evaluation; holds no state of its own."""

    path: Path

    @property
    def results_file(self) -> Path:
        return self.path / RESULTS

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @classmethod
    def open(cls, path: Path) -> "EvaluationFolder":
        """The folder of a finished evaluation. Raises BadInput if there is none."""
        if not is_evaluation(path):
            what = f"{path} has no {RESULTS}" if path.is_dir() else missing_folder(path, (RESULTS,))
            raise BadInput(f"The evaluation {what}: give the folder that `penny eval` named.")
        return cls(path)

    def results(self) -> dict[str, Any]:
        """What `results.json` holds. Raises BadInput if it is damaged."""
        stored = read_object(self.results_file, CURE, {"results": list})
        for result in stored["results"]:
            if not isinstance(result, dict) or not result.keys() >= RESULT or not isinstance(result["dataset"], dict):
                raise damaged(self.results_file, "one of its results is none", CURE)
        if not stored["results"]:
            raise damaged(self.results_file, "it has no results", CURE)
        return stored

    def rows(self, result: Mapping[str, Any], tokens: bool = True) -> list[EvaluationRow]:
        """Every answer of one of the `results`, by problem and sample; without `tokens` those lists are empty."""
        file = self.path / str(result["answers"])
        try:
            return read_answers(file, tokens)
        except FileNotFoundError as error:
            raise BadInput(f"{file} is missing, with the answers to {result['benchmark']}: {CURE}.") from error

    def write_rows(self, result: Mapping[str, Any], rows: Sequence[EvaluationRow]) -> None:
        """Store the answers of one of the `results`."""
        file = self.path / str(result["answers"])
        file.parent.mkdir(parents=True, exist_ok=True)
        write_answers(file, rows)

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Store `results.json`; the answers that it names must be there before."""
        atomic.write_json(self.results_file, results)


def is_evaluation(path: Path) -> bool:
    """Whether `path` is the folder of an evaluation that has ended."""
    return (path / RESULTS).is_file()


def answers_file(benchmark: str, template: str) -> str:
    """Where in the folder the answers to a benchmark under a template lie."""
    name = "".join(character if character.isalnum() or character in "-_." else "-" for character in benchmark)
    return f"answers/{name}.{template}.parquet"
