"""Raw reports to a dataset: a folder with `train.jsonl`, `valid.jsonl`, `test.jsonl` and their card.

The reports are read, cleaned, split and counted; what is left out is counted by reason. The rows and the card
(`dataset.json`) depend on the reports alone, not on the file they came from, its order or the day: the same
reports from XML and from CSV give the same bytes. What does depend on them stands in `run.json`.
"""

import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from radllama.dataset.cleaning import CLEANING_VERSION, clean, why_unusable
from radllama.dataset.leaks import METHOD, TrainIndex
from radllama.dataset.splits import PARTS, Split, choose_split
from radllama.errors import InputError
from radllama.files import hash_file, read_json, write_folder_aside, write_json, write_jsonl
from radllama.report import Report, read_reports
from radllama.reports import Unusable, read_source
from radllama.reports.phi import count_kinds
from radllama.run import RUN_FILE, write_run
from radllama.text import words

CARD_FILE = "dataset.json"

_OUR_FILES = {CARD_FILE, RUN_FILE, *(f"{part}.jsonl" for part in PARTS)}
_PERCENTILES = (5, 25, 50, 75, 95, 99)
_DIGITS = re.compile(r"(\d+)")


def build_dataset(
    source: str,
    path: Path,
    out: Path,
    split: str | None = None,
    column_map: Mapping[str, str] | None = None,
    split_file: Path | None = None,
) -> dict[str, Any]:
    """Write the reports of `path` as a dataset folder and return its card; an older dataset there is replaced.

    `source` is one of `radllama.reports.SOURCES`, `split` a name that `choose_split` knows (None: random:0).
    Nothing appears or changes at `out` before everything is written. Raises InputError when `out` holds
    something else, when two reports have one id, or when no report is left to train on.
    """
    started = time.monotonic()
    target = out.resolve()
    _check_target(out, target, path)
    rule = choose_split(source, split, path, split_file)
    dropped: Counter[str] = Counter()
    seen: dict[str, int] = {}
    parts: dict[str, list[Report]] = {part: [] for part in PARTS}
    reports = read_source(source, path, column_map)
    for report in _usable(tqdm(reports, unit=" reports", disable=None, leave=False), path, seen, dropped):
        part = rule.part_of(report.id, report.patient_id)
        if part is None:
            dropped[f"not in split {rule.facts['name']}"] += 1
        else:
            parts[part].append(report)
    if not parts["train"]:
        reasons = _render_counts(_by_size(dropped)) or "nothing was dropped"
        raise InputError(f"{path}: no report left for train of {len(seen):,} read ({reasons}); check source and split")
    for rows in parts.values():
        rows.sort(key=_natural)
    card = _describe(source, rule, seen, dropped, parts)
    with write_folder_aside(target) as aside:
        for part, rows in parts.items():
            if rows:
                file = aside / f"{part}.jsonl"
                write_jsonl(file, (report.to_json() for report in rows))
                card["files"][file.name] = hash_file(file)
        write_json(aside / CARD_FILE, card)
        settings = {
            "source": source,
            "path": str(path),
            "split": rule.facts["name"],
            "column_map": dict(column_map or {}),
            "split_file": None if split_file is None else str(split_file),
        }
        write_run(
            aside / RUN_FILE,
            "data build",
            settings,
            source_sha256=hash_file(path) if path.is_file() else None,
            dataset_sha256=hash_file(aside / CARD_FILE),
            reports=card["reports"],
            seconds=round(time.monotonic() - started, 1),
        )
    return card


def read_card(dataset: Path) -> dict[str, Any]:
    """The card of a dataset folder. Raises InputError when the folder is none."""
    if not (dataset / CARD_FILE).is_file():
        raise InputError(f"{dataset}: not a dataset (no {CARD_FILE}); make one with `radllama data build`")
    card = read_json(dataset / CARD_FILE)
    if not isinstance(card, dict):
        raise InputError(f"{dataset / CARD_FILE}: not a dataset's card; build the dataset again")
    return card


def read_split(dataset: Path, split: str) -> Iterator[Report]:
    """Stream the reports of one part ("train", "valid" or "test") of a dataset folder.

    Raises InputError, at once, when the folder is no dataset or has no such part.
    """
    read_card(dataset)
    file = dataset / f"{split}.jsonl"
    if split not in PARTS or not file.is_file():
        there = [part for part in PARTS if (dataset / f"{part}.jsonl").is_file()]
        raise InputError(f"{dataset}: has no split {split!r}; it has {', '.join(there) or 'none'}")
    return read_reports(file)


def render_card(card: Mapping[str, Any]) -> str:
    """Lay the card out for a terminal: counts, drops, lengths, leaks, and what the identifier scan raised."""
    split, reports = card["split"], card["reports"]
    lines = [f"{card['source']}, split {split['name']}: {card['read']:,} reports read"]
    lines.append("  kept     " + _render_counts(reports))
    lines.append(f"  dropped  {sum(card['dropped'].values()):,}" + _colon(_render_counts(card["dropped"])))
    if any(split["absent"].values()):
        lines.append(
            "  absent   the split also names reports that the source lacks" + _colon(_render_counts(split["absent"]))
        )
    lines.append("  words" + " " * 13 + "".join(f"{name:>7}" for name in (*(f"{p}%" for p in _PERCENTILES), "max")))
    for part, sections in card["words"].items():
        for section, values in sections.items():
            lines.append(f"    {part:6}{section:12}" + "".join(f"{value:>7,}" for value in values.values()))
    for part, leaks in card["leaks"]["parts"].items():
        total = leaks["reports"]
        shares = (
            f"{name} {leaks[key]:,} ({leaks[key] / total:.0%})"
            for name, key in (
                ("findings word for word", "findings_in_train"),
                ("nearly", "findings_nearly_in_train"),
                ("findings and impression", "pairs_in_train"),
            )
        )
        patients = f", patients {leaks['patients_in_train']:,} of {leaks['patients']:,}" if leaks["patients"] else ""
        lines.append(f"  in train already, of {total:,} {part} reports: {', '.join(shares)}{patients}")
    for kind, found in card["phi"].items():
        ids, more = ", ".join(found["ids"]), found["reports"] - len(found["ids"])
        lines.append(
            f"  WARNING  what looks like: {kind}, in {found['reports']:,} reports: {ids}"
            + (f" and {more:,} more" if more else "")
        )
    if not card["phi"]:
        lines.append("  scan     no dates, names, numbers or addresses of a person found (the scan cannot know all)")
    return "\n".join(lines)


def _usable(
    items: Iterable[Report | Unusable], path: Path, seen: dict[str, int], dropped: Counter[str]
) -> Iterator[Report]:
    """Yield cleaned reports; count the others in `dropped`, and note every id's place in `seen`."""
    for place, item in enumerate(items, start=1):
        if not item.id.isprintable():
            raise InputError(f"{path}: the id of report number {place:,} holds control characters; correct it")
        if item.id in seen:
            raise InputError(
                f"{path}: two reports have the id {item.id!r}, number {seen[item.id]:,} and number {place:,} of the "
                "source; every report needs an id of its own"
            )
        seen[item.id] = place
        if isinstance(item, Unusable):
            dropped[item.reason] += 1
            continue
        report = clean(item)
        if reason := why_unusable(report):
            dropped[reason] += 1
        else:
            yield report


def _describe(
    source: str, rule: Split, seen: Collection[str], dropped: Counter[str], parts: Mapping[str, Sequence[Report]]
) -> dict[str, Any]:
    index = TrainIndex(parts["train"])
    return {
        "source": source,
        "split": {**rule.facts, "absent": rule.absent(seen)},
        "cleaning": CLEANING_VERSION,
        "read": len(seen),
        "reports": {part: len(rows) for part, rows in parts.items()},
        "dropped": _by_size(dropped),
        "files": {},
        "words": {part: _lengths(rows) for part, rows in parts.items() if rows},
        "leaks": {
            "method": METHOD,
            "parts": {part: index.leaks(rows) for part, rows in parts.items() if rows and part != "train"},
        },
        "phi": count_kinds(sorted((report for rows in parts.values() for report in rows), key=_natural)),
    }


def _lengths(rows: Sequence[Report]) -> dict[str, dict[str, int]]:
    """Percentiles, by nearest rank, of the number of words in each of the two sections."""
    lengths = {}
    for section in ("findings", "impression"):
        counts = sorted(len(words(getattr(report, section))) for report in rows)
        ranked = {str(p): counts[max(0, -(-p * len(counts) // 100) - 1)] for p in _PERCENTILES}
        lengths[section] = {**ranked, "max": counts[-1]}
    return lengths


def _check_target(out: Path, target: Path, path: Path) -> None:
    # Before anything is read: MIMIC-CXR takes minutes, and the answer would be the same.
    if path.resolve().is_relative_to(target):
        raise InputError(f"{out}: holds the source itself ({path}), which would be replaced; choose another --out")
    if not target.exists():
        return
    if not target.is_dir():
        raise InputError(f"{out}: is a file; --out is the folder to write")
    inside = {entry.name for entry in target.iterdir()}
    if inside and CARD_FILE not in inside:
        raise InputError(f"{out}: holds something that is not a dataset; choose an empty or a new folder")
    if foreign := sorted(inside - _OUR_FILES):
        raise InputError(f"{out}: beside the old dataset holds {foreign[0]!r}, which would be lost; move it away")


def _natural(report: Report) -> tuple[list[tuple[str, int]], str]:
    """Sort key by which the id "10" comes after "9", and "a10" after "a9"."""
    pieces = _DIGITS.split(report.id)
    numbers = [*pieces[1::2], "0"]
    return [(word, int(number)) for word, number in zip(pieces[::2], numbers, strict=True)], report.id


def _by_size(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _render_counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _colon(text: str) -> str:
    return f": {text}" if text else ""
