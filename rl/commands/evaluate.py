"""The commands that measure: `penny eval`, `compare`, `results`, `benchmarks` and `decontaminate`."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rewards.errors import BadInput
from rl.base.errors import MISSED
from rl.base.exits import expected_errors
from rl.base.visible import emit
from rl.commands.completion import complete_benchmark, complete_model
from rl.commands.grade import Json
from rl.commands.numbers import MOST, MOST_SAMPLES, MOST_TOKENS, finite
from rl.commands.progress import answer_progress, stopped_with_count
from rl.commands.words import what_to_measure
from rl.run.loading import LIBRARIES, loading

if TYPE_CHECKING:
    pass


class Engine(StrEnum):
    auto = "auto"
    vllm = "vllm"
    transformers = "transformers"


class Form(StrEnum):
    table = "table"
    markdown = "markdown"
    json = "json"


def evaluate(
    context: typer.Context,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Benchmark, suite, recipe or file; several: by comma, or repeated.",
            autocompletion=complete_benchmark,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Alias, folder, hub id, adapter, run or pipeline.", autocompletion=complete_model),
    ] = None,
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best, or a step.")] = "last",
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="OpenAI-compatible server that has the model.")
    ] = None,
    samples: Annotated[Path | None, typer.Option(metavar="FILE", help="Stored outputs, in place of a model.")] = None,
    skip_unknown: Annotated[
        bool, typer.Option("--skip-unknown", help="Leave out stored outputs that name no problem of the benchmark.")
    ] = False,
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Exit with 3 if an answer is missing; everything is kept.")
    ] = False,
    templates: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Prompt templates: chat, plain, few-shot, none, r1, or all. Best is reported."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=MOST, help="Only the first so many problems.")] = None,
    num_samples: Annotated[
        int | None, typer.Option("-n", "--num-samples", min=1, max=MOST_SAMPLES, help="Answers a problem.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(callback=finite, min=0, help="0: greedy.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling.")] = None,
    top_k: Annotated[int | None, typer.Option(min=0, max=MOST, help="0: all tokens.")] = None,
    min_p: Annotated[float | None, typer.Option(help="Least share of the likeliest token's probability.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, max=MOST_TOKENS, help="Longest completion.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the samples.")] = 0,
    engine: Annotated[Engine, typer.Option(help="What generates.")] = Engine.auto,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Keep it here; default: evals/..., or in the run."),
    ] = None,
    cache: Annotated[bool, typer.Option(help="Reuse answers that were paid for before.")] = True,
    dollars_per_hour: Annotated[
        float | None, typer.Option(callback=finite, min=0, help="Price of the machine.")
    ] = None,
    dollars_per_million: Annotated[
        str | None,
        typer.Option(metavar="IN,OUT", help="A server's price of a million tokens, prompts and completions."),
    ] = None,
    api_key_env: Annotated[
        str, typer.Option(metavar="NAME", help="Variable with the server's key.")
    ] = "OPENAI_API_KEY",
    concurrency: Annotated[int, typer.Option(min=1, max=4096, help="Requests to a server at once.")] = 16,
    as_json: Json = False,
) -> None:
    """Measure a model, a server or stored outputs on benchmarks; the same command goes on after a stop."""
    with expected_errors(as_json):
        from rl.config.key_variable import check_key_variable
        from rl.config.model_name import check_model_name
        from rl.evaluation.benchmarks import find_suite

        check_key_variable(api_key_env, "--api-key-env")

        if context.args or not benchmark:
            raise BadInput(what_to_measure(context.args, benchmark or [], model))
        find_suite(benchmark)  # a name that is none is refused before libraries load
        if model is not None and endpoint is None:
            check_model_name(model)
        with loading(LIBRARIES):
            from rl.evaluation.command import EvaluationRequest, Listener
            from rl.evaluation.command import evaluate as measure
            from rl.evaluation.units import Protocol
            from rl.pipelines.books import model_in

            if model is not None:
                import rl.evaluation.sources  # noqa: F401  # what takes longest, and a file of outputs does not need

        protocol = Protocol(limit, num_samples, temperature, top_p, top_k, min_p, max_tokens, seed)
        request = EvaluationRequest(
            benchmarks=benchmark,
            model=None if model is None else model_in(model),
            checkpoint=checkpoint,
            endpoint=endpoint,
            samples=samples,
            skip_unknown=skip_unknown,
            templates=split_templates(templates or []),
            engine=engine.value,
            protocol=protocol,
            output=output,
            use_cache=cache,
            dollars_per_hour=dollars_per_hour,
            dollars_per_million=prices(dollars_per_million),
            api_key_env=api_key_env,
            concurrency=concurrency,
        )
        with answer_progress() as progress, stopped_with_count(progress, request.use_cache) as counted:
            path, results = measure(request, Listener(lambda text: emit(f"note: {text}", file=sys.stderr), counted))
        print_evaluation(path, results, as_json)
    if require_all and not results["complete"]:
        emit(f"answers are missing and --require-all was given; what is there is in {path}", file=sys.stderr)
        raise typer.Exit(MISSED)


def compare(
    first: Annotated[Path, typer.Argument(metavar="EVAL_OR_RUN", help="Folder of an evaluation or a run.")],
    second: Annotated[
        Path | None,
        typer.Argument(metavar="[OTHER]", help="Another of the same problems; without it a run before and after."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say whether the second evaluation is better than the first, problem by problem.

    A run stands for the answers to its held-out problems after its last step.
    """
    with expected_errors(as_json):
        from rl.base.columns import output_width, sentence_text, table_text
        from rl.evaluation.compared import compare_evaluations, comparison_columns, comparison_notes

        found = compare_evaluations(first, *([] if second is None else [second]))
        if as_json:
            emit(json.dumps(found))
            return
        width = output_width()
        emit(table_text(comparison_columns(found), width))
        for note in comparison_notes(found):
            emit(sentence_text(note, width))


def results(
    evaluations: Annotated[list[Path], typer.Argument(metavar="EVAL...", help="Folders of evaluations.")],
    form: Annotated[Form, typer.Option("--format", help="How to show them.")] = Form.table,
    harness: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Also write them in lm-evaluation-harness's layout.")
    ] = None,
    model_card: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write them into this card's model-index.")
    ] = None,
) -> None:
    """Show evaluations that were made before, several side by side, and hand them on."""
    with expected_errors(form is Form.json):
        from rl.evaluation.folder import EvaluationFolder
        from rl.evaluation.show.interchange import write_harness, write_model_card

        folders = [EvaluationFolder.open(path) for path in evaluations]
        show_results(folders, form)
        if harness is not None:
            for folder in folders:
                for path in write_harness(folder, harness):
                    emit(path, file=sys.stderr)
        if model_card is not None:
            for folder in folders:
                write_model_card(folder, model_card)
            emit(model_card, file=sys.stderr)


def benchmarks(as_json: Json = False) -> None:
    """List the benchmarks and suites."""
    with expected_errors(as_json):
        from rl.base.columns import listing_text, output_width
        from rl.evaluation.benchmarks import described_benchmarks
        from rl.problems.benchmark import suite_table

        rows = described_benchmarks()
        if as_json:
            emit(json.dumps({"benchmarks": rows, "suites": suite_table()}))
            return
        suites = [(name, f"suite: {', '.join(members)}") for name, members in suite_table().items()]
        emit(listing_text([*((row["name"], row["description"]) for row in rows), *suites], output_width()))


def decontaminate(
    target: Annotated[
        str, typer.Argument(metavar="RECIPE_OR_JSONL", help="Whose training problems are looked through.")
    ],
    benchmark: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Benchmark, repeated for several; default: the recipe's own."),
    ] = None,
    column: Annotated[str | None, typer.Option(help="Of a file: what is compared.")] = None,
    ngram: Annotated[
        int | None, typer.Option(min=2, max=1000, help="Words of an n-gram; default: the recipe's.")
    ] = None,
    min_coverage: Annotated[
        float | None,
        typer.Option(
            callback=finite, min=0, max=1, help="Share of a benchmark problem's n-grams from which it counts."
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Also write the report as JSON.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Report what training problems share with benchmarks."""
    with expected_errors(as_json):
        from rl.base.atomic import write_json
        from rl.problems.audit import audit
        from rl.problems.decontaminate import report_text
        from rl.problems.ngrams import MIN_COVERAGE

        coverage = MIN_COVERAGE if min_coverage is None else min_coverage
        report = audit(target, benchmark or [], column=column, n=ngram, min_coverage=coverage)
        if output is not None:
            write_json(output, report.as_dict())
        emit(json.dumps(report.as_dict()) if as_json else report_text(report))


def show_results(folders: list[Any], form: Form) -> None:
    """Print one evaluation, or several side by side."""
    from rl.base.columns import output_width
    from rl.evaluation.show import table

    stored = [(folder.path.name, folder.results()) for folder in folders]
    alone = stored[0][1] if len(stored) == 1 else None
    if form is Form.json:
        emit(json.dumps(alone or [found for _, found in stored]))
    elif form is Form.markdown:
        emit(table.results_markdown(alone) if alone else table.side_by_side_markdown(stored))
    else:
        width = output_width()
        emit(table.results_text(alone, width) if alone else table.side_by_side(stored, width))


def print_evaluation(path: Path, found: dict[str, Any], as_json: bool) -> None:
    """The scores of an evaluation that has just ended, and where everything is kept.

    As JSON: what `results.json` holds, and `folder`; of a single result its fields also stand at the top.
    """
    from rl.base.columns import output_width
    from rl.evaluation.folder import EvaluationFolder
    from rl.evaluation.show import table

    if as_json:
        alone = found["results"][0] if len(found["results"]) == 1 else {}
        emit(json.dumps({**found, **alone, "folder": str(path)}))
        return
    emit(table.results_text(found, output_width()))
    emit(f"kept in {path}: results.json and all answers\npage: {EvaluationFolder(path).report}")


def split_templates(names: list[str]) -> list[str]:
    """The templates that were asked for, by comma or repeated, each once."""
    return list(dict.fromkeys(name.strip() for text in names for name in text.split(",") if name.strip()))


def prices(text: str | None) -> tuple[float, float] | None:
    """A server's two prices. Raises BadInput."""
    if text is None:
        return None
    try:
        sent, generated = map(float, text.split(","))
    except ValueError as error:
        raise BadInput(
            f"{text!r} is no pair of prices: give --dollars-per-million IN,OUT, such as 0.14,0.28."
        ) from error
    return sent, generated
