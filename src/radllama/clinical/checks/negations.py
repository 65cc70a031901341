"""Flipped negations: what one text asserts and the other denies."""

from collections.abc import Iterator

from radllama.clinical.checks.claims import Claim, Section, is_excused
from radllama.clinical.checks.flag import Flag
from radllama.clinical.checks.rules import load_rules


def find_flipped_negations(findings: Section, draft: Section) -> Iterator[Flag]:
    """What one text asserts and the other denies."""
    rules = load_rules()
    for claim in draft.claims:
        if claim.topic == "Acute Disease":
            if claim.value == 1 and not any(_may_be_acute(one, findings) for one in findings.about(rules.acute)):
                told = "The draft asserts disease, where the findings name nothing that may be acute."
                yield Flag("negation", told, claim.span, None)
            continue
        held = findings.about({claim.topic})
        if claim.says_it_is_there:
            if not any(one.says_it_is_there for one in held):
                yield from _assertion_of_denied(findings, draft, claim)
        elif not any(not one.says_it_is_there for one in held):
            yield from _denial_of_asserted(draft, findings, claim)


def _may_be_acute(claim: Claim, findings: Section) -> bool:
    return claim.says_it_is_there and not is_excused(claim, findings)


def _assertion_of_denied(findings: Section, draft: Section, claim: Claim) -> Iterator[Flag]:
    rules = load_rules()
    together = findings.about({claim.topic}) or findings.about(rules.denied_together[claim.topic])
    denied = [one for one in together if not one.says_it_is_there]
    restated = any(one.says_it_is_there for one in findings.about(rules.related[claim.topic]))
    said = draft.lower[slice(*claim.mention.sentence)]
    for one in denied:
        # "No large effusion" denies no small one, and "no focal opacity" none that is named otherwise; but "with
        # focal opacity" is what it denies.
        silent = one.limits and not any(word in said for word in one.limits)
        if restated and (silent or (not one.limits and claim.topic not in rules.called_alike)):
            continue
        if silent and one.limits & {"large", "significant"} and claim.severities & {0, 1}:
            continue
        yield Flag("negation", f"The draft asserts {claim.name}, which the findings deny.", claim.span, one.span)
        return


def _denial_of_asserted(draft: Section, findings: Section, claim: Claim) -> Iterator[Flag]:
    if claim.topic == "Lungs":
        return
    restates = load_rules().restates[claim.topic]
    restated = any(one.says_it_is_there for one in draft.about(restates))
    for one in findings.about({claim.topic}):
        if claim.sides and one.sides and not claim.sides & one.sides:
            continue
        if one.value == -1 and restated:
            continue
        start, end = one.mention.sentence
        if all(word in findings.text[start:end].lower() for word in claim.limits):
            told = f"The draft denies {claim.name}, which the findings assert."
            yield Flag("negation", told, claim.span, one.span)
            return
