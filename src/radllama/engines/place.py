"""Where a converted model lies, and the file outside of it that pins its hash: who alters the one must alter both."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from radllama.engines.manifest import MANIFEST_FILE, Source, hash_files, read_manifest
from radllama.errors import InputError
from radllama.files import hash_file, read_json, write_json
from radllama.home import find_home
from radllama.run import RUN_FILE

CONVERTED_PINS = "converted"  # their name in a run file
_HOME_PINS = "pins.json"  # for what no run file can pin: another machine's radllama does not trust it


@dataclass(frozen=True, slots=True)
class Place:
    """A folder for a conversion; the SHA-256 of its manifest is pinned in the file `pins`, under `key`."""

    folder: Path
    pins: Path
    key: str

    def holds(self, source: Source) -> bool:
        """Whether a conversion of this source lies here; False where none does, or none that is pinned.

        Raises InputError for one that is pinned and is not as it was written: somebody altered it, or a disk did.
        """
        try:
            manifest = read_manifest(self.folder)
        except (InputError, OSError):
            return False
        pinned = _read_pins(self.pins).get(self.key)
        if pinned is None or manifest.source != source:
            return False
        if hash_file(self.folder / MANIFEST_FILE) != pinned:
            self._refuse(MANIFEST_FILE)
        found = hash_files(self.folder)
        for name in sorted(manifest.files.keys() | found.keys()):
            if not found.get(name) or manifest.files.get(name) != found[name]:
                self._refuse(name)
        if not found:
            self._refuse(MANIFEST_FILE)
        return True

    def pin(self, manifest: Path) -> None:
        """Pin the conversion that this manifest describes."""
        said = read_json(self.pins) if self.pins.exists() else {}
        write_json(self.pins, said | {CONVERTED_PINS: _read_pins(self.pins) | {self.key: hash_file(manifest)}})

    def _refuse(self, name: str) -> None:
        raise InputError(
            f"{self.folder / name}: not what was converted (its SHA-256 is not the one that {self.pins} pins); "
            f"remove {self.folder}, and the model is converted again"
        )


def find_places(model: Path, source: Source, precision: str) -> tuple[Place, Place]:
    """Where the conversion of a model may lie: beside its weights, or in radllama's home.

    A run file pins what lies beside it. A model from elsewhere has none, so that this machine's home pins it.
    """
    home = find_home() / "converted"
    beside, apart = model / f"ctranslate2-{precision}", home / f"{source.files[:16]}-{precision}"
    run_file, home_pins = model / RUN_FILE, home / _HOME_PINS
    if run_file.exists():
        first = Place(beside, run_file, beside.name)
    else:
        first = Place(beside, home_pins, str(beside.resolve()))
    return first, Place(apart, home_pins, apart.name)


def _read_pins(path: Path) -> dict[str, str]:
    said = read_json(path).get(CONVERTED_PINS) if path.exists() else None
    return dict(said) if isinstance(said, Mapping) else {}
