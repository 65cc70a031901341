"""What needs no model at all: the rows that every system must be held against.

Half of a collection of chest radiographs is normal, and the same sentence is always half right. A score
says nothing until these stand beside it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from radllama.library import Library
from radllama.library import consensus as agreed
from radllama.text import sentences

# LEAD-3 is the customary lead of summarisation (Nallapati et al. 2017, See et al. 2017).
LEAD_SENTENCES = 3

TITLES = {
    "constant": "constant: the most frequent impression of the training reports, always",
    "lead": f"lead: the first {LEAD_SENTENCES} sentences of the findings",
    "nearest": "nearest: the impression of the training report with the most similar findings",
    "consensus": f"consensus: of the {agreed.NEIGHBOURS} nearest impressions, the one most like the others",
}


def constant(impressions: Iterable[str]) -> str:
    """The most frequent impression, word for word; the one that came first when several are.

    Raises ValueError when there is none.
    """
    counts = Counter(impression.strip() for impression in impressions)
    if not counts:
        raise ValueError("no impressions to choose from")
    # Counter keeps the order of first sight, and max takes the first of equals.
    return max(counts, key=counts.__getitem__)


def lead(findings: str) -> str:
    """The first sentences of the findings; empty when they are."""
    return " ".join(sentences(findings)[:LEAD_SENTENCES])


def nearest(library: Library, findings: Sequence[str]) -> list[str]:
    """For each of `findings` the impression of its nearest prior report; empty when none shares a word."""
    return [neighbours[0].impression if neighbours else "" for neighbours in library.nearest_batch(findings)]


def consensus(library: Library, findings: Sequence[str]) -> list[str]:
    """Of the impressions of the nearest prior reports, the one that shares most words with all of them.

    Each counts by its similarity to the fourth power. Empty when no prior report shares a word with the findings.
    """
    return [agreed.consensus(neighbours) for neighbours in library.nearest_batch(findings, agreed.NEIGHBOURS)]
