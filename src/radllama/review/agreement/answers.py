"""What raters answered, as a table, and how a coefficient of it is estimated with its interval.

Every coefficient here is a function of sums over the rated items. So a bootstrap sample is another weighting of the
same sums, and all samples are worked out at once. Reports are drawn, not items: the drafts of one report are read
together and share its difficulty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radllama import stats
from radllama.stats import Array

SAME = "all answers are the same, so nothing shows whether the raters would tell drafts apart"
NO_OVERLAP = "no draft was answered by two raters"
TOO_FEW = "fewer than two drafts were answered by two raters"

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A coefficient of agreement: 1 is perfect, 0 what chance gives. `value` is None where `reason` says why.

    `ci95` is by bootstrap of reports; `ci95_analytic` by the published formula, if there is one and it applies.
    `items` have answers of two or more raters, and `answers` is how many answers they have.
    """

    value: float | None
    ci95: Interval | None
    ci95_analytic: Interval | None
    items: int
    answers: int
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers (items, raters), NaN where a rater gave none, and which report each item (items,) belongs to."""

    values: Array
    reports: NDArray[np.intp]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.reports.shape != self.values.shape[:1]:
            raise ValueError(f"expected (items, raters) and (items,), got {self.values.shape}, {self.reports.shape}")
        if np.isinf(self.values).any():
            raise ValueError("an answer is infinite")

    @classmethod
    def of(cls, values: Array) -> Answers:
        """Answers where each item is of a report of its own."""
        return cls(values, np.arange(len(values)))

    def shared(self) -> Answers:
        """The items that two or more raters answered: one answer alone agrees with nothing."""
        return self.items((~np.isnan(self.values)).sum(axis=1) >= 2)

    def items(self, mask: NDArray[np.bool_]) -> Answers:
        """Some of the items."""
        return Answers(self.values[mask], self.reports[mask])

    def raters(self, columns: Sequence[int]) -> Answers:
        """Some of the raters."""
        return Answers(self.values[:, columns], self.reports)

    def counts(self, scale: Sequence[float]) -> Array:
        """How many raters gave each step of `scale` to each item: (items, steps). Refuses an answer off the scale."""
        counts: Array = (self.values[:, :, None] == np.asarray(scale, dtype=np.float64)).sum(axis=1) * 1.0
        if counts.sum() != np.isfinite(self.values).sum():
            raise ValueError(f"an answer is not on the scale {list(scale)}")
        return counts


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals are drawn. 0 `resamples`: none are."""

    resamples: int = stats.RESAMPLES
    seed: int = 0


def estimate(
    parts: Array,
    coefficient: Callable[[Array], Array],
    answers: Answers,
    resampling: Resampling,
    analytic: Callable[[float], Interval | None] | None = None,
    undefined: str = SAME,
) -> Coefficient:
    """A coefficient of sums over items, with its intervals.

    `parts` (items, columns) is what each item of `answers` adds to each sum; `coefficient` turns sums (samples,
    columns) into values (samples,), NaN where there is none, for which `undefined` is the reason.
    """
    shared = answers.shared()
    items, given = len(shared.values), int(np.isfinite(shared.values).sum())
    if not items:
        return Coefficient(None, None, None, 0, 0, NO_OVERLAP)
    value = float(coefficient(parts.sum(axis=0, keepdims=True))[0])
    if np.isnan(value):
        return Coefficient(None, None, None, items, given, undefined)
    return Coefficient(
        value,
        _bootstrap(parts, coefficient, answers.reports, resampling),
        None if analytic is None else analytic(value),
        items,
        given,
    )


def _bootstrap(
    parts: Array, coefficient: Callable[[Array], Array], reports: NDArray[np.intp], resampling: Resampling
) -> Interval | None:
    _, report = np.unique(reports, return_inverse=True)
    count = int(report.max()) + 1
    # Of one report every sample is the same, and its "interval" would be a point.
    if count < 2 or not resampling.resamples:
        return None
    of_reports = np.zeros((count, parts.shape[1]))
    np.add.at(of_reports, report, parts)
    times = np.random.default_rng(resampling.seed).multinomial(count, np.full(count, 1 / count), resampling.resamples)
    drawn = coefficient(times.astype(np.float64) @ of_reports)
    low, high = stats.interval(drawn[:, None])[:, 0]
    return None if np.isnan(low) else (float(low), float(high))
