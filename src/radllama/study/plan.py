"""`radllama study --plan`: how many runs, and about how long they take, before anything starts.

Times come from what has finished in the same folder; where nothing has, from a short probe: a training of a few
reports, and drafts of a few more.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from radllama.files import read_json, write_jsonl
from radllama.report import read_reports
from radllama.study.cells import Cell, Training, jobs_of, trainings_of
from radllama.study.data import Source
from radllama.study.job import COST_FILE, run_job
from radllama.study.pool import Places
from radllama.study.run import Folders, Progress, write_job

_PROBE_TRAINED, _PROBE_DRAFTED, _WARM_UP = 48, 16, 4
_START_S = 8  # a process, its libraries, its model


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds an example in training, by way of tuning, and a report drafted and scored; `source`: how it is known."""

    trained: dict[str, float]
    drafted: float
    source: str


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """What `--plan` prints."""

    cells: int
    drafts: int
    trainings: int
    finished: int
    passes: int
    seconds: float | None
    jobs: int
    source: str


def plan(progress: Progress, places: Places) -> StudyPlan:
    """Count what is left and estimate its time; a probe runs when nothing of the kind has finished here."""
    unfinished, untrained = progress.unfinished, progress.untrained
    every = [cell for cells in jobs_of(progress.cells).values() for cell in cells]
    pace = _from_finished(progress, untrained, every)
    if pace is None and untrained:
        pace = _probe(untrained, unfinished[-1], places)
    seconds = None
    if pace:
        training = sum(one.passes * pace.trained.get(_kind(one), max(pace.trained.values())) for one in untrained)
        drafting = sum(cell.drafts_of.reports["valid"] for cell in unfinished) * pace.drafted
        seconds = (training + drafting + _START_S * len(jobs_of(unfinished))) / places.jobs
    return StudyPlan(
        cells=len(progress.cells),
        drafts=len(unfinished),
        trainings=len(untrained),
        finished=len(every) - len(unfinished),
        passes=sum(one.passes for one in untrained),
        seconds=seconds,
        jobs=places.jobs,
        source=pace.source if pace else "",
    )


def render_study_plan(found: StudyPlan) -> str:
    """The plan in words, a fact a line."""
    lines = [
        f"cells        {found.cells} (levels x seeds); {found.finished} runs finished, {found.drafts} to do",
        f"trainings    {found.trainings} to do, {found.passes:,} examples through the network",
        f"at a time    {found.jobs}",
    ]
    if found.seconds is not None:
        lines.append(f"about        {_duration(found.seconds)} ({found.source})")
    elif found.drafts:
        lines.append("about        not known before a run has finished: only training is probed")
    return "\n".join(lines)


def _from_finished(progress: Progress, untrained: Sequence[Training], every: Sequence[Cell]) -> Pace | None:
    trained: dict[str, list[float]] = {}
    for training in trainings_of(every):
        path = progress.folders.job(training.name) / COST_FILE
        cost = read_json(path) if path.exists() else {}
        if cost.get("seconds"):
            trained.setdefault(_kind(training), []).append(cost["seconds"] / cost["passes"])
    drafted = []
    for cell in every:
        path = progress.folders.cell(cell) / COST_FILE
        if path.exists():
            cost = read_json(path)
            drafted.append(sum(cost["seconds"].values()) / cost["reports"])
    if not drafted or (untrained and not trained):
        return None
    return Pace({kind: median(paces) for kind, paces in trained.items()}, median(drafted), "from the finished runs")


def _kind(training: Training) -> str:
    return "scratch" if training.recipe.scratch else training.recipe.tuning


def _probe(untrained: Sequence[Training], cell: Cell, places: Places) -> Pace:
    """Run little of each kind of training, and draft a few reports with what comes of it; what that took."""
    trained: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="radllama-probe-") as name:
        folders = Folders(Path(name))
        few = Source(cell.drafts_of.name, Path(name), cell.drafts_of.sha256, {"valid": _PROBE_DRAFTED})
        reports = list(read_reports(cell.drafts_of.folder / "valid.jsonl"))[:_PROBE_DRAFTED]
        write_jsonl(few.folder / "valid.jsonl", (report.to_json() for report in reports))
        kinds = {_kind(one): _little(one) for one in reversed(untrained)}
        kinds = dict(sorted(kinds.items(), key=lambda kind: kind[1].base is not None))  # bases first
        drafted = replace(cell, model=list(kinds.values())[-1], drafts_of=few, selection=untrained[-1].selection)
        run_job(write_job(_little(untrained[0], _WARM_UP), [], folders, places))  # libraries are loaded once
        for kind, training in kinds.items():
            cells = [drafted] if training == drafted.model else []
            run_job(write_job(training, cells, folders, places))
            cost = read_json(folders.job(training.name) / COST_FILE)
            trained[kind] = cost["seconds"] / cost["passes"]
        cost = read_json(folders.cell(drafted) / COST_FILE)
    return Pace(trained, sum(cost["seconds"].values()) / cost["reports"], "from a short probe")


def _little(training: Training, reports: int = _PROBE_TRAINED) -> Training:
    """The same training in small, standing on its base in small."""
    changes = {"epochs": 1, "valid_drafts": 0, "keep": "last", "tracker": "none"}
    sources = training.selection.sources
    reports = min(reports, len(sources) * min(source.reports["train"] for source in sources))
    selection = replace(training.selection, reports=reports, missing=0.0)
    base = _little(training.base) if training.base else None
    return replace(training, recipe=training.recipe.model_copy(update=changes), selection=selection, base=base)


def _duration(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
