"""`radllama train --plan`: what a recipe will take, and what would make it fit, before anything is loaded."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radllama.dataset.build import read_split
from radllama.errors import InputError
from radllama.model import load_tokenizer
from radllama.prompt import Example
from radllama.recipe import Recipe
from radllama.report import Report
from radllama.training.examples import Batches, Encoder
from radllama.training.footprint import Footprint, measure_footprint, read_config
from radllama.training.packing import Block, build_blocks
from radllama.training.scratch import train_tokenizer
from radllama.training.start import choose_precision, start_library, start_prompt

_GB = 1e9
# Without a dataset: the paper's prompt and reports of usual length, under Llama 2's tokenizer.
_USUAL = 60, 100, 30  # tokens of instruction, findings, impression
_CUDA_BYTES = 0.7e9  # a CUDA context, cuBLAS and the allocator's slack
_SMALL_PASS = 2048
# On a CPU products have buffers of their own (in bfloat16 generated code as well), and what passes of unlike lengths
# leave free in the heap, another cannot always use: so many bytes, and a share of a pass. From bench/plan.py.
_CPU_SLACK = {"float32": (0.06e9, 0.07), "bfloat16": (0.23e9, 0.15)}


@dataclass(frozen=True, slots=True)
class Device:
    """What there is to fit into; `taken` bytes of it hold the libraries themselves."""

    kind: str
    name: str
    memory: float
    taken: float
    count: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What `--plan` prints."""

    recipe: Recipe
    precision: str
    device: Device
    footprint: Footprint
    step_tokens: int
    step_unshared_tokens: int
    passes: int
    measured: bool
    switches: tuple[tuple[str, float], ...]

    @property
    def peak(self) -> float:
        """Bytes, the libraries included."""
        return self.footprint.peak + self.device.taken


def plan(recipe: Recipe, data: Path | None = None) -> Plan:
    """Work out what training by the recipe takes on the visible device.

    With a dataset the largest pass of the first steps is taken; without, examples of usual length.
    Raises InputError for a base whose shape cannot be known, or a dataset without its tokenizer.
    """
    config = read_config(recipe)
    device = find_device()
    batches = list(_first_batches(recipe, data))

    def footprint_of(chosen: Recipe) -> Footprint:
        block = max(_blocks(chosen, batches), key=lambda block: block.input_ids.numel())
        precision = choose_precision(chosen.precision)
        found = measure_footprint(chosen, config, block, precision, device.kind, device.count)
        if device.kind == "cpu":
            slack, share = _CPU_SLACK[precision]
            found = replace(found, passing=found.passing * (1 + share) + slack)
        return found

    footprint = footprint_of(recipe)
    fits = footprint.peak + device.taken <= device.memory
    blocks = build_blocks(batches[0], recipe.device_tokens, "shared", recipe.findings_loss)
    return Plan(
        recipe=recipe,
        precision=choose_precision(recipe.precision),
        device=device,
        footprint=footprint,
        step_tokens=sum(block.input_ids.numel() for block in blocks),
        step_unshared_tokens=sum(map(len, batches[0])),
        passes=len(blocks),
        measured=data is not None,
        switches=() if fits else tuple(_try_switches(recipe, footprint_of, device)),
    )


def find_device() -> Device:
    """The first GPU, or this machine's memory that is free or already this process's."""
    import torch

    if torch.cuda.is_available():
        free, _ = torch.cuda.mem_get_info()
        return Device("cuda", torch.cuda.get_device_name(), free, _CUDA_BYTES, torch.cuda.device_count())
    import peft  # noqa: F401  (the libraries that training has in memory as well)
    import transformers  # noqa: F401

    taken = _resident_bytes()
    return Device("cpu", "this machine's memory", _available_bytes() + taken, taken)


def render_plan(found: Plan) -> str:
    """The plan in words, a fact a line."""
    footprint, device = found.footprint, found.device
    share = 100 * footprint.trainable / footprint.parameters
    fits = found.peak <= device.memory
    lines = [
        f"parameters        {footprint.parameters:,}",
        f"trainable         {footprint.trainable:,} ({share:.3g}%)",
        f"precision         {found.precision}",
        f"tokens a step     {found.step_tokens:,} in {found.passes} passes for {found.recipe.batch_size} examples "
        f"({found.step_unshared_tokens:,} if each repeated the instruction)",
        f"expected peak     {found.peak / _GB:.2f} GB: {footprint.held / _GB:.2f} weights, gradients and optimizer, "
        f"{footprint.passing / _GB:.2f} a pass, {device.taken / _GB:.2f} libraries",
        f"device            {device.name}, {device.memory / _GB:.1f} GB: {'fits' if fits else 'does NOT fit'}",
    ]
    if not found.measured:
        lines.append("examples          of usual length; --data DATASET takes yours")
    lines += [
        f"with {switch}: {peak / _GB:.2f} GB, {'fits' if peak <= device.memory else 'does not fit'}"
        for switch, peak in found.switches
    ]
    return "\n".join(lines)


def _try_switches(recipe: Recipe, footprint_of: Any, device: Device) -> Iterator[tuple[str, float]]:
    """Switches, one on top of the other, until it fits; each changes less of what is learned than the next."""
    tried: dict[str, Any] = {}
    for name, value in (
        ("precision", "bf16"),
        ("device_tokens", _SMALL_PASS),
        ("activation_checkpointing", True),
        ("sharded", True),
        ("tuning", "qlora"),
    ):
        if getattr(recipe, name) == value or (name == "device_tokens" and recipe.device_tokens <= _SMALL_PASS):
            continue
        if name == "precision" and choose_precision(recipe.precision) == "bfloat16":
            continue
        if name == "sharded" and (device.count == 1 or recipe.optimizer == "muon" or recipe.averaging):
            continue
        if name == "tuning" and recipe.tuning == "full" and recipe.scratch:
            continue
        if name == "tuning":
            tried.pop("sharded", None)
        tried[name] = value
        peak = footprint_of(recipe.model_copy(update=tried)).peak + device.taken
        yield " ".join(f"{key}={str(value).lower()}" for key, value in tried.items()), peak
        if peak <= device.memory:
            return


def _blocks(recipe: Recipe, batches: Sequence[Sequence[Example]]) -> list[Block]:
    return [
        block
        for batch in batches
        for block in build_blocks(batch, recipe.device_tokens, "shared", recipe.findings_loss)
    ]


def _first_batches(recipe: Recipe, data: Path | None) -> Iterator[list[Example]]:
    if data is None:
        instruction, findings, impression = _USUAL
        if shown := recipe.neighbours:
            findings += min(shown.count * (impression + findings * shown.findings), shown.budget_tokens)
        # The findings' first tokens differ, so that no more than the instruction is shared.
        prompts = ([0] * instruction + [1 + i % 2] + [0] * (findings - 1) for i in range(recipe.batch_size))
        yield [Example(prompt, [0] * impression) for prompt in prompts]
        return
    reports = list(read_split(data, "train"))
    tokenizer = _find_tokenizer(recipe, reports)
    library = start_library(recipe, reports)
    mistold = recipe.augment.mistell
    encoder = Encoder(start_prompt(recipe, reports), tokenizer, recipe.context_tokens, mistold, library)
    reports, examples, _ = encoder.encode_all(reports, signed=True)
    if not examples:
        raise InputError(f"no training report fits context_tokens={recipe.context_tokens}; raise it")
    batches = Batches(reports, examples, encoder, recipe.augment, recipe.batch_size, recipe.seed)
    yield from (batches[step] for step in range(min(20, batches.epoch_steps)))


def _find_tokenizer(recipe: Recipe, reports: Sequence[Report]) -> Any:
    if recipe.scratch:
        texts = (text for r in reports for text in (r.findings, r.impression, r.indication))
        return train_tokenizer(texts, recipe.scratch.vocab_size)
    try:
        return load_tokenizer(recipe.base)
    except InputError as error:
        raise InputError(f"{error}, or leave --data out") from None


def _resident_bytes() -> float:
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * 4096.0
    import resource

    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _available_bytes() -> float:
    if sys.platform == "linux":
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    import os

    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
