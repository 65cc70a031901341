"""Which sentences of the findings an impression's sentences rest on: by what they name, else by the words they share.

A link says where to look, not that what stands there is right; checks do that.
"""

import re
from collections import Counter
from dataclasses import dataclass

from radllama.clinical.read import Mention, Span, read
from radllama.clinical.segment import find_sentences
from radllama.text import words

# A sentence that names nothing known is linked where at least this share of its weighted words stands.
_LEAST_SHARE = 0.5
_NUMBER = re.compile(r"\W*\d{1,2}[.)]?")  # of a list: no sentence of its own
_EMPTY = frozenset(
    words("a an and are as at be been by for from has have in is it of on or that the there this to was with")
)


@dataclass(frozen=True, slots=True)
class Link:
    """A sentence of the impression, and the sentences of the findings that it rests on; spans into the two texts."""

    impression: Span
    findings: tuple[Span, ...]


def link(findings: str, impression: str) -> list[Link]:
    """A Link for each sentence of the impression, in order; one that rests on no single sentence has no spans."""
    sources = find_sentences(findings)
    named = _names_by_sentence(read(findings).mentions, sources)
    shown = [span for span in find_sentences(impression) if not _NUMBER.fullmatch(impression[slice(*span)])]
    asked = _names_by_sentence(read(impression).mentions, shown)
    rarity = Counter(word for start, end in sources for word in _content(findings[start:end]))
    links = []
    for span, names in zip(shown, asked, strict=True):
        found = [source for source, theirs in zip(sources, named, strict=True) if names & theirs]
        if not found:
            found = _sharing_words(impression[slice(*span)], findings, sources, rarity)
        links.append(Link(span, tuple(found)))
    return links


def _names_by_sentence(mentions: tuple[Mention, ...], sentences: list[Span]) -> list[set[str]]:
    names: list[set[str]] = [set() for _ in sentences]
    for mention in mentions:
        for at, (start, end) in enumerate(sentences):
            if start <= mention.span[0] < end:
                names[at].add(mention.concept.name)
    return names


def _sharing_words(sentence: str, findings: str, sources: list[Span], rarity: Counter[str]) -> list[Span]:
    # A word that stands in many sentences of the findings says little about which one is meant.
    asked = _content(sentence)
    whole = sum(1 / (rarity[word] or 1) for word in asked)
    if not whole:
        return []
    shares = [
        (sum(1 / rarity[word] for word in asked & _content(findings[start:end])) / whole, (start, end))
        for start, end in sources
    ]
    best = max((share for share, _ in shares), default=0.0)
    return [span for share, span in shares if share == best and share >= _LEAST_SHARE]


def _content(sentence: str) -> set[str]:
    return set(words(sentence)) - _EMPTY
