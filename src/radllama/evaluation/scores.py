"""The shape of `scores.json`: means and intervals of every row, overall and by stratum; and as a table.

A *row* is a system or a trivial row; its values are (reports, columns), one column a metric of METRICS and,
last, 1.0 where its draft is empty.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from radllama import stats
from radllama.evaluation import strata
from radllama.evaluation.metrics import METRICS

SYSTEM = "system"
# What the terminal shows with an interval; the file has all metrics.
_SHOWN = {"rouge1": "R-1", "rouge2": "R-2", "rougeL": "R-L"}


def summarise(
    values: Mapping[str, stats.Array], masks: Mapping[str, strata.Mask], seed: int, resamples: int
) -> dict[str, Any]:
    """`{overall, strata, trivial}` from the values of each row (SYSTEM is one of them) and the strata's masks.

    `overall` and each stratum: {n, a mean for each metric, ci95: {metric: [low, high]}, empty_drafts}. Each
    trivial row has the same two, and `difference`: what the system is above it, overall, with paired intervals.
    """
    rows = list(values)
    summaries = summarise_rows(values, masks, seed, resamples)
    scores: dict[str, Any] = {
        "overall": summaries[SYSTEM]["overall"],
        "strata": {name: summaries[SYSTEM][name] for name in masks},
        "trivial": {},
    }
    for row in rows:
        if row != SYSTEM:
            mean, bounds = stats.paired_difference(values[SYSTEM], values[row], resamples, seed)
            scores["trivial"][row] = {
                "overall": summaries[row]["overall"],
                "strata": {name: summaries[row][name] for name in masks},
                "difference": {
                    metric: {"mean": float(mean[at]), "ci95": bounds[:, at].tolist()}
                    for at, metric in enumerate(METRICS)
                },
            }
    return scores


def summarise_rows(
    values: Mapping[str, stats.Array], masks: Mapping[str, strata.Mask], seed: int, resamples: int
) -> dict[str, dict[str, Any]]:
    """`{row: {stratum: summary}}`, the stratum "overall" first; what a summary holds, see `summarise`."""
    rows = list(values)
    everything = np.ones(len(values[rows[0]]), dtype=bool)
    summaries: dict[str, dict[str, Any]] = {row: {} for row in rows}
    for name, mask in {"overall": everything, **masks}.items():
        # All rows side by side: one set of resampled reports serves them all.
        table = np.hstack([values[row][mask] for row in rows])
        intervals = stats.interval(stats.bootstrap_means(table, resamples, seed))
        for row, part, bounds in zip(
            rows, np.split(table, len(rows), axis=1), np.split(intervals, len(rows), axis=1), strict=True
        ):
            summaries[row][name] = _summary(part, bounds)
    return summaries


def _summary(values: stats.Array, bounds: stats.Array) -> dict[str, Any]:
    means = values.mean(axis=0)
    return {
        "n": len(values),
        **{metric: float(means[at]) for at, metric in enumerate(METRICS)},
        "ci95": {metric: bounds[:, at].tolist() for at, metric in enumerate(METRICS)},
        "empty_drafts": int(values[:, -1].sum()),
    }


def render_table(scores: dict[str, Any]) -> str:
    """`scores.json` for a terminal, at most 100 columns wide: the rows, then the strata, then the notes."""
    # The end of a path says more than its beginning.
    rows = [(scores["system"][-20:], scores["overall"])]
    rows += [(row, part["overall"]) for row, part in scores["trivial"].items()]
    parts = [render_rows(rows)]
    if scores["strata"]:
        others = list(scores["trivial"])
        lines = [["", "n", "R-1 (95%)", *list(_SHOWN.values())[1:], *others]]
        for name, summary in scores["strata"].items():
            theirs = [f"{100 * scores['trivial'][row]['strata'][name]['rouge1']:.1f}" for row in others]
            rest = [f"{100 * summary[metric]:.1f}" for metric in list(_SHOWN)[1:]]
            lines.append([strata.TITLES[name], *_line("", summary)[1:3], *rest, *theirs])
        parts += [f"By stratum; {scores['system']}, and R-1 of the trivial rows", align(lines)]
    return "\n\n".join([*parts, *scores["notes"]])


def render_rows(rows: Sequence[tuple[str, dict[str, Any]]]) -> str:
    """A heading and a table of rows, each a name and the summary of the same reports."""
    lines = [["", "n", *(f"{name} (95%)" for name in _SHOWN.values()), "exact", "length", "empty"]]
    lines += [_line(name, summary) for name, summary in rows]
    return f"All {rows[0][1]['n']} reports; ROUGE F1 x 100, unstemmed, with 95% intervals\n\n{align(lines)}"


def _line(name: str, summary: dict[str, Any]) -> list[str]:
    intervals = [
        f"{100 * summary[metric]:.1f} ({100 * low:.1f}-{100 * high:.1f})"
        for metric, (low, high) in ((metric, summary["ci95"][metric]) for metric in _SHOWN)
    ]
    return [
        name,
        str(summary["n"]),
        *intervals,
        f"{100 * summary['exact_match']:.1f}",
        f"{summary['length_ratio']:.2f}",
        str(summary["empty_drafts"]),
    ]


def align(lines: list[list[str]]) -> str:
    """Cells as a table: the first column to the left, the others to the right, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
