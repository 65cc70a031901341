"""Agreement beyond chance on a scale of steps: Krippendorff's alpha, weighted kappa, Gwet's AC2.

They differ in what they hold to be chance. Kappa takes each rater's own habits, alpha the habits of all together, and
AC2 a chance that shrinks when nearly all answers are the same: where almost every draft is "coherent", kappa and
alpha fall to 0 although the raters hardly ever differ, and AC2 does not. So they are read beside each other.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import numpy as np

from radllama.review.agreement.answers import Answers, Coefficient, Interval, Resampling, estimate
from radllama.stats import Array, divide

Level = Literal["nominal", "ordinal", "interval"]
Weighting = Literal["identity", "linear", "quadratic", "ordinal"]


def weights(weighting: Weighting, steps: int) -> Array:
    """How far two answers agree, from 1 (the same) to 0 (the two ends of the scale): (steps, steps).

    "ordinal" counts the pairs of steps between them (Gwet 2014, section 3.5).
    """
    apart: Array = np.abs(np.subtract.outer(np.arange(steps), np.arange(steps))).astype(np.float64)
    match weighting:
        case "identity":
            return np.eye(steps)
        case "linear":
            return 1 - apart / (steps - 1)
        case "quadratic":
            return 1 - (apart / (steps - 1)) ** 2
        case "ordinal":
            return 1 - apart * (apart + 1) / (steps * (steps - 1))


def alpha(
    answers: Answers, scale: Sequence[float], level: Level = "ordinal", resampling: Resampling | None = None
) -> Coefficient:
    """Krippendorff's (2011) alpha of any number of raters, answers missing or not."""
    steps = len(scale)
    counts = answers.counts(scale)
    given = counts.sum(axis=1)
    # An item's pairs of answers, each answer with each other one; they weigh as much as it has answers.
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(steps)
    paired = divide(pairs, np.maximum(given - 1, 0)[:, None, None])
    parts = np.where(given[:, None, None] >= 2, paired, 0.0).reshape(len(counts), steps * steps)

    def value(sums: Array) -> Array:
        coincidences = sums.reshape(-1, steps, steps)
        marginals = coincidences.sum(axis=2)
        far = _distances(marginals, np.asarray(scale, dtype=np.float64), level)
        observed = (coincidences * far).sum(axis=(1, 2))
        expected = (marginals[:, :, None] * marginals[:, None, :] * far).sum(axis=(1, 2))
        coefficients: Array = 1 - (marginals.sum(axis=1) - 1) * divide(observed, expected)
        return coefficients

    return estimate(parts, value, answers, resampling or Resampling())


def _distances(marginals: Array, scale: Array, level: Level) -> Array:
    """How far apart two steps are, squared: (samples, steps, steps)."""
    steps = len(scale)
    match level:
        case "nominal":
            unlike: Array = 1 - np.eye(steps)
            return np.broadcast_to(unlike, (len(marginals), steps, steps))
        case "interval":
            apart: Array = np.subtract.outer(scale, scale) ** 2
            return np.broadcast_to(apart, (len(marginals), steps, steps))
        case "ordinal":
            # As many answers as lie between the two, the two themselves by half.
            middle = np.cumsum(marginals, axis=1) - marginals / 2
            squared: Array = (middle[:, :, None] - middle[:, None, :]) ** 2
            return squared


def gwet(
    answers: Answers, scale: Sequence[float], weighting: Weighting = "ordinal", resampling: Resampling | None = None
) -> Coefficient:
    """Gwet's (2014) AC2 of any number of raters, answers missing or not; AC1 with weighting "identity".

    The analytic interval is Gwet's, for items that do not depend on each other: with several drafts a report it is
    too narrow, which the bootstrap's is not.
    """
    steps = len(scale)
    counts = answers.counts(scale)
    given = counts.sum(axis=1)
    agree = weights(weighting, steps)
    near = counts @ agree
    observed = np.where(given >= 2, divide((counts * (near - 1)).sum(axis=1), np.maximum(given * (given - 1), 0)), 0.0)
    shares = divide(counts, given[:, None])
    answered = given >= 1
    shares = np.where(answered[:, None], shares, 0.0)
    parts = np.column_stack([observed, given >= 2, answered, shares])
    spread = agree.sum() / (steps * (steps - 1))

    def chance(sums: Array) -> Array:
        share = divide(sums[:, 3:], sums[:, 2:3])
        expected: Array = spread * (share * (1 - share)).sum(axis=1)
        return expected

    def value(sums: Array) -> Array:
        expected = chance(sums)
        return divide(divide(sums[:, 0], sums[:, 1]) - expected, 1 - expected)

    def analytic(coefficient: float) -> Interval | None:
        from scipy.stats import t

        items = int(answered.sum())
        if items < 2:
            return None
        sums = parts.sum(axis=0, keepdims=True)
        expected = float(chance(sums)[0])
        share = divide(sums[:, 3:], sums[:, 2:3])[0]
        own = items / sums[0, 1] * (observed - expected * (given >= 2)) / (1 - expected)
        by_chance = spread * (shares * (1 - share)).sum(axis=1)
        lines = (own - 2 * (1 - coefficient) * (by_chance - expected) / (1 - expected))[answered]
        error = float(np.sqrt(((lines - coefficient) ** 2).sum() / (items * (items - 1))))
        reach = float(t.ppf(0.975, items - 1)) * error
        return max(coefficient - reach, -1.0), min(coefficient + reach, 1.0)

    return estimate(parts, value, answers, resampling or Resampling(), analytic)


def kappa(answers: Answers, scale: Sequence[float], agree: Array, resampling: Resampling | None = None) -> Coefficient:
    """Cohen's (1968) weighted kappa of two raters, over the items that both answered.

    `agree` (steps, steps) is how far two answers agree, e.g. `weights("quadratic", 5)`. The analytic interval is by
    the standard error of Fleiss, Cohen and Everitt (1969).
    """
    if answers.values.shape[1] != 2:
        raise ValueError(f"kappa is of two raters, got {answers.values.shape[1]}")
    both = answers.shared()
    steps = len(scale)
    both.counts(scale)  # refuses what is not on the scale
    first, second = (both.values[:, at, None] == np.asarray(scale, dtype=np.float64) for at in (0, 1))
    parts = (first[:, :, None] & second[:, None, :]).reshape(len(both.values), steps * steps).astype(np.float64)
    return estimate(
        parts,
        lambda sums: kappa_of_tables(sums.reshape(-1, steps, steps), agree),
        both,
        resampling or Resampling(),
        lambda coefficient: _kappa_interval(parts.sum(axis=0).reshape(steps, steps), agree, coefficient),
    )


def kappa_of_tables(tables: Array, agree: Array) -> Array:
    """Weighted kappa of each table (tables, steps, steps) of counts or shares: NaN where chance alone agrees fully."""
    shares = divide(tables, tables.sum(axis=(1, 2))[:, None, None])
    by_chance = shares.sum(axis=2)[:, :, None] * shares.sum(axis=1)[:, None, :]
    observed = (shares * (1 - agree)).sum(axis=(1, 2))
    expected = (by_chance * (1 - agree)).sum(axis=(1, 2))
    return 1 - divide(observed, expected)


def _kappa_interval(table: Array, agree: Array, coefficient: float) -> Interval:
    items = table.sum()
    shares = table / items
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    expected = float((np.outer(rows, columns) * agree).sum())
    mean = (agree @ columns)[:, None] + (rows @ agree)[None, :]
    inner = (shares * (agree - mean * (1 - coefficient)) ** 2).sum() - (coefficient - expected * (1 - coefficient)) ** 2
    reach = 1.959964 * float(np.sqrt(max(inner, 0.0) / items)) / (1 - expected)
    return coefficient - reach, min(coefficient + reach, 1.0)


def pairs(answers: Answers) -> list[tuple[int, int]]:
    """The pairs of raters (columns) that answered an item in common."""
    there = ~np.isnan(answers.values)
    return [
        (first, second)
        for first, second in combinations(range(there.shape[1]), 2)
        if (there[:, first] & there[:, second]).any()
    ]
