"""The training reports of a cell: some of the reports of some datasets, perhaps with faults put into them."""

import hashlib
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from radllama.dataset.build import CARD_FILE, build_dataset, read_card, read_split
from radllama.errors import InputError
from radllama.files import hash_file, write_folder_aside, write_json, write_jsonl
from radllama.report import Report
from radllama.reports.sample import write_sample
from radllama.run import RUN_FILE, write_run
from radllama.study.design import Hospital

_SAMPLE_COLUMNS = {"accession": "id", "mrn": "patient_id", "report": "report"}


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset of a study: its folder, and the hashes of its parts, by which it is told from others."""

    name: str
    folder: Path
    sha256: Mapping[str, str]
    reports: Mapping[str, int]

    @classmethod
    def read(cls, name: str, folder: Path) -> "Source":
        """The dataset in a folder. Raises InputError when it is none, or has no development part."""
        read_card(folder)
        if absent := [part for part in ("train", "valid") if not (folder / f"{part}.jsonl").is_file()]:
            raise InputError(f"{folder}: a study needs train and valid parts, and it has no {absent[0]}.jsonl")
        hashes = {part: hash_file(folder / f"{part}.jsonl") for part in ("train", "valid")}
        counts = {part: sum(1 for _ in read_split(folder, part)) for part in ("train", "valid")}
        return cls(name, folder.resolve(), hashes, counts)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which training reports: `reports` in all (None: every one), evenly from each source; `seed` draws them.

    A smaller selection is a part of a larger one of the same seed. `wrong` is the share whose impression is
    another report's, `missing` the share that is left out.
    """

    sources: tuple[Source, ...]
    reports: int | None = None
    wrong: float = 0.0
    missing: float = 0.0
    seed: int = 0

    @property
    def name(self) -> str:
        """The name of its folder: the same for the same reports."""
        digest = hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()
        return f"{'-'.join(source.name for source in self.sources)}-{self.reports or 'all'}-{digest[:10]}"

    @property
    def is_whole(self) -> bool:
        """Whether it is all reports of one source as they are: then nothing is drawn."""
        return len(self.sources) == 1 and not (self.reports or self.wrong or self.missing)

    def facts(self) -> dict[str, Any]:
        """What decides the reports, as JSON: without the places where they lie."""
        return {
            "train": {source.name: source.sha256["train"] for source in self.sources},
            "reports": self.reports,
            "wrong": self.wrong,
            "missing": self.missing,
            "seed": None if self.is_whole else self.seed,
        }


def prepare_sources(
    datasets: Mapping[str, Hospital | None], given: Mapping[str, Path], folder: Path
) -> dict[str, Source]:
    """The datasets of a study by name: those `given`, and those it makes itself, in `folder`. Raises InputError."""
    if foreign := sorted(given.keys() - datasets.keys()):
        raise InputError(f"--data {foreign[0]}: the study has no such dataset; it has {', '.join(datasets)}")
    if missing := [name for name, made in datasets.items() if made is None and name not in given]:
        raise InputError(f"give the study's dataset {missing[0]!r} as --data {missing[0]}=FOLDER (from data build)")
    sources = {}
    for name, made in datasets.items():
        path = given.get(name) or folder / f"hospital-{made.reports}-{made.seed}" if made else given[name]
        if made and name not in given and not (path / CARD_FILE).exists():
            with write_folder_aside(folder / f"{path.name}.csv") as aside:
                table = write_sample(aside, made.reports, made.seed)
                build_dataset("table", table, path, "random:0", _SAMPLE_COLUMNS)
        sources[name] = Source.read(name, path)
    return sources


def write_selection(selection: Selection, folder: Path) -> Path:
    """Write the selected reports as a dataset of a train part alone, unless it stands there; returns its folder."""
    if (folder / RUN_FILE).exists():
        return folder
    reports = select(selection)
    if not reports:
        raise InputError(f"{folder.name}: no training report is left; raise reports, or lower missing")
    with write_folder_aside(folder) as aside:
        write_jsonl(aside / "train.jsonl", (report.to_json() for report in reports))
        facts = selection.facts()
        write_json(aside / CARD_FILE, {"source": "study", "reports": {"train": len(reports)}, "selection": facts})
        write_run(aside / RUN_FILE, "study data", facts, reports=len(reports))
    return folder


def select(selection: Selection) -> list[Report]:
    """The training reports of a selection, in the order of their drawing; a whole source in its own."""
    if selection.is_whole:
        return list(read_split(selection.sources[0].folder, "train"))
    seed, several = selection.seed, len(selection.sources) > 1
    pools = []
    for source in selection.sources:
        pool = _shuffle(read_split(source.folder, "train"), seed)
        # Two hospitals may number their reports alike.
        pools.append([replace(report, id=f"{source.name}:{report.id}") for report in pool] if several else pool)
    reports = _shuffle(_take_evenly(pools, selection.reports), seed)
    reports = _exchange_impressions(reports, round(selection.wrong * len(reports)), seed)
    return reports[round(selection.missing * len(reports)) :]


def _take_evenly(pools: Sequence[Sequence[Report]], count: int | None) -> list[Report]:
    if count is None:
        return [report for pool in pools for report in pool]
    share = -(-count // len(pools))
    if short := [pool for pool in pools if len(pool) < share]:
        raise InputError(f"reports: {count} were asked for, and of {share} from each source one has {len(short[0])}")
    return [report for pool in pools for report in pool[:share]][:count]


def _exchange_impressions(reports: list[Report], count: int, seed: int) -> list[Report]:
    """The same reports; `count` of them, drawn at random, pass their impressions round in a ring."""
    if count < 2:
        return reports
    ring = sorted(random.Random(f"wrong {seed}").sample(range(len(reports)), count))
    given = [reports[at].impression for at in ring]
    changed = list(reports)
    for at, impression in zip(ring, [*given[1:], given[0]], strict=True):
        changed[at] = replace(reports[at], impression=impression)
    return changed


def _shuffle(reports: Iterable[Report], seed: int) -> list[Report]:
    """In an order that depends on the seed and each report's id alone, so that a new report moves no other."""
    return sorted(reports, key=lambda report: hashlib.sha256(f"{seed}:{report.id}".encode()).digest())
