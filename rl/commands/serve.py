"""The commands that hand a model on: `penny serve`, `chat`, `price` and `export`."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from rewards.errors import BadInput
from rl.base.exits import expected_errors
from rl.base.visible import emit
from rl.commands.completion import complete_model
from rl.commands.grade import Json, print_table
from rl.commands.numbers import MOST_TOKENS, finite
from rl.run.loading import LIBRARIES, loading

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Run, pipeline, checkpoint, adapter, folder, alias or hub id.",
        autocompletion=complete_model,
    ),
]
Checkpoint = Annotated[str, typer.Option(help="Of a run: last, best, or a step.")]
Raw = Annotated[
    bool, typer.Option("--raw", help="Ask freely, without the run's prompt, stop strings, length and temperature.")
]
FREE_TEMPERATURE, FREE_TOKENS = 0.6, 512  # where no run says otherwise
EngineOption = Annotated[str, typer.Option("--engine", help="vllm, transformers or auto.")]


def serve(
    model: Model,
    checkpoint: Checkpoint = "last",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    name: Annotated[str | None, typer.Option(help="What the server calls the model; default: the last part.")] = None,
    api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Variable with the key that clients must send; default: no key.")
    ] = None,
    raw: Raw = False,
    extra: Annotated[list[str] | None, typer.Argument(help="Further options of vLLM's server, after --.")] = None,
) -> None:
    """Serve a model by vLLM's OpenAI-compatible server; of a run, with its prompt, length and temperature."""
    with expected_errors(False):
        import importlib.util

        from rl.base.install import install_command
        from rl.config.model_name import check_model_name

        key = "" if api_key_env is None else serving_key(api_key_env)
        check_model_name(model)
        if importlib.util.find_spec("vllm") is None:
            raise BadInput(f"vLLM is not installed: run {install_command()}.")
        from rl.commands.serving import manner_options, servable, server_command
        from rl.evaluation.subject import find_subject
        from rl.models.source import load_tokenizer
        from rl.pipelines.books import model_in
        from rl.pipelines.manner import manner_of

        subject = find_subject(model_in(model), checkpoint)
        manner = None if raw else manner_of(model, subject)
        options = []
        if manner is not None:
            options = manner_options(manner, load_tokenizer(subject.model.name, subject.model.revision))
            emit(manner.sentence(), file=sys.stderr)
            if manner.params.stop:
                told_stop = json.dumps({"stop": manner.params.stop})
                emit(f"vLLM's server keeps no stop strings: send {told_stop} with each request", file=sys.stderr)
        served = name or Path(model).name
        command = server_command(servable(subject), served, host, port, [*options, *(extra or [])])
        for line in serving_lines(served, host, port, api_key_env, extra or []):
            emit(line, file=sys.stderr, flush=True)
        if key:
            os.environ["VLLM_API_KEY"] = key  # not an option of the command, which every user of the machine can read
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")  # GiB; else vLLM wants nine tenths of a CPU's memory
        os.execv(command[0], command)  # so that signals are the server's


def serving_key(name: str) -> str:
    """Read the key that clients must send. Raises BadInput if the variable has none."""
    from rl.config.key_variable import check_key_variable
    from rl.rollout.server_url import read_key

    check_key_variable(name, "--api-key-env")
    if not (key := read_key(name)):
        raise BadInput(f"The environment variable {name} is empty: set it to the key that clients must send.")
    return key


def serving_lines(served: str, host: str, port: int, key_name: str | None, extra: list[str]) -> Iterator[str]:
    """Say where the server is, how it is called, and whether anybody may call it."""
    from rl.rollout.server_url import is_local

    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{port}/v1"
    yield f"serving {served} on {url}"
    if key_name is not None:
        yield f'ask with the key: curl {url}/models -H "Authorization: Bearer ${key_name}"'
    keyed = key_name is not None or os.environ.get("VLLM_API_KEY") or any(o.startswith("--api-key") for o in extra)
    if not keyed and (host in ("0.0.0.0", "::", "") or not is_local(url)):
        yield f"warning: without a key whoever reaches {shown}:{port} may use the model; give --api-key-env NAME"


def chat(
    model: Model,
    question: Annotated[list[str] | None, typer.Argument(help="Ask this and leave; default: ask in turns.")] = None,
    checkpoint: Checkpoint = "last",
    engine: EngineOption = "auto",
    temperature: Annotated[
        float | None,
        typer.Option(callback=finite, min=0, help=f"0: greedy; default: of the run, else {FREE_TEMPERATURE}."),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_TOKENS, help=f"Longest answer; default: of the run, else {FREE_TOKENS}."),
    ] = None,
    context: Annotated[
        int, typer.Option(min=1, max=MOST_TOKENS, help="Longest talk, in tokens, beside the answer.")
    ] = 1024,
    raw: Raw = False,
    as_json: Json = False,
) -> None:
    """Talk with a model; that of a run is asked as the run's evaluation asked it."""
    with expected_errors(as_json):
        from rl.config.model_name import check_model_name

        check_model_name(model)
        with loading(LIBRARIES):
            from rl.commands.serving import Talk, opened
            from rl.evaluation.subject import find_subject
            from rl.models.source import load_tokenizer
            from rl.pipelines.books import model_in
            from rl.pipelines.manner import manner_of
            from rl.rollout.engine import SamplingParams

        found = model_in(model)
        subject = find_subject(found, checkpoint)
        manner = None if raw else manner_of(model, subject)
        params = manner.params if manner else SamplingParams(FREE_TOKENS, FREE_TEMPERATURE)
        params = replace(
            params,
            max_tokens=max_tokens or params.max_tokens,
            temperature=params.temperature if temperature is None else temperature,
        )
        if manner is not None:
            manner = replace(manner, params=params)
            emit(manner.sentence(), file=sys.stderr)
        tokenizer = load_tokenizer(subject.model.name, subject.model.revision)
        with opened(subject, found, checkpoint, engine, context, params.max_tokens) as running:
            talk = Talk(running, tokenizer, params, manner, context)
            for asked in question or typed():
                answer = talk.say(asked).strip()
                emit(json.dumps({"question": asked, "answer": answer}) if as_json else answer, flush=True)


def price(
    model: Model,
    dollars_per_hour: Annotated[float, typer.Option(callback=finite, min=0, help="Price of the machine.")],
    checkpoint: Checkpoint = "last",
    engine: EngineOption = "auto",
    batch: Annotated[str, typer.Option(metavar="N,N,...", help="Sequences at once.")] = "1,8,32,64",
    max_tokens: Annotated[int, typer.Option(min=1, max=MOST_TOKENS, help="Longest completion.")] = 128,
    repeats: Annotated[int, typer.Option(min=1, max=1000)] = 3,
    compare: Annotated[bool, typer.Option("--compare", help="Add what the press reported of another model.")] = False,
    as_json: Json = False,
) -> None:
    """Measure tokens a second at several batch sizes, and state cents for a million tokens."""
    with expected_errors(as_json):
        from rl.config.model_name import check_model_name

        check_model_name(model)
        with loading(LIBRARIES):
            from rl.commands.serving import STORY, YI_LIGHTNING, measure_speed, opened
            from rl.evaluation.subject import find_subject
            from rl.models.source import load_tokenizer
            from rl.pipelines.books import model_in

        found, sizes = model_in(model), numbers(batch)
        subject = find_subject(found, checkpoint)
        tokenizer = load_tokenizer(subject.model.name, subject.model.revision)
        prompt = list(tokenizer(STORY).input_ids)
        with opened(subject, found, checkpoint, engine, len(prompt), max_tokens) as running:
            speeds = measure_speed(running, prompt, max_tokens, sizes, repeats)
        rows = [
            {
                "batch": speed.batch,
                "tokens_per_second": speed.median,
                "lowest": min(speed.tokens_per_second),
                "highest": max(speed.tokens_per_second),
                "cents_per_million": speed.cents_per_million(dollars_per_hour),
            }
            for speed in speeds
        ]
        if as_json:
            emit(json.dumps({"model": model, "dollars_per_hour": dollars_per_hour, "speeds": rows}))
            return
        print_table(
            ["batch", "tokens/s", "lowest to highest", "cents per million"],
            [
                [
                    str(row["batch"]),
                    f"{row['tokens_per_second']:.0f}",
                    f"{row['lowest']:.0f} to {row['highest']:.0f}",
                    f"{row['cents_per_million']:.2f}",
                ]
                for row in rows
            ],
        )
        emit(f"At {dollars_per_hour:g} dollars an hour; written tokens alone.")
        if compare:
            emit(f"Press reports gave {YI_LIGHTNING:g} cents for Yi-Lightning, a far larger model.")


def export(
    model: Model,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A new folder.")],
    checkpoint: Checkpoint = "last",
    formats: Annotated[str, typer.Option("--format", metavar="NAMES", help="merged, adapter, gguf.")] = "merged",
    dtype: Annotated[str, typer.Option(help="bfloat16, float16 or float32.")] = "bfloat16",
    push_to_hub: Annotated[str | None, typer.Option(metavar="REPO", help="Also push there.")] = None,
    private: Annotated[bool, typer.Option(help="Of the pushed repository.")] = True,
    as_json: Json = False,
) -> None:
    """Write a model as others want it, with a card."""
    with expected_errors(as_json):
        from rl.config.model_name import check_model_name

        check_model_name(model)
        with loading(LIBRARIES):
            from rl.config.yaml_tree import check
            from rl.evaluation.command import Listener
            from rl.pipelines.books import adapter_in, model_in
            from rl.pipelines.card import facts_about
            from rl.pipelines.export import write_export
            from rl.pipelines.schema import ExportSection

        asked = {"formats": formats.split(","), "dtype": dtype, "push_to_hub": push_to_hub, "private": private}
        section = check(ExportSection, asked, "command line")
        if output.exists() and any(output.iterdir()):
            raise BadInput(f"{output} is not empty: name a new folder.")
        listener = Listener(lambda text: emit(f"note: {text}", file=sys.stderr))
        facts = facts_about(Path(model))
        files = write_export(model_in(model), checkpoint, adapter_in(model), section, output, facts, listener)
        emit(json.dumps({"folder": str(output), "files": files}) if as_json else f"{output}: {', '.join(files)}")


def numbers(text: str) -> list[int]:
    """Batch sizes. Raises BadInput."""
    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise BadInput(f"{text!r} is no list of numbers: give --batch 1,8,64.") from error
    if min(sizes) < 1:
        raise BadInput(f"A batch has at least one sequence: {text!r} has {min(sizes)}.")
    return sizes


def typed() -> Iterator[str]:
    """Questions as they are typed, until the end of the input."""
    while True:
        if sys.stdin.isatty():
            emit("> ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        if line.strip():
            yield line.strip()
