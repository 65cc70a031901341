"""Reports that come in parts, each under a code or a name of its own (HL7, FHIR, DICOM) -> sections."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from radllama.reports.headings import HEADINGS
from radllama.reports.sections import NO_HEADINGS, Sections, parse_sections
from radllama.text import normalise

NO_TEXT = "no text"
_SECTIONS = ("findings", "impression", "indication", "comparison", "technique")
_CODES = {
    # LOINC
    "59776-5": "findings",  # Procedure findings
    "18782-3": "findings",  # Radiology study observation
    "19005-8": "impression",  # Radiology imaging study impression
    "18785-6": "indication",  # Radiology reason for study
    "18834-2": "comparison",  # Radiology comparison study
    "55111-9": "technique",  # Current imaging procedure descriptions
    # DICOM's Content Mapping Resource: a heading of TID 2000, or the item under it
    "121070": "findings",
    "121071": "findings",
    "121072": "impression",
    "121073": "impression",
    "121076": "impression",
    "121077": "impression",
    "121060": "indication",
    "121109": "indication",
    "121064": "technique",
    "121065": "technique",
    "121066": "comparison",
    # The suffixes that HL7 v2 gives observation ids of imaging reports ("71046&GDT")
    "GDT": "findings",
    "IMP": "impression",
}
_NAMES = {normalise(name): section for section in _SECTIONS for name in HEADINGS[section]}  # type: ignore[index]


@dataclass(frozen=True, slots=True)
class Part:
    """A text of a report, and the section that its code or name stands for; None where that is none of ours."""

    section: str | None
    text: str


def section_of(codes: Iterable[str], names: Iterable[str] = ()) -> str | None:
    """The section that codes or names stand for: the first that is known."""
    known = [_CODES[code] for code in codes if code in _CODES]
    known += [_NAMES[name] for name in map(normalise, names) if name in _NAMES]
    return known[0] if known else None


def join_parts(parts: Sequence[Part]) -> Sections:
    """The sections of a report. Where no part is called findings or impression, its whole text is split at headings."""
    texts = [part for part in parts if part.text.strip()]
    if not any(part.section in ("findings", "impression") for part in texts):
        return parse_sections("\n".join(part.text for part in texts))
    found = {section: "\n".join(part.text for part in texts if part.section == section) for section in _SECTIONS}
    return Sections(**found)


def join_dictated(parts: Sequence[Part]) -> Sections:
    """Like `join_parts`, of a report that wants a draft: a text without any heading is its findings."""
    sections = join_parts(parts)
    if sections.problem == NO_HEADINGS and not any(part.section for part in parts):
        return Sections(findings="\n".join(part.text for part in parts if part.text.strip()))
    return sections
