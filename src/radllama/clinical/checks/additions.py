"""What a draft says that the findings do not: a finding, a size, a comparison, a recommendation."""

import re
from collections.abc import Callable, Iterator

from radllama.clinical.checks.claims import Claim, Section, is_there
from radllama.clinical.checks.flag import Flag
from radllama.clinical.checks.rules import load_rules
from radllama.clinical.read import Span, Word
from radllama.clinical.segment import find_sentences


def find_unsupported(findings: Section, draft: Section) -> Iterator[Flag]:
    """A finding or device that the findings name neither under its own name nor under a related one."""
    told: set[str] = set()
    for claim in draft.claims:
        if claim.value == 0 or claim.topic in told or claim.mention.concept.kind == "remark":
            continue
        if is_there(findings, claim) or _is_denied(findings, claim):
            continue
        told.add(claim.topic)
        denial = next((one for one in findings.claims if _speaks_against(one, claim)), None)
        yield Flag(
            "unsupported",
            f"The findings do not speak of {claim.name}.",
            claim.span,
            denial.span if denial else None,
        )


def _is_denied(findings: Section, claim: Claim) -> bool:
    # Told as a negation; but "no large effusion" is silent about a small one.
    return any(not one.limits for one in findings.about({claim.topic}))


def _speaks_against(one: Claim, claim: Claim) -> bool:
    return one.value == 0 and bool(set(one.mention.concept.denies) & set(claim.mention.concept.observations))


def find_changed_measurements(findings: Section, draft: Section) -> Iterator[Flag]:
    """A size in the draft that no size in the findings rounds to."""
    held = findings.reading.measurements
    for size in draft.reading.measurements:
        if _is_advised(draft, size.span):  # "withdrawal by 3 cm"
            continue
        if not all(
            any(_rounds_to(one, each) for other in held for each in other.millimetres) for one in size.millimetres
        ):
            nearest = held[0].span if held else None
            told = "is not among those of the findings" if held else "is given, where the findings give none"
            yield Flag("measurement", f"A size in the draft {told}.", size.span, nearest)


def _is_advised(draft: Section, span: Span) -> bool:
    sentence = _sentence_of(draft, span)
    return any(sentence[0] <= word.span[0] < span[0] for word in draft.reading.recommendations)


def _rounds_to(said: float, held: float) -> bool:
    # 14 mm may become 1.4 cm, not 1 cm: half a millimetre, or a fortieth of a large size.
    return abs(said - held) <= max(0.5, held / 40)


def find_invented_priors(findings: Section, draft: Section) -> Iterator[Flag]:
    """A comparison with an earlier examination, where the findings speak of none."""
    if findings.reading.priors:
        return
    for word in draft.reading.priors:
        if _compares_nothing(draft, word.span):
            continue
        yield Flag("prior", "The draft compares with an earlier examination; the findings do not.", word.span, None)
        return


def _compares_nothing(draft: Section, span: Span) -> bool:
    # "Follow up to resolution", "if prior films are available": of the future, or of what is not there.
    start, end = _sentence_of(draft, span)
    advised = any(start <= word.span[0] < end for word in draft.reading.recommendations)
    return advised or bool(load_rules().no_comparison.search(draft.text, start, end))


def _sentence_of(draft: Section, span: Span) -> Span:
    whole = (0, len(draft.text))
    return next((one for one in find_sentences(draft.text) if one[0] <= span[0] < one[1]), whole)


# "No follow-up needed", "no further imaging".
_DENIED = re.compile(r"\bno (?:\w+ ){0,3}$")


def find_invented_recommendations(
    findings: Section, draft: Section, is_custom: Callable[[str], bool] | None = None
) -> Iterator[Flag]:
    """Advice without ground in the findings, unless `is_custom` says that the department always gives it."""
    for word, (start, end) in find_groundless_advice(findings, draft):
        if not is_custom or not is_custom(draft.text[start:end]):
            yield Flag("recommendation", "The draft gives advice; the findings give none.", word.span, None)
            return


def find_groundless_advice(findings: Section, draft: Section) -> Iterator[tuple[Word, Span]]:
    """Advice on what to do next, where the findings give none and name nothing that always calls for it.

    Each word that advises, and where its sentence stands.
    """
    asked_for = any(one.says_it_is_there for one in findings.about(load_rules().advised))
    if findings.reading.recommendations or asked_for:
        return
    for word in draft.reading.recommendations:
        if not _DENIED.search(draft.lower, 0, word.span[0]):
            yield word, _sentence_of(draft, word.span)
