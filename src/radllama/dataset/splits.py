"""Which part (train, valid or test) each report belongs to: splits that have a name, and seeded ones.

`impressiongpt` (Ma et al. 2023, the group behind Radiology-Llama2) and `inlg2023` (Trienes et al.) are lists
of OpenI report numbers that ship with the package. `official` is the table of MIMIC-CXR. `random:SEED` is for
any source: 80/10/10 by patient, because follow-up reports repeat sentences, so that a split by report leaks
the test part into train; a report without a patient counts as a patient of its own.
"""

import csv
import gzip
import hashlib
import re
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from radllama.errors import InputError
from radllama.files import read_json

PARTS = ("train", "valid", "test")
DEFAULT_SPLIT = "random:0"
MIMIC_SPLIT_FILE = "mimic-cxr-2.0.0-split.csv.gz"

_OPENI_FILE = Path(__file__).parent / "openi_splits.json"
_OPENI_NAMES = ("impressiongpt", "inlg2023")
_NAMES = f"{', '.join(_OPENI_NAMES)} (source openi), official (source mimic-cxr) or random:SEED"
_MIMIC_PARTS = {"train": "train", "validate": "valid", "test": "test"}
_VALID_SHARE = 0.1
# The first seed whose constant and nearest rows on OpenI lie near their means over 20 seeds (bench/dev_split.py):
# a tenth of OpenI is few reports, and seed 0 happened to draw the hardest of them all.
_VALID_SEED = 3


class Split(Protocol):
    """A rule that gives each report its part."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the dataset's card says about the split: its name, its seed, how valid came about."""

    def part_of(self, report_id: str, patient_id: str | None) -> str | None:
        """One of `PARTS`, or None where the split does not name the report."""

    def absent(self, seen: Collection[str]) -> dict[str, int]:
        """How many ids each part names that are not in `seen`."""


@dataclass(frozen=True)
class NamedSplit:
    """A split that lists its reports: `parts` is report id to part."""

    facts: dict[str, Any]
    parts: Mapping[str, str]

    def part_of(self, report_id: str, patient_id: str | None) -> str | None:
        """Look the report up; its patient does not matter."""
        return self.parts.get(report_id)

    def absent(self, seen: Collection[str]) -> dict[str, int]:
        """Count the listed ids that are not in `seen`, by part."""
        counts = Counter(part for report_id, part in self.parts.items() if report_id not in seen)
        return {part: counts[part] for part in PARTS}


@dataclass(frozen=True)
class RandomSplit:
    """80/10/10 by a hash of the seed and the patient (or the report, where the patient is not known).

    A hash, not a shuffle: reports that are added later never move the others.
    """

    seed: int

    @property
    def facts(self) -> dict[str, Any]:
        """The name, the seed, and what the hash is taken of."""
        return {"name": f"random:{self.seed}", "seed": self.seed, "by": "patient, else report"}

    def part_of(self, report_id: str, patient_id: str | None) -> str | None:
        """Draw the part; the same for all reports of a patient."""
        draw = _draw(self.seed, f"report:{report_id}" if patient_id is None else f"patient:{patient_id}")
        return "train" if draw < 0.8 else "valid" if draw < 0.9 else "test"

    def absent(self, seen: Collection[str]) -> dict[str, int]:
        """Count nothing: this split lists no ids."""
        return dict.fromkeys(PARTS, 0)


def choose_split(source: str, name: str | None, path: Path, split_file: Path | None = None) -> Split:
    """Give the split called `name` (None: `random:0`) for reports of `source` that were read from `path`.

    `split_file` is MIMIC-CXR's own table; without it, one beside `path` is taken. Raises InputError for a
    name that is not known or belongs to another source, and for a table that cannot be read.
    """
    name = DEFAULT_SPLIT if name is None else name
    if split_file is not None and name != "official":
        raise InputError(f"{split_file}: a split file goes with the split 'official', not {name!r}")
    if name in _OPENI_NAMES:
        _check_source(name, "openi", source)
        return _openi_split(name)
    if name == "official":
        _check_source(name, "mimic-cxr", source)
        return NamedSplit({"name": name}, read_mimic_split(split_file or _find_mimic_split(path)))
    if match := re.fullmatch(r"random:([0-9]{1,18})", name):
        return RandomSplit(int(match[1]))
    raise InputError(f"split {name!r} is not known; choose {_NAMES}, SEED a whole number")


def cut_valid(train: Iterable[str], seed: int = _VALID_SEED, share: float = _VALID_SHARE) -> set[str]:
    """Choose the tenth of the train keys (patients, or report ids where patients are unknown) for valid.

    Depends on the keys alone, not on their order: the first round(share x n) by a hash of seed and key.
    """
    keys = sorted(set(train))
    ranked = sorted(keys, key=lambda key: (_draw(seed, f"valid:{key}"), key))
    return set(ranked[: round(share * len(keys))])


def read_mimic_split(path: Path) -> dict[str, str]:
    """Study id ("50414267") to part, from `mimic-cxr-2.0.0-split.csv.gz` or the same table unpacked.

    It has a row for each image (columns dicom_id, study_id, subject_id, split); the images of a study agree.
    Raises InputError, naming the line, where they do not, or where a value is not one the table has.
    """
    parts: dict[str, str] = {}
    try:
        with _open_table(path) as file:
            rows = csv.DictReader(file)
            missing = {"study_id", "split"} - set(rows.fieldnames or ())
            if missing:
                raise InputError(f"{path}: no column {' and '.join(sorted(missing))}; expected {MIMIC_SPLIT_FILE}")
            for row in rows:
                study, part = (row["study_id"] or "").strip(), _MIMIC_PARTS.get((row["split"] or "").strip())
                if not study or part is None:
                    raise InputError(
                        f"{path}:{rows.line_num}: needs a study_id and a split of {' or '.join(_MIMIC_PARTS)}"
                    )
                if parts.setdefault(study, part) != part:
                    raise InputError(f"{path}:{rows.line_num}: study {study} stands in two parts of the split")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder; expected {MIMIC_SPLIT_FILE}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise InputError(f"{path}: the gzip is broken; download it again") from None
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: not a CSV table in UTF-8; expected {MIMIC_SPLIT_FILE}") from None
    return parts


def _open_table(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _find_mimic_split(path: Path) -> Path:
    for folder in (path, path.parent):
        if (folder / MIMIC_SPLIT_FILE).is_file():
            return folder / MIMIC_SPLIT_FILE
    raise InputError(f"{path}: no {MIMIC_SPLIT_FILE} there or beside it; pass its path, or use random:SEED")


def _openi_split(name: str) -> NamedSplit:
    listed = {part: [str(number) for number in ids] for part, ids in read_json(_OPENI_FILE)[name].items()}
    parts = {report_id: part for part, ids in listed.items() for report_id in ids}
    facts: dict[str, Any] = {"name": name}
    if "valid" not in listed:
        # OpenI does not say which reports are one patient's, so here the keys are report ids.
        parts.update(dict.fromkeys(cut_valid(listed["train"]), "valid"))
        facts["valid_cut_from_train"] = {"share": _VALID_SHARE, "seed": _VALID_SEED}
    return NamedSplit(facts, parts)


def _check_source(name: str, needed: str, source: str) -> None:
    if source != needed:
        raise InputError(f"split {name!r} lists reports of {needed}, not of {source}; use random:SEED")


def _draw(seed: int, key: str) -> float:
    """Give a number in [0, 1), the same on every machine and in every version."""
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48
