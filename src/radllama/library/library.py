"""Prior reports, searchable by findings: those that resemble the one at hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from radllama.errors import InputError
from radllama.library.index import Index, Scores, Weighting, best, build_index
from radllama.report import Report
from radllama.text import words


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A prior report that resembles the findings at hand; `score`, in 0..1, says how much (see `Index.score`)."""

    id: str
    score: float
    findings: str
    impression: str


class Library:
    """An index over the findings of prior reports.

    Nothing is left to chance: the same reports in the same order give the same neighbours, ties go to the earlier
    report.
    """

    def __init__(self, reports: Sequence[Report], index: Index) -> None:
        self.reports = reports
        self.index = index
        self._at: dict[str, list[int]] = {}
        self._impression_words: set[str] | None = None
        self._of_patient: dict[str, list[int]] = {}
        for number, report in enumerate(reports):
            self._at.setdefault(report.id, []).append(number)
            if report.patient_id is not None:
                self._of_patient.setdefault(report.patient_id, []).append(number)

    @classmethod
    def build(cls, reports: Iterable[Report], weighting: Weighting = "tfidf") -> Library:
        """Index `reports`. Raises InputError when none of them has findings with a word in them."""
        reports = list(reports)
        if not any(words(report.findings) for report in reports):
            raise InputError("no prior report has findings to search by; a library needs at least one")
        return cls(reports, build_index((report.findings for report in reports), weighting))

    def __len__(self) -> int:
        return len(self.reports)

    def nearest(self, findings: str, k: int = 1, leave_out: Report | None = None) -> list[Neighbour]:
        """The `k` prior reports most like `findings`, best first.

        Fewer than `k`, even none, when fewer share a word with them: what shares nothing is no neighbour.
        `leave_out` is a report that must not answer for itself: neither it (by id) nor another report of its
        patient is a neighbour then.
        """
        return self.neighbours(self.score(findings, leave_out), k)

    def nearest_batch(self, findings: Sequence[str], k: int = 1) -> list[list[Neighbour]]:
        """`nearest` for many findings, in their order."""
        return [self.nearest(one, k) for one in findings]

    def score(self, findings: str, leave_out: Report | None = None) -> Scores:
        """(reports,) in 0..1: how much the findings of each prior report resemble these; 0 for what is left out."""
        without = self.same(leave_out) if leave_out else []
        return self.index.score(findings, without)

    def neighbours(self, scores: Scores, k: int) -> list[Neighbour]:
        """The `k` prior reports with the highest of the `scores` (see `score`), best first."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        found = ((self.reports[number], float(scores[number])) for number in best(scores, k))
        return [Neighbour(report.id, score, report.findings, report.impression) for report, score in found]

    def knows(self, word: str) -> bool:
        """Whether any of the reports uses a word; a small model writes some that are none."""
        if self._impression_words is None:
            self._impression_words = {one for report in self.reports for one in words(report.impression)}
        return word in self._impression_words or word in self.index.terms

    def overlap(self, ids: Iterable[str]) -> list[str]:
        """Those of `ids` that stand in the library."""
        return [identity for identity in ids if identity in self._at]

    def same(self, report: Report) -> list[int]:
        """The numbers of the prior reports with its id or of its patient."""
        patient = [] if report.patient_id is None else self._of_patient.get(report.patient_id, [])
        return [*self._at.get(report.id, []), *patient]
