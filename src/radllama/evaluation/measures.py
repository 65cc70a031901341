"""All that is scored: what each figure is called, and what every report adds to it.

A measure is a ratio of two sums over reports. Metrics of the two texts (`metrics`) are means: each report adds its
value and 1. The figures of `faithfulness` come first, here and in every table: ROUGE rewards the sentence that is
always right, and they show what it leaves out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from radllama.clinical.check import FLAG_KINDS, check
from radllama.evaluation.drafts import Case
from radllama.evaluation.faithfulness import ANSWERED_NORMAL, INVENTED, REPEATED, faithfulness
from radllama.evaluation.label_agreement import label_agreement
from radllama.evaluation.metrics import METRICS
from radllama.evaluation.strata import Mask
from radllama.stats import Ratios
from radllama.text import words


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure and how it is shown. `percent`: a value in 0..1, shown times 100. `better`: which end is the good one.

    `per` says what the denominators count, for a share of something else than all reports.
    """

    title: str
    percent: bool = True
    better: Literal["high", "low", "neither"] = "high"
    per: str | None = None


FAITHFULNESS = {
    REPEATED: Measure("repeated", per="positive observations in findings and reference"),
    ANSWERED_NORMAL: Measure("answered normal", better="low", per="reports with such an observation"),
    INVENTED: Measure("invented", better="low", per="reports with known findings"),
}
FLAGS = {
    "flagged": Measure("any flag", better="low", per="reports with known findings"),
    **{
        f"flag_{kind}": Measure(f"flag: {kind}", better="low", per="reports with known findings") for kind in FLAG_KINDS
    },
}
LABELS = {
    "label_f1_micro": Measure("label F1, micro", per="labels of drafts and references together"),
    "label_f1_micro_5": Measure("label F1, micro, 5 of 14", per="labels of drafts and references together"),
    "label_accuracy": Measure("all labels right"),
}
WORDING = {
    name: Measure(metric.title, metric.percent, "high" if metric.percent else "neither")
    for name, metric in METRICS.items()
}
MEASURES = FAITHFULNESS | FLAGS | LABELS | WORDING

Fraction = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Scored:
    """A row's drafts: what each report adds to each of `measures`, and which drafts are empty."""

    values: Ratios
    empty: Mask
    measures: Mapping[str, Measure] = field(default_factory=lambda: MEASURES)

    def __len__(self) -> int:
        return len(self.empty)

    def reports(self, mask: Mask) -> "Scored":
        """Some of the reports."""
        return Scored(self.values.reports(mask), self.empty[mask], self.measures)

    def column(self, measure: str) -> int:
        """Where a measure stands in `values`."""
        return list(self.measures).index(measure)


def score_drafts(
    cases: Sequence[Case], drafts: Sequence[str], further: Mapping[str, Sequence[float]] | None = None
) -> Scored:
    """Score one draft for each case by every measure of MEASURES, in its order. Raises ValueError without a case.

    `further` has the scores of other scorers, by the title of each: one a case.
    """
    further = further or {}
    rows = [list(_fractions(case, draft).values()) for case, draft in zip(cases, drafts, strict=True)]
    for scores in further.values():
        for row, score in zip(rows, scores, strict=True):
            row.append((score, 1))
    measures = MEASURES | {title: Measure(title) for title in further}
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(measures), 2)
    empty = np.array([not words(draft) for draft in drafts])
    return Scored(Ratios(table[:, :, 0], table[:, :, 1]), empty, measures)


def _fractions(case: Case, draft: str) -> dict[str, Fraction]:
    metrics: dict[str, Fraction] = {name: (metric.score(case.reference, draft), 1) for name, metric in METRICS.items()}
    return {
        **faithfulness(case.findings, case.reference, draft),
        **_flags(case.findings, draft),
        **label_agreement(case.reference, draft),
        **metrics,
    }


def _flags(findings: str | None, draft: str) -> dict[str, tuple[int, int]]:
    if findings is None:
        return dict.fromkeys(FLAGS, (0, 0))
    raised = {flag.kind for flag in check(findings, draft)}
    return {"flagged": (int(bool(raised)), 1)} | {f"flag_{kind}": (int(kind in raised), 1) for kind in FLAG_KINDS}
