"""Prior reports, searchable by findings: those that resemble the one at hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radllama.errors import InputError
from radllama.report import Report
from radllama.text import words

# Scores are held for this many (query, report) pairs at a time: 0.25 GB.
_PAIRS_AT_ONCE = 1 << 26

_Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A prior report that resembles the findings at hand; `score` is the cosine of both, in 0..1."""

    id: str
    score: float
    findings: str
    impression: str


class Library:
    """An index over prior reports: TF-IDF over the words and the pairs of words of their findings.

    Term frequencies count as 1 + log, so that a repeated phrase does not decide alone. Nothing is left to
    chance: the same reports in the same order give the same neighbours, ties go to the earlier report.
    """

    def __init__(self, reports: Sequence[Report], vectorizer: Any, index: Any) -> None:
        # index: sparse (terms, reports), columns of length 1, so that a product with a query is its cosine.
        self.reports = reports
        self._vectorizer = vectorizer
        self._index = index

    @classmethod
    def build(cls, reports: Iterable[Report]) -> Library:
        """Index `reports`. Raises InputError when none of them has findings with a word in them."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        reports = list(reports)
        if not any(words(report.findings) for report in reports):
            raise InputError("no prior report has findings to search by; a library needs at least one")
        vectorizer = TfidfVectorizer(analyzer=_terms, sublinear_tf=True, dtype=np.float32)
        index = vectorizer.fit_transform(report.findings for report in reports)
        return cls(reports, vectorizer, index.T.tocsr())

    def __len__(self) -> int:
        return len(self.reports)

    def nearest(self, findings: str, k: int = 1) -> list[Neighbour]:
        """The `k` prior reports most like `findings`, best first.

        Fewer than `k`, even none, when fewer share a word with them: what shares nothing is no neighbour.
        """
        return self.nearest_batch([findings], k)[0]

    def nearest_batch(self, findings: Sequence[str], k: int = 1) -> list[list[Neighbour]]:
        """`nearest` for many findings at once, in their order; memory does not grow with their number."""
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        chunk = max(1, _PAIRS_AT_ONCE // len(self.reports))
        return [
            [self._neighbour(at, float(scores[at])) for at in _best(scores, k)]
            for start in range(0, len(findings), chunk)
            for scores in self._scores(findings[start : start + chunk])
        ]

    def _scores(self, findings: Sequence[str]) -> Iterator[_Scores]:
        # A row of cosines (reports,) for each of the findings.
        yield from (self._vectorizer.transform(findings) @ self._index).toarray()

    def _neighbour(self, at: int, score: float) -> Neighbour:
        report = self.reports[at]
        return Neighbour(report.id, score, report.findings, report.impression)


def _terms(findings: str) -> list[str]:
    tokens = words(findings)
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def _best(scores: _Scores, k: int) -> NDArray[np.intp]:
    """Indices of the `k` highest scores above 0, best first, the lower index first among equals."""
    k = min(k, len(scores))
    least = np.partition(scores, -k)[-k]
    # All that tie with the last one are candidates, or the partition would choose among them by accident.
    candidates = np.flatnonzero((scores >= least) & (scores > 0))
    order = np.argsort(-scores[candidates], kind="stable")
    return np.asarray(candidates[order][:k])
