"""What is done to a report's text before it becomes an example, and which reports are left out.

The rules, in this order, for every section. None of them adds, removes, replaces or reorders a word:

1. A half of a surrogate pair, which no file can hold, becomes U+FFFD. Invisible characters that no word
   needs (byte order mark, zero-width space, soft hyphen, direction marks) go.
2. HTML that an export left behind: `<br>` is a space, `&lt; &gt; &amp; &quot; &apos; &nbsp;` are the
   characters that they stand for.
3. Unicode is composed (NFC). Control characters are spaces.
4. Every run of white space, line breaks too, is one space: MIMIC breaks its lines at 80 columns wherever
   it happens to be, OpenI holds numbered lists on one line, and drafts should not learn either accident.
   The numbers of a list stay as they were typed.
5. Stray double quotes of a table export: a pair around the whole section, a lone one at either end.
   (A quote behind a digit is an inch mark and stays.)
6. A full stop written twice (`abnormality..`, `abnormality. .`) is one, and stands at its word; an
   ellipsis stays.

De-identification marks (`XXXX`, `___`) stay as they stand: what was there is not known. Cleaning twice
is cleaning once.
"""

import re
import unicodedata
from dataclasses import replace

from radllama.report import Report
from radllama.text import normalise

CLEANING_VERSION = 1

_ENTITY = re.compile(r"&(?:amp;)*(lt|gt|quot|apos|nbsp|amp);", re.IGNORECASE)
_CHARACTERS = {"lt": "<", "gt": ">", "quot": '"', "apos": "'", "nbsp": " ", "amp": "&"}
_LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_STOPS = re.compile(r" ?\.(?: ?\.)*(?= |$)")

# What remains of a section must hold a letter outside a de-identification mark.
_MARK = re.compile(r"\bX{2,}\b|_{2,}", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
# Sections that say where the text is, or that there is none: nothing to learn from, nothing to read.
_EMPTY_PHRASES = {
    *("none", "n a", "na", "nil", "not available", "not applicable", "not dictated", "no text", "blank"),
    *("see above", "see below", "see report", "see full report", "see dictation", "see comment"),
    *("as above", "as below", "as described above", "as described", "as noted above", "per above"),
    *("see findings", "see impression", "see findings above", "see impression below", "see the impression"),
    *("please see above", "please see below", "please see impression", "please see findings"),
    *("findings as above", "impression as above", "same as impression", "same as findings"),
}


def clean(report: Report) -> Report:
    """Clean every section of a report by the rules above; ids are not touched."""
    return replace(
        report,
        findings=clean_section(report.findings),
        impression=clean_section(report.impression),
        indication=clean_section(report.indication),
        comparison=clean_section(report.comparison),
        technique=clean_section(report.technique),
    )


def clean_section(section: str) -> str:
    """One section cleaned by the rules of this module; `clean_section` of the result is the result."""
    section = _SURROGATE.sub("\ufffd", section)
    section = _INVISIBLE.sub("", section)
    # Composed on both sides of the HTML: composing can complete an entity (U+037E is a semicolon), and
    # a decoded entity can take an accent.
    section = unicodedata.normalize("NFC", section)
    section = _ENTITY.sub(lambda match: _CHARACTERS[match[1].lower()], section)
    section = _LINE_BREAK.sub(" ", section)
    section = unicodedata.normalize("NFC", section)
    section = _BLANK.sub(" ", section).strip()
    section = _strip_stray_quotes(section)
    return _STOPS.sub(lambda match: "..." if "..." in match[0] else ".", section)


def why_unusable(report: Report) -> str | None:
    """Why a cleaned report cannot be an example, in words that are counted and shown, or None."""
    if not report.findings and not report.impression:
        return "neither findings nor impression"
    for name, section in (("findings", report.findings), ("impression", report.impression)):
        verb = "hold" if name == "findings" else "holds"
        if not section:
            return f"no {name}"
        if not _LETTER.search(_MARK.sub("", section)):
            return f"{name} {verb} no words"
        if normalise(section) in _EMPTY_PHRASES:
            return f"{name} {verb} no text of its own"
    return None


def _strip_stray_quotes(section: str) -> str:
    quotes = section.count('"')
    if quotes == 2 and section[0] == section[-1] == '"':
        return section[1:-1].strip()
    if quotes == 1 and section[0] == '"':
        return section[1:].strip()
    if quotes == 1 and section[-1] == '"' and not section[:-1].rstrip()[-1:].isdigit():
        return section[:-1].strip()
    return section
