"""What a qualifier stands before, for words that the lexicon does not know: "left clavicle", "mild streakiness"."""

import re

from radllama.clinical.checks.claims import Section
from radllama.clinical.segment import find_sentences

# The next word that is no size, place or filler.
_ANCHOR = re.compile(
    r"\b(?!(?:upper|lower|middle|lobe|lobar|small|large|moderate|mild|lung|side|sided|base|basilar|apex|apical|zone)\b)"
    r"(?!(?:greater|than|possible|probable|with|from|there|seen|noted|likely|which|that|this|have|been|left|right)\b)"
    r"[a-z]{4,}"
)


def find_said_of_same(
    findings: Section, draft: Section, position: int, qualifier: re.Pattern[str]
) -> list[re.Match[str]]:
    """The qualifiers in those sentences of the findings that have the word after `position` in the draft too."""
    end = next((end for start, end in find_sentences(draft.text) if start <= position <= end), len(draft.text))
    anchor = _ANCHOR.search(draft.lower, position, end)
    if anchor is None:
        return []
    # Without its ending: hilum and hilar, atria and atrial.
    stem = re.compile(rf"\b{re.escape(anchor.group()[: max(3, min(6, len(anchor.group()) - 2))])}")
    return [
        match
        for sentence in find_sentences(findings.text)
        if stem.search(findings.lower, *sentence)
        for match in qualifier.finditer(findings.lower, *sentence)
    ]
