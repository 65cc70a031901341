"""Training: recipe + dataset -> a tuned model, in a run folder that can be interrupted at any moment."""

import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from radllama.console import note
from radllama.dataset.build import read_split
from radllama.drafting.abstain import write_vocabulary
from radllama.drafting.draft import Drafter
from radllama.engines import Sampling
from radllama.engines.transformers import TransformersEngine
from radllama.errors import InputError
from radllama.evaluation.metrics import rouge
from radllama.files import hash_file, write_jsonl
from radllama.model import SETTINGS_FILE, save_model, weights_folder
from radllama.recipe import Recipe
from radllama.report import Report
from radllama.run import RUN_FILE, write_run
from radllama.training.checkpoint import (
    gather,
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
    trainable_weights,
)
from radllama.training.examples import Batches, Encoder
from radllama.training.learner import Learner
from radllama.training.processes import Processes
from radllama.training.start import choose_precision, claim_folder, start_library, start_network, start_prompt
from radllama.weights import BASE_PINS, PINS, hash_weights

_CHECKPOINTS, _BEST = "checkpoints", "best.safetensors"
_SAVE_EVERY_S = 300


def train(recipe: Recipe, data: Path, out: Path, resume: bool = False) -> dict[str, Any]:
    """Tune the recipe's base on the dataset's train split; returns what the run file says.

    `out` becomes the model: a PEFT adapter (or whole model), `prompt.json` (and `selection.json`),
    `vocabulary.json` and, last, `run.json`; beside them `log/` for the tracker and `drafts/` of validation reports.
    A run that is killed at any moment and resumed ends with the weights of an undisturbed one (same machine, same
    number of threads).
    Started by torchrun, every process computes its share of each batch and the first one writes.
    Raises InputError for a dataset, base or folder that does not fit, KeyboardInterrupt after a Ctrl-C,
    once the step under way is finished and saved.
    """
    train_reports = list(read_split(data, "train"))
    valid_reports = list(read_split(data, "valid")) if (data / "valid.jsonl").exists() else []
    hashes = {path.name: hash_file(path) for path in (data / "train.jsonl", data / "valid.jsonl") if path.exists()}
    settings = recipe.model_dump(mode="json")
    processes = Processes(recipe.tracker, out)
    identity = {"settings": settings, "data": hashes}
    if finished := processes.from_first(lambda: claim_folder(out, identity, resume)):
        return finished
    try:
        run = _Training(recipe, out, train_reports, valid_reports, processes)
    except InputError:
        # nothing was begun: the corrected recipe may have the folder
        if processes.first and not (out / _CHECKPOINTS).exists():
            (out / SETTINGS_FILE).unlink()
        raise
    if processes.first:
        write_vocabulary((report.findings for report in train_reports), out)
    facts = {"data": hashes, **run.train()}
    if processes.first:
        facts[PINS] = hash_weights(out)
        if not recipe.scratch and (base := weights_folder(recipe.base)):
            facts[BASE_PINS] = hash_weights(base)
        write_run(out / RUN_FILE, "train", settings, **facts)
        shutil.rmtree(out / _CHECKPOINTS)
        (out / _BEST).unlink(missing_ok=True)
        (out / SETTINGS_FILE).unlink()
    return {"settings": settings, **facts}


class _Training:
    """One run: the learner, its examples, and the loop over optimizer steps."""

    def __init__(
        self, recipe: Recipe, out: Path, train: list[Report], valid: list[Report], processes: Processes
    ) -> None:
        self.recipe, self.out, self.processes = recipe, out, processes
        self.prompt = start_prompt(recipe, train)
        self.library = start_library(recipe, train)
        self.precision = choose_precision(recipe.precision)
        network, self.tokenizer, self.base_fingerprint = start_network(recipe, train, self.precision)

        mistold = recipe.augment.mistell
        encoder = Encoder(self.prompt, self.tokenizer, recipe.context_tokens, mistold, self.library)
        train, train_examples, self.dropped = encoder.encode_all(train, signed=True)
        self.valid_reports, self.valid_examples, dropped = encoder.encode_all(valid)
        self.dropped += dropped
        if not train:
            raise InputError(f"no training report fits context_tokens={recipe.context_tokens}; raise it")
        if recipe.keep != "last" and not self.valid_examples:
            raise InputError(f"keep: {recipe.keep} needs valid reports, and the dataset has none; set keep: last")
        for reason, count in self.dropped.items():
            self._note(f"dropped {count} reports: {reason}={recipe.context_tokens}")
        self.neighbours = dict(encoder.neighbours)
        if recipe.neighbours and self.neighbours["left_out"]:
            told = f"{self.neighbours['left_out']} of {sum(self.neighbours.values())} prior reports"
            self._note(f"{told} did not fit neighbours.budget_tokens={recipe.neighbours.budget_tokens} or the context")
        self.train_count = len(train)
        bare = recipe.neighbours.dropout if recipe.neighbours else 0.0
        self.batches = Batches(train, train_examples, encoder, recipe.augment, recipe.batch_size, recipe.seed, bare)
        self.steps = self.batches.epoch_steps * recipe.epochs
        self.learner = Learner(recipe, network, self.precision, processes, train_examples[:3])
        self.network = self.learner.network
        self.state: dict[str, Any] = {"step": 0, "best": None, "history": [], "seconds": 0.0}

    def train(self) -> dict[str, Any]:
        """Train to the end, write the kept weights as the model, and return what to record."""
        learner = self.learner
        if state := load_checkpoint(self.out / _CHECKPOINTS, self.network, learner.average, learner.optimizer):
            self.state = state
            self._note(f"going on after step {state['step']} of {self.steps}")
        self.processes.accelerator.init_trackers("log")
        self._loop()
        with learner.averaged():
            if self.recipe.keep != "last":
                load_weights(self.network, self.out / _BEST)
            weights = None
            if learner.sharded and self.recipe.tuning == "full":
                weights = gather(trainable_weights(self.network), self.processes.first)
            if self.processes.first:
                save_model(self.network, self.tokenizer, self.prompt, self.out, weights)
        self.processes.accelerator.end_training()
        learned = trainable_weights(self.network).values()
        return {
            "base_fingerprint": self.base_fingerprint,
            "prompt": self.prompt.name,
            "parameters": self.network.num_parameters(),
            "trainable_parameters": sum(weight.numel() for weight in learned),
            "examples": {"train": self.train_count, "valid": len(self.valid_examples)},
            "dropped": dict(self.dropped),
            **({"neighbours_in_prompts": self.neighbours} if self.recipe.neighbours else {}),
            "packing": learner.packing,
            "precision": self.precision,
            "device": self.processes.device.type,
            "processes": self.processes.count,
            **self.state,
        }

    def _loop(self) -> None:
        evaluate_every = max(1, self.batches.epoch_steps // self.recipe.evaluations)
        begun = time.monotonic() - self.state["seconds"]
        saved = time.monotonic()
        bar = tqdm(
            total=self.steps,
            initial=self.state["step"],
            unit="step",
            desc="training",
            file=sys.stderr,
            disable=not self.processes.first,
        )
        with _interrupts() as interrupted, bar:
            while self.state["step"] < self.steps:
                number = self.state["step"]
                loss = self.learner.step(self.batches[number], number, self._rate(number))
                step = self.state["step"] = number + 1
                self._log({"train/loss": loss, "train/learning_rate": self._rate(number)})
                bar.set_postfix(loss=f"{loss:.3f}", epoch=f"{step / self.batches.epoch_steps:.1f}", refresh=False)
                bar.update()
                evaluate = step == self.steps or step % evaluate_every == 0
                if evaluate:
                    with self.learner.averaged():
                        told = self._validate()
                    if self.processes.first:
                        bar.write(f"step {step}: {told}", file=sys.stderr)
                # No process may stop, or save, while another goes on to wait for it.
                due = time.monotonic() - saved > _SAVE_EVERY_S
                stops, due = map(bool, self.processes.sum(interrupted(), self.processes.first and due))
                if evaluate or stops or due:
                    saved = time.monotonic()
                    self.state["seconds"] = round(saved - begun, 1)
                    self._save()
                if stops:
                    raise KeyboardInterrupt

    def _save(self) -> None:
        learner = self.learner
        first, folder = self.processes.first, self.out / _CHECKPOINTS
        if first or learner.sharded:
            save_checkpoint(folder, self.network, learner.average, learner.optimizer, self.state, first)

    def _validate(self) -> str:
        """Loss and ROUGE-1 on the valid split, recorded; keeps the weights when they are the best so far."""
        figures: dict[str, float] = {}
        if self.valid_examples:
            figures["loss"] = self.learner.loss(self.valid_examples)
        if drafted := self.valid_reports[: self.recipe.valid_drafts]:
            if self.learner.sharded:  # all processes draft, or none can
                figures["rouge1"] = self._draft(drafted)
            else:
                figures["rouge1"] = self.processes.from_first(lambda: self._draft(drafted))
        step, keep = self.state["step"], self.recipe.keep
        self.state["history"].append({"step": step, **figures})
        self._log({f"valid/{name}": value for name, value in figures.items()})
        if keep != "last":
            score = -figures["loss"] if keep == "loss" else figures["rouge1"]
            if self.state["best"] is None or score > self.state["best"]["score"]:
                self.state["best"] = {"score": score, "step": step}
                if self.processes.first or self.learner.sharded:
                    save_weights(self.network, self.out / _BEST, self.processes.first)
        return ", ".join(f"validation {name} {value:.3f}" for name, value in figures.items()) or "no valid split"

    def _draft(self, reports: Sequence[Report]) -> float:
        """Draft reports into `drafts/`, where they can be read; returns the mean ROUGE-1 (unstemmed F1)."""
        self.network.eval()
        engine = TransformersEngine(self.network, self.tokenizer)
        drafter = Drafter(engine, self.prompt, "in-training", library=self.library)
        batches = drafter.draft_batches(reports, Sampling())
        drafts = [draft for batch in batches for draft in batch.values()]
        if self.processes.first:
            path = self.out / "drafts" / f"step-{self.state['step']:07d}.jsonl"
            write_jsonl(path, (draft.to_json() for draft in drafts))
        score = rouge("rouge1")
        return sum(score(draft.reference or "", draft.draft) for draft in drafts) / len(drafts)

    def _log(self, values: dict[str, float]) -> None:
        self.processes.accelerator.log(values, step=self.state["step"])

    def _note(self, told: str) -> None:
        if self.processes.first:
            note(told)

    def _rate(self, step: int) -> float:
        """The learning rate of a step (from 0): linear warm-up, then the schedule, down to 0 at the end."""
        warmup = math.ceil(self.recipe.warmup_share * self.steps)
        if step < warmup:
            return self.recipe.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, self.steps - warmup)
        shares = {"constant": 1.0, "linear": 1 - progress, "cosine": (1 + math.cos(math.pi * progress)) / 2}
        return self.recipe.learning_rate * shares[self.recipe.schedule]


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
