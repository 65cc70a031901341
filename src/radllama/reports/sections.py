"""Free text to sections: findings, impression and what stands around them.

The rules, in the order they are applied:

1. A heading is a phrase of `headings.HEADINGS`: at the start of a line with a colon or dash after it,
   alone on its line, or in capitals before mixed-case text; inside a line it needs a colon. In lower case
   in mid-sentence, or after a word that makes it prose or a sub-heading, it is text.
2. Any other heading ("LUNGS:") is text of the section it stands in. Text before the first heading is dropped.
3. A wet read or an addendum in front of the report ends at a line of underscores or a FINAL REPORT banner
   that the report follows, else at the next heading. A preliminary report, and an addendum after the report,
   end at such a banner alone. Nothing in them is a section.
4. Sections that stand twice are joined in their order, impressions too: reports on two examinations have two.
5. Findings and impression end at a signature block (`headings.SIGNATURES`).
6. Nothing is guessed: without a heading there is no impression, and one heading for both is a problem.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from radllama.reports.headings import (
    BODY_PARTS,
    EXAM_WORDS,
    HEADINGS,
    NOT_BEFORE_A_HEADING,
    QUALIFIERS,
    SIGNATURES,
    SIGNED_NAMES,
    Kind,
)

EMPTY = "empty text"
NO_HEADINGS = "no section headings"
NEITHER = "no heading for findings or impression"
COMBINED = "findings and impression in one section"
PRELIMINARY = "preliminary report only"


@dataclass(frozen=True, slots=True)
class Unusable:
    """A report that could not be read as findings and impression, and why.

    `reason` is a short constant phrase to count by, such as "no section headings"; never report text.
    """

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections of one free text, their wording and line breaks untouched; "" where there is none.

    `problem` is None, or a constant phrase when the text could not be split: all sections are then "".
    """

    findings: str = ""
    impression: str = ""
    indication: str = ""
    comparison: str = ""
    technique: str = ""
    problem: str | None = None


@dataclass(slots=True)
class _Segment:
    kind: Kind | None  # None: before the first heading
    lines: list[str] = field(default_factory=list)


def _pattern(phrases: Iterable[str]) -> str:
    # Longest first, so that CLINICAL HISTORY is not read as CLINICAL.
    return "|".join(_phrase_pattern(phrase) for phrase in sorted(phrases, key=len, reverse=True))


def _phrase_pattern(phrase: str) -> str:
    # "FINDINGS/IMPRESSION" is also written "FINDINGS / IMPRESSION". No two blanks patterns may touch:
    # together they would take quadratic time on a run of spaces.
    words = [re.escape(word) for word in re.split(r"\s*[/&,]\s*|\s+", phrase)]
    gaps = re.findall(r"\s*[/&,]\s*|\s+", phrase)
    gaps = [rf"[ \t]*{gap.strip()}[ \t]*" if gap.strip() else r"[ \t]+" for gap in gaps]
    return "".join(word + gap for word, gap in zip(words, [*gaps, ""], strict=True))


_KIND: dict[str, Kind] = {
    re.sub(r" ?([/&,]) ?", r"\1", phrase): kind for kind, phrases in HEADINGS.items() for phrase in phrases
}
_CORE = _pattern(HEADINGS["findings"] + HEADINGS["impression"] + HEADINGS["findings and impression"])
_ANY = _pattern(phrase for phrases in HEADINGS.values() for phrase in phrases)
_PHRASE = rf"(?P<phrase>(?:(?:{_pattern(QUALIFIERS)})[ \t]+){{1,3}}(?P<core>{_CORE})|{_ANY})(?![^\W_])"
_REMARK = r"(?:[ \t]*\([^()]{1,60}\))?"
_AT_START = re.compile(rf"(?P<number>[ \t]*\d{{1,2}}[.)])?[ \t#*_>=\[~-]*{_PHRASE}{_REMARK}", re.IGNORECASE)
_INSIDE = re.compile(rf"(?<![^\W_])(?<![/'-]){_PHRASE}{_REMARK}[ \t*_\]]*:[*_]*", re.IGNORECASE)
_COLON = re.compile(r"[ \t*_\]=~#]*:[*_:]*(?:[ \t]*[-–—](?=[ \t]|$))?")
_ALONE = re.compile(r"[ \t*_\]=~#.-]*$")
_DASH = re.compile(r"[ \t*_]*[-–—]+(?=[ \t])")
_MIXED_CASE_TEXT = re.compile(r"[ \t]+(?=\d{1,2}[.)]|[A-Z][a-z]|[A-Z][ \t]+[a-z])")
_LIST_NUMBER = re.compile(r"[ \t]*\d{1,2}[.)]")
_RULE = re.compile(r"\s*_{10,}\s*$")
_ORNAMENT = re.compile(r"\s*([-=*~#])\1{2,}\s*$")
_SIGNATURE = re.compile(
    # One or two spaces and no run of them: every length of a run would be tried anew.
    rf"(?:^|(?<=[.?!)][ \t])|(?<=[.?!)][ \t][ \t]))(?P<by>{'|'.join(SIGNATURES)})|^(?-i:{'|'.join(SIGNED_NAMES)})",
    re.IGNORECASE | re.MULTILINE,
)
# Plain words that prose uses too: inside a line they are headings only after the end of a sentence.
_WEAK: frozenset[Kind] = frozenset({"report", "interpretation", "summary", "other", "final", "preliminary"})
_BANNERS: frozenset[Kind] = frozenset({"final", "preliminary", "wet read", "addendum"})
_BODY: frozenset[Kind] = frozenset(
    {"findings", "report", "exam name", "impression", "interpretation", "summary", "findings and impression"}
)


def parse_sections(text: str) -> Sections:
    """Split the free text of one report into its sections. Never raises; takes linear time."""
    if not text.strip():
        return Sections(problem=EMPTY)
    segments = list(_split(text))
    if all(segment.kind is None for segment in segments):
        return Sections(problem=NO_HEADINGS)
    signed = list(_leave_out_unsigned(segments))
    kinds = {segment.kind for segment in signed}
    if not kinds & _BODY:
        hidden = {segment.kind for segment in segments} & {"wet read", "preliminary"}
        return Sections(problem=PRELIMINARY if hidden else NEITHER)

    def joined(kind: Kind) -> str:
        bodies = (_body(segment) for segment in signed if segment.kind == kind)
        return "\n".join(body for body in bodies if body)

    findings, impression = joined("findings"), joined("impression")
    if "findings and impression" in kinds and not (findings and impression):
        return Sections(problem=COMBINED)
    findings = findings or joined("report") or joined("exam name")
    if impression:
        findings = findings or joined("interpretation")
    else:
        impression = joined("interpretation") or joined("summary")
    return Sections(findings, impression, joined("indication"), joined("comparison"), joined("technique"))


def _split(text: str) -> Iterator[_Segment]:
    current = _Segment(None)
    open_sentence = False  # the line before ended in the middle of a sentence
    for line in text.splitlines():
        if _RULE.match(line) and current.kind in ("wet read", "addendum"):
            yield current
            current = _Segment("rule")
        if _RULE.match(line) or _ORNAMENT.match(line):
            continue
        position = 0
        for kind, start, end in _headings(line, current.kind, open_sentence):
            current.lines.append(line[position:start])
            yield current
            current, position = _Segment(kind), end
        rest = line[position:].strip()
        current.lines.append(rest)
        open_sentence = bool(rest) and rest[-1] not in ".:?!"
    yield current


def _headings(line: str, inside: Kind | None, open_sentence: bool) -> Iterator[tuple[Kind, int, int]]:
    """The headings of one line as (kind, where the heading starts, where its text starts)."""
    position = 0
    if match := _AT_START.match(line):
        end = _end_at_start(line, match, open_sentence)
        if end is not None:
            inside, position = _kind(match), end
            yield inside, 0, end
    elif inside not in _BODY and (end := _end_of_exam_name(line)):
        inside, position = "exam name", end
        yield inside, 0, end
    for match in _INSIDE.finditer(line, position):
        if _splits_a_line(line, match, position, inside):
            inside = _kind(match)
            yield inside, match.start(), match.end()


def _kind(match: re.Match[str]) -> Kind:
    phrase = " ".join((match["core"] or match["phrase"]).upper().split())
    return _KIND[re.sub(r" ?([/&,]) ?", r"\1", phrase)]


def _end_at_start(line: str, match: re.Match[str], open_sentence: bool) -> int | None:
    """Where the text starts after a phrase at the start of a line; None when the phrase is prose."""
    phrase, end = match["phrase"], match.end()
    if (phrase.islower() and open_sentence) or (match["number"] and not phrase.isupper()):
        return None
    if colon := _COLON.match(line, end):
        return colon.end()
    kind = _kind(match)
    if alone := _ALONE.match(line, end):
        # "...at the end of the\nReport." is prose.
        return None if open_sentence and line.endswith(".") else alone.end()
    if phrase.islower():
        return None
    if dash := _DASH.match(line, end):
        return dash.end()
    if not phrase.isupper():
        return None
    if kind in _BANNERS and phrase != "FINAL":
        return end
    mixed = _MIXED_CASE_TEXT.match(line, end) if kind not in _WEAK else None
    return mixed.end() if mixed else None


def _end_of_exam_name(line: str) -> int | None:
    name, colon, _ = line[:120].partition(":")
    words = name.replace(",", " ").replace("(", " ").replace(")", " ").lower().split()
    if not colon or len(words) < 2 or not EXAM_WORDS.issuperset(words) or name.strip()[0].islower():
        return None
    return len(name) + 1


def _splits_a_line(line: str, match: re.Match[str], position: int, inside: Kind | None) -> bool:
    """Whether a phrase with a colon in the middle of a line is a heading."""
    phrase, start = match["phrase"], match.start()
    if phrase[0].islower():
        return False
    before = start
    while before > position and line[before - 1] in " \t*_#[":
        before -= 1
    if _LIST_NUMBER.fullmatch(line, position, before):
        return False
    if before == position or line[before - 1] in ".?!:;)]" or start - before > 1:
        return True
    previous = re.split(r"[^\w-]", line[max(position, before - 30) : before])[-1]
    if _kind(match) in _WEAK:
        return False
    if phrase.isupper() and previous.islower():
        return True  # the capitals mark it, whatever stands before: "no change IMPRESSION: Normal"
    in_compound = inside in _BODY and previous[:1].isupper() and previous.lower() in BODY_PARTS
    return not in_compound and previous.lower() not in NOT_BEFORE_A_HEADING


def _leave_out_unsigned(segments: list[_Segment]) -> Iterator[_Segment]:
    """The segments without preliminary reads and addenda, as rule 3 has it."""
    body_at = [i for i, segment in enumerate(segments) if segment.kind in _BODY]
    last_body = body_at[-1] if body_at else -1
    ends = {
        kinds: [i for i, segment in enumerate(segments) if segment.kind in kinds and i < last_body]
        for kinds in (("final",), ("final", "rule"))
    }
    position, reported = 0, False
    while position < len(segments):
        segment = segments[position]
        position += 1
        after_report = segment.kind == "addendum" and reported
        if segment.kind == "preliminary" or after_report:
            position = _next(ends["final",], position, len(segments))
        elif segment.kind in ("wet read", "addendum"):
            position = _next(ends["final", "rule"], position, position)
        else:
            reported = reported or segment.kind in _BODY
            yield segment


def _next(ends: list[int], position: int, default: int) -> int:
    found = bisect_right(ends, position - 1)
    return ends[found] if found < len(ends) else default


def _body(segment: _Segment) -> str:
    body = "\n".join(line.strip() for line in segment.lines).strip()
    if segment.kind in _BODY:
        for match in _SIGNATURE.finditer(body):
            if match["by"] is None or match["by"][0].isupper():
                return body[: match.start()].rstrip()
    return body
