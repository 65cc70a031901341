"""What the findings assert and a draft leaves out, as far as radiologists would not."""

from collections.abc import Callable, Iterator

from radllama.clinical.checks.claims import Claim, Section, load_rules
from radllama.clinical.checks.flag import Flag

# Whether an asserted claim of these findings belongs into every impression of them.
MustRepeat = Callable[[Claim, Section], bool]


def must_repeat(claim: Claim, findings: Section) -> bool:
    """The default: topics of `checks.yaml: must_repeat`, unless the sentence calls the claim old, stable or slight."""
    rules = load_rules()
    if claim.topic not in rules.must_repeat:
        return False
    start, end = claim.mention.sentence
    if claim.topic not in ("Cardiomegaly",) and rules.minor.search(findings.text, start, end):
        return False
    return not claim.severities & {0}


def find_omissions(findings: Section, draft: Section, policy: MustRepeat = must_repeat) -> Iterator[Flag]:
    """An asserted finding that must be repeated, and that the draft names under no related name."""
    related = load_rules().related
    told: set[str] = set()
    for claim in findings.claims:
        if claim.value != 1 or claim.topic in told or not policy(claim, findings):
            continue
        if any(one.topic in related[claim.topic] for one in draft.claims):
            continue
        told.update(related[claim.topic])
        yield Flag("omitted", f"The draft leaves out {claim.topic}, which the findings assert.", None, claim.span)
