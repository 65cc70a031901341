"""A scan for what should have been removed: dates, names, numbers and addresses that point at a person.

It warns; it removes nothing and proves nothing. It reads the table of patterns below, which follow the
identifiers of the HIPAA safe harbour list (45 CFR 164.514(b)(2)) as far as a pattern can know them: names
without a title, hospitals and towns pass unseen. De-identification marks (`XXXX`, `___`) are no hit. Only
kinds, counts and report ids leave this module, never the words that were found.
"""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from radllama.report import Report

SHOWN_IDS = 20

_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?"
    r"|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?|JAN(?:UARY)?|FEB(?:RUARY)?|MAR(?:CH)?|APR(?:IL)?|MAY|JUNE?"
    r"|JULY?|AUG(?:UST)?|SEPT?(?:EMBER)?|OCT(?:OBER)?|NOV(?:EMBER)?|DEC(?:EMBER)?)\b\.?"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d\d"
# A word with a capital that is not a mark; `(?!...)` lists roles and places that follow the same verbs.
_NAME = (
    r"(?!X{2,}\b)(?!(?:The|Emergency|Radiology|Nursing|Nurse|Surgery|Surgical|Medicine|Medical|Ordering|Referring"
    r"|Primary|Clinical|Critical|Intensive|Care|Department|Service|Team|Pulmonary|Cardiology|Oncology|Orthopedics?"
    r"|Attending|Resident|Physician|Radiologist|Transcription|Patient|Telephone|Phone|Dr|Doctor|Mr|Mrs|Ms)\b)"
    r"[A-Z](?:[a-z]|[A-Z'-][A-Za-z])[A-Za-z'-]*"
)


_DIGITS = re.compile(r"\d+")


class Pattern(NamedTuple):
    """One way in which a kind of identifier is written, and why the pattern is drawn where it is."""

    kind: str
    regex: re.Pattern[str]
    reason: str
    digits: int  # a text without so many in a row cannot match: most reports are spared most patterns


def _pattern(kind: str, regex: str, reason: str, flags: int = 0, digits: int = 0) -> Pattern:
    return Pattern(kind, re.compile(regex, flags), reason, digits)


PATTERNS = (
    _pattern(
        "date",
        rf"(?<![\d/.-])(?:{_MONTH_NUMBER}/{_DAY}|{_DAY}/{_MONTH_NUMBER})/(?:{_YEAR}|\d\d)(?![\d/])",
        "3/14/2015, 14/3/15: two slashes; one alone is a fraction, a scale, a level (L4/5) or a rib",
        digits=2,
    ),
    _pattern(
        "date",
        rf"(?<![\d/.-])(?:{_DAY}|{_MONTH_NUMBER})([.-]){_DAY}\1{_YEAR}(?!\d)",
        "14.3.2015, 03-14-2015: the year in full, because 3-4-10 may be ribs or levels",
        digits=4,
    ),
    _pattern(
        "date",
        rf"(?<![\d/.-]){_YEAR}([./-]){_MONTH_NUMBER}\1{_DAY}(?!\d)",
        "2015-03-14: the year first, as machines write it",
        digits=4,
    ),
    _pattern(
        "date",
        rf"\b{_MONTH}\s*{_DAY}(?:st|nd|rd|th)?\b(?!\s?(?:cm|mm|x\b|hours?\b|days?\b|weeks?\b|%))",
        "March 14, Mar. 14th; capitals tell the month from `may 2 ...` and `march`",
        digits=1,
    ),
    _pattern("date", rf"\b{_DAY}(?:st|nd|rd|th)?[\s-]+(?:of\s+)?{_MONTH}(?![a-z])", "14 March, 14-MAR-15", digits=1),
    _pattern("date", rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}\b", "March 2015; a year alone may stand", digits=4),
    _pattern(
        "date",
        rf"\bdated:?\s+{_MONTH_NUMBER}[/-]{_DAY}\b",
        "dated 3/14: month and day, but only behind this word",
        re.IGNORECASE,
        digits=1,
    ),
    _pattern("date", r"\b(?:DOB|D\.O\.B\.|date of birth|born on)\s*:?\s*\d", "a label for it", re.IGNORECASE, digits=1),
    _pattern(
        "phone or fax",
        r"(?<![\d.-])(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-.]\d{4}(?![\d-])",
        "(317) 555-0142, 317.555.0142: three, three and four digits",
        digits=4,
    ),
    _pattern(
        "phone or fax",
        r"\b(?:phone|telephone|tel|fax|pager|beeper|extension|ext|mobile|cell)\b[^\w\n]{0,3}"
        r"(?:(?:number|no|at|is)\b[^\w\n]{0,3}){0,2}\+?(?:\d[ -]?){4,}",
        "pager 4711: four digits or more behind the word, so that `cell 5 mm` and `fax.` pass",
        re.IGNORECASE,
        digits=1,
    ),
    _pattern("social security number", r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])", "123-45-6789: by its dashes", digits=4),
    _pattern(
        "record number",
        r"\b(?:MRN?|med(?:ical)?\.? rec(?:ord)?|accession|acc|account|acct|patient id|order|case|exam"
        r"|encounter|serial|study id)\b[^\w\n]{0,3}(?:(?:number|no|num|id|is)\b[^\w\n]{0,3}){0,2}[A-Z]{0,4}-?\d{4,}",
        "MRN 0012345, accession no. CT-20134: a label and at least four digits",
        re.IGNORECASE,
        digits=4,
    ),
    _pattern(
        "record number",
        r"(?<![\d.,/-])\d{7,}(?![\d.,/-]?\d)",
        "seven digits in a row (20150314 too): no measurement is that long",
        digits=7,
    ),
    _pattern("e-mail", r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b", "a@b.org"),
    _pattern(
        "web address",
        r"\b(?:https?://|www\.)\S|\b(?:\d{1,3}\.){3}\d{1,3}\b",
        "http://, www. or four numbers with dots",
        re.IGNORECASE,
    ),
    _pattern(
        "name",
        rf"\b(?:Dr|DR|Mr|MR|Mrs|MRS|Ms|Prof|Doctor|DOCTOR|Miss)\b(?:\.\s*|\s+){_NAME}",
        "a title and a capital; MS and MISS in capitals are the disease and the verb",
    ),
    _pattern(
        "name",
        rf"\b[Pp]atient(?:'s)? [Nn]ame\b\s*(?::|is)\s*{_NAME}|\bNAME\s*:\s*{_NAME}|\bName\s*:\s*{_NAME}",
        "a label for it",
    ),
    _pattern(
        "name",
        rf"\b(?i:dictated|transcribed|(?:electronically )?signed|interpreted|reviewed|reported|read"
        rf"|approved|verified)\s+(?:and\s+\w+\s+)?(?i:by)\s*:?\s+{_NAME}",
        "dictated by Smith: who signed",
    ),
    _pattern(
        "name",
        rf"\b(?i:discussed|communicated|relayed|reported|telephoned|called)\s+(?:\w+\s+){{0,4}}(?i:with|to)\s+{_NAME}\s+{_NAME}",
        "discussed with Jane Smith: two names, because one capital may begin a ward",
    ),
    _pattern(
        "name",
        rf"\b{_NAME}\s+(?:[A-Z]\.?\s+)?{_NAME}(?:,?\s+(?:MD|M\.D\.)|,\s*(?:DO|D\.O\.|RN|NP|PA-C|PhD)\b)",
        "Jane Q. Smith, MD: two names and a degree; PA alone is a projection",
    ),
    _pattern(
        "address",
        r"\b\d{1,5}\s+(?:[NSEW]\.?\s+)?(?:[A-Z][a-z]+\s+){1,3}"
        r"(?:Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Highway|Hwy|Parkway|Pkwy)\b",
        "12 North Meridian Street; `Dr` and `Ct` are doctors and scans",
        digits=1,
    ),
    _pattern("address", r"\b[A-Z][a-z]+,\s*[A-Z]{2}\.?\s+\d{5}(?:-\d{4})?\b", "Springfield, IN 46202", digits=5),
    _pattern("address", r"\b(?:P\.?\s?O\.?\s+Box|zip(?:\s+code)?:?)\s*\d+", "a label for it", re.IGNORECASE, digits=1),
    _pattern(
        "age over 89",
        r"(?<![\d./-])(?:9\d|1[0-2]\d)[\s-]*(?:years?|yrs?|y)\.?[\s-]*(?:of[\s-]+age|old\b|/?o\b)",
        "92-year-old, 101 yo: ages up to 89 may stand, and `90 years` alone is a span of time",
        re.IGNORECASE,
        digits=2,
    ),
    _pattern(
        "age over 89",
        r"\baged?\s*:?\s*(?:9\d|1[0-2]\d)\b(?!\s*(?:%|mm|cm|days?|weeks?|months?|hours?|min))",
        "aged 92: without the word for years",
        re.IGNORECASE,
        digits=2,
    ),
)

KINDS = tuple(dict.fromkeys(pattern.kind for pattern in PATTERNS))


def scan(report: Report) -> set[str]:
    """Say which of `KINDS` some section of the report seems to hold."""
    # A NUL between sections: no pattern can reach from one into the next.
    everything = "\0".join((report.findings, report.impression, report.indication, report.comparison, report.technique))
    longest = max(map(len, _DIGITS.findall(everything)), default=0)
    return {pattern.kind for pattern in PATTERNS if pattern.digits <= longest and pattern.regex.search(everything)}


def count_kinds(reports: Iterable[Report]) -> dict[str, dict[str, Any]]:
    """Count, for each kind that some report holds: {"reports": how many, "ids": the first 20 of them}."""
    found: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for report in reports:
        for kind in scan(report):
            found[kind].append(report.id)
    return {kind: {"reports": len(ids), "ids": ids[:SHOWN_IDS]} for kind, ids in found.items() if ids}
