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
        if not claim.sides or claim.topic == "Lungs":
            continue
        evidence = _evidence_of_side(findings, claim)
        if not evidence:
            continue
        judged += (word.span for word in claim.mention.side)
        known = frozenset().union(*(sides for _, sides in evidence))
        if not claim.sides <= known:
            yield _wrong_side(claim.mention.side[0].span, claim.topic, claim.sides, evidence[0][0].span)
    for match in _SIDE_WORD.finditer(draft.text.lower()):
        said = _side_of(match)
        if len(said) == 1 and not any(start <= match.start() < end for start, end in judged):
            other = _other_side_of_anchor(findings.text.lower(), draft.text.lower(), match.end(), said)
            if other:
                yield _wrong_side(match.span(), None, said, other)


def _evidence_of_side(findings: Section, claim: Claim) -> list[tuple[Claim, frozenset[str]]]:
    """The findings' claims of the topic, else of related ones, that name a side; a doubt or a denial weighs as much."""
    related = load_rules().related[claim.topic]
    for topics in ({claim.topic}, related):
        there = [one for one in findings.about(topics) if one.says_it_is_there == claim.says_it_is_there]
        sided = [(one, one.sides) for one in there if one.sides]
        if sided:
            return sided if len(sided) == len(there) else []
    return []


def _other_side_of_anchor(findings: str, draft: str, position: int, said: frozenset[str]) -> Span | None:
    """Where the findings give the other side alone to the word that a side in the draft stands before."""
    anchor = next((m.group() for m in _ANCHOR.finditer(draft, position)), None)
    sentence = next((span for span in find_sentences(draft) if span[0] <= position <= span[1]), None)
    if anchor is None or sentence is None or draft.find(anchor, position) > sentence[1]:
        anchor = None
    seen: list[tuple[frozenset[str], Span]] = []
    for start, end in find_sentences(findings):
        if anchor is None or anchor[:6] in findings[start:end]:
            seen += ((_side_of(m), m.span()) for m in _SIDE_WORD.finditer(findings, start, end))
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
        held = findings.about({claim.topic})
        asserted = [one for one in held if one.says_it_is_there]
        denied = [one for one in held if not one.says_it_is_there]
        if claim.value == 1 and denied and not asserted:
            restated = any(one.says_it_is_there for one in findings.about(rules.related[claim.topic]))
            if restated and (all(one.limits for one in denied) or claim.topic not in _NAMED_ALIKE):
                continue
            if all(one.limits & {"large", "significant"} for one in denied) and claim.severities & {0, 1}:
                continue
            yield Flag(
                "negation", f"The draft asserts {claim.topic}, which the findings deny.", claim.span, denied[0].span
            )
        elif claim.value == 0 and asserted and not denied:
            if claim.mention.concept.kind == "organ" and claim.topic == "Lungs":
                continue
            against = [one for one in asserted if _denies(claim, one)]
            if against:
                yield Flag(
                    "negation",
                    f"The draft denies {claim.topic}, which the findings assert.",
                    claim.span,
                    against[0].span,
                )


def _denies(denial: Claim, other: Claim) -> bool:
    """Whether a denial in the draft speaks against a claim of the same topic."""
    if other.value != 1 or (denial.sides and other.sides and not denial.sides & other.sides):
        return False
    return not denial.limits


def find_changed_severities(findings: Section, draft: Section) -> Iterator[Flag]:
    """A size or degree that differs from all that the findings give to the topic."""
    for claim in draft.claims:
        if not claim.severities or not claim.says_it_is_there:
            continue
        held = _graded(findings, claim)
        known = [rank for one in held for rank in one.severities]
        if known and not any(_alike(rank, other) for rank in claim.severities for other in known):
            span = claim.mention.severity[0].span
            yield Flag(
                "severity", f"The draft grades {claim.topic} otherwise than the findings do.", span, held[0].span
            )


def _graded(findings: Section, claim: Claim) -> Sequence[Claim]:
    related = load_rules().related[claim.topic]
    for topics in ({claim.topic}, related):
        there = [one for one in findings.about(topics) if one.says_it_is_there]
        if there:
            return [one for one in there if one.severities]
    return []


def _alike(one: int, other: int) -> bool:
    return one == other or {one, other} == {0, 1}
