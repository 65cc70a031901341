"""Where a draft and its findings speak of the same thing and disagree: side, negation, severity."""

import re
from collections.abc import Iterator, Sequence

from radllama.clinical.checks.claims import BOTH, Claim, Section, load_rules
from radllama.clinical.checks.flag import Flag
from radllama.clinical.read import Span
from radllama.clinical.segment import find_sentences

_SIDE_WORD = re.compile(r"\b(?:(left)|(right)|(bilateral|both|bi-?(?:basilar|basal|apical|hilar)))(?:-sided|ly)?\b")
# After a side, what it is the side of: the next word that is no size, shape or filler.
_ANCHOR = re.compile(
    r"\b(?!(?:upper|lower|middle|lobe|lobar|small|large|moderate|mild|lung|side|sided|base|basilar|apex|apical|zone)\b)"
    r"(?!(?:greater|than|possible|probable|with|from|there|seen|noted|likely|which|that|this|have|been)\b)[a-z]{4,}"
)

# Findings and impression call these by the same name: what stands beside them does not restate them.
_NAMED_ALIKE = ("Pneumothorax", "Pleural Effusion")


def find_wrong_sides(findings: Section, draft: Section) -> Iterator[Flag]:
    """A side that the findings give to the other side, for a claim or for any word that follows a side."""
    judged: list[Span] = []
    for claim in draft.claims:
        if not claim.sides:
            continue
        evidence = _evidence_of_side(findings, claim)
        if not evidence:
            continue
        judged += (word.span for word in claim.side_words)
        known = frozenset().union(*(sides for _, sides in evidence))
        if not claim.sides <= known:
            yield _wrong_side(claim.side_words[0].span, claim.topic, claim.sides, evidence[0][0].span)
    for match in _SIDE_WORD.finditer(draft.text.lower()):
        said = _side_of(match)
        if len(said) == 1 and not any(start <= match.start() < end for start, end in judged):
            other = _other_side_of_anchor(findings.text.lower(), draft.text.lower(), match.end(), said)
            if other:
                yield _wrong_side(match.span(), None, said, other)


def _evidence_of_side(findings: Section, claim: Claim) -> list[tuple[Claim, frozenset[str]]]:
    """The findings' claims of the topic, else of related ones, that name a side; of the same place where there are."""
    related = load_rules().related[claim.topic]
    place = {word.value for word in claim.mention.place}
    for topics in ({claim.topic}, related):
        there = [one for one in findings.about(topics) if one.says_it_is_there == claim.says_it_is_there]
        there = [one for one in there if place & {word.value for word in one.mention.place}] or there
        sided = [(one, sides) for one in there if (sides := one.sides or _sides_of_sentence(findings, one))]
        if sided:
            return sided
    return []


def _sides_of_sentence(section: Section, claim: Claim) -> frozenset[str]:
    found = _SIDE_WORD.finditer(section.text.lower(), *claim.mention.sentence)
    return frozenset().union(*(_side_of(match) for match in found))


def _other_side_of_anchor(findings: str, draft: str, position: int, said: frozenset[str]) -> Span | None:
    """Where the findings give the other side alone to the word that a side in the draft stands before."""
    end = next((end for start, end in find_sentences(draft) if start <= position <= end), len(draft))
    anchor = _ANCHOR.search(draft, position, end)
    stem = anchor.group()[: max(3, min(6, len(anchor.group()) - 2))] if anchor else ""
    seen: list[tuple[frozenset[str], Span]] = []
    for sentence in find_sentences(findings):
        if stem in findings[slice(*sentence)]:
            seen += ((_side_of(m), m.span()) for m in _SIDE_WORD.finditer(findings, *sentence))
    if not seen:
        seen = [(_side_of(m), m.span()) for m in _SIDE_WORD.finditer(findings)]
    if seen and all(not said & sides for sides, _ in seen):
        return seen[0][1]
    return None


def _side_of(match: re.Match[str]) -> frozenset[str]:
    return frozenset({match.group()[:5].rstrip("-").strip()}) & BOTH if not match[3] else BOTH


def _wrong_side(span: Span, topic: str | None, sides: frozenset[str], held_against: Span) -> Flag:
    said = "both sides" if sides == BOTH else f"the {next(iter(sides))}"
    what = f"{topic} on {said}" if topic else said
    return Flag("side", f"The draft says {what}; the findings name another side.", span, held_against)


def find_flipped_negations(findings: Section, draft: Section) -> Iterator[Flag]:
    """What one text asserts and the other denies."""
    rules = load_rules()
    for claim in draft.claims:
        if claim.topic == "Acute Disease":
            if claim.value == 1 and not any(one.says_it_is_there for one in findings.about(rules.acute)):
                told = "The draft asserts disease, where the findings name nothing that may be acute."
                yield Flag("negation", told, claim.span, None)
            continue
        held = findings.about({claim.topic})
        if claim.says_it_is_there:
            if not any(one.says_it_is_there for one in held):
                yield from _assertion_of_denied(findings, claim)
        elif not any(not one.says_it_is_there for one in held):
            yield from _denial_of_asserted(draft, findings, claim)


def _assertion_of_denied(findings: Section, claim: Claim) -> Iterator[Flag]:
    rules = load_rules()
    denied = findings.about({claim.topic}) or [
        one for one in findings.about(rules.denied_together[claim.topic]) if not one.says_it_is_there
    ]
    restated = any(one.says_it_is_there for one in findings.about(rules.related[claim.topic]))
    if not denied or (restated and (all(one.limits for one in denied) or claim.topic not in _NAMED_ALIKE)):
        return
    if all(one.limits & {"large", "significant"} for one in denied) and claim.severities & {0, 1}:
        return
    yield Flag("negation", f"The draft asserts {claim.topic}, which the findings deny.", claim.span, denied[0].span)


def _denial_of_asserted(draft: Section, findings: Section, claim: Claim) -> Iterator[Flag]:
    if claim.topic == "Lungs":
        return
    related = load_rules().related[claim.topic]
    restated = any(one.says_it_is_there for one in draft.about(related))
    for one in findings.about({claim.topic}):
        if claim.sides and one.sides and not claim.sides & one.sides:
            continue
        if one.value == -1 and restated:
            continue
        start, end = one.mention.sentence
        if all(word in findings.text[start:end].lower() for word in claim.limits):
            told = f"The draft denies {claim.topic}, which the findings assert."
            yield Flag("negation", told, claim.span, one.span)
            return


def find_changed_severities(findings: Section, draft: Section) -> Iterator[Flag]:
    """A size or degree that differs from all that the findings give to the topic, or to any word it stands before."""
    judged: list[Span] = []
    for claim in draft.claims:
        if not claim.severities or not claim.says_it_is_there:
            continue
        judged += (word.span for word in claim.mention.severity)
        held = _graded(findings, claim)
        known = [rank for one in held for rank in one.severities]
        if known and not any(_alike(rank, other) for rank in claim.severities for other in known):
            span = claim.mention.severity[0].span
            yield Flag(
                "severity", f"The draft grades {claim.topic} otherwise than the findings do.", span, held[0].span
            )


def _graded(findings: Section, claim: Claim) -> Sequence[Claim]:
    """The graded claims of the findings about the topic, else about related ones; of the same side where there are."""
    related = load_rules().related[claim.topic]
    for topics in ({claim.topic}, related):
        there = [one for one in findings.about(topics) if one.says_it_is_there]
        if claim.sides:
            there = [one for one in there if one.sides == claim.sides] or there
        if there:
            return [one for one in there if one.severities]
    return []


def _alike(one: int, other: int) -> bool:
    return one == other or {one, other} == {0, 1}
