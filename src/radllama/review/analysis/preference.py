"""Which draft raters would rather have: how often one is preferred to another, and one scale of strength for all."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radllama import stats
from radllama.evaluation.scores import number, numbers
from radllama.review.agreement.answers import Resampling
from radllama.review.analysis.comparisons import PREFERENCE, compare_cells
from radllama.review.analysis.frame import Frame
from radllama.stats import Array

_ROUNDS = 500
NO_STRENGTH = "one system, or a group of them, never lost to the others, or was never held against them"


def compare_preference(frame: Frame, resampling: Resampling) -> list[dict[str, Any]]:
    """Each pair: as `compare_cells` of share preferred (1 where a ranks before b, 0 behind, 0.5 for a tie) less 0.5.

    With `wins`, `ties`, `losses` of a. Without rankings there is none.
    """
    if not frame.rankings:
        return []
    ranks = _ranks(frame)
    rows = []
    for a, b in combinations(range(len(frame.systems)), 2):
        ahead = np.sign(ranks[:, b, :] - ranks[:, a, :])
        row: dict[str, Any] = {"question": PREFERENCE, "a": frame.systems[a], "b": frame.systems[b]}
        row |= compare_cells(ahead / 2, resampling)
        row |= {"wins": int((ahead == 1).sum()), "ties": int((ahead == 0).sum()), "losses": int((ahead == -1).sum())}
        row["better"] = None if not row["difference"] else row["a"] if row["difference"] > 0 else row["b"]
        row["model"] = None
        rows.append(row)
    return rows


def strengths(frame: Frame, resampling: Resampling) -> dict[str, Any] | None:
    """Bradley and Terry's (1952) strength of each system: {systems: {name: {value, ci95}}, reason}.

    None without rankings. The difference of two is the log odds that one is preferred to the other; their mean is 0.
    A tie is half a win for each. Intervals by bootstrap of reports.
    """
    if not frame.rankings:
        return None
    ranks = _ranks(frame)
    count = len(frame.systems)
    wins = np.zeros((len(frame.reports), count, count))
    for a in range(count):
        for b in range(count):
            if a != b:
                ahead = np.sign(ranks[:, b, :] - ranks[:, a, :])
                wins[:, a, b] = np.where(np.isnan(ahead), 0.0, (ahead + 1) / 2).sum(axis=1)
    value = fit_strengths(wins.sum(axis=0, keepdims=True))[0]
    if count < 2 or np.isnan(value).any():
        return {"systems": None, "reason": NO_STRENGTH}
    reports = len(wins)
    times = np.random.default_rng(resampling.seed).multinomial(
        reports, np.full(reports, 1 / reports), max(resampling.resamples, 1)
    )
    bounds = stats.interval(fit_strengths(np.einsum("sr,rab->sab", times.astype(np.float64), wins)))
    return {
        "systems": {
            system: {"value": number(value[at]), "ci95": numbers(bounds[:, at])}
            for at, system in enumerate(frame.systems)
        },
        "reason": None,
    }


def fit_strengths(wins: Array) -> Array:
    """Strengths (samples, systems) from wins (samples, a, b) of a over b, by Hunter's (2004) iteration.

    NaN where there is no finite answer: the systems fall into groups of which one never lost to another.
    """
    samples, count, _ = wins.shape
    reached: Array = np.minimum(wins, 1.0) + np.eye(count)
    for _ in range(count):
        reached = np.minimum(reached @ reached, 1.0)
    finite: NDArray[np.bool_] = reached.min(axis=(1, 2)) > 0
    finite &= wins.sum(axis=(1, 2)) > 0
    strength = np.ones((samples, count))
    held = wins + wins.transpose(0, 2, 1)
    won = wins.sum(axis=2)
    for _ in range(_ROUNDS):
        shared = (held / (strength[:, :, None] + strength[:, None, :])).sum(axis=2)
        newer = np.where(finite[:, None], won / np.where(shared > 0, shared, 1.0), 1.0)
        newer /= np.exp(np.log(newer).mean(axis=1, keepdims=True))
        if np.abs(newer - strength).max() < 1e-10:
            break
        strength = newer
    return np.where(finite[:, None], np.log(strength), np.nan)


def _ranks(frame: Frame) -> Array:
    """Ranks (reports, systems, raters), NaN where a rater gave none."""
    ranks = np.full(frame.judged.shape, np.nan)
    for row in frame.rankings:
        rater = frame.study.raters.index(row.rater)
        for system, rank in row.ranks.items():
            ranks[(*frame.place(row.report, system), rater)] = rank
    return ranks
