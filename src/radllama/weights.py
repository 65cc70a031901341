"""Are these the weights that were written? The SHA-256 of each safetensors file, pinned in the run file."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from radllama.errors import InputError
from radllama.files import hash_file
from radllama.run import RUN_FILE, read_run

PINS, BASE_PINS = "weights", "base_weights"  # their names in a run file
_AT_ONCE = 4  # hashing leaves Python's lock: large files go as fast as the disk


def hash_weights(folder: Path) -> dict[str, str]:
    """{name: SHA-256} of the safetensors files that a model or adapter is loaded from, in order of their names."""
    paths = sorted(folder.glob("*model*.safetensors"))  # not best.safetensors, a training's own
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip((path.name for path in paths), pool.map(hash_file, paths), strict=True))


def read_pins(folder: Path, which: str = PINS) -> dict[str, str] | None:
    """The hashes in a folder's run file; None where it has no such file, or one that pins nothing."""
    pins = (read_run(folder) or {}).get(which)
    return {str(name): str(digest) for name, digest in pins.items()} if isinstance(pins, Mapping) and pins else None


def check_weights(folder: Path) -> bool:
    """Whether the weights in a model's folder are those its run file pins; False where none are pinned.

    Raises InputError for a file that is not as it was written, is missing, or was added.
    """
    return _compare(folder, read_pins(folder), folder / RUN_FILE)


def check_base_weights(adapter: Path, base: Path) -> bool:
    """Like `check_weights`, of the base that an adapter was tuned on, by the adapter's run file."""
    return _compare(base, read_pins(adapter, BASE_PINS), adapter / RUN_FILE)


def digest_weights(folder: Path) -> str:
    """One SHA-256 for a folder's weights, of the pinned hashes if there are any.

    What is pinned was checked when the model was loaded, or converted.
    """
    return digest_hashes(read_pins(folder) or hash_weights(folder))


def digest_hashes(hashes: Mapping[str, str]) -> str:
    """One SHA-256 for several files: over a line "NAME HASH" for each."""
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _compare(folder: Path, pins: Mapping[str, str] | None, run_file: Path) -> bool:
    if pins is None:
        return False
    found = hash_weights(folder)
    for name in sorted(pins.keys() | found.keys()):
        if name not in found:
            raise InputError(f"{folder / name}: missing, though {run_file} pins it; copy the model again")
        if name not in pins:
            raise InputError(f"{folder / name}: none of the weights that {run_file} pins; remove it")
        if pins[name] != found[name]:
            raise InputError(
                f"{folder / name}: not the weights that were written (its SHA-256 differs from the one in {run_file}); "
                "copy the model again"
            )
    return True
