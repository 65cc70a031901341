"""How far raters agree with each other, and each with the same rater's earlier answer, question by question."""

from dataclasses import asdict
from typing import Any

import numpy as np

from radllama.review.agreement.answers import Answers, Coefficient, Resampling
from radllama.review.agreement.chance import alpha, gwet, kappa, pairs, weights
from radllama.review.agreement.icc import icc
from radllama.review.analysis.frame import Cube
from radllama.review.analysis.model import Fit


def agreement_between(cube: Cube, raters: tuple[str, ...], resampling: Resampling) -> dict[str, Any]:
    """{alpha, ac2, icc1, icck, k, same, kappas, kappa}: coefficients as in `Coefficient`, but as JSON has them.

    `same` is the share of pairs of answers to one draft that are equal. `kappas` has each pair of raters with its
    linear and quadratic weighted kappa, `kappa` the least, mean and most of the quadratic ones.
    """
    answers, scale = cube.between_raters(), cube.scale
    one, mean, k = icc(answers, resampling)
    linear, quadratic = weights("linear", len(scale)), weights("quadratic", len(scale))
    kappas: list[dict[str, Any]] = [
        {
            "raters": [raters[a], raters[b]],
            "linear": asdict(kappa(answers.raters([a, b]), scale, linear, resampling)),
            "quadratic": asdict(kappa(answers.raters([a, b]), scale, quadratic, resampling)),
        }
        for a, b in pairs(answers)
    ]
    known = [pair["quadratic"]["value"] for pair in kappas if pair["quadratic"]["value"] is not None]
    return {
        "alpha": asdict(alpha(answers, scale, "ordinal", resampling)),
        "ac2": asdict(gwet(answers, scale, "ordinal", resampling)),
        "icc1": asdict(one),
        "icck": asdict(mean),
        "k": k,
        "same": share_of_equal(answers),
        "kappas": kappas,
        "kappa": {"least": min(known), "mean": sum(known) / len(known), "most": max(known)} if known else None,
    }


def agreement_within(cube: Cube, resampling: Resampling) -> dict[str, Any]:
    """A rater's second answer against the first: {pairs, same, kappa, alpha, ac2, icc1, shift}.

    `kappa` is quadratic. `shift` is the mean of the second answer less the first: raters who get stricter have one
    below 0. None where nothing was shown twice.
    """
    answers, scale = cube.within_raters(), cube.scale
    found = len(answers.values)
    none = Coefficient(None, None, None, 0, 0, "no draft was shown twice to one rater")
    return {
        "pairs": found,
        "same": share_of_equal(answers),
        "shift": float((answers.values[:, 1] - answers.values[:, 0]).mean()) if found else None,
        "kappa": asdict(kappa(answers, scale, weights("quadratic", len(scale)), resampling) if found else none),
        "alpha": asdict(alpha(answers, scale, "ordinal", resampling) if found else none),
        "ac2": asdict(gwet(answers, scale, "ordinal", resampling) if found else none),
        "icc1": asdict(icc(answers, resampling)[0] if found else none),
    }


def leniency(fit: Fit | str, raters: tuple[str, ...]) -> dict[str, Any]:
    """{rater: {difference from the panel, ci95, p}}, by the mixed model; empty where there is none."""
    if isinstance(fit, str):
        return {}
    return {
        rater: {"difference": effect.value, "ci95": list(effect.ci95), "p": effect.p}
        for rater, effect in zip(raters, fit.raters, strict=True)
        if effect is not None
    }


def share_of_equal(answers: Answers) -> float | None:
    """Of all pairs of answers to one draft, the share that is equal; None without a pair."""
    there = ~np.isnan(answers.values)
    equal = asked = 0
    for a in range(there.shape[1]):
        for b in range(a):
            both = there[:, a] & there[:, b]
            asked += int(both.sum())
            equal += int((answers.values[both, a] == answers.values[both, b]).sum())
    return equal / asked if asked else None
