"""Whether figures that need no radiologist say what radiologists say: rank correlations over the drafts.

Over all drafts, good systems pull a correlation up even where a measure cannot tell a good draft of a system from a
bad one. So it is worked out a second time within systems, where both are taken from their system's mean.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radllama import stats
from radllama.clinical.check import check
from radllama.evaluation.label_agreement import label_agreement
from radllama.evaluation.metrics import METRICS
from radllama.evaluation.scores import number, numbers
from radllama.review.agreement.answers import Resampling
from radllama.review.analysis.frame import Frame
from radllama.review.ratings import Candidate
from radllama.stats import Array
from radllama.text import words


def _label_f1(candidate: Candidate) -> float:
    ours, both = label_agreement(candidate.reference, candidate.draft)["label_f1_micro"]
    # Neither names an observation: they agree.
    return ours / both if both else 1.0


def _text(name: str) -> Callable[[Candidate], float]:
    return lambda candidate: METRICS[name].score(candidate.reference, candidate.draft)


# More of each is better, but of flags.
MEASURES: dict[str, tuple[str, Callable[[Candidate], float]]] = {
    "rouge1": ("ROUGE-1", _text("rouge1")),
    "rougeL": ("ROUGE-L", _text("rougeL")),
    "chrf": ("chrF", _text("chrf")),
    "label_f1": ("label F1", _label_f1),
    "flags": ("flags", lambda candidate: len(check(candidate.findings, candidate.draft))),
}


def measure_drafts(frame: Frame, candidates: list[Candidate]) -> dict[str, Array]:
    """Each measure of each draft (reports, systems): NaN for the signed impression and for what has no reference."""
    values = {name: np.full((len(frame.reports), len(frame.systems)), np.nan) for name in MEASURES}
    for candidate in candidates:
        if candidate.system == frame.study.human or not words(candidate.reference):
            continue
        for name, (_, score) in MEASURES.items():
            values[name][frame.place(candidate.report, candidate.system)] = score(candidate)
    return values


def mean_ratings(frame: Frame) -> dict[str, Array]:
    """The mean outcome of each draft over its raters (reports, systems), by question: NaN where nobody answered."""
    means = {}
    for name, cube in frame.cubes.items():
        outcome = cube.outcome()
        there = ~np.isnan(outcome)
        means[name] = stats.divide(np.where(there, outcome, 0.0).sum(axis=2), there.sum(axis=2).astype(np.float64))
    return means


def correlate(
    ratings: dict[str, Array], measures: dict[str, Array], resampling: Resampling
) -> dict[str, dict[str, dict[str, Any]]]:
    """Spearman's {measure: {question: {drafts, rho, ci95, within, within_ci95}}}, intervals by bootstrap of reports."""
    return {
        measure: {question: _correlate(rating, value, resampling) for question, rating in ratings.items()}
        for measure, value in measures.items()
    }


def _correlate(rating: Array, measure: Array, resampling: Resampling) -> dict[str, Any]:
    there = ~np.isnan(rating) & ~np.isnan(measure)
    report, _ = np.nonzero(there)
    plain = np.column_stack([rating[there], measure[there]])
    both = np.where(there, rating, np.nan), np.where(there, measure, np.nan)
    centred = np.column_stack([(part - _column_means(part, there))[there] for part in both])
    row: dict[str, Any] = {"drafts": len(plain)}
    for key, values in (("rho", plain), ("within", centred)):
        value, bounds = _spearman_with_interval(values, report, resampling)
        row |= {key: value, "ci95" if key == "rho" else "within_ci95": bounds}
    return row


def _column_means(values: Array, there: NDArray[np.bool_]) -> Array:
    return stats.divide(np.where(there, values, 0.0).sum(axis=0), there.sum(axis=0).astype(np.float64))


def _spearman_with_interval(
    values: Array, report: NDArray[np.intp], resampling: Resampling
) -> tuple[float | None, list[float] | None]:
    value = number(spearman(values)[0]) if len(values) else None
    reports, place = np.unique(report, return_inverse=True)
    if value is None or len(reports) < 3 or not resampling.resamples:
        return value, None
    times = np.random.default_rng(resampling.seed).multinomial(
        len(reports), np.full(len(reports), 1 / len(reports)), resampling.resamples
    )
    return value, numbers(stats.interval(spearman(values, times[:, place].astype(np.float64))[:, None])[:, 0])


def spearman(values: Array, times: Array | None = None) -> Array:
    """Spearman's rank correlation of two columns (rows, 2), one of each sample: NaN where a column never differs.

    `times` (samples, rows) says how often each row was drawn: a rank is among the rows as often as they were drawn.
    """
    times = np.ones((1, len(values))) if times is None else times
    # Means of thirds and the like tie but for their last bits.
    ranks = [_ranks(column, times) for column in np.round(values, 9).T]
    total = times.sum(axis=1, keepdims=True)
    apart = [column - (times * column).sum(axis=1, keepdims=True) / total for column in ranks]
    size = np.sqrt(np.prod([(times * column**2).sum(axis=1) for column in apart], axis=0))
    shared = (times * apart[0] * apart[1]).sum(axis=1)
    return stats.divide(shared, np.where(size > 1e-9, size, 0.0))


def _ranks(column: Array, times: Array) -> Array:
    """The mean rank of each row (samples, rows) among all that were drawn."""
    kinds, kind = np.unique(column, return_inverse=True)
    drawn = times @ np.eye(len(kinds))[kind]
    ranks: Array = (np.cumsum(drawn, axis=1) - drawn / 2)[:, kind]
    return ranks
