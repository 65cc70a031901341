"""A linear mixed model of one question's answers: which system, which rater, which report, which draft.

answer = system + rater + report + draft + rest. Systems and raters are fixed effects: a panel has few raters, and the
few cannot tell how raters in general spread. Reports and drafts (a system's text for a report) are random: they were
drawn from many, and several answers to one draft are not so many drafts. A cumulative-link model would treat the steps
of the scale as ordered only, but statsmodels has none with random effects; without them the answers to one draft would
count as independent and intervals would be too short, which is the graver fault.
"""

import warnings
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from radllama.stats import Array

NO_VARIATION = "all answers are the same"
TOO_FEW = "fewer than three reports have answers"
NOT_FITTED = "the model could not be fitted to these answers"


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect with its interval and p-value, by the normal distribution."""

    value: float
    ci95: tuple[float, float]
    p: float


@dataclass(frozen=True, slots=True)
class Fit:
    """What the model says: `variances` of report, draft and rest, and effects.

    `differences` {(a, b): a less b} go by places of systems. `raters` has how far each rater's answers lie above the
    panel's mean; None for who gave none.
    """

    differences: dict[tuple[int, int], Effect]
    raters: list[Effect | None]
    variances: dict[str, float]


def fit_model(values: Array) -> Fit | str:
    """Fit answers (reports, systems, raters) by restricted maximum likelihood; or say why it cannot be."""
    report, system, rater = np.nonzero(~np.isnan(values))
    answers = values[report, system, rater]
    if len(np.unique(report)) < 3:
        return TOO_FEW
    if np.ptp(answers) == 0:
        return NO_VARIATION
    systems, raters = np.unique(system), np.unique(rater)
    # A rater's column against the last rater's: effects add up to 0, so a system's is at the panel's mean.
    of_rater = (rater[:, None] == raters).astype(np.float64)
    fixed = np.hstack([system[:, None] == systems, of_rater[:, :-1] - of_rater[:, -1:]]).astype(np.float64)
    if np.linalg.matrix_rank(fixed) < fixed.shape[1]:
        return NOT_FITTED
    several = len(np.unique(np.stack([report, system]), axis=1).T) < len(answers)
    fitted = _fit(answers, fixed, report, system if several else None)
    if fitted is None:
        return NOT_FITTED
    effects, covariance, variances = fitted

    def effect(weights: Array) -> Effect:
        from scipy.stats import norm

        value, error = float(weights @ effects), float(np.sqrt(weights @ covariance @ weights))
        reach = 1.959964 * error
        return Effect(value, (value - reach, value + reach), float(2 * norm.sf(abs(value) / error)))

    unit = np.eye(len(effects))
    of_systems = {place: unit[at] for at, place in enumerate(systems.tolist())}
    own: list[Effect | None] = [None] * values.shape[2]
    for at, place in enumerate(raters.tolist()):
        if len(raters) > 1:
            last = at == len(raters) - 1
            own[place] = effect(-unit[len(systems) :].sum(axis=0) if last else unit[len(systems) + at])
    return Fit({(a, b): effect(of_systems[a] - of_systems[b]) for a, b in combinations(of_systems, 2)}, own, variances)


def _fit(answers: Array, fixed: Array, report: Any, draft: Any | None) -> tuple[Array, Array, dict[str, float]] | None:
    """Fixed effects, their covariance, and the variances; None where no maximum is found."""
    from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec

    component = None
    if draft is not None:
        # One column for each draft of a report, 1 where an answer is about it; reports in order.
        of_reports = [draft[report == one] for one in np.unique(report)]
        columns = [(of_report[:, None] == np.unique(of_report)).astype(np.float64) for of_report in of_reports]
        component = VCSpec(["draft"], [[[str(at) for at in range(part.shape[1])] for part in columns]], [columns])
    with warnings.catch_warnings():
        # A variance of 0 lies on the boundary and is warned of; it is a good estimate all the same.
        warnings.simplefilter("ignore")
        try:
            model = MixedLM(answers, fixed, report, exog_re=np.ones((len(answers), 1)), exog_vc=component)
            found = model.fit(reml=True)
            size = fixed.shape[1]
            covariance = np.asarray(found.cov_params())[:size, :size]
            variances = {
                "report": float(np.asarray(found.cov_re)[0, 0]),
                "draft": float(found.vcomp[0]) if draft is not None else 0.0,
                "rest": float(found.scale),
            }
        except np.linalg.LinAlgError:
            return None
    effects = np.asarray(found.fe_params)
    if not (found.converged and np.isfinite(effects).all() and (np.diag(covariance) > 0).all()):
        return None
    return effects, covariance, variances
