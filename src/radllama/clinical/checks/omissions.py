"""What the findings assert and a draft leaves out, as far as radiologists would not."""

import re
from collections.abc import Callable, Iterator

from radllama.clinical.checks.claims import Claim, Section, is_excused
from radllama.clinical.checks.flag import Flag
from radllama.clinical.checks.rules import load_rules

# Whether an asserted claim of these findings belongs into every impression of them.
MustRepeat = Callable[[Claim, Section], bool]
_WITH = re.compile(r"[^.;,:]{0,20}\b(?:with|and)\b(?: [\w-]+){0,2} ")


def must_repeat(claim: Claim, findings: Section) -> bool:
    """The default: topics of `checks.yaml: must_repeat`, unless their sentence has a word that excuses them there."""
    return claim.topic in load_rules().must_repeat and not is_excused(claim, findings)


def find_omissions(findings: Section, draft: Section, policy: MustRepeat = must_repeat) -> Iterator[Flag]:
    """An asserted finding that must be repeated, and that the draft names under no related name."""
    restates = load_rules().restates
    told: set[str] = set()
    for claim in findings.claims:
        if claim.value != 1 or claim.topic in told or not policy(claim, findings):
            continue
        if any(_repeats(one, claim, draft) for one in draft.claims):
            continue
        told.update(restates[claim.topic])
        yield Flag("omitted", f"The draft leaves out {claim.name}, which the findings assert.", None, claim.span)


def _repeats(one: Claim, claim: Claim, draft: Section) -> bool:
    """Whether a claim of the draft stands for one of the findings."""
    rules = load_rules()
    if one.topic in rules.restates[claim.topic]:
        # "Correlate with signs of infection" names what to look for, not what was seen.
        advised = any(one.mention.sentence[0] <= word.span[0] < one.span[0] for word in draft.reading.recommendations)
        return one.says_it_is_there and not advised and not _is_elsewhere(one, claim, draft)
    return one.value == 1 and one.topic in rules.covered_by.get(claim.topic, ())


def _is_elsewhere(one: Claim, claim: Claim, draft: Section) -> bool:
    """Whether a claim without a side shares that of the claim before it, and the findings' is on the other.

    "Left effusion with airspace disease" tells of no consolidation on the right.
    """
    if one.sides or not claim.sides:
        return False
    before = [
        other for other in draft.claims if other.sides and _WITH.fullmatch(draft.lower, other.span[1], one.span[0])
    ]
    return bool(before) and before[-1].sides.isdisjoint(claim.sides)
