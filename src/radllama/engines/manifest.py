"""What a converted model says about itself: written last, so that a folder without it is none."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from radllama.errors import InputError
from radllama.files import hash_file, read_json, write_json

MANIFEST_FILE = "converted.json"


@dataclass(frozen=True, slots=True)
class Source:
    """What a model is converted from.

    files: hash of its settings, tokenizer and the beginnings of its tensors, and its base's. weights: the digest of
    all its weights, as its run file pins them; base_weights: of those that an adapter stands on.
    """

    files: str
    weights: str
    base_weights: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where a converted model came from, what its engine must know, and how it was checked.

    fingerprint: of the model's weights, as drafts name it. ends: the tokens that end a draft. checked: the prompts
    that it and transformers were given; near_ties: where the float32 form wrote something else because rounding
    decided; equal: where this one wrote the same. files: the SHA-256 of all that lies beside the manifest.
    """

    source: Source
    fingerprint: str
    precision: str
    ends: list[str]
    context_tokens: int
    checked: int
    near_ties: int = 0
    equal: int = 0
    ctranslate2: str = ""
    files: dict[str, str] = field(default_factory=dict)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a folder whose other files are all there."""
    write_json(folder / MANIFEST_FILE, asdict(manifest))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a converted model. Raises InputError for a folder that holds none."""
    said = read_json(folder / MANIFEST_FILE)
    try:
        return Manifest(**{**said, "source": Source(**said["source"])})
    except (TypeError, KeyError):
        raise InputError(f"{folder / MANIFEST_FILE}: not of this version of radllama; remove the folder") from None


def hash_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of all that lies in a folder but the manifest, by name; "" for what is no file."""
    paths = (path for path in sorted(folder.iterdir()) if path.name != MANIFEST_FILE)
    return {path.name: hash_file(path) if path.is_file() else "" for path in paths}
