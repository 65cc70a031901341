"""An inverted index over short texts: for each term the texts that hold it and what it is worth there.

Two ways to weigh a term, both over words and pairs of neighbouring words:

- `bm25` (Robertson and Zaragoza 2009), k1 = 1.2 and b = 0.75. A score is divided by what the query would score
  against itself, so that it reads as a share: 1 for the same text, and words that no text holds lower it.
- `tfidf`: 1 + log of the frequency, times a smoothed inverse document frequency, of length 1: a score is a cosine.

Numpy alone: a query has some sixty terms, and adding up their postings takes well under a millisecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from radllama.text import words

Weighting = Literal["bm25", "tfidf"]
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)
_K1, _B = 1.2, 0.75

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Index:
    """The postings of term t are `texts[starts[t]:starts[t + 1]]`, worth `weights` there and `rarity[t]` in a query.

    `texts` holds numbers of texts, `size` is how many were indexed, words or not, `mean_length` their mean length in
    terms.
    """

    weighting: Weighting
    size: int
    mean_length: float
    terms: dict[str, int]
    starts: NDArray[np.int64]
    texts: NDArray[np.int32]
    weights: Scores
    rarity: Scores

    def score(self, text: str, without: Sequence[int] = ()) -> Scores:
        """(size,) in 0..1: how much each indexed text resembles this one; 0 where they share no word.

        The texts numbered in `without` score 0.
        """
        scores = np.zeros(self.size, dtype=np.float32)
        counts = _count(text)
        known = [(self.terms[term], count) for term, count in counts.items() if term in self.terms]
        for (term, _), value in zip(known, self._query(known, counts), strict=True):
            postings = slice(self.starts[term], self.starts[term + 1])
            scores[self.texts[postings]] += value * self.weights[postings]
        scores[list(without)] = 0
        # Rounding lifts a text's score against itself a hair above 1, repetition one of BM25 further.
        return np.minimum(scores, 1.0)

    def _query(self, known: Sequence[tuple[int, int]], counts: Counter[str]) -> Scores:
        """What each known (term, how often) of a query is worth, such that the query against itself would score 1."""
        rarity = self.rarity[[term for term, _ in known]]
        often = np.array([count for _, count in known], dtype=np.float32)
        if self.weighting == "tfidf":
            # The length is that of the known terms alone, as of a vectorizer that never saw the others.
            worth = (1 + np.log(often)) * rarity
            return np.asarray(worth / np.linalg.norm(worth), dtype=np.float32)
        share = counts.total() / max(self.mean_length, 1.0)
        unknown = np.array([count for term, count in counts.items() if term not in self.terms], dtype=np.float32)
        own = float((rarity * _saturate(often, share)).sum())
        own += float(_rarity_bm25(self.size, 0) * _saturate(unknown, share).sum())
        return np.asarray(rarity / own, dtype=np.float32)


def build_index(texts: Iterable[str], weighting: Weighting) -> Index:
    """Index texts in their order; one without words is kept and never found."""
    counts = [_count(text) for text in texts]
    terms: dict[str, int] = {}
    for count in counts:
        for term in count:
            terms.setdefault(term, len(terms))
    # All postings, text by text, then brought into the order of their terms.
    term_of = np.array([terms[term] for count in counts for term in count], dtype=np.int64)
    text_of = np.repeat(np.arange(len(counts), dtype=np.int32), [len(count) for count in counts])
    often = np.array([number for count in counts for number in count.values()], dtype=np.float32)
    held_by = np.bincount(term_of, minlength=len(terms))
    lengths = np.array([count.total() for count in counts], dtype=np.float32)
    mean_length = float(lengths.mean())
    if weighting == "bm25":
        rarity = _rarity_bm25(len(counts), held_by)
        weights = _saturate(often, lengths[text_of] / max(mean_length, 1.0))
    else:
        rarity = np.log((1 + len(counts)) / (1 + held_by)) + 1
        weights = (1 + np.log(often)) * rarity[term_of]
        weights /= np.sqrt(np.bincount(text_of, weights**2, minlength=len(counts)))[text_of]
    order = np.argsort(term_of, kind="stable")
    return Index(
        weighting,
        size=len(counts),
        mean_length=mean_length,
        terms=terms,
        starts=np.concatenate([[0], np.cumsum(held_by)]).astype(np.int64),
        texts=text_of[order],
        weights=weights[order].astype(np.float32),
        rarity=rarity.astype(np.float32),
    )


def best(scores: Scores, k: int) -> NDArray[np.intp]:
    """Numbers of the `k` highest scores above 0, best first, the lower number first among equals."""
    k = min(k, len(scores))
    least = np.partition(scores, -k)[-k]
    # All that tie with the last one are candidates, or the partition would choose among them by accident.
    candidates = np.flatnonzero((scores >= least) & (scores > 0))
    order = np.argsort(-scores[candidates], kind="stable")
    return np.asarray(candidates[order][:k])


def _count(text: str) -> Counter[str]:
    tokens = words(text)
    return Counter([*tokens, *(f"{first} {second}" for first, second in pairwise(tokens))])


def _saturate(often: Any, share: Any) -> Any:
    # The more often a term stands in a text the less another time adds, and the sooner the shorter the text is.
    return often * (_K1 + 1) / (often + _K1 * (1 - _B + _B * share))


def _rarity_bm25(size: int, held_by: Any) -> Any:
    return np.log1p((size - held_by + 0.5) / (held_by + 0.5))
