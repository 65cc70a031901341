"""Which systems differ: every pair, by every question and by preference, all p-values corrected as one family."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np

from radllama import stats
from radllama.evaluation.scores import number, numbers
from radllama.review.agreement.answers import Resampling
from radllama.review.analysis.frame import Cube
from radllama.review.analysis.model import Effect, Fit
from radllama.stats import Array, Ratios

LEVEL = 0.05
_EXACT = 300
NOT_DIFFERENT = "not different"
NOT_COMPARED = "not judged by one rater on one report"
PREFERENCE = "preference"


def compare_question(
    cube: Cube, fit: Fit | str, systems: tuple[str, ...], resampling: Resampling
) -> list[dict[str, Any]]:
    """Every pair of systems by the question's outcome; see `compare_cells`. `model` is the mixed model's effect."""
    values = cube.outcome()
    rows = []
    for a, b in combinations(range(len(systems)), 2):
        row: dict[str, Any] = {"question": cube.question.name, "a": systems[a], "b": systems[b]}
        row |= compare_cells(values[:, a, :] - values[:, b, :], resampling)
        row["better"] = _better(row, cube.question.kind == "choice" or cube.question.higher_is_better)
        effect = fit.differences.get((a, b)) if isinstance(fit, Fit) else None
        row["model"] = None if effect is None else of_effect(effect)
        rows.append(row)
    return rows


def compare_cells(differences: Array, resampling: Resampling) -> dict[str, Any]:
    """One pair, from differences (reports, raters) of two drafts on one page, NaN where a rater did not judge both.

    {pages, reports, difference, ci95, p}. `p` is Wilcoxon's signed-rank test of the reports' mean differences: raters
    of one report are not so many reports. Both drafts are judged by the same raters, so strictness cancels.
    """
    there = ~np.isnan(differences)
    ratios = Ratios(np.where(there, differences, 0.0).sum(axis=1)[:, None], there.sum(axis=1)[:, None].astype(float))
    reports = int(there.any(axis=1).sum())
    bounds = stats.interval(stats.bootstrap(ratios, max(resampling.resamples, 1), resampling.seed))
    by_report = ratios.numerators[:, 0][there.any(axis=1)] / ratios.denominators[:, 0][there.any(axis=1)]
    return {
        "pages": int(there.sum()),
        "reports": reports,
        "difference": number(ratios.scores()[0]),
        "ci95": numbers(bounds[:, 0]) if reports > 1 else None,
        "p": signed_rank_p(by_report) if reports else None,
    }


def signed_rank_p(differences: Array) -> float:
    """Wilcoxon's (1945) two-sided p; differences of 0 are left out, and where all are 0 it is 1.

    Exact for up to `_EXACT` differences, tied or not: each rank is as likely to lie on either side, and the chances of
    all sums follow from adding one rank after the other. Beyond that by the normal distribution.
    """
    from scipy.stats import rankdata, wilcoxon

    # Means of thirds and the like tie but for their last bits.
    rounded = np.round(differences, 9)
    rounded = rounded[rounded != 0]
    if not len(rounded):
        return 1.0
    if len(rounded) > _EXACT:
        return float(wilcoxon(rounded, method="asymptotic").pvalue)
    # Tied ranks are halves; doubled, all are whole.
    doubled = np.rint(2 * rankdata(np.abs(rounded))).astype(int)
    chances = np.zeros(doubled.sum() + 1)
    chances[0] = 1.0
    for rank in doubled:
        moved = chances.copy()
        moved[rank:] += chances[:-rank]
        chances = moved / 2
    above = int(doubled[rounded > 0].sum())
    return float(min(1.0, 2 * min(chances[: above + 1].sum(), chances[above:].sum())))


def correct(rows: list[dict[str, Any]]) -> None:
    """Give every row `p_holm` and `verdict`, and its model a `p_holm`: each of the two tests is a family of its own."""
    for row in rows:
        row |= {"p_holm": None, "verdict": NOT_COMPARED}
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, stats.holm(np.array([row["p"] for row in tested])).tolist(), strict=True):
        row |= {"p_holm": p, "verdict": f"{row['better']} better" if p < LEVEL and row["better"] else NOT_DIFFERENT}
    modelled = [row["model"] for row in rows if row.get("model")]
    for model, p in zip(modelled, stats.holm(np.array([model["p"] for model in modelled])).tolist(), strict=True):
        model["p_holm"] = p


def of_effect(effect: Effect) -> dict[str, Any]:
    """An effect of the model as JSON has it."""
    return {"difference": effect.value, "ci95": list(effect.ci95), "p": effect.p, "p_holm": None}


def _better(row: Mapping[str, Any], higher: bool) -> str | None:
    if not row["difference"]:
        return None
    return str(row["a"] if (row["difference"] > 0) == higher else row["b"])
