"""The systems that `bench/train.py` times, each in a process of its own that trains a stretch when it is told to."""

import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from radllama.prompt import Example
from radllama.recipe import Recipe

RECIPE: dict[str, Any] = {
    "tuning": "lora",  # the paper's: rank 8, alpha 16, dropout 0.05, on q and v
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "schedule": "constant",
    "warmup_share": 0.0,
    "tracker": "none",
}


@dataclass(frozen=True)
class Plan:
    """What every system does: a base folder, its examples in order, and how many make a step and a stretch."""

    base: str
    examples: Sequence[Example]
    batch: int
    warmup_steps: int
    stretch_steps: int
    threads: int
    device: str = "cpu"


@dataclass(frozen=True)
class Peer:
    """A trainer of transformers or TRL. Rows of `row_tokens` (None: one example a row), `rows` a forward pass."""

    trl: bool
    row_tokens: int | None = None
    rows: int = 16
    settings: tuple[tuple[str, Any], ...] = ()

    def but(self, **settings: Any) -> "Peer":
        """The same with further arguments of its trainer's."""
        return replace(self, settings=(*self.settings, *settings.items()))


_FAST = Peer(trl=True).but(gradient_checkpointing=False, bf16=True)
_BF16 = _FAST.but(model_init_kwargs={"dtype": "bfloat16"})  # TRL's own default is float32, cast at every use
_ALIKE = _BF16.but(train_sampling_strategy="group_by_length")  # rows of like length
_PACKED = replace(_BF16, row_tokens=512, rows=1)
PEERS = {
    # As it comes: SFTConfig's own batch of 8, so two of them make a step.
    "trl_default": Peer(trl=True, rows=8),
    "trainer": Peer(trl=False).but(bf16=True),
    # What TRL could be told to do; `bench/train.py --search` times them all. First: how the base is held.
    "trl_padded": _FAST,
    "trl_padded_fp32": _FAST.but(bf16=False),
    "trl_padded_bf16": _BF16,
    # How a batch is cut and padded.
    "trl_padded_to_64": _BF16.but(pad_to_multiple_of=64),
    "trl_padded_8x2": replace(_BF16, rows=8),
    "trl_padded_4x4": replace(_BF16, rows=4),
    "trl_alike": _ALIKE,
    "trl_alike_8x2": replace(_ALIKE, rows=8),
    "trl_alike_4x4": replace(_ALIKE, rows=4),
    "trl_alike_to_32": _ALIKE.but(pad_to_multiple_of=32),
    "trl_padding_free": _BF16.but(padding_free=True),
    "trl_padding_free_4x4": replace(_BF16, rows=4).but(padding_free=True),
    # Packing.
    "trl_packed_256": replace(_PACKED, row_tokens=256),
    "trl_packed_512": _PACKED,
    "trl_packed_512_fp32_base": replace(_FAST, row_tokens=512, rows=1),
    "trl_packed_512_x3": replace(_PACKED, rows=3),
    "trl_packed_1024": replace(_PACKED, row_tokens=1024),
    "trl_packed_2048": replace(_PACKED, row_tokens=2048),
    "trl_packed_split": _PACKED.but(packing_strategy="bfd_split"),
    # The rest.
    "trl_eager": _BF16.but(model_init_kwargs={"dtype": "bfloat16", "attn_implementation": "eager"}),
    "trl_packed_eager": _PACKED.but(model_init_kwargs={"dtype": "bfloat16", "attn_implementation": "eager"}),
    "trl_workers": _BF16.but(dataloader_num_workers=1),
    "trl_packed_workers": _PACKED.but(dataloader_num_workers=1),
    # Cuts examples and lets them see each other: not the same training, timed for its speed alone.
    "trl_wrapped": replace(_PACKED, rows=6).but(packing_strategy="wrapped"),
}


class Pace:
    """Counts what is trained, and waits for the word before every stretch."""

    def __init__(self, plan: Plan, connection: Any) -> None:
        self._plan, self._connection = plan, connection
        self._steps = self._examples = 0
        self._losses: list[float] = []
        self._began = 0.0

    def after(self, examples: int, loss: float) -> None:
        """Called after every optimizer step."""
        self._steps += 1
        self._examples += examples
        self._losses.append(loss)
        timed = self._steps - self._plan.warmup_steps
        if timed < 0 or timed % self._plan.stretch_steps:
            return
        seconds = time.perf_counter() - self._began
        told = {
            "examples_per_s": self._examples / seconds if timed else None,
            "losses": self._losses,
            "peak_mb": peak_bytes(self._plan.device) / 2**20,
        }
        self._connection.send(told)
        self._connection.recv()
        self._examples, self._losses, self._began = 0, [], time.perf_counter()


def peak_bytes(device: str) -> float:
    """The most memory that this process has held: on the GPU, or resident."""
    if device == "cuda":
        import torch

        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


def run(system: str, plan: Plan, connection: Any) -> None:
    """Train by one system; the body of a process."""
    import torch

    torch.set_num_threads(plan.threads)
    if plan.device == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "true"
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    pace = Pace(plan, connection)
    try:
        if system == "radllama":
            _run_radllama(plan, pace)
        else:
            _run_peer(PEERS[system], plan, pace)
    except Exception as error:  # told to the parent, which prints it
        connection.send({"error": f"{type(error).__name__}: {error}"})
        raise


def _run_radllama(plan: Plan, pace: Pace) -> None:
    from radllama.training.learner import Learner
    from radllama.training.processes import Processes
    from radllama.training.start import choose_precision, start_network

    recipe = Recipe.model_validate({"base": plan.base, "batch_size": plan.batch, **RECIPE})
    precision = choose_precision(recipe.precision)
    network, _, _ = start_network(recipe, [], precision)
    learner = Learner(recipe, network, precision, Processes("none", Path(plan.base)), plan.examples[:3])
    step = 0
    while True:
        batch = [plan.examples[(step * plan.batch + i) % len(plan.examples)] for i in range(plan.batch)]
        loss = learner.step(batch, step, recipe.learning_rate)
        step += 1
        pace.after(len(batch), loss)


def _run_peer(peer: Peer, plan: Plan, pace: Pace) -> None:
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForCausalLM,
        AutoTokenizer,
        DataCollatorForSeq2Seq,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from radllama.training.start import choose_precision

    tokenizer = AutoTokenizer.from_pretrained(plan.base)
    rows = [
        {"input_ids": e.prompt_ids + e.completion_ids, "labels": [-100] * len(e.prompt_ids) + e.completion_ids}
        for e in plan.examples
    ]
    data = Dataset.from_list(rows)
    lora = LoraConfig(r=8, lora_alpha=16, lora_dropout=0.05, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    arguments = {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": peer.rows,
        "gradient_accumulation_steps": _passes_a_step(peer, plan),
        "learning_rate": RECIPE["learning_rate"],
        "weight_decay": RECIPE["weight_decay"],
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "num_train_epochs": 1000,
        "train_sampling_strategy": "sequential",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": plan.device == "cpu",
        **dict(peer.settings),
    }
    dtype = None
    if choose_precision("auto") == "float32":
        # Where bfloat16 is only emulated no system is made to compute in it, TRL as it comes included.
        dtype, arguments["bf16"] = "float32", False
        if peer.trl:
            arguments["model_init_kwargs"] = {**arguments.get("model_init_kwargs", {}), "dtype": dtype}
    if plan.device == "cuda" and peer.trl and "bf16" in arguments and find_spec("flash_attn"):
        arguments["model_init_kwargs"] = {"dtype": "bfloat16", "attn_implementation": "flash_attention_2"}
    counted = [0]

    class Reporter(TrainerCallback):  # type: ignore[misc]
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            if logs and "loss" in logs:
                examples, counted[0] = counted[0], 0
                pace.after(examples, float(logs["loss"]))

    if peer.trl:
        from trl import SFTConfig, SFTTrainer

        packing = {"packing": True, "max_length": peer.row_tokens} if peer.row_tokens else {"max_length": None}
        trainer = SFTTrainer(
            model=plan.base,
            args=SFTConfig(**arguments, **packing),
            train_dataset=data,
            processing_class=tokenizer,
            peft_config=lora,
            callbacks=[Reporter()],
        )
    else:
        trainer = Trainer(
            model=get_peft_model(AutoModelForCausalLM.from_pretrained(plan.base, dtype=dtype or "auto"), lora),
            args=TrainingArguments(**arguments),
            train_dataset=data,
            data_collator=DataCollatorForSeq2Seq(tokenizer),
            callbacks=[Reporter()],
        )
    trainer.training_step = _counting(trainer.training_step, counted, plan)
    trainer.train()


def _counting(step: Callable[..., Any], counted: list[int], plan: Plan) -> Callable[..., Any]:
    """Examples of a forward pass: where positions restart in packed rows, otherwise where an answer begins."""

    def count(model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
        if "position_ids" in inputs:
            counted[0] += int((inputs["position_ids"] == 0).sum())
        else:
            learned = inputs["labels"] != -100
            counted[0] += int((learned[:, 1:] & ~learned[:, :-1]).sum())
        return step(model, inputs, *rest, **more)

    return count


def _passes_a_step(peer: Peer, plan: Plan) -> int:
    """Forward passes that hold a batch's examples, on average where they are packed."""
    if not peer.row_tokens:
        return plan.batch // peer.rows
    tokens = plan.batch * sum(map(len, plan.examples)) / len(plan.examples)
    return max(1, round(tokens / (0.97 * peer.row_tokens * peer.rows)))
