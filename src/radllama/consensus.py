"""The candidate that agrees most with the others: minimum Bayes risk (Kumar and Byrne 2004; Eikema and Aziz 2020)."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache

from radllama.text import words

Utility = Callable[[str, str], float]


def word_f1(one: str, other: str) -> float:
    """F1 of the words two texts share, as often as both have them: ROUGE-1 on our words; 0 for an empty text."""
    ours, theirs = _count(one), _count(other)
    shared = sum((ours & theirs).values())
    return 2 * shared / (ours.total() + theirs.total()) if shared else 0.0


def expected_utility(
    candidates: Sequence[str], weights: Sequence[float], utility: Utility = word_f1
) -> dict[str, float]:
    """For each different candidate, its mean utility over all of them, weighted: in the order of first sight.

    `utility(candidate, other)` must be symmetric. A candidate is held against itself too, so one that many share
    counts for each of them. Raises ValueError for a weight below 0 or when the weights sum to 0.
    """
    total = sum(weights)
    if len(candidates) != len(weights) or min(weights, default=0) < 0 or total <= 0:
        raise ValueError("each candidate needs a weight, none below 0 and not all 0")
    shares: dict[str, float] = {}
    for candidate, weight in zip(candidates, weights, strict=True):
        shares[candidate] = shares.get(candidate, 0.0) + weight / total
    texts = list(shares)
    expected = {text: share * utility(text, text) for text, share in shares.items()}
    for at, one in enumerate(texts):
        for other in texts[:at]:
            agreement = utility(one, other)
            expected[one] += shares[other] * agreement
            expected[other] += shares[one] * agreement
    return expected


def choose(candidates: Sequence[str], weights: Sequence[float], utility: Utility = word_f1) -> str:
    """The candidate with the highest expected utility; of equals, the one that came first."""
    expected = expected_utility(candidates, weights, utility)
    return max(expected, key=expected.__getitem__)


@lru_cache(maxsize=1 << 14)
def _count(text: str) -> Counter[str]:
    return Counter(words(text))
