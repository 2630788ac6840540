"""`sft`: supervised fine-tuning on traces, by TRL's SFTTrainer.

Sequences are handed over as token ids with a mask, so that the prompt is the one that training and evaluation use. The
trainer's own checkpoints make a killed stage go on; the model that comes out is whole, the adapter merged in.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from rewards.errors import BadInput
from rl.base import atomic, jsonl
from rl.base.signals import StopRequested, StopSignal
from rl.base.stored import read_object
from rl.evaluation.command import Listener
from rl.learner.experts import freeze_routers
from rl.learner.export import export
from rl.learner.policy import lora_config
from rl.models.adapter_base import name_base
from rl.models.source import load_model, load_tokenizer, no_progress_bars
from rl.pipelines.books import ADAPTER, MODEL, StageResult, made
from rl.pipelines.examples import Encoder, Example, fitting, gather_rows
from rl.pipelines.merged import write_merged
from rl.pipelines.schema import SftStage
from rl.rollout.build import pick_device
from rl.rollout.precision import pick_dtype
from rl.run.folder import RunFolder
from rl.run.ledger import Ledger
from rl.run.loading import loading

TOLD = 10  # lines of progress
DATA = "examples.json"


def fine_tune(
    name: str,
    stage: SftStage,
    folder: Path,
    traces: Sequence[Path],
    ledger: Ledger,
    listener: Listener,
    stop: StopSignal,
    accept_changed_data: bool = False,
) -> StageResult:
    """Run an `sft` stage, or go on with it; `accept_changed_data`: though its data have changed.

    Raises:
        BadInput: a row that cannot be learned from, none that is short enough, or other data than the stage began with.
        StopRequested: a signal came; the last step is saved.
    """
    with ledger.phase("start"):
        tokenizer = load_tokenizer(stage.model.name, stage.model.revision)
        examples, too_long = read_examples(name, stage, traces, tokenizer)
        if too_long:
            listener.say(f"{too_long} sequences are longer than sft.max_length = {stage.sft.max_length} and left out")
        agree_on_data(name, folder, examples, accept_changed_data)
        with loading(f"loading {stage.model.name} to fine-tune", listener.say):
            trainer = build_trainer(stage, folder, tokenizer, examples)
        books = Books(RunFolder(folder), ledger, stop, listener)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(books)
    last = last_checkpoint(folder)
    books.begin()
    with stop.safe_points():
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
    if stop.received:
        raise StopRequested(stop.received.name)
    with ledger.phase("save"):
        save(stage, trainer.model, tokenizer, folder)
    figures = {
        "examples": len(examples),
        "too_long": too_long,
        "learned_tokens": sum(example.learned for example in examples),
        "steps": trainer.state.global_step,
        "loss": books.loss,
    }
    return StageResult(stage.kind, model=MODEL, figures=figures)


def read_examples(name: str, stage: SftStage, traces: Sequence[Path], tokenizer: Any) -> tuple[list[Example], int]:
    """What is learned, and how many sequences are too long for it. Raises BadInput."""
    encoder = Encoder(stage.problems, tokenizer)
    rows = gather_rows(traces, stage.data, stage.run.seed)
    examples, too_long = fitting((encoder.encode(row, where) for where, row in rows), stage.sft.max_length)
    if not examples:
        raise BadInput(
            f"Stage {name} has nothing to learn from: all {too_long} sequences are longer than sft.max_length = "
            f"{stage.sft.max_length}; raise it."
            if too_long
            else f"Stage {name} has nothing to learn from: its data have no rows."
        )
    return examples, too_long


def agree_on_data(name: str, folder: Path, examples: Sequence[Example], accept_changed_data: bool) -> None:
    """Keep the SHA-256 of what is learned; raise BadInput if a checkpoint was made from something else."""
    tokens = json.dumps([[*example.input_ids, example.learned] for example in examples])
    found, file = hashlib.sha256(tokens.encode()).hexdigest(), folder / DATA
    cure = f"begin the stage again by --from {name}"
    before = read_object(file, cure, {"sha256": str})["sha256"] if file.exists() else found
    if before != found and last_checkpoint(folder) and not accept_changed_data:
        raise BadInput(
            f"What stage {name} learns from has changed since its last step: bring the old data back, go on with the "
            f"new ones by --accept-changed-data, or begin the stage again by --from {name}."
        )
    atomic.write_json(file, {"sha256": found, "examples": len(examples)})


def build_trainer(stage: SftStage, folder: Path, tokenizer: Any, examples: Sequence[Example]) -> SFTTrainer:
    """TRL's trainer with the stage's model, options and examples."""
    section = stage.model
    device = pick_device("auto")
    dtype = pick_dtype(section.dtype, device)
    if dtype == torch.float16 and device == "cpu":  # accelerate refuses it
        raise BadInput("Supervised fine-tuning in float16 needs a GPU: say bfloat16 or float32 in model.dtype.")
    # Weights that learn are float32: a small step is lost in the eight bits of bfloat16.
    kept = dtype if section.use_peft else torch.float32
    sft = stage.sft
    datasets.disable_progress_bars()
    arguments = SFTConfig(
        output_dir=str(folder / "checkpoints"),
        seed=stage.run.seed,
        data_seed=stage.run.seed,
        use_cpu=device == "cpu",
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        gradient_checkpointing=section.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if section.gradient_checkpointing else None,
        use_liger_kernel=section.use_liger_kernel,
        save_strategy="steps",
        save_total_limit=1,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        **sft.model_dump(),
    )
    model = load_model(section.name, section.revision, dtype=kept, device=device)
    if not section.train_router:
        freeze_routers(model)
    return SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(
            {
                "input_ids": [list(example.input_ids) for example in examples],
                "completion_mask": [example.completion_mask for example in examples],
            }
        ),
        processing_class=tokenizer,
        peft_config=lora_config(section, model) if section.use_peft else None,
    )


class Books(TrainerCallback):
    """Writes a line of metrics and of the ledger for each step, and ends training when a signal has come."""

    def __init__(self, folder: RunFolder, ledger: Ledger, stop: StopSignal, listener: Listener) -> None:
        self.loss: float | None = None  # of the last step
        self._folder, self._ledger, self._stop, self._listener = folder, ledger, stop, listener
        self._phase: Any = None
        self._seen = 0  # tokens, when the last step ended

    def begin(self) -> None:
        """Start to count seconds as learning."""
        self._phase = self._ledger.phase("learn")
        self._phase.__enter__()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """A step has ended."""
        if not logs or "loss" not in logs:
            return
        self._phase.__exit__(None, None, None)
        self.loss = float(logs["loss"])
        tokens = int(logs.get("num_tokens", 0))
        self._ledger.add_tokens(trained=tokens - self._seen)
        self._seen = tokens
        costs = self._ledger.step_done(state.global_step)
        jsonl.append(self._folder.metrics, {"step": state.global_step, **logs, **costs})
        if state.global_step % max(1, state.max_steps // TOLD) == 0:
            self._listener.say(f"step {state.global_step} of {state.max_steps}: loss {self.loss:.3g}")
        self.begin()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Save and stop where a signal says so."""
        if self._stop.received:
            control.should_save = control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """No more learning."""
        self._phase.__exit__(None, None, None)


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that is whole: the trainer writes its state last."""
    whole = [path.parent for path in (folder / "checkpoints").glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def save(stage: SftStage, model: Any, tokenizer: Any, folder: Path) -> None:
    """Write the adapter, if there is one, and the whole model with it merged in."""
    if not stage.model.use_peft:
        with no_progress_bars(), made(folder / MODEL) as place:
            model.save_pretrained(place)
            tokenizer.save_pretrained(place)
        return
    with made(folder / ADAPTER) as place:
        model.save_pretrained(place)
        name_base(place, stage.model)
    write_merged(stage.model, export(model.get_base_model()), tokenizer, folder / MODEL)
