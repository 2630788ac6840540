"""Fixtures that many tests share."""

import os

# Tests never talk to the hub. Set before transformers is imported, which reads it once.
os.environ["HF_HUB_OFFLINE"] = "1"

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from rl.models.tiny import save_tiny_model
from rl.rollout import precision
from rl.run import precision as run_precision

# A shell ignores Ctrl-C for what it starts in the background, and all that is started from there inherits it: the tests
# that interrupt a run would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def slow_bfloat16() -> Iterator[None]:
    """Make `auto` float32 on every machine in this process, where values are compared; tests may ask for others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "product_rates", lambda: {"float32": 2e11, "bfloat16": 1e9})
        patch.setattr(run_precision, "product_rates", lambda: {"float32": 2e11, "bfloat16": 1e9})
        yield


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, and SmolLM2's special tokens: ids 0, 1 and 2."""
    symbols = SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={symbol: i for i, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random two-layer Llama with a tokenizer of single bytes."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    save_tiny_model(byte_tokenizer(), folder)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # lazy: torch leaves a file open where it fails


def fill(place: Path) -> None:
    """Leave no room on a disk."""
    with contextlib.suppress(OSError), (place / "filler").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
