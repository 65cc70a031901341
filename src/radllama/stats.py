"""How sure a mean is: percentile bootstrap over reports (Efron 1979), seeded.

Every function takes values of shape (reports, columns): one column a metric of a system. All columns are
resampled with the same reports, so that the difference of two columns is a paired one (Koehn 2004).
"""

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
LEVEL = 0.95
# So many report indices are drawn at a time: 64 MB.
_DRAWS_AT_ONCE = 1 << 23

Array = NDArray[np.float64]


def bootstrap_means(values: Array, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Means of `resamples` random draws of as many reports with replacement: (resamples, columns).

    Depends on the number of reports, `resamples` and `seed` alone as to which reports are drawn. Raises
    ValueError when there is no report or a value is not finite: a NaN would pass for a score otherwise.
    """
    if values.ndim != 2 or not len(values):
        raise ValueError(f"expected (reports, columns) with at least one report, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("a value is not finite; what cannot be scored must score 0")
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
