"""Which observations a section names: the set on which a draft is held against findings and reference.

CheXpert's fourteen leave out much that a chest radiograph shows and that a radiologist may repeat. So a finding of the
lexicon without an observation of its own (a granuloma, degenerative change, a hernia, emphysema) counts under its own
name. "No Finding" and "Support Devices" do not count: the one is no observation, the other is not abnormal.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

from radllama.clinical.lexicon import OBSERVATIONS, Concept, load_lexicon
from radllama.clinical.read import read

_NOT_COUNTED = {"No Finding", "Support Devices"}


@dataclass(frozen=True, slots=True)
class Observed:
    """The observations of a section: `asserted` plainly somewhere, or only `doubted`; what it denies is in neither."""

    asserted: frozenset[str] = frozenset()
    doubted: frozenset[str] = frozenset()


# One reference is held against every row of a table, and short impressions repeat.
@lru_cache(maxsize=1 << 16)
def observe(text: str) -> Observed:
    """What a section of any length asserts or doubts; an empty one, nothing."""
    asserted, doubted = set(), set()
    for mention in read(text).mentions:
        if mention.value == 1:
            asserted |= set(_names(mention.concept))
        elif mention.value == -1:
            doubted |= set(_names(mention.concept))
    return Observed(frozenset(asserted), frozenset(doubted - asserted))


@cache
def observation_names() -> tuple[str, ...]:
    """All that `observe` can name: CheXpert's in its order, then the lexicon's further findings in its order."""
    named = dict.fromkeys(name for concept in load_lexicon().concepts.values() for name in _names(concept))
    return (*(name for name in OBSERVATIONS if name in named), *(name for name in named if name not in OBSERVATIONS))


def _names(concept: Concept) -> tuple[str, ...]:
    if concept.kind not in ("finding", "organ"):
        return ()
    named = tuple(name for name in concept.observations if name not in _NOT_COUNTED)
    # An organ without an observation says nothing by itself; a finding does.
    return named or ((concept.name,) if concept.kind == "finding" else ())
