"""Changed severities: a size or degree that the findings give otherwise."""

import re
from collections.abc import Iterator

from radllama.clinical.checks.anchors import find_said_of_same
from radllama.clinical.checks.claims import RANKS, Claim, Section
from radllama.clinical.checks.flag import Flag
from radllama.clinical.checks.rules import load_rules
from radllama.clinical.lexicon import load_lexicon
from radllama.clinical.read import Span

_ANY_WORD = re.compile(r"[a-z]+(?: to [a-z]+)?")


def find_changed_severities(findings: Section, draft: Section) -> Iterator[Flag]:
    """A degree of a claim that no claim of its topic has in the findings; then of any other word after a degree."""
    judged: list[Span] = []
    for claim in draft.claims:
        if not claim.severities or not claim.says_it_is_there:
            continue
        held = _graded(findings, claim)
        if not held:
            continue
        judged += (word.span for word in claim.mention.severity)
        if not any(_alike(rank, other) for rank in claim.severities for one in held for other in one.severities):
            told = f"The draft grades {claim.name} otherwise than the findings do."
            yield Flag("severity", told, claim.mention.severity[0].span, held[0].span)
    for hit in load_lexicon().attributes["severity"].find(draft.lower):
        if any(start <= hit.start < end for start, end in judged):
            continue
        same = [
            (RANKS[word.what], match.span())
            for match in find_said_of_same(findings, draft, hit.end, _ANY_WORD)
            for word in load_lexicon().attributes["severity"].find(match.group())
        ]
        if same and not any(_alike(RANKS[hit.what], rank) for rank, _ in same):
            told = "The draft grades this otherwise than the findings do."
            yield Flag("severity", told, (hit.start, hit.end), same[0][1])


def _graded(findings: Section, claim: Claim) -> list[Claim]:
    """The findings' graded claims of the topic, else of related ones; of the same side where there are."""
    for topics in ({claim.topic}, load_rules().related[claim.topic]):
        there = [one for one in findings.about(topics) if one.says_it_is_there]
        if claim.sides:
            there = [one for one in there if one.sides == claim.sides] or there
        graded = [one for one in there if one.severities]
        if graded:
            return graded
    return []


def _alike(one: int, other: int) -> bool:
    # Trace and small are one to most radiologists.
    return one == other or {one, other} == {0, 1}
