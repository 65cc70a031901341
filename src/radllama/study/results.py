"""The finished cells of a study in figures: `study.json`, with no report text in it.

For each product of levels: mean over seeds, spread over seeds, and an interval over both seeds and reports; and how far
it is from the reference, paired by report and seed. What failed is counted, never left out in silence.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from radllama import stats
from radllama.dataset.build import read_split
from radllama.evaluation.evaluate import PER_REPORT_FILE
from radllama.evaluation.scores import number, numbers
from radllama.evaluation.sources import read_values
from radllama.files import read_json, read_jsonl
from radllama.run import read_run
from radllama.study.cells import Cell, Training, model_name
from radllama.study.design import FirstTraining
from radllama.study.job import COST_FILE
from radllama.study.observations import by_observation
from radllama.study.run import Folders, Progress

LEVEL = 0.05
HIGHER, LOWER, NOT_DIFFERENT = "higher", "lower", "not different"
_COSTS = ("cpu_seconds", "seconds", "above_mb", "weights_mb", "trainable", "parameters")

Levels = tuple[str, ...]
Runs = dict[Levels, list[stats.Ratios]]


def collect(
    progress: Progress, resamples: int = stats.RESAMPLES, permutations: int = stats.PERMUTATIONS
) -> dict[str, Any]:
    """What `study.json` holds, from the finished cells of a study.

    `points`: for each product of levels {levels, runs, failed, scores: {measure: {mean, sd, ci95, each}}, cost};
    `comparisons`: {levels, reference, measure, difference, ci95, p, p_holm, verdict}. Scores are 0..1, null where no
    report has a say.
    """
    study, folders = progress.study, progress.folders
    cells: dict[Levels, dict[str, Cell]] = {levels: {} for levels in product(*study.axes.values())}
    for cell in progress.cells:
        cells[cell.levels][cell.name] = cell
    finished = {
        levels: [cell for cell in named.values() if read_run(folders.scores(cell))] for levels, named in cells.items()
    }
    values: Runs = {
        levels: [read_values(folders.scores(cell) / PER_REPORT_FILE, study.measures) for cell in done]
        for levels, done in finished.items()
    }
    points = [
        {
            "levels": list(levels),
            "runs": len(done),
            "failed": _failures(progress, cells[levels].keys() - _names(done)),
            "cells": [cell.name for cell in done],
            "reports": len(values[levels][0]) if done else 0,
            "scores": _scores(values[levels], study.measures, resamples),
            "cost": _cost(done, folders),
        }
        for levels, done in finished.items()
    ]
    ids = {levels: _ids(folders.scores(done[0]) / PER_REPORT_FILE) for levels, done in finished.items() if done}
    return {
        "title": study.title,
        "base": _base(progress),
        "datasets": {
            name: {"reports": dict(source.reports), "sha256": dict(source.sha256)}
            for name, source in progress.sources.items()
        },
        "axes": {axis: list(levels) for axis, levels in study.axes.items()},
        "seeds": list(study.seeds),
        "reference": dict(study.reference),
        "measures": list(study.measures),
        "points": points,
        "comparisons": _compare(progress, values, ids, resamples, permutations),
        "observations": _observations(progress, finished, resamples),
        "resamples": resamples,
        "permutations": permutations,
    }


def _scores(runs: Sequence[stats.Ratios], measures: Sequence[str], resamples: int) -> dict[str, Any]:
    if not runs:
        return {}
    each = np.array([run.scores() for run in runs])
    means = stats.mean_of_defined(each.T)
    bounds = stats.interval(stats.bootstrap_runs(runs, resamples))
    return {
        measure: {
            "mean": number(means[at]),
            "sd": number(float(np.std(each[:, at], ddof=1))) if len(runs) > 1 else None,
            "ci95": numbers(bounds[:, at]),
            "each": [number(value) for value in each[:, at]],
        }
        for at, measure in enumerate(measures)
    }


def _compare(
    progress: Progress, values: Runs, ids: Mapping[Levels, list[str]], resamples: int, permutations: int
) -> list[dict[str, Any]]:
    """Each product of levels against that with the reference's levels, where both drafted the same reports."""
    study = progress.study
    rows: list[dict[str, Any]] = []
    for levels, runs in values.items():
        against = tuple(study.reference.get(axis, level) for axis, level in zip(study.axes, levels, strict=True))
        if levels == against or not runs or not values[against] or ids[levels] != ids[against]:
            continue
        theirs = values[against]
        drawn = stats.bootstrap_runs(runs, resamples) - stats.bootstrap_runs(theirs, resamples)
        ours, pooled = stats.pool_runs(runs), stats.pool_runs(theirs)
        differences, bounds = ours.scores() - pooled.scores(), stats.interval(drawn)
        p_values = stats.randomisation_p(ours, pooled, permutations)
        rows += [
            {
                "levels": list(levels),
                "reference": list(against),
                "measure": measure,
                "difference": number(differences[at]),
                "ci95": numbers(bounds[:, at]),
                "p": float(p_values[at]) if np.isfinite(differences[at]) else None,
            }
            for at, measure in enumerate(study.measures)
        ]
    tested = [row for row in rows if row["p"] is not None]
    for row in rows:
        row |= {"p_holm": None, "verdict": None}
    for row, p_holm in zip(tested, stats.holm(np.array([row["p"] for row in tested])).tolist(), strict=True):
        # p knows nothing of the seeds: two lucky ones of three must not be called a difference.
        clear = p_holm < LEVEL and not row["ci95"][0] <= 0 <= row["ci95"][1]
        row |= {"p_holm": p_holm, "verdict": (HIGHER if row["difference"] > 0 else LOWER) if clear else NOT_DIFFERENT}
    return rows


def _cost(cells: Sequence[Cell], folders: Folders) -> dict[str, Any]:
    """Means over the trainings whose cost is known whole; empty where nothing was trained."""
    names = {model_name(cell) for cell in cells if isinstance(cell.model, Training)}
    costs = [read_json(path) for name in sorted(names) if (path := folders.job(name) / COST_FILE).exists()]
    known = {name: [cost[name] for cost in costs if cost[name] is not None] for name in _COSTS}
    means = {name: round(sum(found) / len(found), 3) for name, found in known.items() if found}
    return {**means, "machine": costs[0]["machine"], "processes": costs[0]["processes"]} if costs else {}


def _base(progress: Progress) -> str:
    base = progress.study.base
    if isinstance(base, FirstTraining):
        return f"{Path(base.recipe).stem}, trained on {' and '.join(base.train_on)}"
    return Path(base).name if Path(base).is_dir() else base


def _observations(
    progress: Progress, finished: Mapping[Levels, Sequence[Cell]], resamples: int
) -> dict[str, Any] | None:
    study = progress.study
    if not study.observations:
        return None
    named = study.settings.train_on or ()
    train = [report for name in named for report in read_split(progress.sources[name].folder, "train")]
    return by_observation(finished, train, progress.folders, resamples)


def _ids(per_report: Path) -> list[str]:
    return [row["id"] for _, row in read_jsonl(per_report)]


def _failures(progress: Progress, names: set[str]) -> list[str]:
    """Why those cells have no scores, each reason once, without the place where the studies lie."""
    reasons = {progress.failed.get(name, "not run") for name in names}
    return sorted(reason.replace(f"{progress.folders.out}/", "") for reason in reasons)


def _names(cells: Sequence[Cell]) -> set[str]:
    return {cell.name for cell in cells}
