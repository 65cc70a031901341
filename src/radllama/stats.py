"""How sure a score or a difference is: bootstrap over reports (Efron 1979) and randomisation tests, seeded.

A score is a ratio of two sums over reports: of a mean every denominator is 1, of a share it is how much the report has
to say ("of 2 observations, 1 repeated"). All columns, each a score of a system, are resampled with the same reports,
so that the difference of two columns is a paired one (Koehn 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
PERMUTATIONS = 10_000
LEVEL = 0.95
# So many report indices are drawn at a time: 64 MB.
_DRAWS_AT_ONCE = 1 << 23

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ratios:
    """What each report adds to the numerator and the denominator of each score: both (reports, columns).

    Raises ValueError when there is no report, when a value is not finite (a NaN would pass for a score otherwise) or
    a denominator is below 0.
    """

    numerators: Array
    denominators: Array

    def __post_init__(self) -> None:
        shape = self.numerators.shape
        if len(shape) != 2 or not shape[0] or self.denominators.shape != shape:
            raise ValueError(f"expected (reports, columns) with at least one report, got shape {shape}")
        if not (np.isfinite(self.numerators).all() and np.isfinite(self.denominators).all()):
            raise ValueError("a value is not finite; what cannot be scored must score 0")
        if (self.denominators < 0).any():
            raise ValueError("a denominator is below 0")

    @classmethod
    def of_means(cls, values: Array) -> Ratios:
        """Scores (reports, columns) whose means are asked for."""
        return cls(values, np.ones_like(values))

    @classmethod
    def beside(cls, parts: Sequence[Ratios]) -> Ratios:
        """The columns of several, over the same reports, one after the other."""
        return cls(np.hstack([part.numerators for part in parts]), np.hstack([part.denominators for part in parts]))

    def __len__(self) -> int:
        return len(self.numerators)

    def reports(self, mask: NDArray[np.bool_]) -> Ratios:
        """Some of the reports."""
        return Ratios(self.numerators[mask], self.denominators[mask])

    def columns(self, columns: Sequence[int]) -> Ratios:
        """Some of the columns, in the order asked."""
        return Ratios(self.numerators[:, columns], self.denominators[:, columns])

    def scores(self) -> Array:
        """The score of each column (columns,): NaN where no report has a say."""
        return divide(self.numerators.sum(axis=0), self.denominators.sum(axis=0))


def divide(numerators: Array, denominators: Array) -> Array:
    """The quotient, NaN where the denominator is 0."""
    quotients: Array = np.full(np.broadcast_shapes(numerators.shape, denominators.shape), np.nan)
    np.divide(numerators, denominators, out=quotients, where=denominators > 0)
    return quotients


def mean_of_defined(scores: Array) -> Array:
    """Mean over the columns of scores (rows, columns) that are not NaN: (rows,), NaN where none is."""
    defined = ~np.isnan(scores)
    return divide(np.where(defined, scores, 0.0).sum(axis=1), defined.sum(axis=1).astype(np.float64))


def bootstrap(values: Ratios, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Scores of `resamples` random draws of as many reports with replacement: (resamples, columns).

    NaN where a draw has no report with a say. Depends on the number of reports, `resamples` and `seed` alone as to
    which reports are drawn.
    """
    reports = len(values)
    random = np.random.default_rng(seed)
    scores = np.empty((resamples, values.numerators.shape[1]))
    # Draws do not depend on how they are chunked: the generator fills row after row.
    chunk = max(1, _DRAWS_AT_ONCE // reports)
    for start in range(0, resamples, chunk):
        drawn = random.integers(reports, size=(min(chunk, resamples - start), reports))
        # How often each report was drawn; its value counts so often.
        drawn += np.arange(len(drawn))[:, None] * reports
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        scores[start : start + len(drawn)] = divide(times @ values.numerators, times @ values.denominators)
    return scores


def bootstrap_runs(runs: Sequence[Ratios], resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Mean scores over several runs of one system on the same reports: (resamples, columns).

    Both are drawn anew with replacement, which runs and which reports, so that the spread is that of another set of
    either. Of few runs it is too narrow: three draws of three runs are often the same three. Which ones are drawn
    depends on their number and `seed` alone, so two systems with as many runs (of the same seeds) are paired in both.
    """
    drawn = np.stack([bootstrap(run, resamples, seed) for run in runs])  # (runs, resamples, columns)
    picked = np.random.default_rng((seed, len(runs))).integers(len(runs), size=(len(runs), resamples))
    chosen = np.take_along_axis(drawn, picked[:, :, None], axis=0)
    return np.stack([mean_of_defined(chosen[:, :, at].T) for at in range(chosen.shape[2])], axis=1)


def pool_runs(runs: Sequence[Ratios]) -> Ratios:
    """One system's runs as one: what each report adds on average, so that its drafts of all runs stay together."""
    numerators = np.mean([run.numerators for run in runs], axis=0)
    return Ratios(numerators, np.mean([run.denominators for run in runs], axis=0))


def interval(scores: Array, level: float = LEVEL) -> Array:
    """The middle `level` of bootstrap scores (resamples, columns): (2, columns), low then high.

    Draws where a score is NaN are left out of its interval; it is NaN where all are.
    """
    tail = (1 - level) / 2
    bounds = np.quantile(scores, [tail, 1 - tail], axis=0)
    for column in np.flatnonzero(np.isnan(scores).any(axis=0)):
        defined = scores[~np.isnan(scores[:, column]), column]
        bounds[:, column] = np.quantile(defined, [tail, 1 - tail]) if len(defined) else np.nan
    return bounds


def paired_difference(ours: Ratios, theirs: Ratios, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Array, Array]:
    """`ours - theirs` for each column, and its interval (2, columns).

    Both are over the same reports in the same order. An interval on one side of 0 says that the difference is not
    an accident of which reports were scored.
    """
    _refuse_unlike(ours, theirs)
    drawn = bootstrap(ours, resamples, seed) - bootstrap(theirs, resamples, seed)
    return ours.scores() - theirs.scores(), interval(drawn)


def randomisation_p(ours: Ratios, theirs: Ratios, permutations: int = PERMUTATIONS, seed: int = 0) -> Array:
    """Two-sided p-values (columns,) of the differences of two systems: 1 where one has no score.

    Approximate randomisation (Noreen 1989): if it did not matter which system drafted, each report's two drafts could
    as well change places. p is the share of `permutations` random choices of such exchanges after which the scores are
    as far apart as those observed, which itself counts as one (Phipson and Smyth 2010): p is never 0. Depends on the
    number of reports, `permutations` and `seed` alone as to the exchanges drawn.
    """
    _refuse_unlike(ours, theirs)
    reports = len(ours)
    random = np.random.default_rng(seed)
    numerators, denominators = theirs.numerators - ours.numerators, theirs.denominators - ours.denominators
    sums = [values.sum(axis=0) for part in (ours, theirs) for values in (part.numerators, part.denominators)]
    size = divide(np.abs(ours.numerators).sum(axis=0) + np.abs(theirs.numerators).sum(axis=0), sums[1] + sums[3])
    # Scores repeat, so differences tie exactly, but for the rounding of adding in another order.
    as_far = np.abs(ours.scores() - theirs.scores()) - 1e-9 * size
    extreme = np.ones(len(as_far))
    chunk = max(1, _DRAWS_AT_ONCE // reports)
    for start in range(0, permutations, chunk):
        exchanged = random.integers(2, size=(min(chunk, permutations - start), reports)).astype(np.float64)
        moved, weight = exchanged @ numerators, exchanged @ denominators
        apart = np.abs(divide(sums[0] + moved, sums[1] + weight) - divide(sums[2] - moved, sums[3] - weight))
        # Not "at least as far": an exchange after which one system has no score must not make p smaller.
        extreme += (~(apart < as_far)).sum(axis=0)
    return extreme / (permutations + 1)


def holm(p_values: Array) -> Array:
    """Holm's (1979) adjusted p-values, in the order given.

    Calling different what is below 0.05 here calls wrongly in at most one family of twenty, however the
    tests of the family depend on each other.
    """
    order = np.argsort(p_values)
    adjusted = np.empty(len(p_values))
    # The smallest p is held against all tests, the next against all but one; none may pass one before it.
    adjusted[order] = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    return np.minimum(adjusted, 1.0)


def _refuse_unlike(ours: Ratios, theirs: Ratios) -> None:
    if ours.numerators.shape != theirs.numerators.shape:
        raise ValueError(f"not the same reports and columns: {ours.numerators.shape} and {theirs.numerators.shape}")
