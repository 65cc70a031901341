"""A library on disk: reports.jsonl, terms.txt, index.npz, habits.json and, written last, run.json with their hashes.

Nothing in it is code: text, JSON and plain arrays of numbers. It holds the full text of every report, so its files are
for their owner alone.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from radllama.errors import InputError
from radllama.files import hash_file, write_aside, write_folder_aside, write_jsonl
from radllama.library.habits import Habits, learn_habits, read_habits, write_habits
from radllama.library.index import WEIGHTINGS, Index, Weighting
from radllama.library.library import Library
from radllama.report import Report, read_reports
from radllama.run import RUN_FILE, read_run, write_run

PARTS = ("train", "valid")
_REPORTS, _TERMS, _ARRAYS, _HABITS = "reports.jsonl", "terms.txt", "index.npz", "habits.json"
_FILES = (_REPORTS, _TERMS, _ARRAYS, _HABITS)


def build_library(
    dataset: Path, out: Path, parts: Sequence[str] = ("train",), weighting: Weighting = "bm25"
) -> Library:
    """Index the reports of a dataset's `parts` and write the library into `out`, which is replaced as a whole.

    Raises InputError for a part that is not there, for a folder at `out` that is no library, and for one id in two
    parts. The test part is refused: what is to be drafted and scored must not be looked up.
    """
    if out.exists() and not is_library(out):
        raise InputError(f"{out}: stands there already and is no library; choose another --out")
    reports = _read_parts(dataset, parts)
    library = Library.build(reports, weighting)
    settings = {"data": str(dataset), "parts": list(parts), "weighting": weighting}
    with write_folder_aside(out) as folder:
        _write(library, learn_habits(library), folder, settings)
    return library


def _write(library: Library, habits: Habits | None, folder: Path, settings: dict[str, Any]) -> None:
    folder.chmod(0o700)
    index = library.index
    write_jsonl(folder / _REPORTS, (report.to_json() for report in library.reports))
    with write_aside(folder / _TERMS) as file:
        file.writelines(f"{term}\n" for term in index.terms)
    np.savez(folder / _ARRAYS, starts=index.starts, texts=index.texts, weights=index.weights, rarity=index.rarity)
    write_habits(habits, folder / _HABITS)
    for name in _FILES:
        (folder / name).chmod(0o600)
    write_run(
        folder / RUN_FILE,
        "library build",
        settings,
        reports=len(library),
        terms=len(index.terms),
        mean_length=index.mean_length,
        sha256={name: hash_file(folder / name) for name in _FILES},
    )


def read_library(folder: Path) -> Library:
    """The library in a folder. Raises InputError when it is unfinished, altered, or no library."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; build a library with `radllama library build`")
    if not is_library(folder):
        raise InputError(f"{folder}: no library (or an unfinished one); build it with `radllama library build`")
    run = read_run(folder) or {}
    for name in _FILES:
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: missing; build the library again")
        if hash_file(path) != run["sha256"].get(name):
            raise InputError(f"{path}: not as it was written (its hash differs from run.json); build the library again")
    try:
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            index = Index(
                weighting=_weighting(run["settings"]["weighting"]),
                size=run["reports"],
                mean_length=run["mean_length"],
                terms={term: at for at, term in enumerate((folder / _TERMS).read_text(encoding="utf-8").splitlines())},
                starts=arrays["starts"],
                texts=arrays["texts"],
                weights=arrays["weights"],
                rarity=arrays["rarity"],
            )
    except (KeyError, ValueError, zipfile.BadZipFile):
        raise InputError(f"{folder}: written by another version; build the library again") from None
    return Library(list(read_reports(folder / _REPORTS)), index)


def read_department(folder: Path) -> tuple[Library, Habits | None]:
    """The library in a folder, and what its department repeats; None when its reports were too few to tell."""
    return read_library(folder), read_habits(folder / _HABITS)


def fingerprint(folder: Path) -> str:
    """What names a library in a run file: its folder's name and a short hash of its reports ("lib@1f2e3d4c")."""
    run = read_run(folder) or {}
    return f"{folder.resolve().name}@{run['sha256'][_REPORTS][:8]}"


def is_library(folder: Path) -> bool:
    """Whether a finished library stands in the folder."""
    run = read_run(folder) if folder.is_dir() else None
    return run is not None and run.get("command") == "library build" and "sha256" in run


def _read_parts(dataset: Path, parts: Sequence[str]) -> list[Report]:
    reports: list[Report] = []
    held: dict[str, str] = {}
    for part in dict.fromkeys(parts):
        if part not in PARTS:
            raise InputError(
                f"--parts {part}: a library is built from {' and '.join(PARTS)}, never from what is tested"
            )
        path = dataset / f"{part}.jsonl"
        if not path.is_file():
            raise InputError(f"{path}: no such part of a dataset; give the folder that data build wrote")
        for report in read_reports(path):
            if report.id in held:
                raise InputError(f"{path}: id {report.id!r} stands in {held[report.id]} too; one report an id")
            held[report.id] = part
            reports.append(report)
    return reports


def _weighting(name: str) -> Weighting:
    for weighting in WEIGHTINGS:
        if weighting == name:
            return weighting
    raise ValueError(name)
