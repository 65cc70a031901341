"""Wrong sides: a side that the findings give to the other side."""

import re
from collections.abc import Iterator

from radllama.clinical.checks.anchors import find_said_of_same
from radllama.clinical.checks.claims import BOTH, Claim, Section
from radllama.clinical.checks.flag import Flag
from radllama.clinical.checks.rules import load_rules
from radllama.clinical.read import Span

_SIDE_WORD = re.compile(r"\b(?:(left)|(right)|(bilateral|both|bi-?(?:basilar|basal|apical|hilar)))(?:-sided|ly)?\b")


def find_wrong_sides(findings: Section, draft: Section) -> Iterator[Flag]:
    """A side of a claim that the findings' claims of its topic are not on; then of any other word after a side."""
    judged: list[Span] = []
    for claim in draft.claims:
        evidence = _evidence(findings, claim) if claim.sides else []
        if not evidence:
            continue
        judged += (word.span for word in claim.side_words)
        known = frozenset().union(*(sides for _, sides in evidence))
        if not claim.sides <= known:
            yield _flag(claim.side_words[0].span, claim.name, claim.sides, evidence[0][0].span)
    for match in _SIDE_WORD.finditer(draft.lower):
        said = _side_of(match)
        if len(said) == 1 and not any(start <= match.start() < end for start, end in judged):
            same = find_said_of_same(findings, draft, match.end(), _SIDE_WORD) or list(
                _SIDE_WORD.finditer(findings.lower)
            )
            if same and all(not said & _side_of(other) for other in same):
                yield _flag(match.span(), None, said, same[0].span())


def _evidence(findings: Section, claim: Claim) -> list[tuple[Claim, frozenset[str]]]:
    """The findings' claims of the topic, else of related ones, that name a side; of the same place where there are."""
    place = {word.value for word in claim.mention.place}
    for topics in ({claim.topic}, load_rules().related[claim.topic]):
        there = [one for one in findings.about(topics) if one.says_it_is_there == claim.says_it_is_there]
        there = [one for one in there if place & {word.value for word in one.mention.place}] or there
        sided = [(one, sides) for one in there if (sides := one.sides or _sides_of_sentence(findings, one))]
        if sided:
            return sided
    return []


def _sides_of_sentence(section: Section, claim: Claim) -> frozenset[str]:
    found = _SIDE_WORD.finditer(section.lower, *claim.mention.sentence)
    return frozenset().union(*(_side_of(match) for match in found))


def _side_of(match: re.Match[str]) -> frozenset[str]:
    return BOTH if match[3] else frozenset({match[1] or match[2]})


def _flag(span: Span, name: str | None, sides: frozenset[str], held_against: Span) -> Flag:
    said = "both sides" if sides == BOTH else f"the {next(iter(sides))}"
    what = f"{name} on {said}" if name else said
    return Flag("side", f"The draft says {what}; the findings name another side.", span, held_against)
