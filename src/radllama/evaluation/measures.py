"""All that is scored: what each figure is called, and what every report adds to it.

A measure is a ratio of two sums over reports. Metrics of the two texts (`metrics`) are means: each report adds its
value and 1. The figures of `faithfulness` come first, here and in every table: ROUGE rewards the sentence that is
always right, and they show what it leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from radllama.evaluation.drafts import Case
from radllama.evaluation.faithfulness import ANSWERED_NORMAL, INVENTED, REPEATED, faithfulness
from radllama.evaluation.metrics import METRICS
from radllama.evaluation.strata import Mask
from radllama.stats import Ratios
from radllama.text import words


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure and how it is shown. `percent`: a value in 0..1, shown times 100. `better`: which end is the good one.

    `per` says what the denominators count, for a share of something else than the reports.
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
MEASURES = FAITHFULNESS | {
    name: Measure(metric.title, metric.percent, "high" if metric.percent else "neither")
    for name, metric in METRICS.items()
}


@dataclass(frozen=True, slots=True)
class Scored:
    """The drafts of a system or trivial row: what each report adds to each of MEASURES, and which drafts are empty."""

    values: Ratios
    empty: Mask

    def __len__(self) -> int:
        return len(self.empty)

    def reports(self, mask: Mask) -> "Scored":
        """Some of the reports."""
        return Scored(self.values.reports(mask), self.empty[mask])


def score_drafts(cases: Sequence[Case], drafts: Sequence[str]) -> Scored:
    """Score one draft for each case by every measure, in the order of MEASURES. Raises ValueError without a case."""
    fractions = [
        [
            *faithfulness(case.findings, case.reference, draft).values(),
            *((metric.score(case.reference, draft), 1) for metric in METRICS.values()),
        ]
        for case, draft in zip(cases, drafts, strict=True)
    ]
    table = np.array(fractions, dtype=np.float64).reshape(len(fractions), len(MEASURES), 2)
    return Scored(Ratios(table[:, :, 0], table[:, :, 1]), np.array([not words(draft) for draft in drafts]))
