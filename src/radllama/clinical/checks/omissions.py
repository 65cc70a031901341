"""What the findings assert and a draft leaves out, as far as radiologists would not."""

from collections.abc import Callable, Iterator

from radllama.clinical.checks.claims import Claim, Section, is_excused
from radllama.clinical.checks.flag import Flag
from radllama.clinical.checks.rules import load_rules

# Whether an asserted claim of these findings belongs into every impression of them.
MustRepeat = Callable[[Claim, Section], bool]


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
        return one.says_it_is_there and not advised
    return one.value == 1 and one.topic in rules.covered_by.get(claim.topic, ())
