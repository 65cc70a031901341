"""What a converted model says about itself: written last, so that a folder without it is none."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from radllama.errors import InputError
from radllama.files import hash_file, read_json, write_json

MANIFEST_FILE = "converted.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where a converted model came from, what its engine must know, and how it was checked.

    source: hash of the files it was made from. fingerprint: of the model's weights, as drafts name it. ends:
    the tokens that end a draft. checked: the prompts that it and transformers were given; near_ties: where
    the float32 form wrote something else because rounding decided; equal: where this one wrote the same.
    files: their SHA-256.
    """

    source: str
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
    try:
        return Manifest(**read_json(folder / MANIFEST_FILE))
    except TypeError:
        raise InputError(f"{folder / MANIFEST_FILE}: not of this version of radllama; remove the folder") from None


def is_whole(folder: Path, source: str) -> bool:
    """Whether `folder` holds a converted model, made from this source, with not a byte changed."""
    try:
        manifest = read_manifest(folder)
        return manifest.source == source and all(
            hash_file(folder / name) == digest for name, digest in manifest.files.items()
        )
    except (InputError, OSError):
        return False


def hash_files(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder, by name."""
    return {path.name: hash_file(path) for path in sorted(folder.iterdir())}
