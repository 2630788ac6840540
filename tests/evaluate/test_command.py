"""`penny eval` end to end on a tiny model, and with engines whose answers are known."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerBase

from rewards.errors import BadInput
from rl.errors import RunStopped
from rl.evaluate import command
from rl.evaluate.command import evaluate_model
from rl.evaluate.subject import Subject, find_subject, merged_weights
from rl.models import load_model, load_tokenizer, save_tiny_model
from rl.recipe import ModelSection, Recipe
from rl.rollout.engine import Completion, NamedTensors, SamplingParams
from rl.run import tables
from rl.run.checkpoints import save_checkpoint
from rl.run.folder import RunFolder

SUMS = [(3, 4), (10, 5), (8, 9), (20, 2)]
RECIPE = """
name: sums
model: {{name: {model}, lora_r: 4}}
problems: {{source: jsonl, path: {path}, prompt: "{{question}}"}}
rewards: {{functions: {{exact_number: 1.0}}}}
rollout: {{max_completion_length: 6, dtype: float32}}
evaluation: {{size: 3}}
"""


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    path = tmp_path / "sums.jsonl"
    path.write_text("".join(json.dumps({"question": f"{a} + {b}", "answer": str(a + b)}) + "\n" for a, b in SUMS))
    return path


@pytest.fixture
def recipe_path(tmp_path: Path, tiny_model: Path, sums: Path) -> Path:
    path = tmp_path / "sums.yaml"
    path.write_text(RECIPE.format(model=tiny_model, path=sums))
    return path


@pytest.fixture(scope="session")
def base_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same kind of model with a tokenizer that has no chat template."""
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.chat_template = None
    folder = tmp_path_factory.mktemp("models") / "base"
    save_tiny_model(tokenizer, folder)
    return folder


def make_adapter(model: Path, folder: Path, **options: Any) -> Path:
    """A LoRA adapter whose B is not zero, so that it changes what the model says."""
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    torch.manual_seed(1)
    adapted = peft.get_peft_model(load_model(str(model)), config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    adapted.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_adapter(tiny_model, tmp_path_factory.mktemp("adapters") / "adapter")


@pytest.fixture(scope="module")
def merged(tiny_model: Path, adapter: Path) -> Path:
    """The same weights as a whole model, merged by peft."""
    model = peft.PeftModel.from_pretrained(load_model(str(tiny_model)), str(adapter))
    folder = adapter.parent / "merged"
    model.merge_and_unload().save_pretrained(folder)
    load_tokenizer(str(tiny_model)).save_pretrained(folder)
    return folder


@pytest.fixture
def run(tmp_path: Path, recipe_path: Path, adapter: Path) -> RunFolder:
    """A run with two whole checkpoints, the later of which is `adapter`, and a damaged one."""
    from rl.recipe_file import load_recipe

    folder = RunFolder.create(tmp_path / "run", load_recipe(str(recipe_path)))

    def save(zeroed: bool) -> Callable[[Path], None]:
        def write(target: Path) -> None:
            (target / "policy").mkdir()
            config = json.loads((adapter / "adapter_config.json").read_text())
            config["base_model_name_or_path"] = "/nowhere"  # as on another machine: the run's recipe knows better
            (target / "policy" / "adapter_config.json").write_text(json.dumps(config))
            weights = load_file(adapter / "adapter_model.safetensors")
            kept = {name: tensor * (0 if zeroed else 1) for name, tensor in weights.items()}
            save_file(kept, target / "policy" / "adapter_model.safetensors")

        return write

    save_checkpoint(folder, 1, save(zeroed=True))
    save_checkpoint(folder, 2, save(zeroed=False))
    damaged = save_checkpoint(folder, 3, save(zeroed=True))
    (damaged / "policy" / "adapter_model.safetensors").write_bytes(b"cut")
    return folder


def evaluate(model: Path | str, benchmark: Path | str, **options: Any) -> dict[str, Any]:
    return evaluate_model(str(model), str(benchmark), **{"engine": "transformers", **options})


def said(model: Path | str, benchmark: Path, output: Path) -> list[list[int]]:
    """Greedy answers of a model, as tokens."""
    evaluate(model, benchmark, output=output)
    return [row["token_ids"] for row in tables.read_rows(output / "answers.parquet")]


class Known:
    """An engine that gives known answers, in the order of the prompts."""

    name = "known"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
        self.tokenizer, self.texts = tokenizer, texts
        self.prompts: list[str] = []
        self.params: SamplingParams | None = None
        self.closed = False

    def generate(
        self, prompts_P: Sequence[Sequence[int]], params: SamplingParams, seeds_P_G: Sequence[Sequence[int]]
    ) -> list[list[Completion]]:
        if not self.texts:
            raise RuntimeError("out of memory")
        self.prompts = [str(self.tokenizer.decode(list(ids))) for ids in prompts_P]
        self.params = params
        texts = iter(self.texts)
        return [[self._completion(next(texts), params) for _ in seeds] for seeds in seeds_P_G]

    def _completion(self, text: str, params: SamplingParams) -> Completion:
        ids = (*self.tokenizer(text).input_ids, self.tokenizer.eos_token_id)
        cut = len(ids) > params.max_tokens
        ids = ids[: params.max_tokens]
        return Completion(ids, (-1.0,) * len(ids), "length" if cut else "stop")

    def load_weights(self, weights: NamedTensors) -> None: ...

    def load_adapter(self, folder: str) -> None: ...

    def sleep(self) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def known(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Known]:
    """Makes an engine with known answers the one that gets built."""

    def make(*texts: str) -> Known:
        engine = Known(load_tokenizer(str(tiny_model)), texts)
        monkeypatch.setattr(command, "build_engine", lambda recipe: engine)
        return engine

    return make


def test_known_answers_get_their_known_score(
    tiny_model: Path, sums: Path, tmp_path: Path, known: Callable[..., Known]
) -> None:
    engine = known("so \\boxed{7}", "15", "\\boxed{18}", "\\boxed{22} and on")
    result = evaluate(tiny_model, sums, max_tokens=12, output=tmp_path / "out")
    assert (result["pass@1"], result["n"], result["ungradable"]) == (0.75, 4, 0)
    assert result["ci95"] == pytest.approx([0.3006418423, 0.9544127392])  # Wilson, 3 of 4
    # Lengths in bytes and one end of sequence, cut at 12: 13 -> 12, 3, 11, 18 -> 12.
    assert (result["mean_length"], result["tokens"], result["truncated"]) == (38 / 4, 38, 0.5)
    assert result["template"] == "chat"
    assert engine.prompts[0].startswith("<|im_start|>user\n3 + 4\nThink step by step")
    assert engine.params == SamplingParams(12, temperature=0.0)
    assert engine.closed
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == result
    rows = tables.read_rows(tmp_path / "out" / "answers.parquet")
    assert [row["solved"] for row in rows] == [True, True, False, True]
    assert [row["problem_id"] for row in rows] == [f"sums/{i}" for i in range(4)]


def test_several_samples_of_the_first_problems(tiny_model: Path, sums: Path, known: Callable[..., Known]) -> None:
    known("7", "8", "7", "7", "15", "1", "2", "3")
    result = evaluate(tiny_model, sums, limit=2, num_samples=4, temperature=0.7)
    assert (result["n"], result["pass@1"]) == (2, pytest.approx((3 / 4 + 1 / 4) / 2))
    assert (result["num_samples"], result["temperature"], result["max_tokens"]) == (4, 0.7, 1024)


def test_a_model_without_a_chat_template_gets_a_plain_prompt(
    base_model: Path, sums: Path, known: Callable[..., Known]
) -> None:
    engine = known(" 7\nQuestion:", "0", "0", "0")
    result = evaluate(base_model, sums)
    assert (result["template"], result["pass@1"]) == ("plain", 0.25)
    opening = "Question: 3 + 4\nThink step by step, and end with the final answer inside \\boxed{}.\nAnswer:"
    assert engine.prompts[0].removeprefix("<|im_start|>") == opening
    assert engine.params is not None
    assert engine.params.stop == ("\nQuestion:",)


def test_a_recipes_plain_prompt_stays_as_it_is(
    tiny_model: Path, recipe_path: Path, known: Callable[..., Known]
) -> None:
    recipe_path.write_text(recipe_path.read_text().replace('"{question}"', '"{question} =", chat_template: false'))
    engine = known("7", "7", "7")
    assert evaluate(tiny_model, recipe_path)["template"] == "plain"
    assert all(prompt.endswith(" =") and "Question" not in prompt for prompt in engine.prompts)


def test_the_engine_is_closed_when_it_fails(tiny_model: Path, sums: Path, known: Callable[..., Known]) -> None:
    engine = known()
    with pytest.raises(RuntimeError, match="out of memory"):
        evaluate(tiny_model, sums)
    assert engine.closed


def test_answers_that_nobody_can_grade_are_no_score(
    tiny_model: Path, tmp_path: Path, known: Callable[..., Known]
) -> None:
    path = tmp_path / "words.jsonl"
    path.write_text('{"question": "Who?", "answer": "???"}\n')
    known("I")
    with pytest.raises(RunStopped, match="None of the 1 answers could be graded"):
        evaluate(tiny_model, path, output=tmp_path / "out")
    assert tables.read_rows(tmp_path / "out" / "answers.parquet")[0]["completion"] == "I"


def test_a_real_model_answers_the_same_twice(tiny_model: Path, recipe_path: Path) -> None:
    first, second = (evaluate(tiny_model, f"recipe:{recipe_path}") for _ in range(2))
    timing = {"seconds", "tokens_per_second"}
    assert {key: value for key, value in first.items() if key not in timing} == {
        key: value for key, value in second.items() if key not in timing
    }
    assert (first["n"], first["max_tokens"], first["engine"]) == (3, 6, "transformers")
    assert first["tokens_per_second"] > 0


def test_an_adapter_changes_the_weights_by_scale_times_b_a(tiny_model: Path, adapter: Path) -> None:
    base = load_model(str(tiny_model)).state_dict()
    lora = load_file(adapter / "adapter_model.safetensors")
    exported = dict(merged_weights(ModelSection(name=str(tiny_model)), adapter))
    changed = {name for name, tensor in exported.items() if not torch.equal(tensor, base[name])}
    assert changed == {name for name in base if "_proj" in name}
    assert "lm_head.weight" not in exported
    name = "model.layers.1.mlp.down_proj"
    delta = lora[f"base_model.model.{name}.lora_B.weight"] @ lora[f"base_model.model.{name}.lora_A.weight"]
    assert torch.allclose(exported[f"{name}.weight"], base[f"{name}.weight"] + 8 / 4 * delta, atol=1e-6)


def test_adapter_run_and_checkpoint_answer_as_the_merged_model(
    tiny_model: Path, adapter: Path, merged: Path, run: RunFolder, recipe_path: Path, tmp_path: Path
) -> None:
    expected = said(merged, recipe_path, tmp_path / "merged")
    assert said(adapter, recipe_path, tmp_path / "adapter") == expected
    assert said(run.path, recipe_path, tmp_path / "run-answers") == expected
    assert said(run.checkpoints / "step-000001", recipe_path, tmp_path / "first") != expected
    assert said(tiny_model, recipe_path, tmp_path / "base") == said(
        run.checkpoints / "step-000001" / "policy", recipe_path, tmp_path / "first"
    )


def test_a_run_is_its_last_whole_checkpoint_with_its_recipes_base(run: RunFolder, tiny_model: Path) -> None:
    subject = find_subject(str(run.path))
    assert subject.adapter == run.checkpoints / "step-000002" / "policy"
    assert (subject.model.name, subject.dtype) == (str(tiny_model), "float32")


def test_a_run_that_trained_every_weight_is_its_checkpoint(run: RunFolder, tiny_model: Path) -> None:
    def write(target: Path) -> None:
        load_model(str(tiny_model)).save_pretrained(target / "policy")

    saved = save_checkpoint(run, 4, write)
    subject = find_subject(str(run.path))
    assert (subject.adapter, subject.model.name) == (None, str(saved / "policy"))


def test_aliases_and_hub_ids_stay_what_they_are() -> None:
    for name in ("smollm2", "Qwen/Qwen2.5-0.5B-Instruct"):
        assert find_subject(name) == Subject(ModelSection(name=name))


def test_a_run_without_checkpoint_is_refused(tmp_path: Path, run: RunFolder) -> None:
    empty = RunFolder.create(tmp_path / "empty", Recipe.model_validate_json(_as_json(run)))
    with pytest.raises(BadInput, match="no whole checkpoint yet"):
        find_subject(str(empty.path))


def _as_json(run: RunFolder) -> str:
    from rl.recipe_file import load_recipe

    return load_recipe(str(run.recipe)).model_dump_json()


def test_an_adapter_of_another_model_is_refused(
    adapter: Path, tiny_model: Path, tmp_path: Path, sums: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "build_engine", lambda recipe: pytest.fail("the engine was started"))
    other = tmp_path / "other"
    model = load_model(str(tiny_model))
    model.model.layers = model.model.layers[:1]  # same widths, one layer less: only the names tell
    model.config.num_hidden_layers = 1
    model.save_pretrained(other)
    load_tokenizer(str(tiny_model)).save_pretrained(other)
    with pytest.raises(BadInput, match=r"does not fit .*other, which shows in base_model.*layers\.1\."):
        evaluate(_rebased(adapter, tmp_path / "fewer", other), sums)

    weights = load_file(adapter / "adapter_model.safetensors")
    wider = {name: torch.cat([tensor, tensor]) if "lora_B" in name else tensor for name, tensor in weights.items()}
    folder = _rebased(adapter, tmp_path / "wider", tiny_model)
    save_file(wider, folder / "adapter_model.safetensors")
    with pytest.raises(BadInput, match=r"wider does not fit"):
        evaluate(folder, sums)

    (folder / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(BadInput, match=r"wider does not fit"):
        evaluate(folder, sums)


def _rebased(adapter: Path, target: Path, base: Path, **changes: Any) -> Path:
    """A copy of an adapter that names another base model."""
    target.mkdir()
    config = json.loads((adapter / "adapter_config.json").read_text())
    (target / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": str(base)} | changes))
    (target / "adapter_model.safetensors").write_bytes((adapter / "adapter_model.safetensors").read_bytes())
    return target


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"peft_type": "IA3"}, "of type IA3"),
        ({"modules_to_save": ["lm_head"]}, "has modules_to_save"),
        ({"base_model_name_or_path": None}, "does not say which model"),
        ({"base_model_name_or_path": "/no/such/model"}, "/no/such/model does not exist"),
    ],
)
def test_adapters_that_cannot_be_merged_are_refused(
    adapter: Path, tiny_model: Path, tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(BadInput, match=sentence):
        find_subject(str(_rebased(adapter, tmp_path / "changed", tiny_model, **changes)))


def test_an_adapter_on_tied_embeddings_is_refused(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    tied = tmp_path / "tied"
    tied.mkdir()
    config = json.loads((tiny_model / "config.json").read_text()) | {"tie_word_embeddings": True}
    (tied / "config.json").write_text(json.dumps(config))
    folder = _rebased(adapter, tmp_path / "head", tied, target_modules=["q_proj", "lm_head"])
    with pytest.raises(BadInput, match="uses one matrix for both"):
        find_subject(str(folder))
    assert find_subject(str(_rebased(adapter, tmp_path / "queries", tied, target_modules=["q_proj"]))).adapter


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"limit": 0}, "limit is 0"),
        ({"num_samples": 0}, "num_samples is 0"),
        ({"max_tokens": -1}, "max_tokens is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"num_samples": 2}, "all 2 samples would be equal"),
        ({"engine": "vlm"}, "no engine 'vlm'"),
        ({"max_tokens": 8190}, "context of .*, 8192: lower max_tokens"),
        ({"benchmark": "gsm8"}, "did you mean gsm8k"),
        ({"model": "./nowhere"}, "./nowhere does not exist"),
        ({"benchmark": "bad.jsonl"}, "needs the column 'answer'"),
        ({"output": Path("bad.jsonl/x")}, "cannot be made"),
    ],
)
def test_bad_input_is_found_before_any_weights_are_read(
    tiny_model: Path,
    sums: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text('{"question": "1 + 1"}\n')
    monkeypatch.setattr(command, "build_engine", lambda recipe: pytest.fail("the engine was started"))
    arguments = {"model": tiny_model, "benchmark": sums, **options}
    with pytest.raises(BadInput, match=sentence):
        evaluate(**arguments)
