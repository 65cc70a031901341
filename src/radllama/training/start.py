"""What a training starts from: a folder that is its own, a precision, and the network before the first step."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radllama.console import note
from radllama.errors import InputError
from radllama.files import read_json, write_json
from radllama.library import Library
from radllama.model import SETTINGS_FILE, add_adapter, fingerprint, load_base
from radllama.prompt import Prompt, make_prompt
from radllama.recipe import Recipe
from radllama.report import Report
from radllama.run import read_run
from radllama.selection import learn_selection
from radllama.training.scratch import add_dropout, init_llama, train_tokenizer


def claim_folder(out: Path, identity: dict[str, Any], resume: bool) -> dict[str, Any] | None:
    """Make sure that this run may write into `out`; returns the run file when it has finished already."""
    started = out / SETTINGS_FILE
    run = read_run(out)
    found = read_json(started) if started.exists() else None
    if run:
        found = {key: run[key] for key in identity}
    if found is None:
        if out.exists() and any(out.iterdir()):
            raise InputError(f"{out}: holds other files; choose an empty or new folder for --out")
        write_json(started, identity)
        return None
    if not resume:
        raise InputError(f"{out}: holds a run already; pass --resume to go on with it, or choose another --out")
    if found != identity:
        old, new = found["settings"], identity["settings"]
        changed = [key for key in new if old.get(key) != new[key]] or ["dataset"]
        raise InputError(
            f"{out}: was begun with another {', '.join(changed)}; resume it with the same, or use a new --out"
        )
    if run:
        note(f"{out}: has finished already; nothing to do")
    return run


def start_network(recipe: Recipe, reports: Sequence[Report], precision: str) -> tuple[Any, Any, str]:
    """The network as it is before the first step, its tokenizer, and the base's fingerprint."""
    if recipe.scratch:
        texts = (text for r in reports for text in (r.findings, r.impression, r.indication))
        tokenizer = train_tokenizer(texts, recipe.scratch.vocab_size)
        network = init_llama(recipe.scratch, tokenizer, recipe.seed)
        add_dropout(network, recipe.scratch.dropout)
        return network, tokenizer, fingerprint(network)
    # A frozen base needs no more digits than it computes with; weights that learn need all of them.
    dtype = "float32" if recipe.tuning == "full" else precision
    network, tokenizer = load_base(recipe.base, dtype, four_bit=recipe.tuning == "qlora")
    base_fingerprint = fingerprint(network, four_bit=recipe.tuning == "qlora")
    if recipe.tuning != "full":
        lora = recipe.lora
        network = add_adapter(network, lora.rank, lora.alpha, lora.dropout, lora.targets, recipe.seed)
    return network, tokenizer, base_fingerprint


def start_prompt(recipe: Recipe, reports: Sequence[Report]) -> Prompt:
    """The recipe's prompt; what it tells by itself is learned from the training reports."""
    choice = recipe.prompt
    if choice.tell is None:
        return make_prompt(choice.template, choice.indication, neighbours=recipe.neighbours)
    selection = learn_selection(reports, choice.tell)
    if not selection:
        raise InputError("prompt.tell: the training reports teach nothing of what is taken up; leave it out")
    return make_prompt(choice.template, choice.indication, selection, recipe.neighbours)


def start_library(recipe: Recipe, reports: Sequence[Report]) -> Library | None:
    """The training reports as a library, where the recipe's prompts show prior ones; the index of `library build`."""
    return Library.build(reports, "bm25") if recipe.neighbours else None


def choose_precision(wanted: str) -> str:
    """The torch dtype to compute in; "auto" takes bfloat16 where the hardware multiplies it natively."""
    import torch

    if wanted != "auto":
        return {"bf16": "bfloat16", "fp32": "float32"}[wanted]
    if torch.cuda.is_available():
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        flags = Path("/proc/cpuinfo")
        native = flags.exists() and "avx512_bf16" in flags.read_text()
    return "bfloat16" if native else "float32"
