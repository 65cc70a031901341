"""Intraclass correlation: of all that makes answers differ, the share that is the drafts and not the raters.

ICC(2,1) and ICC(2,k) of Shrout and Fleiss (1979): drafts and raters are both taken as drawn from many, and a rater who
is stricter than the others counts as disagreement.
"""

from dataclasses import replace

import numpy as np

from radllama.review.agreement.answers import (
    NO_OVERLAP,
    SAME,
    TOO_FEW,
    Answers,
    Coefficient,
    Interval,
    Resampling,
    estimate,
)
from radllama.stats import Array, divide

UNCONNECTED = "too few raters share drafts to tell strict raters from weak drafts"
NEGATIVE = "raters differ so much more about one draft than drafts do that their mean tells nothing"


def icc(answers: Answers, resampling: Resampling | None = None) -> tuple[Coefficient, Coefficient, float]:
    """(ICC(2,1) of one rater's answer, ICC(2,k) of the mean of k raters' answers, k).

    Answers may be missing: the three variances (drafts, raters, the rest) are then estimated from all answers by
    Henderson's (1953) first method, which is unbiased when answers are missing at random, as they are by an incomplete
    design, and which is the analysis of variance of Shrout and Fleiss when none is missing. k is the harmonic mean of
    the answers a draft has. A coefficient can be below 0, where raters differ more about one draft than drafts do.
    The analytic interval (McGraw and Wong 1996; raters count as drawn from many) is for complete answers alone.
    """
    shared = answers.shared()
    items, given = len(shared.values), int(np.isfinite(shared.values).sum())
    if items < 2:
        none = Coefficient(None, None, None, items, given, TOO_FEW if items else NO_OVERLAP)
        return none, none, 0.0
    there = np.isfinite(shared.values)
    shared = shared.raters(np.flatnonzero(there.any(axis=0)).tolist())
    there = there[:, there.any(axis=0)]
    values = np.where(there, shared.values, 0.0)
    if np.ptp(shared.values[there]) == 0:
        none = Coefficient(None, None, None, items, given, SAME)
        return none, none, 0.0
    k = items / (1 / there.sum(axis=1)).sum()
    own = there.sum(axis=1)
    # What is needed of each item: 1, and its part in the squares of answers, of the items' means and of the raters'.
    parts = np.column_stack(
        [np.ones(items), (values**2).sum(axis=1), values.sum(axis=1) ** 2 / own, own**2, values, there]
    )
    raters = there.shape[1]

    def one(sums: Array) -> Array:
        draft, rater, rest = _variances(sums, raters).T
        return _ratio(draft, draft + rater + rest)

    def mean(sums: Array) -> Array:
        draft, rater, rest = _variances(sums, raters).T
        return _ratio(draft, draft + (rater + rest) / k)

    resampling = resampling or Resampling()
    single = estimate(parts, one, shared, resampling, undefined=UNCONNECTED)
    averaged = estimate(parts, mean, shared, resampling, undefined=UNCONNECTED if single.value is None else NEGATIVE)
    bounds = _interval(shared.values, single.value) if there.all() and single.value is not None else None
    if bounds is not None:
        single = replace(single, ci95_analytic=bounds)
        # Spearman and Brown's step from one rater to k holds for the bounds, too (McGraw and Wong 1996, table 7); below
        # -1 / (k - 1), where it turns over, there is nothing to step from.
        if averaged.value is not None and (k - 1) * bounds[0] > -1:
            low, high = (k * bound / (1 + (k - 1) * bound) for bound in bounds)
            averaged = replace(averaged, ci95_analytic=(max(float(low), -1.0), float(high)))
    return single, averaged, float(k)


def _variances(sums: Array, raters: int) -> Array:
    """Variances (samples, 3) of drafts, raters and the rest: NaN where answers cannot tell them apart."""
    items, squares, of_items, own_squared = sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3]
    totals, counts = sums[:, 4 : 4 + raters], sums[:, 4 + raters :]
    answers = counts.sum(axis=1)
    present = (counts > 0).sum(axis=1)
    of_raters = np.where(counts > 0, divide(totals**2, counts), 0.0).sum(axis=1)
    of_mean = totals.sum(axis=1) ** 2 / answers
    by_item, by_rater = own_squared / answers, (counts**2).sum(axis=1) / answers
    # What the three sums of squares, each less that of the mean, are expected to be.
    expected = np.stack(
        [
            np.stack([answers - by_item, answers - by_rater, answers - 1], axis=1),
            np.stack([answers - by_item, items - by_rater, items - 1], axis=1),
            np.stack([present - by_item, answers - by_rater, present - 1], axis=1),
        ],
        axis=1,
    )
    observed = np.stack([squares - of_mean, of_items - of_mean, of_raters - of_mean], axis=1)
    solvable = np.abs(np.linalg.det(expected / answers[:, None, None])) > 1e-9
    variances = np.full((len(sums), 3), np.nan)
    variances[solvable] = np.linalg.solve(expected[solvable], observed[solvable][:, :, None])[:, :, 0]
    return variances


def _ratio(part: Array, whole: Array) -> Array:
    """The quotient, -1 at the least: estimates of variances can be below 0, and quotients of such have no bound."""
    quotients: Array = np.where(whole > 1e-12, np.maximum(divide(part, np.maximum(whole, 0.0)), -1.0), np.nan)
    return quotients


def _interval(values: Array, coefficient: float) -> Interval | None:
    from scipy.stats import f

    items, raters = values.shape
    grand = values.mean()
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    of_items = raters * ((rows - grand) ** 2).sum() / (items - 1)
    of_raters = items * ((columns - grand) ** 2).sum() / (raters - 1)
    rest = ((values - rows[:, None] - columns + grand) ** 2).sum() / ((items - 1) * (raters - 1))
    if rest <= 0 or coefficient >= 1:
        return None
    # Satterthwaite's degrees of freedom of a sum of mean squares; McGraw and Wong (1996), table 7, case 2A.
    a = raters * coefficient / (items * (1 - coefficient))
    b = 1 + raters * coefficient * (items - 1) / (items * (1 - coefficient))
    freedom = (a * of_raters + b * rest) ** 2 / (
        (a * of_raters) ** 2 / (raters - 1) + (b * rest) ** 2 / ((items - 1) * (raters - 1))
    )
    upper, lower = f.ppf(0.975, items - 1, freedom), f.ppf(0.975, freedom, items - 1)
    weight = raters * of_raters + (raters * items - raters - items) * rest
    low = items * (of_items - upper * rest) / (upper * weight + items * of_items)
    high = items * (lower * of_items - rest) / (weight + items * lower * of_items)
    return max(float(low), -1.0), max(float(high), -1.0)
