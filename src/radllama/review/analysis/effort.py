"""What judging and mending cost: the words that raters changed, and the time that pages took."""

from typing import Any

import numpy as np

from radllama.review.agreement.answers import Resampling
from radllama.review.analysis.frame import Frame
from radllama.review.analysis.summaries import means
from radllama.review.ratings import Candidate, Visit
from radllama.stats import Ratios
from radllama.text import count_edits


def summarise_edits(frame: Frame, candidates: list[Candidate], resampling: Resampling) -> dict[str, Any]:
    """{system: {judged, corrected, words, share}}: `words` changed in a corrected draft, and as `share` of its words.

    Both are {mean, ci95, n, reports}, over the drafts that a rater corrected: who corrects is the rater's choice, so
    systems compare by them only where most drafts were.
    """
    shown = {(one.report, one.system): one.shown for one in candidates}
    edits, length, corrected = (np.zeros((len(frame.reports), len(frame.systems))) for _ in range(3))
    for row in frame.remarks:
        if row.kind == "correction":
            place, before = frame.place(row.report, row.system), shown[row.report, row.system]
            edits[place] += count_edits(before, row.text)
            length[place] += max(len(before.split()), 1)
            corrected[place] += 1
    changed, shares = means(Ratios(edits, corrected), resampling), means(Ratios(edits, length), resampling)
    return {
        system: {
            "judged": int(frame.judged[:, at].sum()),
            "corrected": int(corrected[:, at].sum()),
            "words": changed[at],
            "share": shares[at],
        }
        for at, system in enumerate(frame.systems)
    }


def summarise_pages(visits: list[Visit], raters: tuple[str, ...]) -> dict[str, Any]:
    """{done, skipped {reason: pages}, open, repeated, seconds, by_rater {rater: {done, skipped, seconds}}}.

    `seconds` is {median, quartiles [low, high], first_half, second_half (medians)} over finished pages.
    """
    reasons: dict[str, int] = {}
    for visit in visits:
        if visit.state == "skipped":
            reasons[visit.reason or "no reason"] = reasons.get(visit.reason or "no reason", 0) + 1
    done = [visit for visit in visits if visit.state == "done"]
    return {
        "done": sum(not visit.repeat for visit in done),
        "repeated": sum(bool(visit.repeat) for visit in done),
        "skipped": sum(reasons.values()),
        "skip_reasons": reasons,
        "open": sum(visit.state == "open" for visit in visits),
        "seconds": _seconds(done),
        "by_rater": {
            rater: {
                "done": sum(visit.rater == rater for visit in done),
                "skipped": sum(visit.rater == rater and visit.state == "skipped" for visit in visits),
                "seconds": _seconds([visit for visit in done if visit.rater == rater]),
            }
            for rater in raters
        },
    }


def _seconds(done: list[Visit]) -> dict[str, Any] | None:
    if not done:
        return None
    taken = np.array([visit.seconds for visit in done])
    low, median, high = np.quantile(taken, [0.25, 0.5, 0.75]).tolist()
    # By rater: the first pages of a slow rater must not stand against the last ones of a quick one.
    place = np.zeros(len(done))
    for rater in {visit.rater for visit in done}:
        mine = [at for at, visit in enumerate(done) if visit.rater == rater]
        order = np.argsort([done[at].number for at in mine])
        place[np.array(mine)[order]] = np.arange(len(mine)) / len(mine)
    halves = [taken[place < 0.5], taken[place >= 0.5]]
    return {
        "median": median,
        "quartiles": [low, high],
        **{
            name: float(np.median(half)) if len(half) else None
            for name, half in zip(("first_half", "second_half"), halves, strict=True)
        },
    }
