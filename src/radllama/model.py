"""Models on disk: a base, an adapter over one, or a whole model; loaded for drafting, saved after tuning."""

import errno
import hashlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.files import read_json
from radllama.prompt import PROMPT_FILE, Prompt, make_prompt, read_prompt, write_prompt
from radllama.run import RUN_FILE, read_run
from radllama.weights import check_base_weights, check_weights

EMBEDDED = "mini"
SETTINGS_FILE = "recipe.json"  # what an unfinished run was started with; gone when it has finished
_EMBEDDED_FOLDER = Path(__file__).parent / "models" / EMBEDDED
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Model:
    """What drafting needs: the weights, their tokenizer, and the prompt they were tuned with."""

    name: str
    network: Any
    tokenizer: Any
    prompt: Prompt


def load_model(name: str = EMBEDDED, device: str = "auto") -> Model:
    """The model of a run folder, a model folder, a hub name, or `mini`; float32 on a CPU, bfloat16 on a GPU.

    Raises InputError for what is no finished model, weights other than those its run file pins, or an adapter whose
    base is another than the one it was tuned on.
    """
    place = _find_device(device)
    dtype = "float32" if place.type == "cpu" else "bfloat16"
    folder = model_folder(name)
    if folder and (base := base_of(folder)):
        network, tokenizer = _load_adapter(folder, base, dtype)
    else:
        network, tokenizer = load_base(name, dtype)
    network.eval().to(place)
    return Model(model_name(name, fingerprint(network)), network, tokenizer, prompt_of(folder))


def model_name(name: str, weights: str) -> str:
    """What drafts say of a model: the last part of its name, and the beginning of its weights' fingerprint."""
    return f"{Path(name).name}@{weights[:8]}"


def prompt_of(folder: Path | None) -> Prompt:
    """The prompt that a model was tuned with; the paper's for one that says nothing of it."""
    return read_prompt(folder) if folder and (folder / PROMPT_FILE).exists() else make_prompt("paper")


def base_of(folder: Path) -> str | None:
    """The model that an adapter in `folder` stands on; None for a whole model. Raises InputError when none is named."""
    if not (folder / ADAPTER_CONFIG).exists():
        return None
    run = read_run(folder)
    named = run["settings"]["base"] if run else read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not named:
        raise InputError(f"{folder / ADAPTER_CONFIG}: names no base model")
    return str(named)


def model_folder(name: str) -> Path | None:
    """The folder that a model name stands for; None when it can only be a name on the hub."""
    if name == EMBEDDED:
        return _EMBEDDED_FOLDER
    folder = Path(name)
    if not folder.is_dir():
        if name.startswith((".", "/", "~")) or name.count("/") > 1:
            raise InputError(f"{name}: no such folder")
        return None
    if (folder / SETTINGS_FILE).exists() and not (folder / RUN_FILE).exists():
        raise InputError(f"{name}: this training has not finished; go on with `radllama train ... --resume`")
    if not (folder / "config.json").exists() and not (folder / ADAPTER_CONFIG).exists():
        raise InputError(f"{name}: no model here (neither config.json nor {ADAPTER_CONFIG})")
    return folder


def weights_folder(name: str) -> Path | None:
    """Where a model's weights lie: its folder, or the hub's cache; None for a name that is not in it."""
    folder = model_folder(name)
    if folder is not None:
        return folder
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, "config.json")
    return Path(cached).parent if isinstance(cached, str) else None


def load_base(name: str, dtype: str = "float32", four_bit: bool = False) -> tuple[Any, Any]:
    """Weights and tokenizer of a causal language model: `mini`, a folder, or a hub name.

    Weights are read from safetensors alone and no code comes with them. `dtype` is a torch name;
    `four_bit` loads NF4 for QLoRA (Dettmers et al. 2023, arXiv 2305.14314) and needs bitsandbytes.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()
    folder = model_folder(name)
    if folder is not None:
        check_weights(folder)
    source = str(folder or name)
    # Inside a firewall: what lies in the cache loads at once, and a mistyped name is told at once.
    local = {"local_files_only": folder is not None or not hub_answers(), "trust_remote_code": False}
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), **local}
    if four_bit:
        options["quantization_config"] = _four_bit_config(dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, **local)
        network, loaded = AutoModelForCausalLM.from_pretrained(
            source,
            use_safetensors=True,
            ignore_mismatched_sizes=True,  # counted below, in words of ours
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"model {name!r} cannot be loaded: {reason} (expected mini, a folder with config.json, tokenizer and "
            "safetensors weights, or the name of such a model on the Hugging Face hub)"
        ) from None
    for module in network.modules() if four_bit else ():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            # bitsandbytes would repack these weights for CPU inference at the first validation, and no gradient
            # passes the repacked ones: the rest of the training would learn nothing.
            module.support_avx512bf16_for_cpu = False
    if unfit := len(loaded["missing_keys"]) + len(loaded["mismatched_keys"]):
        # transformers would go on with random numbers in their place
        raise InputError(f"model {name!r}: {unfit} of its tensors are missing or do not fit its config.json")
    if tokenizer.eos_token_id is None:
        raise InputError(f"model {name!r}: its tokenizer has no end token; a draft would never stop")
    return network, tokenizer


def load_tokenizer(name: str) -> Any:
    """The tokenizer of a model, or of an adapter's base, without its weights; InputError where it is not here."""
    from transformers import AutoTokenizer

    try:
        folder = model_folder(name)
        while folder and (base := base_of(folder)):
            name, folder = base, model_folder(base)
        local = folder is not None or not hub_answers()
        return AutoTokenizer.from_pretrained(str(folder or name), local_files_only=local, trust_remote_code=False)
    except (OSError, ValueError):
        raise InputError(
            f"model {name!r}: its tokenizer is not here, so no tokens can be counted; give its folder"
        ) from None


def add_adapter(network: Any, rank: int, alpha: float, dropout: float, targets: list[str], seed: int) -> Any:
    """The network with a fresh LoRA adapter, as a PEFT model. Raises InputError for a target it has not."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    modules = [f".{name}" for name, _ in network.named_modules()]
    # PEFT itself is content when one of them is there.
    if absent := [target for target in targets if not any(name.endswith(f".{target}") for name in modules)]:
        raise InputError(f"lora.targets: the base has no {', '.join(absent)}")
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
    with _no_warnings():
        try:
            return get_peft_model(network, config)
        except ValueError:
            raise InputError(f"lora.targets: no adapter can stand on {', '.join(targets)} of this base") from None


def save_model(
    network: Any, tokenizer: Any, prompt: Prompt, folder: Path, weights: dict[str, Any] | None = None
) -> None:
    """Write an adapter in PEFT's format, or a whole model with its tokenizer, and the prompt beside it.

    `weights`: the network's, put together, where it holds only a part of them.
    Raises RuntimeError for an adapter that holds nothing: it would load and change no draft.
    """
    from safetensors import SafetensorError

    adapters = getattr(network, "peft_config", {})
    for config in adapters.values():
        config.target_modules = sorted(config.target_modules)  # a set: another order in every process
    try:
        network.save_pretrained(folder, state_dict=weights)
    except SafetensorError as error:  # what a full disk raises
        raise OSError(errno.EIO, str(error), str(folder)) from None
    if adapters:
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        if not _has_content(folder / ADAPTER_WEIGHTS):
            raise RuntimeError(f"{folder / ADAPTER_WEIGHTS}: every adapter weight is zero; nothing was learned")
    else:
        tokenizer.save_pretrained(folder)
    write_prompt(prompt, folder)


def fingerprint(network: Any, four_bit: bool = False) -> str:
    """A hash that tells models apart: the first values of every parameter, rounded to bfloat16.

    With `four_bit` those that a 4-bit base packs are passed over: the base of a QLoRA run, which is
    packed in training and is not in drafting, is named alike.
    """
    import torch

    digest = hashlib.sha256()
    for name, weight in sorted(network.named_parameters()):
        if weight.dtype.is_floating_point and (not four_bit or weight.ndim == 1 or "embed" in name):
            head = weight.detach().flatten()[:64].to("cpu", torch.bfloat16)
            digest.update(name.encode())
            digest.update(head.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def _load_adapter(folder: Path, base: str, dtype: str) -> tuple[Any, Any]:
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    run = read_run(folder)
    network, tokenizer = load_base(base, dtype)
    if run and run["base_fingerprint"] != fingerprint(network, run["settings"]["tuning"] == "qlora"):
        raise InputError(f"{folder}: this adapter was tuned on another model than the one now at {base!r}")
    check_weights(folder)
    if place := weights_folder(base):
        check_base_weights(folder, place)
    misfit = f"{folder}: the adapter does not fit its base {base!r}; was it made for another?"
    try:
        with safe_open(folder / ADAPTER_WEIGHTS, "np") as weights:
            names = set(weights.keys())
        with _no_warnings():  # of weights that are missing: that is an error, below
            network = PeftModel.from_pretrained(network, folder)
    except (OSError, SafetensorError):
        raise InputError(f"{folder}: no {ADAPTER_WEIGHTS}, or a broken one; copy the run folder again") from None
    except (RuntimeError, ValueError, KeyError):
        raise InputError(misfit) from None
    if names != get_peft_model_state_dict(network).keys():
        raise InputError(misfit)
    return network, tokenizer


@contextmanager
def _no_warnings() -> Iterator[None]:
    # PEFT warns of what transformers has renamed, which concerns nobody who reads a terminal.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _find_device(name: str) -> Any:
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.ones(1, device=name).item()  # "meta" and its like hold no numbers
        return torch.device(name)
    except (RuntimeError, AssertionError):  # the second is what a build without CUDA raises
        raise InputError(f"--device {name}: not on this machine; use cpu, or auto") from None


def _has_content(weights: Path) -> bool:
    from safetensors.torch import load_file

    return any("lora_B" in name and bool(tensor.any()) for name, tensor in load_file(weights).items())


def hub_answers() -> bool:
    """Whether the Hugging Face hub can be reached; its client would try for most of a minute."""
    import httpx
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return False
    try:
        httpx.head(constants.ENDPOINT, timeout=5)
    except httpx.HTTPError:
        return False
    return True


def _four_bit_config(dtype: str) -> Any:
    import importlib.util

    if not importlib.util.find_spec("bitsandbytes"):
        raise InputError("tuning: qlora needs bitsandbytes; install it with pip install 'radllama[qlora]'")
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, dtype),
    )
