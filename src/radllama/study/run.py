"""A study from its file to its results: prepares the data, runs what is not finished, reports what failed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from radllama.console import note
from radllama.engines.post import Address
from radllama.errors import InputError
from radllama.files import read_json, write_json
from radllama.library.folder import build_library, is_library
from radllama.run import read_run
from radllama.study.cells import Cell, Training, jobs_of, make_cells, trainings_of
from radllama.study.data import Source, prepare_sources, write_selection
from radllama.study.design import Study
from radllama.study.job import COST_FILE, FAILED_FILE, JOB_FILE, RUN_FOLDER, SCORES_FOLDER
from radllama.study.pool import Places, claim, run_jobs


@dataclass(frozen=True, slots=True)
class Folders:
    """Where everything of the studies in one folder lies."""

    out: Path

    def job(self, model: str) -> Path:
        """The folder of a model: its job, log, cost and, where it is trained here, its run."""
        return self.out / "models" / model.strip("/.").replace("/", "--")

    def cell(self, cell: Cell) -> Path:
        """The folder of a cell: drafts, scores, cost."""
        return self.out / "cells" / cell.name

    def scores(self, cell: Cell) -> Path:
        """The folder of its scores; finished when a run file stands there."""
        return self.cell(cell) / SCORES_FOLDER

    @property
    def data(self) -> Path:
        """The folder of datasets that are made."""
        return self.out / "data"


@dataclass(slots=True)
class Progress:
    """The cells of a study, and why those that failed did, by the cell's name."""

    study: Study
    sources: Mapping[str, Source]
    cells: list[Cell]
    folders: Folders
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def unfinished(self) -> list[Cell]:
        """Each cell once that has no scores yet."""
        return [cell for job in jobs_of(self.cells).values() for cell in job if not read_run(self.folders.scores(cell))]

    @property
    def untrained(self) -> list[Training]:
        """The trainings that the unfinished cells wait for, bases first."""
        return [one for one in trainings_of(self.unfinished) if not self._is_trained(one)]

    def _is_trained(self, training: Training) -> bool:
        return (self.folders.job(training.name) / COST_FILE).exists()


def open_study(study: Study, given: Mapping[str, Path], out: Path) -> Progress:
    """What there is to do; makes the datasets that are the study's own. Raises InputError for what does not fit."""
    folders = Folders(out.resolve())
    sources = prepare_sources(study.datasets, given, folders.data)
    return Progress(study, sources, make_cells(study, sources), folders)


def run_study(progress: Progress, places: Places) -> None:
    """Run every unfinished cell, bases before what stands on them; `progress.failed` tells what could not be done."""
    for address in sorted({cell.drafting.base_url for cell in progress.unfinished if cell.drafting.base_url}):
        if not Address(address).is_loopback:  # the jobs say it too, but in their logs
            note(f"WARNING: findings leave this machine: they are sent to {Address(address).host}")
    with claim(progress.folders.out) as lock:
        bases = {one.base.name: one.base for one in progress.untrained if one.base}
        for base in bases.values():
            if base in progress.untrained:
                _run(progress, places, lock, [(base, [])])
        jobs = [(cells[0].model, cells) for cells in jobs_of(progress.unfinished).values()]
        # The shortest first: there is something to look at early, and what fails, fails early.
        jobs.sort(key=lambda job: job[0].passes if isinstance(job[0], Training) else 0)
        _run(progress, places, lock, jobs)


def _run(progress: Progress, places: Places, lock: int, jobs: Sequence[tuple[Training | str, Sequence[Cell]]]) -> None:
    folders, ready = progress.folders, {}
    for model, cells in jobs:
        try:
            ready[write_job(model, cells, folders, places)] = cells
        except InputError as error:
            progress.failed |= {cell.name: str(error) for cell in cells}
    total = len(ready)
    ended = 0

    def done(folder: Path, why: str | None) -> None:
        nonlocal ended
        ended += 1
        told = read_json(folder / FAILED_FILE) if why is None and (folder / FAILED_FILE).exists() else {}
        for cell in ready[folder]:
            if reason := why or told.get(str(folders.cell(cell))):
                progress.failed[cell.name] = reason
                note(f"[{ended}/{total}] {_label(cell)}: FAILED: {reason}")
            else:
                note(f"[{ended}/{total}] {_label(cell)}: done")
        if not ready[folder]:
            if why is not None:
                raise InputError(f"the base could not be trained: {why}")
            note("the base is trained")

    run_jobs(list(ready), places, lock, done)


def write_job(model: Training | str, cells: Sequence[Cell], folders: Folders, places: Places) -> Path:
    """Write what a process is to do, and the datasets and libraries it needs; returns the job's folder."""
    folder = folders.job(model.name if isinstance(model, Training) else model)
    write_json(folder / JOB_FILE, _describe(model, cells, folders, places))
    return folder


def _describe(model: Training | str, cells: Sequence[Cell], folders: Folders, places: Places) -> dict[str, Any]:
    training = None
    if isinstance(model, Training):
        base = str(folders.job(model.base.name) / RUN_FOLDER) if model.base else model.recipe.base
        training = {
            "recipe": model.recipe.model_copy(update={"base": base}).model_dump(mode="json"),
            "data": str(write_selection(model.selection, folders.data / model.selection.name)),
            "passes": model.passes,
        }
    return {
        "model": None if training else str(model),
        "training": training,
        "device": places.device,
        "cells": [_describe_cell(cell, folders) for cell in cells],
    }


def _describe_cell(cell: Cell, folders: Folders) -> dict[str, Any]:
    train = write_selection(cell.selection, folders.data / cell.selection.name)
    library = None
    if cell.drafting.shots or cell.drafting.library:
        library = folders.out / "libraries" / cell.selection.name
        if not is_library(library):
            build_library(train, library)
    return {
        "folder": str(folders.cell(cell)),
        "levels": cell.levels,
        "seed": cell.seed,
        "reports": str(cell.drafts_of.folder / "valid.jsonl"),
        "train": str(train),
        "library": None if library is None else str(library),
        "drafting": cell.drafting.model_dump(mode="json"),
    }


def _label(cell: Cell) -> str:
    return f"{', '.join(cell.levels)}, seed {cell.seed}"
