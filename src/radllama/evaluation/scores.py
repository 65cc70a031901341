"""The shape of `scores.json`: the value and interval of every measure, for every row, overall and by stratum.

A *row* is the system or a trivial row. What no report has a say in is null, never NaN and never left out.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from radllama import stats
from radllama.evaluation.measures import Scored
from radllama.evaluation.strata import Mask

SYSTEM = "system"


def summarise(rows: Mapping[str, Scored], masks: Mapping[str, Mask], seed: int, resamples: int) -> dict[str, Any]:
    """`{overall, strata, trivial}` from the scores of each row (SYSTEM is one of them) and the strata's masks.

    `overall` and each stratum: {n, a value for each measure, ci95: {measure: [low, high]}, denominators (of the
    measures that are a share of something else than the reports), empty_drafts}. Each trivial row has the same two,
    and `difference`: what the system is above it, overall, with paired intervals.
    """
    summaries = summarise_rows(rows, masks, seed, resamples)
    scores: dict[str, Any] = {
        "overall": summaries[SYSTEM]["overall"],
        "strata": {name: summaries[SYSTEM][name] for name in masks},
        "trivial": {},
    }
    for row, scored in rows.items():
        if row != SYSTEM:
            difference, bounds = stats.paired_difference(rows[SYSTEM].values, scored.values, resamples, seed)
            scores["trivial"][row] = {
                "overall": summaries[row]["overall"],
                "strata": {name: summaries[row][name] for name in masks},
                "difference": {
                    measure: {"mean": number(difference[at]), "ci95": numbers(bounds[:, at])}
                    for at, measure in enumerate(scored.measures)
                },
            }
    return scores


def summarise_rows(
    rows: Mapping[str, Scored], masks: Mapping[str, Mask], seed: int, resamples: int
) -> dict[str, dict[str, Any]]:
    """`{row: {stratum: summary}}`, the stratum "overall" first; what a summary holds, see `summarise`."""
    everything = np.ones(len(next(iter(rows.values()))), dtype=bool)
    summaries: dict[str, dict[str, Any]] = {row: {} for row in rows}
    for name, mask in {"overall": everything, **masks}.items():
        parts = [scored.reports(mask) for scored in rows.values()]
        # All rows side by side: one set of resampled reports serves them all.
        beside = stats.Ratios.beside([part.values for part in parts])
        bounds = stats.interval(stats.bootstrap(beside, resamples, seed))
        for row, part, its_bounds in zip(rows, parts, np.split(bounds, len(rows), axis=1), strict=True):
            summaries[row][name] = _summary(part, its_bounds)
    return summaries


def _summary(scored: Scored, bounds: stats.Array) -> dict[str, Any]:
    values = scored.values.scores()
    denominators = scored.values.denominators.sum(axis=0)
    return {
        "n": len(scored),
        **{measure: number(values[at]) for at, measure in enumerate(scored.measures)},
        "ci95": {measure: numbers(bounds[:, at]) for at, measure in enumerate(scored.measures)},
        "denominators": {
            name: int(denominators[at]) for at, (name, measure) in enumerate(scored.measures.items()) if measure.per
        },
        "empty_drafts": int(scored.empty.sum()),
    }


def number(value: float) -> float | None:
    """A score as JSON has it: null where there is none."""
    return None if math.isnan(value) else float(value)


def numbers(bounds: stats.Array) -> list[float] | None:
    """An interval as JSON has it: null where there is none."""
    return None if np.isnan(bounds).any() else [float(bound) for bound in bounds]
