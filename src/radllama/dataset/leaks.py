"""How much of a held-out part stands in train already: word for word, nearly, as a pair, by patient.

In OpenI a quarter of the test findings stand word for word in train. A score over such a part measures memory
as well as skill, so every dataset's card says how much of it there is.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from radllama.report import Report
from radllama.text import normalise

if TYPE_CHECKING:
    import numpy as np

    Numbers = np.ndarray[Any, np.dtype[np.int64]]

NEAR = 0.8
METHOD = (
    "word for word: equal in lower case without punctuation; "
    f"nearly: not word for word, but the sets of word 3-grams of the two findings have a Jaccard index >= {NEAR}"
)

_WORD_BITS = 21
_CANDIDATES_AT_ONCE = 4096


class TrainIndex:
    """The train part, ready to be asked what of another part it holds."""

    def __init__(self, train: Iterable[Report]):
        reports = list(train)
        findings = [normalise(report.findings) for report in reports]
        self._findings = set(findings)
        self._pairs = {(one, normalise(report.impression)) for one, report in zip(findings, reports, strict=True)}
        self._patients = {report.patient_id for report in reports if report.patient_id is not None}
        self._near = NearIndex(sorted(self._findings), NEAR)

    def leaks(self, held_out: Iterable[Report]) -> dict[str, Any]:
        """Count what the held-out reports share with train.

        `reports` is how many there are; of these `findings_in_train` and `pairs_in_train` (findings and
        impression) stand word for word in train, `findings_nearly_in_train` do nearly. `patients_in_train` of
        `patients` known patients have reports in train.
        """
        reports = list(held_out)
        findings = [normalise(report.findings) for report in reports]
        new = sorted(set(findings) - self._findings)
        near = dict(zip(new, self._near.hold(new), strict=True))
        patients = {report.patient_id for report in reports if report.patient_id is not None}
        return {
            "reports": len(reports),
            "findings_in_train": sum(one in self._findings for one in findings),
            "findings_nearly_in_train": sum(near.get(one, False) for one in findings),
            "pairs_in_train": sum(
                (one, normalise(report.impression)) in self._pairs
                for one, report in zip(findings, reports, strict=True)
            ),
            "patients": len(patients),
            "patients_in_train": len(patients & self._patients),
        }


class NearIndex:
    """Finds texts whose set of word 3-grams has a Jaccard index of at least `near` with one of `texts`.

    Exact, and far from comparing all pairs. Two sets of sizes m <= n can only reach the index when m >= near x n,
    and then, if the members of each set are put in one order for all, the first n - ceil(near x n) + 1 of each
    share a member (Chaudhuri et al. 2006, Bayardo et al. 2007). Rare 3-grams come first in that order, so few
    candidates remain. A text of fewer than three words is one gram of its own.
    """

    def __init__(self, texts: Sequence[str], near: float):
        import numpy as np

        self._limit = near
        self._words: dict[str, int] = {}
        sets = list(self._gram_sets(texts))
        self._sizes = np.array([len(one) for one in sets], dtype=np.int64)
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)]).astype(np.int64)
        everything = np.concatenate(sets) if sets else np.empty(0, dtype=np.int64)
        self._grams, inverse, counts = np.unique(everything, return_inverse=True, return_counts=True)
        self._rank = np.empty(len(counts), dtype=np.int64)
        self._rank[np.argsort(counts, kind="stable")] = np.arange(len(counts))
        ranks = self._rank[inverse]
        owners = np.repeat(np.arange(len(sets)), self._sizes)
        # Sorted by text, then by rank: the first of each text are its rarest.
        order = np.lexsort((ranks, owners))
        self._flat = ranks[order].astype(np.int32)
        place = np.arange(len(order)) - self._starts[owners]
        in_prefix = place < self._prefix(self._sizes)[owners]
        prefix_ranks, prefix_owners = self._flat[in_prefix], owners[in_prefix]
        by_rank = np.argsort(prefix_ranks, kind="stable")
        self._posting = prefix_owners[by_rank].astype(np.int32)
        self._posting_starts = np.searchsorted(prefix_ranks[by_rank], np.arange(len(counts) + 1))
        self._mark = np.zeros(len(counts), dtype=bool)

    def hold(self, texts: Iterable[str]) -> list[bool]:
        """Say for each text whether the index holds one that is at least as near as its limit."""
        return [self._holds(grams) for grams in self._gram_sets(texts)]

    def _holds(self, grams: "Numbers") -> bool:
        import numpy as np

        if not len(self._grams):
            return False
        place = np.minimum(np.searchsorted(self._grams, grams), len(self._grams) - 1)
        known = np.sort(self._rank[place[self._grams[place] == grams]])
        size = len(grams)
        # 3-grams that no indexed text has are the rarest of all: they take the first places of the prefix.
        prefix = known[: max(0, int(self._prefix(np.array(size))) - (size - len(known)))]
        if not len(prefix):
            return False
        postings = [self._posting[self._posting_starts[r] : self._posting_starts[r + 1]] for r in prefix]
        candidates = np.unique(np.concatenate(postings)).astype(np.int64)
        sizes = self._sizes[candidates]
        fits = np.minimum(sizes, size) / np.maximum(sizes, size) >= self._limit
        candidates = candidates[fits]
        self._mark[known] = True
        try:
            for start in range(0, len(candidates), _CANDIDATES_AT_ONCE):
                some = candidates[start : start + _CANDIDATES_AT_ONCE]
                shared = self._count_marked(some)
                if np.any(shared / (self._sizes[some] + size - shared) >= self._limit):
                    return True
        finally:
            self._mark[known] = False
        return False

    def _count_marked(self, candidates: "Numbers") -> "Numbers":
        """Count, for each candidate (all have members), how many of its 3-grams are marked."""
        import numpy as np

        sizes = self._sizes[candidates]
        ends = np.cumsum(sizes)
        firsts = ends - sizes
        places = np.arange(ends[-1]) + np.repeat(self._starts[candidates] - firsts, sizes)
        counts: Numbers = np.add.reduceat(self._mark[self._flat[places]], firsts, dtype=np.int64)
        return counts

    def _prefix(self, sizes: "Numbers") -> "Numbers":
        import numpy as np

        # The small number: 0.8 x 35 is 28.000000000000004 in floating point, and its ceiling 29.
        prefix: Numbers = (sizes - np.ceil(self._limit * sizes - 1e-9) + 1).astype(np.int64)
        return np.minimum(prefix, sizes)

    def _gram_sets(self, texts: Iterable[str]) -> Iterator["Numbers"]:
        """Yield each text's distinct word 3-grams, three word numbers packed into one integer."""
        import numpy as np

        for text in texts:
            # Beyond two million different words numbers are used again: some 3-grams then look alike.
            numbers = [self._words.setdefault(word, len(self._words) + 1) for word in text.split()]
            numbers += [0] * (3 - len(numbers) if numbers else 0)
            row = np.array(numbers, dtype=np.int64) & ((1 << _WORD_BITS) - 1)
            yield np.unique(row[:-2] << (2 * _WORD_BITS) | row[1:-1] << _WORD_BITS | row[2:])
