"""Advice that is a department's custom: what colleagues advised of findings alike, without ground in them.

Findings often give no advice where the impression does, and what a department always advises ("follow-up radiograph in
6 weeks" of a fracture) is no invention. So advice may be said when several of the nearest prior reports say as much.
"""

from collections.abc import Callable
from functools import lru_cache

from radllama.clinical.checks.additions import find_groundless_advice
from radllama.clinical.checks.claims import parse_section
from radllama.library.consensus import NEIGHBOURS
from radllama.library.library import Library
from radllama.report import Report
from radllama.text import words

# On the sample hospital 2 of 30 with 0.6 excuse nine tenths of its own advice and one in a hundred pieces of other
# advice; a single colleague, or half of the words, would excuse three times as much of the other.
_COLLEAGUES = 2
_ALIKE = 0.6  # the share of an advice's words that one colleague's holds
_STEM = 5  # letters: recommended and recommendation
_LITTLE = frozenset(
    {*("a", "an", "the", "is", "are", "be", "of", "for", "to", "in", "on", "with", "if", "or", "at", "by", "as")}
    | {*("may", "would", "could", "should", "this", "that")}
)

IsCustom = Callable[[str], bool]


def custom_advice(library: Library | None, findings: str, leave_out: Report | None = None) -> IsCustom | None:
    """Whether a sentence of advice is what colleagues say of findings alike; None without a library.

    The report `leave_out` and others of its patient are no colleagues' reports. Nothing is looked up before that.
    """
    if library is None:
        return None
    colleagues: list[list[frozenset[str]]] = []

    def is_custom(sentence: str) -> bool:
        if not colleagues:
            near = library.nearest(findings, NEIGHBOURS, leave_out)
            colleagues.extend(_advice_of(one.findings, one.impression) for one in near)
        own = _stems(sentence)
        agreeing = sum(any(len(own & said) >= _ALIKE * len(own) for said in advice) for advice in colleagues)
        return agreeing >= _COLLEAGUES

    return is_custom


@lru_cache(maxsize=1 << 14)
def _advice_of(findings: str, impression: str) -> list[frozenset[str]]:
    draft = parse_section(impression)
    spans = dict.fromkeys(sentence for _, sentence in find_groundless_advice(parse_section(findings), draft))
    return [_stems(impression[start:end]) for start, end in spans]


def _stems(sentence: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in words(sentence) if word not in _LITTLE)
