"""Whether a draft keeps what the radiologist reported: three figures that wording hides.

All three look at *positive* observations (`clinical.observations`): those that a text asserts.

- **repeated**: of the observations positive in both findings and reference, the share that the draft asserts too.
  What the radiologist passed over may be passed over.
- **answered normal**: of the reports with such an observation, those whose draft asserts none at all.
- **invented**: of all reports, those whose draft asserts an observation that neither the findings nor the reference
  names, not even as a possibility.

Each is a ratio of sums over reports, so a report gives a numerator and a denominator; where the denominator is 0 the
report has no say. An empty draft repeats nothing, answers normal, and invents nothing.
"""

from radllama.clinical.observations import observe

REPEATED, ANSWERED_NORMAL, INVENTED = "repeated", "answered_normal", "invented"

Fraction = tuple[int, int]
_NO_SAY: Fraction = (0, 0)


def faithfulness(findings: str | None, reference: str, draft: str) -> dict[str, Fraction]:
    """(numerator, denominator) of the three figures for one draft; without findings it has no say in any."""
    if findings is None:
        return dict.fromkeys((REPEATED, ANSWERED_NORMAL, INVENTED), _NO_SAY)
    asserted = observe(draft).asserted
    repeatable = repeatable_observations(findings, reference)
    return {
        REPEATED: (len(repeatable & asserted), len(repeatable)),
        ANSWERED_NORMAL: (int(bool(repeatable) and not asserted), int(bool(repeatable))),
        INVENTED: (int(bool(invented_observations(findings, reference, draft))), 1),
    }


def repeatable_observations(findings: str, reference: str) -> frozenset[str]:
    """The observations that stand as positive in both: what a draft should repeat."""
    return observe(findings).asserted & observe(reference).asserted


def omitted_observations(findings: str, reference: str, draft: str) -> frozenset[str]:
    """The observations that the draft should repeat and does not."""
    return repeatable_observations(findings, reference) - observe(draft).asserted


def invented_observations(findings: str, reference: str, draft: str) -> frozenset[str]:
    """The observations that the draft asserts and that neither text asserts or doubts."""
    named = (observe(text) for text in (findings, reference))
    return observe(draft).asserted.difference(*(names for text in named for names in (text.asserted, text.doubted)))
