"""What one draft scores against its reference: functions of the two texts and nothing else.

A metric gives a number for every pair, also for an empty draft: what cannot be scored scores 0, so that
no failure leaves the mean. To add one, write a function (reference, draft) -> float and a line in METRICS.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from radllama.text import normalise, words


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric and how it is shown. `percent`: a value in 0..1, shown times 100."""

    title: str
    score: Callable[[str, str], float]
    percent: bool = True


def rouge(kind: str, stemmed: bool = False) -> Callable[[str, str], float]:
    """ROUGE F1 in 0..1 by rouge-score (Lin 2004; the package is pinned, implementations disagree).

    `kind` is rouge1 (words), rouge2 (pairs of words) or rougeL (longest common subsequence). `stemmed`
    cuts words to their Porter stem first. Both are published, often without saying which; stemmed is
    the higher. rouge-score lowers case and reads only a-z and 0-9: any other letter splits a word.
    """

    def score(reference: str, draft: str) -> float:
        return _rouge_scores(reference, draft, stemmed)[kind]

    return score


def chrf(reference: str, draft: str) -> float:
    """chrF2 in 0..1 by sacrebleu (Popovic 2015): shared groups of up to six characters, recall weighing twice.

    Unlike ROUGE it gives part of the credit for another ending of a word. Of one sentence, with effective order, so
    that an impression of three words has a score; 0 for an empty draft.
    """
    return float(_chrf_scorer().sentence_score(draft, [reference]).score) / 100 if words(draft) else 0.0


def exact_match(reference: str, draft: str) -> float:
    """1.0 when both hold the same words in the same order (`text.normalise`), else 0.0."""
    return float(normalise(reference) == normalise(draft))


def length_ratio(reference: str, draft: str) -> float:
    """Words in the draft for each word in the reference: 1 is as long, 0 is empty.

    Raises ValueError for a reference without words: there is nothing to be as long as.
    """
    length = len(words(reference))
    if not length:
        raise ValueError("the reference holds no words")
    return len(words(draft)) / length


METRICS = {
    "rouge1": Metric("ROUGE-1", rouge("rouge1")),
    "rouge2": Metric("ROUGE-2", rouge("rouge2")),
    "rougeL": Metric("ROUGE-L", rouge("rougeL")),
    "rouge1_stemmed": Metric("ROUGE-1 stemmed", rouge("rouge1", stemmed=True)),
    "rouge2_stemmed": Metric("ROUGE-2 stemmed", rouge("rouge2", stemmed=True)),
    "rougeL_stemmed": Metric("ROUGE-L stemmed", rouge("rougeL", stemmed=True)),
    "chrf": Metric("chrF", chrf),
    "exact_match": Metric("exact match", exact_match),
    "length_ratio": Metric("length ratio", length_ratio, percent=False),
}


# Short impressions repeat thousands of times, and the three ROUGEs come from one pass over a pair.
@lru_cache(maxsize=1 << 16)
def _rouge_scores(reference: str, draft: str, stemmed: bool) -> dict[str, float]:
    scores = _rouge_scorer(stemmed).score(reference, draft)
    return {kind: score.fmeasure for kind, score in scores.items()}


@cache
def _rouge_scorer(stemmed: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer

    class RememberingTokenizer(DefaultTokenizer):  # type: ignore[misc]
        # Porter's stemmer takes most of the time, and one reference is read once for every row.
        tokenize = lru_cache(maxsize=1 << 16)(DefaultTokenizer.tokenize)

    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=RememberingTokenizer(use_stemmer=stemmed))


@cache
def _chrf_scorer() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(eps_smoothing=False)
