"""Which reports belong together: normal or abnormal, seen in training or not, by what they show, length and source.

A mean over all reports hides the ones that matter. Every stratum is a mask over the scored reports, and every row of
a table is shown for each. Normal or abnormal is decided from the reference by the rule of `normality`.

A report *shows* an observation when its findings or its signed impression assert it (`clinical.observations`).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radllama.clinical.observations import observation_names, observe
from radllama.evaluation.drafts import Case
from radllama.evaluation.normality import is_normal
from radllama.report import Report
from radllama.text import normalise, words

Mask = NDArray[np.bool_]

# An observation that fewer than this share of the training reports show is rare.
RARE = 0.02
_TITLES = {
    "normal": "normal reference",
    "abnormal": "abnormal reference",
    "findings_seen": "findings seen in training",
    "findings_unseen": "findings not seen in training",
    "rare_observation": f"shows a rare observation (under {RARE:.0%} of training)",
    "length_q1": "findings, shortest quarter",
    "length_q2": "findings, second quarter",
    "length_q3": "findings, third quarter",
    "length_q4": "findings, longest quarter",
}
_OBSERVATION, _SOURCE = "observation:", "source:"


def title(stratum: str) -> str:
    """The name of a stratum in words."""
    if stratum.startswith(_OBSERVATION):
        return f"shows {stratum.removeprefix(_OBSERVATION)}"
    if stratum.startswith(_SOURCE):
        return f"source {stratum.removeprefix(_SOURCE)}"
    return _TITLES[stratum]


def is_main(stratum: str) -> bool:
    """Whether a stratum is of every evaluation, not one of many by observation or source."""
    return stratum in _TITLES


def strata(cases: Sequence[Case], train: Sequence[Report] | None) -> dict[str, Mask]:
    """Masks over the reports by the name of the stratum, in the order to be shown; empty ones are left out.

    Seen means: the same words in the same order stand in the training findings. The quarters are of the number of
    words in the findings; equals fall into the same, lower quarter. What needs findings is absent unless all cases
    have them, and what needs training data where `train` is None. Sources are shown where there are several.
    """
    normal = np.array([is_normal(case.reference) for case in cases])
    masks = {"normal": normal, "abnormal": ~normal}
    findings = [case.findings for case in cases if case.findings is not None]
    complete = len(findings) == len(cases)
    shown = [_shown(case.findings, case.reference) for case in cases]
    if complete and train is not None:
        known = {normalise(report.findings) for report in train}
        seen = np.array([normalise(text) in known for text in findings])
        masks |= {"findings_seen": seen, "findings_unseen": ~seen}
        rare = rare_observations(train)
        masks["rare_observation"] = np.array([bool(names & rare) for names in shown])
    if complete:
        lengths = np.array([len(words(text)) for text in findings])
        quarter = np.searchsorted(np.quantile(lengths, [0.25, 0.5, 0.75]), lengths)
        masks |= {f"length_q{q + 1}": quarter == q for q in range(4)}
    for name in observation_names():
        masks[_OBSERVATION + name] = np.array([name in names for names in shown])
    sources = sorted({case.source for case in cases if case.source is not None})
    if len(sources) > 1:
        masks |= {_SOURCE + source: np.array([case.source == source for case in cases]) for source in sources}
    return {name: mask for name, mask in masks.items() if mask.any()}


def rare_observations(train: Sequence[Report]) -> frozenset[str]:
    """The observations that fewer than RARE of the training reports show; those that none shows are rare too."""
    counts = Counter(name for report in train for name in _shown(report.findings, report.impression))
    return frozenset(name for name in observation_names() if counts[name] < RARE * len(train))


def _shown(findings: str | None, impression: str) -> frozenset[str]:
    return observe(findings or "").asserted | observe(impression).asserted
