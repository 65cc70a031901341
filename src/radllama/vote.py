"""A vote: of several candidates the one that is most like what the voters say, by minimum Bayes risk.

Each voter is a text with a weight, taken for a guess at what the radiologist would sign; a candidate's expected
utility is its weighted mean utility against all of them (Kumar and Byrne 2004; Eikema and Aziz 2022, arXiv 2108.04718).
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Utility = Callable[[Sequence[str], Sequence[str]], Matrix]

_NOT_A_TOKEN = re.compile(r"[^a-z0-9]+")


def rouge_matrix(candidates: Sequence[str], voters: Sequence[str], n: int = 1) -> Matrix:
    """(candidates, voters): ROUGE-`n` F1 of every pair, the same numbers as rouge-score's, unstemmed.

    One multiplication of counts for all pairs: a hundred texts against a hundred take a few milliseconds, where
    rouge-score takes a second.
    """
    counts = [_count(text, n) for text in (*candidates, *voters)]
    column: dict[str, int] = {}
    for count in counts:
        for token in count:
            column.setdefault(token, len(column))
    often = np.zeros((len(counts), len(column)), dtype=np.int32)
    for row, count in enumerate(counts):
        often[row, [column[token] for token in count]] = list(count.values())
    ours, theirs = often[: len(candidates)], often[len(candidates) :]
    # The shared count of a token is the smaller of two counts: a sum over levels of "stands at least so often".
    shared = np.zeros((len(ours), len(theirs)), dtype=np.float64)
    for level in range(1, int(often.max(initial=0)) + 1):
        shared += (ours >= level).astype(np.float32) @ (theirs >= level).astype(np.float32).T
    lengths = ours.sum(1)[:, None] + theirs.sum(1)[None, :]
    scores: Matrix = np.divide(2 * shared, lengths, out=np.zeros_like(shared), where=lengths > 0)
    return scores


UTILITIES: dict[str, Utility] = {
    "rouge1": rouge_matrix,
    "rouge2": partial(rouge_matrix, n=2),
}


def expected_utility(
    candidates: Sequence[str], voters: Sequence[str], weights: Sequence[float], utility: Utility = rouge_matrix
) -> Matrix:
    """(candidates,): the weighted mean utility of each against the voters.

    Raises ValueError for weights that are not one a voter, below 0, or all 0.
    """
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (len(voters),) or (given < 0).any() or not given.sum() > 0:
        raise ValueError("each voter needs a weight, none below 0 and not all 0")
    # Half of the voters say the same sentence; each different text is held against the others once.
    different = {text: at for at, text in enumerate(dict.fromkeys(voters))}
    pooled = np.bincount([different[text] for text in voters], given, minlength=len(different))
    own = {text: at for at, text in enumerate(dict.fromkeys(candidates))}
    scores: Matrix = utility(list(own), list(different)) @ (pooled / pooled.sum())
    return np.asarray(scores[[own[text] for text in candidates]])


def choose(
    candidates: Sequence[str], voters: Sequence[str], weights: Sequence[float], utility: Utility = rouge_matrix
) -> int:
    """The number of the candidate with the highest expected utility; of equals, the one that comes first."""
    return first_best(expected_utility(candidates, voters, weights, utility))


def first_best(scores: Matrix) -> int:
    """The number of the highest of some (candidates,) scores; of equals, the first."""
    # Sums of floats differ in the last digit by the order of the voters: what is equal up to that is equal.
    return int(np.flatnonzero(scores >= scores.max() - 1e-9)[0])


def best_first(scores: Matrix) -> Iterator[int]:
    """The numbers of some (candidates,) scores, each time the `first_best` of those that are left."""
    left = scores.copy()
    for _ in range(len(left)):
        at = first_best(left)
        yield at
        left[at] = -np.inf


@lru_cache(maxsize=1 << 14)
def _count(text: str, n: int) -> Counter[str]:
    tokens = _NOT_A_TOKEN.sub(" ", text.lower()).split()
    return Counter(" ".join(gram) for gram in zip(*(tokens[at:] for at in range(n)), strict=False))
