"""What a study's variants repeat and invent of each observation: what tuning gains, and what it loses.

Few development reports carry any one observation, so single rows are counts without intervals. The rare ones together
(`evaluation.strata`: those that under 2% of the training reports show), and the others together, have intervals.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from radllama import stats
from radllama.clinical.observations import observation_names, observe
from radllama.evaluation.by_observation import faithfulness_figures
from radllama.evaluation.drafts import read_drafts
from radllama.evaluation.faithfulness import INVENTED, REPEATED
from radllama.evaluation.scores import number, numbers
from radllama.evaluation.strata import rare_observations
from radllama.report import Report
from radllama.study.cells import Cell
from radllama.study.job import DRAFTS_FILE
from radllama.study.run import Folders

_Parts = dict[tuple[str, str], list[tuple[int, int]]]  # (observation, figure): each report's numerator and denominator


def by_observation(
    finished: Mapping[tuple[str, ...], Sequence[Cell]], train: Sequence[Report], folders: Folders, resamples: int
) -> dict[str, Any]:
    """{groups: {rare, other: [a summary each point]}, each: {name: {train, positive, points: [repeated, invented]}}}.

    `train` are the training reports from which rare is told. In `each`, repeated and invented are counts of reports,
    means over the runs; `positive` is of how many repeated is. Points are in the order of `finished`.
    """
    rare = rare_observations(train)
    shown = [observe(report.findings).asserted | observe(report.impression).asserted for report in train]
    points = [[_parts(folders, cell) for cell in cells] for cells in finished.values()]
    named = {name for runs in points for parts in runs for name, _ in parts}
    each = {
        name: {
            "train": sum(name in names for names in shown),
            "rare": name in rare,
            "positive": max((_total(parts, name, REPEATED)[1] for runs in points for parts in runs), default=0),
            "points": [
                [_mean([_total(parts, name, figure)[0] for parts in runs]) for figure in (REPEATED, INVENTED)]
                for runs in points
            ],
        }
        for name in observation_names()
        if name in named
    }
    groups = {
        title: [_summary([_ratios(parts, names) for parts in runs], resamples) for runs in points]
        for title, names in (("rare", rare & named), ("other", named - rare))
    }
    return {"groups": groups, "each": each}


def _parts(folders: Folders, cell: Cell) -> _Parts:
    cases = read_drafts(folders.cell(cell) / DRAFTS_FILE).cases
    figures = faithfulness_figures(cases, [case.draft for case in cases])
    return {(name, figure): parts for name, figure, parts in figures}


def _total(parts: _Parts, name: str, figure: str) -> tuple[int, int]:
    pairs = parts.get((name, figure), [])
    return sum(above for above, _ in pairs), sum(below for _, below in pairs)


def _ratios(parts: _Parts, names: frozenset[str] | set[str]) -> stats.Ratios:
    """Of a group: observations repeated of those to repeat, and observations invented for each report."""
    chosen = {
        figure: [pairs for (name, kind), pairs in parts.items() if kind == figure and name in names]
        for figure in (REPEATED, INVENTED)
    }
    reports = len(next(iter(parts.values())))
    repeated = np.array(chosen[REPEATED], dtype=np.float64).reshape(-1, reports, 2).sum(axis=0)
    invented = np.array(chosen[INVENTED], dtype=np.float64).reshape(-1, reports, 2).sum(axis=0)
    return stats.Ratios(
        np.stack([repeated[:, 0], invented[:, 0]], axis=1), np.stack([repeated[:, 1], np.ones(reports)], axis=1)
    )


def _summary(runs: Sequence[stats.Ratios], resamples: int) -> dict[str, Any]:
    if not runs:
        return {}
    means = stats.mean_of_defined(np.array([run.scores() for run in runs]).T)
    bounds = stats.interval(stats.bootstrap_runs(runs, resamples))
    positive = int(runs[0].denominators[:, 0].sum())
    return {
        "positive": positive,
        **{
            figure: {"mean": number(means[at]), "ci95": numbers(bounds[:, at])}
            for at, figure in enumerate((REPEATED, INVENTED))
        },
    }


def _mean(counts: Sequence[int]) -> float | None:
    return round(sum(counts) / len(counts), 2) if counts else None
