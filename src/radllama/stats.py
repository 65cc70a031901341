"""How sure a mean or a difference is: bootstrap over reports (Efron 1979) and randomisation tests, seeded.

Every function takes values of shape (reports, columns): one column a metric of a system. All columns are
resampled with the same reports, so that the difference of two columns is a paired one (Koehn 2004).
"""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
PERMUTATIONS = 10_000
LEVEL = 0.95
# So many report indices are drawn at a time: 64 MB.
_DRAWS_AT_ONCE = 1 << 23

Array = NDArray[np.float64]


def bootstrap_means(values: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Means of `resamples` random draws of as many reports with replacement: (resamples, columns).

    Depends on the number of reports, `resamples` and `seed` alone as to which reports are drawn. Raises
    ValueError when there is no report or a value is not finite: a NaN would pass for a score otherwise.
    """
    _refuse_unusable(values)
    reports = len(values)
    random = np.random.default_rng(seed)
    means = np.empty((resamples, values.shape[1]))
    # Draws do not depend on how they are chunked: the generator fills row after row.
    chunk = max(1, _DRAWS_AT_ONCE // reports)
    for start in range(0, resamples, chunk):
        drawn = random.integers(reports, size=(min(chunk, resamples - start), reports))
        # How often each report was drawn; its value counts so often.
        drawn += np.arange(len(drawn))[:, None] * reports
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        means[start : start + len(drawn)] = times @ values / reports
    return means


def interval(means: Array, level: float = LEVEL) -> Array:
    """The middle `level` of bootstrap means (resamples, columns): (2, columns), low then high."""
    tail = (1 - level) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0)


def paired_difference(ours: Array, theirs: Array, resamples: int = RESAMPLES, seed: int = 0) -> tuple[Array, Array]:
    """Mean of `ours - theirs` for each column, and its interval (2, columns).

    Both are (reports, columns) over the same reports in the same order. An interval on one side of 0
    says that the difference is not an accident of which reports were scored.
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"not the same reports and columns: {ours.shape} and {theirs.shape}")
    difference = ours - theirs
    return difference.mean(axis=0), interval(bootstrap_means(difference, resamples, seed))


def randomisation_p(differences: Array, permutations: int = PERMUTATIONS, seed: int = 0) -> Array:
    """Two-sided p-values (columns,) of paired differences (reports, columns) that mean 0 if systems are alike.

    Approximate randomisation (Noreen 1989): if it did not matter which system drafted, each report's
    difference could as well have the other sign. p is the share of `permutations` random choices of signs
    whose mean is as far from 0 as the one observed, which itself counts as one (Phipson and Smyth 2010): p is
    never 0. Depends on the number of reports, `permutations` and `seed` alone as to the signs drawn.
    """
    _refuse_unusable(differences)
    reports = len(differences)
    random = np.random.default_rng(seed)
    total = differences.sum(axis=0)
    # Scores repeat, so sums tie exactly, but for the rounding of adding in another order.
    as_far = np.abs(total) - 1e-9 * np.abs(differences).sum(axis=0)
    extreme = np.ones(differences.shape[1])
    chunk = max(1, _DRAWS_AT_ONCE // reports)
    for start in range(0, permutations, chunk):
        flipped = random.integers(2, size=(min(chunk, permutations - start), reports)).astype(np.float64)
        extreme += (np.abs(total - 2 * (flipped @ differences)) >= as_far).sum(axis=0)
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


def _refuse_unusable(values: Array) -> None:
    if values.ndim != 2 or not len(values):
        raise ValueError(f"expected (reports, columns) with at least one report, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite; what cannot be scored must score 0")
