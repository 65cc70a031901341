"""Has a model changed? What its run file pins, and a hash of its files that is taken in milliseconds."""

import hashlib
import json
from pathlib import Path

from radllama.engines.manifest import Source
from radllama.errors import InputError
from radllama.model import base_of, model_folder, weights_folder
from radllama.weights import BASE_PINS, digest_hashes, digest_weights, read_pins

_CONVERTED = ("config.json", "generation_config.json", "adapter_config.json")
_TOKENIZER = ("tokenizer", "special_tokens", "added_tokens")
_HEAD_BYTES = 128  # of each tensor: a training changes them all


def read_source(folder: Path) -> Source:
    """What a conversion of the model in `folder` is made from now. Raises InputError as `hash_source` does."""
    return Source(hash_source(folder), digest_weights(folder), _digest_base(folder))


def hash_source(folder: Path) -> str:
    """A hash of a model folder: its settings, its tokenizer, the beginning of every tensor; and of its base.

    What else lies there (the prompt, the run file) is not in it: no conversion depends on it. Raises InputError
    for weights that are no safetensors.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.json")):
        if path.name in _CONVERTED or path.name.startswith(_TOKENIZER):
            digest.update(f"{path.name} {path.stat().st_size}\n".encode() + path.read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode() + _heads(path))
    if base := base_of(folder):
        below = model_folder(base)  # None: a name on the hub, whose weights the run file vouches for
        digest.update((hash_source(below) if below else base).encode())
    return digest.hexdigest()


def _digest_base(folder: Path) -> str:
    base = base_of(folder)
    if base is None:
        return ""
    if pins := read_pins(folder, BASE_PINS):
        return digest_hashes(pins)
    place = weights_folder(base)
    return digest_weights(place) if place else ""


def _heads(path: Path) -> bytes:
    """The header of a safetensors file and the first bytes of each of its tensors."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            raw = file.read(min(size, path.stat().st_size))
            heads = [raw]
            for name, tensor in sorted(json.loads(raw).items()):
                if name != "__metadata__":
                    start, end = tensor["data_offsets"]
                    file.seek(8 + size + start)
                    heads.append(file.read(min(_HEAD_BYTES, end - start)))
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: not a safetensors file, or a broken one; copy the model again") from None
    return b"".join(heads)
