"""Prompt templates: the same questions put in five ways, so that a base model is measured by the one that suits it.

- `chat`: the benchmark's own prompt, in the tokenizer's chat template;
- `plain`: the same as text, `Question: ... Answer:`;
- `few-shot`: worked examples and the bare question, as text;
- `none`: the bare question. A head of a function is gone on from; a program that is asked for in words begins as a code
  block, since text alone would rarely become one;
- `r1`: a user's turn and an assistant's that thinks first, as text, after DeepSeek-R1-Zero (arXiv 2501.12948, table 1),
  in other words.

Text ends at stop strings. A completion keeps the one that ended it, so each of them must do no harm where it stands:
`</answer>` and a closing fence are even needed.
"""

from rewards.errors import BadInput
from rl.base.nearest import meant
from rl.evaluation import shots
from rl.grading.answers import accuracy_of
from rl.problems.benchmark import Benchmark
from rl.problems.livecodebench import LIVECODEBENCH
from rl.problems.programs import HUMANEVAL, HUMANEVAL_PLUS

TEMPLATES = ("chat", "plain", "few-shot", "none", "r1")
OWN = "own"  # no template: the prompt of a recipe

NEXT_QUESTION = "\nQuestion:"
HEADS = (HUMANEVAL, HUMANEVAL_PLUS)
AFTER_A_FUNCTION = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")  # HumanEval, arXiv 2107.03374, section 2.2
FENCE = "```"
TURNS = (
    "This is a talk between a user and an assistant. The user asks; the assistant reasons in its mind first and then "
    "answers. It writes what it thinks between <think> and </think>, and after that its answer between <answer> and "
    "</answer>."
)


def default_template(has_chat_template: bool) -> str:
    """The template of a model for which none is named."""
    return "chat" if has_chat_template else "plain"


def has_shots(benchmark: Benchmark) -> bool:
    """Whether there are worked examples for its few-shot prompt."""
    return _examples(benchmark) is not None


def templated(benchmark: Benchmark, template: str) -> Benchmark:
    """A benchmark with its prompts and stop strings in one of `TEMPLATES`.

    Raises:
        BadInput: there is no such template, or no worked examples for a few-shot prompt.
    """
    if template not in TEMPLATES:
        raise BadInput(f"There is no prompt template {template!r}; {meant(template, TEMPLATES, 'templates')}")
    if template == "chat":
        return _changed(benchmark, {"chat_template": True})
    if template == "plain":
        return _plain(benchmark)
    if template == "few-shot":
        return _few_shot(benchmark)
    return _bare(benchmark) if template == "none" else _in_turns(benchmark)


def _plain(benchmark: Benchmark) -> Benchmark:
    if not benchmark.problems.chat_template:  # it is a text already
        return benchmark
    keys = {"chat_template": False, "prompt": _asked(benchmark.problems.prompt)}
    return _changed(benchmark, keys, NEXT_QUESTION)


def _few_shot(benchmark: Benchmark) -> Benchmark:
    found = _examples(benchmark)
    if found is None:
        raise BadInput(
            f"There are no worked examples for the few-shot prompt of {benchmark.name}; use another template "
            f"({', '.join(name for name in TEMPLATES if name != 'few-shot')}), or give the benchmark `shots`."
        )
    examples = [
        (_asked(question), ("\n" if answer.startswith(FENCE) else " ") + answer)  # a fence is a line of its own
        for question, answer in found
    ]
    return _changed(benchmark, _text(_asked(benchmark.bare)) | {"few_shot": examples}, NEXT_QUESTION)


def _bare(benchmark: Benchmark) -> Benchmark:
    if accuracy_of(benchmark.rewards) != "code":
        return _changed(benchmark, _text(benchmark.bare))
    if benchmark.problems.name in HEADS:
        return _changed(benchmark, _text(benchmark.bare), *AFTER_A_FUNCTION)
    begun = {"prefill": f"{FENCE}python\n"}
    return _changed(benchmark, _text(f"{benchmark.bare}\n\n") | begun, f"\n{FENCE}")


def _in_turns(benchmark: Benchmark) -> Benchmark:
    keys = _text(f"User: {benchmark.problems.prompt}\nAssistant: ")
    return _changed(benchmark, keys | {"system_prompt": TURNS, "prefill": "<think>"}, "</answer>", "\nUser:")


def _asked(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def _text(prompt: str) -> dict[str, object]:
    """The keys of a plain prompt without anything around it."""
    return {"chat_template": False, "prompt": prompt, "system_prompt": None, "few_shot": [], "prefill": ""}


def _changed(benchmark: Benchmark, keys: dict[str, object], *stop: str) -> Benchmark:
    section = benchmark.problems.model_copy(update=keys)
    return benchmark.model_copy(update={"problems": section, "stop": [*benchmark.stop, *stop]})


def _examples(benchmark: Benchmark) -> shots.Shots | None:
    """A benchmark's own worked examples, or those for its kind of answers; None if there are none."""
    if benchmark.shots:
        return benchmark.shots
    kinds = {
        "math": shots.MATHEMATICS,
        "exact_number": shots.MATHEMATICS,
        "countdown": shots.COUNTDOWN,
        "code": {LIVECODEBENCH: shots.CONTESTS, **dict.fromkeys(HEADS, shots.HEADS)}.get(
            benchmark.problems.name or "", shots.TASKS
        ),
    }
    return (
        None if benchmark.loader is not None else kinds.get(accuracy_of(benchmark.rewards))
    )  # a recipe's prompts are its own
