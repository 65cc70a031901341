"""Where a draft's sentences come from: how many of the model's samples say them, which prior reports, the findings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from radllama.clinical.read import Span
from radllama.clinical.segment import find_sentences
from radllama.library import Neighbour
from radllama.text import normalise
from radllama.wording import shorten, strip_list_numbers


@dataclass(frozen=True, slots=True)
class Voices:
    """Who says one sentence of a draft (its span) word for word: how many samples, which prior reports, nearest first.

    `findings`: whether the findings do, but for "there is" and its like.
    """

    impression: Span
    samples: int
    neighbours: tuple[str, ...]
    findings: bool


def find_voices(findings: str, impression: str, said: Sequence[str], neighbours: Sequence[Neighbour]) -> list[Voices]:
    """The Voices of each sentence of an impression, in order."""
    own = {normalise(shorten(findings[start:end])) for start, end in find_sentences(findings)}
    samples = [_sentences(text) for text in said]
    prior = [(one.id, _sentences(one.impression)) for one in neighbours]
    return [
        Voices(
            (start, end),
            samples=sum(sentence in one for one in samples),
            neighbours=tuple(identity for identity, theirs in prior if sentence in theirs),
            findings=sentence in own,
        )
        for start, end in find_sentences(impression)
        if (sentence := _bare(impression[start:end]))
    ]


# A prior report is many findings' neighbour.
@lru_cache(maxsize=1 << 13)
def _sentences(text: str) -> frozenset[str]:
    return frozenset(_bare(text[start:end]) for start, end in find_sentences(text))


def _bare(sentence: str) -> str:
    return normalise(strip_list_numbers(sentence))
