"""Training: recipe + dataset -> a tuned model, in a run folder that can be interrupted at any moment."""

import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from radllama.console import note
from radllama.dataset.build import read_split
from radllama.drafting.draft import Drafter
from radllama.engines import Sampling
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.evaluation.metrics import rouge
from radllama.files import hash_file, write_jsonl
from radllama.model import SETTINGS_FILE, save_model
from radllama.prompt import Example, make_prompt
from radllama.recipe import Recipe
from radllama.report import Report
from radllama.run import RUN_FILE, write_run
from radllama.training.averaging import WeightAverage
from radllama.training.checkpoint import (
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
    trainable_weights,
)
from radllama.training.examples import Batches, Encoder
from radllama.training.optimizer import make_optimizer
from radllama.training.packing import Block, block_loss, build_block, group_rows, keeps_apart, pack
from radllama.training.start import choose_precision, claim_folder, start_network

_CHECKPOINTS, _BEST = "checkpoints", "best.safetensors"
_SAVE_EVERY_S = 300


def train(recipe: Recipe, data: Path, out: Path, resume: bool = False) -> dict[str, Any]:
    """Tune the recipe's base on the dataset's train split; returns what the run file says.

    `out` becomes the model: a PEFT adapter (or whole model), `prompt.json` and, last, `run.json`; beside
    them `log/` for the tracker and `drafts/` of validation reports. A run that is killed at any moment
    and resumed ends with the weights of an undisturbed one (same machine, same number of threads).
    Raises InputError for a dataset, base or folder that does not fit, KeyboardInterrupt after a Ctrl-C,
    once the step under way is finished and saved.
    """
    train_reports = list(read_split(data, "train"))
    valid_reports = list(read_split(data, "valid")) if (data / "valid.jsonl").exists() else []
    hashes = {path.name: hash_file(path) for path in (data / "train.jsonl", data / "valid.jsonl") if path.exists()}
    settings = recipe.model_dump(mode="json")
    if finished := claim_folder(out, {"settings": settings, "data": hashes}, resume):
        return finished
    try:
        run = _Training(recipe, out, train_reports, valid_reports)
    except InputError:
        if not (out / _CHECKPOINTS).exists():  # nothing was begun: the corrected recipe may have the folder
            (out / SETTINGS_FILE).unlink()
        raise
    facts = {"data": hashes, **run.train()}
    write_run(out / RUN_FILE, "train", settings, **facts)
    shutil.rmtree(out / _CHECKPOINTS)
    (out / _BEST).unlink(missing_ok=True)
    (out / SETTINGS_FILE).unlink()
    return {"settings": settings, **facts}


class _Training:
    """One run: the network, its examples, and the loop over optimizer steps."""

    def __init__(self, recipe: Recipe, out: Path, train: list[Report], valid: list[Report]) -> None:
        self.recipe, self.out = recipe, out
        self.prompt = make_prompt(recipe.prompt.template, recipe.prompt.indication)
        self.precision = choose_precision(recipe.precision)
        self.accelerator = _start_accelerator(recipe.tracker, out)
        self.network, self.tokenizer, self.base_fingerprint = start_network(recipe, train, self.precision)
        self.network.to(self.accelerator.device)

        encoder = Encoder(self.prompt, self.tokenizer, recipe.context_tokens)
        train, train_examples, self.dropped = encoder.encode_all(train)
        self.valid_reports, self.valid_examples, dropped = encoder.encode_all(valid)
        self.dropped += dropped
        if not train:
            raise InputError(f"no training report fits context_tokens={recipe.context_tokens}; raise it")
        if recipe.keep != "last" and not self.valid_examples:
            raise InputError(f"keep: {recipe.keep} needs valid reports, and the dataset has none; set keep: last")
        for reason, count in self.dropped.items():
            note(f"dropped {count} reports: {reason}={recipe.context_tokens}")
        self.train_count = len(train)
        self.batches = Batches(train, train_examples, encoder, recipe.augment, recipe.batch_size, recipe.seed)
        self.steps = self.batches.epoch_steps * recipe.epochs
        with self._autocast():
            self.packed = keeps_apart(self.network, train_examples[:3], self.accelerator.device)
        if not self.packed:
            note("this model lets neighbours in a row see each other: one example a row, which is slower")

        self.optimizer = make_optimizer(self.network, recipe.optimizer, recipe.learning_rate, recipe.weight_decay)
        self.average = WeightAverage(self.network, recipe.averaging) if recipe.averaging else None
        self.state: dict[str, Any] = {"step": 0, "best": None, "history": [], "seconds": 0.0}

    def train(self) -> dict[str, Any]:
        """Train to the end, write the kept weights as the model, and return what to record."""
        if state := load_checkpoint(self.out / _CHECKPOINTS, self.network, self.average, self.optimizer):
            self.state = state
            note(f"going on after step {state['step']} of {self.steps}")
        self.accelerator.init_trackers("log")
        if self.recipe.activation_checkpointing:
            self.network.activation_checkpointing_enable({"use_reentrant": False})
        self._loop()
        with self._averaged():
            if self.recipe.keep != "last":
                load_weights(self.network, self.out / _BEST)
            save_model(self.network, self.tokenizer, self.prompt, self.out)
        self.accelerator.end_training()
        weights = trainable_weights(self.network).values()
        return {
            "base_fingerprint": self.base_fingerprint,
            "prompt": self.prompt.name,
            "parameters": self.network.num_parameters(),
            "trainable_parameters": sum(weight.numel() for weight in weights),
            "examples": {"train": self.train_count, "valid": len(self.valid_examples)},
            "dropped": dict(self.dropped),
            "packed": self.packed,
            "precision": self.precision,
            "device": self.accelerator.device.type,
            **self.state,
        }

    def _loop(self) -> None:
        evaluate_every = max(1, self.batches.epoch_steps // self.recipe.evaluations)
        begun = time.monotonic() - self.state["seconds"]
        saved = time.monotonic()
        bar = tqdm(total=self.steps, initial=self.state["step"], unit="step", desc="training", file=sys.stderr)
        with _interrupts() as interrupted, bar:
            while self.state["step"] < self.steps:
                loss = self._step(self.state["step"])
                self.state["step"] += 1
                step = self.state["step"]
                self.accelerator.log({"train/loss": loss, "train/learning_rate": self._rate(step - 1)}, step=step)
                bar.set_postfix(loss=f"{loss:.3f}", epoch=f"{step / self.batches.epoch_steps:.1f}", refresh=False)
                bar.update()
                evaluate = step == self.steps or step % evaluate_every == 0
                if evaluate:
                    with self._averaged():
                        told = self._validate()
                    bar.write(f"step {step}: {told}", file=sys.stderr)
                if evaluate or interrupted() or time.monotonic() - saved > _SAVE_EVERY_S:
                    saved = time.monotonic()
                    self.state["seconds"] = round(saved - begun, 1)
                    save_checkpoint(self.out / _CHECKPOINTS, self.network, self.average, self.optimizer, self.state)
                if interrupted():
                    raise KeyboardInterrupt

    def _step(self, step: int) -> float:
        """One optimizer step; everything random in it follows from the seed and the step's number."""
        import torch

        torch.manual_seed(self.recipe.seed * 1_000_003 + step)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(step)
        self.network.train()
        blocks = self._blocks(self.batches[step], self.recipe.findings_loss)
        total = sum(float(block.weight.sum()) for block in blocks)
        loss = 0.0
        for block in blocks:
            part = self._loss(block, self.recipe.label_smoothing) / total
            part.backward()
            loss += part.item()
        if not math.isfinite(loss):
            raise InputError(f"step {step + 1}: the loss is {loss}; lower learning_rate or set precision: fp32")
        learned = [p for p in self.network.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(learned, self.recipe.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.network, step + 1)
        return loss

    def _validate(self) -> str:
        """Loss and ROUGE-1 on the valid split, recorded; keeps the weights when they are the best so far."""
        import torch

        figures: dict[str, float] = {}
        self.network.eval()
        if self.valid_examples:
            with torch.no_grad():
                blocks = self._blocks(self.valid_examples, 0.0)
                total = sum(float(block.weight.sum()) for block in blocks)
                figures["loss"] = sum(self._loss(block).item() for block in blocks) / total
        if drafted := self.valid_reports[: self.recipe.valid_drafts]:
            figures["rouge1"] = self._draft(drafted)
        step, keep = self.state["step"], self.recipe.keep
        self.state["history"].append({"step": step, **figures})
        self.accelerator.log({f"valid/{name}": value for name, value in figures.items()}, step=step)
        if keep != "last":
            score = -figures["loss"] if keep == "loss" else figures["rouge1"]
            if self.state["best"] is None or score > self.state["best"]["score"]:
                self.state["best"] = {"score": score, "step": step}
                save_weights(self.network, self.out / _BEST)
        return ", ".join(f"validation {name} {value:.3f}" for name, value in figures.items()) or "no valid split"

    def _draft(self, reports: Sequence[Report]) -> float:
        """Draft reports into `drafts/`, where they can be read; returns the mean ROUGE-1 (unstemmed F1)."""
        drafter = Drafter(TransformersEngine(self.network, self.tokenizer), self.prompt, "in-training")
        batches = drafter.draft_batches(reports, Sampling())
        drafts = [draft for batch in batches for draft in batch.values()]
        path = self.out / "drafts" / f"step-{self.state['step']:07d}.jsonl"
        write_jsonl(path, (asdict(draft) for draft in drafts))
        score = rouge("rouge1")
        return sum(score(draft.reference or "", draft.draft) for draft in drafts) / len(drafts)

    def _blocks(self, examples: Sequence[Example], prompt_weight: float) -> list[Block]:
        rows = pack(examples, self.recipe.row_tokens, self.packed)
        return [build_block(group, prompt_weight) for group in group_rows(rows, self.recipe.device_tokens)]

    def _loss(self, block: Block, smoothing: float = 0.0) -> Any:
        with self._autocast():
            return block_loss(self.network, block.to(self.accelerator.device), self.packed, smoothing)

    def _averaged(self) -> AbstractContextManager[None]:
        return self.average.applied(self.network) if self.average else nullcontext()

    def _autocast(self) -> Any:
        # torch's own, not accelerate's: that one is fixed for the whole process by its first user.
        import torch

        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def _rate(self, step: int) -> float:
        """The learning rate of a step (from 0): linear warm-up, then the schedule, down to 0 at the end."""
        warmup = math.ceil(self.recipe.warmup_share * self.steps)
        if step < warmup:
            return self.recipe.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - warmup)
        shares = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        return self.recipe.learning_rate * shares[self.recipe.schedule]


def _start_accelerator(tracker: str, out: Path) -> Any:
    from accelerate import Accelerator
    from accelerate.tracking import get_available_trackers

    if tracker == "none":
        return Accelerator(project_dir=out)
    # accelerate would warn and track nothing
    if tracker not in (installed := [kind.value for kind in get_available_trackers()]):
        raise InputError(f"tracker: {tracker} is not installed here; choose {', '.join(installed)} or none")
    return Accelerator(log_with=tracker, project_dir=out)


@contextmanager
def _interrupts() -> Iterator[Callable[[], bool]]:
    """Turn a first Ctrl-C into a question that the loop asks when a step is whole; a second one stops at once."""
    asked = False

    def handle(_signal: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        note("stopping after this step; press Ctrl-C again to stop at once")

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, previous)
