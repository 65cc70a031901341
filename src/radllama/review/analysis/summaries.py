"""Means and shares of each system, with intervals by bootstrap of reports."""

from typing import Any

import numpy as np

from radllama import stats
from radllama.evaluation.scores import number, numbers
from radllama.review.agreement.answers import Resampling
from radllama.review.analysis.frame import Cube, Frame
from radllama.stats import Array, Ratios


def of_cells(values: Array) -> Ratios:
    """Means over the answers that there are, of values (reports, columns, raters): a column a score."""
    there = ~np.isnan(values)
    return Ratios(np.where(there, values, 0.0).sum(axis=2), there.sum(axis=2).astype(np.float64))


def means(ratios: Ratios, resampling: Resampling) -> list[dict[str, Any]]:
    """Each column's {mean, ci95, n (answers or what else its denominators count), reports}."""
    bounds = stats.interval(stats.bootstrap(ratios, max(resampling.resamples, 1), resampling.seed))
    reports = (ratios.denominators > 0).sum(axis=0)
    return [
        {
            "mean": number(value),
            # Of one report every sample is the same, and its "interval" would be a point.
            "ci95": numbers(bounds[:, at]) if reports[at] > 1 else None,
            "n": int(ratios.denominators[:, at].sum()),
            "reports": int(reports[at]),
        }
        for at, value in enumerate(ratios.scores())
    ]


def summarise_question(cube: Cube, systems: tuple[str, ...], resampling: Resampling) -> dict[str, Any]:
    """{system: {mean, ci95, n, reports, counts {value: answers}, shares {value: share}, best {mean, ci95, ...}}}.

    `mean` is that of a scale, null for a choice: places of names have no mean. `best` is the share of the best value.
    """
    given = [[int((cube.first[:, at, :] == step).sum()) for step in cube.scale] for at in range(len(systems))]
    best = means(of_cells(np.where(np.isnan(cube.first), np.nan, cube.first == cube.best)), resampling)
    mean = means(of_cells(cube.first), resampling) if cube.question.kind == "scale" else [{}] * len(systems)
    return {
        system: {
            "mean": None,
            "ci95": None,
            "n": best[at]["n"],
            "reports": best[at]["reports"],
            **mean[at],
            "counts": dict(zip(map(str, cube.question.values), given[at], strict=True)),
            "shares": {
                str(value): count / sum(given[at]) if sum(given[at]) else None
                for value, count in zip(cube.question.values, given[at], strict=True)
            },
            "best": best[at],
        }
        for at, system in enumerate(systems)
    }


def count_errors(frame: Frame, resampling: Resampling) -> dict[str, Any]:
    """{system: {judged, total, rate, kinds {kind: {significance: count}}, by_significance {significance: rate}}}.

    A rate is the errors marked for each draft that a rater judged: {mean, ci95, n, reports}.
    """
    study = frame.study
    counts = np.zeros((len(study.error_kinds), len(study.significances), len(frame.reports), len(frame.systems)))
    for row in frame.errors:
        if row.kind in study.error_kinds and row.significance in study.significances:
            kind, significance = study.error_kinds.index(row.kind), study.significances.index(row.significance)
            counts[(kind, significance, *frame.place(row.report, row.system))] += 1
    judged = frame.judged.sum(axis=2).astype(np.float64)
    rates = means(Ratios(counts.sum(axis=(0, 1)), judged), resampling)
    graded = [means(Ratios(part, judged), resampling) for part in counts.sum(axis=0)]
    return {
        system: {
            "judged": int(judged[:, at].sum()),
            "total": int(counts[:, :, :, at].sum()),
            "rate": rates[at],
            "by_significance": {name: graded[place][at] for place, name in enumerate(study.significances)},
            "kinds": {
                kind: {name: int(counts[row, column, :, at].sum()) for column, name in enumerate(study.significances)}
                for row, kind in enumerate(study.error_kinds)
            },
        }
        for at, system in enumerate(frame.systems)
    }
