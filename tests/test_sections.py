"""Splitting free text: reports in several house styles, written for this test, and what they split into."""

import re
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.reports.headings import HEADINGS, QUALIFIERS
from radllama.reports.sections import (
    COMBINED,
    EMPTY,
    NEITHER,
    NO_HEADINGS,
    PRELIMINARY,
    Sections,
    parse_sections,
)

F = "Both lungs expand well. Trachea is central."
I = "Unremarkable chest."  # noqa: E741 (beside F, the impression)
BOTH = {"findings": F, "impression": I}

SPLITS: dict[str, tuple[str, dict[str, str]]] = {
    # --- headings: case, place, decoration
    "headings run in": (f"FINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "headings on their own line with a colon": (f"FINDINGS:\n{F}\n\nIMPRESSION:\n{I}", BOTH),
    "headings on their own line without a colon": (f"FINDINGS\n{F}\n\nIMPRESSION\n{I}", BOTH),
    "title case": (f"Findings: {F}\nImpression: {I}", BOTH),
    "title case alone": (f"Findings\n{F}\nImpression\n{I}", BOTH),
    "lower case with a colon": (f"findings: {F}\nimpression: {I}", BOTH),
    "lower case alone after a blank line": (f"findings\n{F}\n\nimpression\n{I}", BOTH),
    "mixed odd case": (f"FindingS: {F}\niMPRESSION: {I}", BOTH),
    "indented": (f"   FINDINGS: {F}\n\tIMPRESSION: {I}", BOTH),
    "space before the colon": (f"FINDINGS : {F}\nIMPRESSION : {I}", BOTH),
    "dash instead of colon": (f"FINDINGS - {F}\nImpression – {I}", BOTH),
    "capitals without a colon": (f"FINDINGS Both lungs expand well.\nIMPRESSION {I}", {
        "findings": "Both lungs expand well.", "impression": I}),
    "capitals without a colon before an article": (f"FINDINGS A small cyst.\nIMPRESSION {I}", {
        "findings": "A small cyst.", "impression": I}),
    "capitals without a colon before a list": ("FINDINGS: Cyst.\nIMPRESSION 1. Cyst.\n2. Else fine.", {
        "findings": "Cyst.", "impression": "1. Cyst.\n2. Else fine."}),
    "markdown headings": (f"## Findings\n{F}\n\n## Impression\n{I}", BOTH),
    "markdown bold around the colon": (f"**Findings:** {F}\n**Impression:** {I}", BOTH),
    "markdown bold before the colon": (f"**FINDINGS**: {F}\n**IMPRESSION**: {I}", BOTH),
    "bold alone on the line": (f"**Findings**\n{F}\n__Impression__\n{I}", BOTH),
    "brackets": (f"[FINDINGS]\n{F}\n[IMPRESSION]\n{I}", BOTH),
    "ornaments": (f"=== FINDINGS ===\n{F}\n=== IMPRESSION ===\n{I}", BOTH),
    "underlined": (f"Findings\n--------\n{F}\n\nImpression\n==========\n{I}", BOTH),
    "windows line ends": (f"FINDINGS:\r\n{F}\r\nIMPRESSION:\r\n{I}\r\n", BOTH),
    "numbered headings": (f"1. FINDINGS: {F}\n2. IMPRESSION: {I}", BOTH),
    "remark in brackets": (f"FINDINGS (upright): {F}\nIMPRESSION (final): {I}", BOTH),
    # --- one line, as spreadsheets keep it
    "one line": (f"FINDINGS: {F} IMPRESSION: {I}", BOTH),
    "one line in title case": (f"Findings: {F} Impression: {I}", BOTH),
    "one line without full stops": ("EXAM: CHEST INDICATION: COUGH FINDINGS: CLEAR IMPRESSION: NORMAL", {
        "indication": "COUGH", "findings": "CLEAR", "impression": "NORMAL"}),
    "one line in title case without full stops": ("Indication: fever Findings: clear Impression: normal", {
        "indication": "fever", "findings": "clear", "impression": "normal"}),
    "one line, two spaces for a line break": ("Reason: Fall  Findings: Wrist intact  Conclusion: Normal", {
        "indication": "Fall", "findings": "Wrist intact", "impression": "Normal"}),
    "one line, a capital before the heading": ("Indication: Pain Comparison: ___ Findings: Clear Impression: Good", {
        "indication": "Pain", "comparison": "___", "findings": "Clear", "impression": "Good"}),
    "one line, a body part before the capitals": ("FINDINGS: degenerative spine IMPRESSION: nothing new", {
        "findings": "degenerative spine", "impression": "nothing new"}),
    "one line, a body part before title case": ("Findings: degenerative spine Impression: nothing new", {
        "findings": "degenerative spine", "impression": "nothing new"}),
    "one line in all capitals": ("FINDINGS: NO FRACTURE. IMPRESSION: NORMAL WRIST.", {
        "findings": "NO FRACTURE.", "impression": "NORMAL WRIST."}),
    # --- synonyms
    "conclusion": (f"FINDINGS: {F}\nCONCLUSION: {I}", BOTH),
    "opinion": (f"Findings: {F}\nOpinion: {I}", BOTH),
    "summary": (f"Findings: {F}\nSummary: {I}", BOTH),
    "interpretation as impression": (f"Findings: {F}\nInterpretation: {I}", BOTH),
    "interpretation as findings": (f"Interpretation: {F}\nImpression: {I}", BOTH),
    "impression and summary: the impression": (f"Findings: {F}\nImpression: {I}\nSummary: As said.", BOTH),
    "report as findings": (f"Report: {F}\nConclusion: {I}", BOTH),
    "report as a banner": (f"REPORT:\nEXAM: Chest film\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "result as findings": (f"Result: {F}\nImpression: {I}", BOTH),
    "modality before the heading": (f"CT FINDINGS: {F}\nFINAL IMPRESSION: {I}", BOTH),
    "impression and recommendations": (f"FINDINGS: {F}\nIMPRESSION AND RECOMMENDATIONS: {I}", BOTH),
    "impression/plan": (f"FINDINGS: {F}\nIMPRESSION / PLAN: {I}", BOTH),
    "radiologist's impression": (f"Findings: {F}\nRadiologist's impression: {I}", BOTH),
    # --- the sections around
    "all sections": (
        "EXAM: Knee, two views\nCLINICAL HISTORY: Twisted on stairs\nTECHNIQUE: Frontal and side view\n"
        f"COMPARISON: None\nFINDINGS: {F}\nIMPRESSION: {I}",
        {**BOTH, "indication": "Twisted on stairs", "technique": "Frontal and side view", "comparison": "None"},
    ),
    "reason for exam": (f"REASON FOR EXAMINATION: Fever\nFINDINGS: {F}\nIMPRESSION: {I}", {
        **BOTH, "indication": "Fever"}),
    "clinical information": (f"Clinical Information: Pain\nFindings: {F}\nImpression: {I}", {
        **BOTH, "indication": "Pain"}),
    "a clinical impression is an indication": (f"CLINICAL IMPRESSION: Gout\nFINDINGS: {F}\nIMPRESSION: {I}", {
        **BOTH, "indication": "Gout"}),
    "procedure is technique": (f"PROCEDURE: Noncontrast\nFINDINGS: {F}\nIMPRESSION: {I}", {
        **BOTH, "technique": "Noncontrast"}),
    "impression before findings": (f"IMPRESSION: {I}\nFINDINGS: {F}", BOTH),
    "recommendation is not impression": (f"FINDINGS: {F}\nIMPRESSION: {I}\nRECOMMENDATION(S): Repeat.", BOTH),
    "notification is not impression": (f"FINDINGS: {F}\nIMPRESSION: {I}\nNOTIFICATION: Ward told.", BOTH),
    "text before the first heading is dropped": (f"Ward 7, bed 2\n\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "nothing after a heading": (f"FINDINGS:\nIMPRESSION: {I}", {"impression": I}),
    "findings alone": (f"FINDINGS: {F}", {"findings": F}),
    "impression alone": (f"INDICATION: Cough.\nIMPRESSION: {I}", {"indication": "Cough.", "impression": I}),
    # --- what stays in a section
    "sub-headings stay in findings": (
        f"FINDINGS:\nLUNGS: Clear.\nHEART: Normal size.\nCHEST: Symmetric.\nIMPRESSION: {I}",
        {"findings": "LUNGS: Clear.\nHEART: Normal size.\nCHEST: Symmetric.", "impression": I},
    ),
    "exam names are sub-headings in findings": (
        f"FINDINGS:\nCT CHEST: Clear.\nCT PELVIS: Clear.\nIMPRESSION: {I}",
        {"findings": "CT CHEST: Clear.\nCT PELVIS: Clear.", "impression": I},
    ),
    "additional findings stay in findings": (
        f"FINDINGS: Clear lungs. ADDITIONAL FINDINGS: Old rib fracture.\nIMPRESSION: {I}",
        {"findings": "Clear lungs. ADDITIONAL FINDINGS: Old rib fracture.", "impression": I},
    ),
    "lung findings stay in findings": (
        f"FINDINGS: Mild scoliosis. LUNG FINDINGS: Clear.\nIMPRESSION: {I}",
        {"findings": "Mild scoliosis. LUNG FINDINGS: Clear.", "impression": I},
    ),
    "incidental findings on a line": (
        f"Findings: Clear lungs.\nIncidental Findings: Gallstones.\nImpression: {I}",
        {"findings": "Clear lungs.\nIncidental Findings: Gallstones.", "impression": I},
    ),
    "numbered list": (f"FINDINGS: {F}\nIMPRESSION:\n1. Mild edema.\n2. Line tip in place.", {
        "findings": F, "impression": "1. Mild edema.\n2. Line tip in place."}),
    "a numbered item that starts like a heading": (
        f"FINDINGS: {F}\nIMPRESSION:\n1. Stable cyst.\n2. Comparison: none was at hand.",
        {"findings": F, "impression": "1. Stable cyst.\n2. Comparison: none was at hand."},
    ),
    "paragraphs": (f"FINDINGS:\nFirst part.\n\nSecond part.\n\nIMPRESSION: {I}", {
        "findings": "First part.\n\nSecond part.", "impression": I}),
    "de-identified words": ("FINDINGS: Seen by ___ on ___.\nIMPRESSION: Compared to ___, better.", {
        "findings": "Seen by ___ on ___.", "impression": "Compared to ___, better."}),
    "a de-identified line in findings": (f"FINDINGS: Clear.\n____________\nStable.\nIMPRESSION: {I}", {
        "findings": "Clear.\nStable.", "impression": I}),
    # --- heading words in prose
    "prose: the findings are": (f"FINDINGS: The findings are stable.\nIMPRESSION: {I}", {
        "findings": "The findings are stable.", "impression": I}),
    "prose: no change in impression": (f"FINDINGS: No change in impression since then.\nIMPRESSION: {I}", {
        "findings": "No change in impression since then.", "impression": I}),
    "prose: comparison is made": (f"FINDINGS: Comparison is made to May. Clear.\nIMPRESSION: {I}", {
        "findings": "Comparison is made to May. Clear.", "impression": I}),
    "prose: comparison is made, at a line start": (f"FINDINGS:\nComparison is made to May.\nIMPRESSION: {I}", {
        "findings": "Comparison is made to May.", "impression": I}),
    "prose: in capitals": (f"FINDINGS: CLEAR.\nFINDINGS ARE UNCHANGED SINCE MAY.\nIMPRESSION: {I}", {
        "findings": "CLEAR.\nFINDINGS ARE UNCHANGED SINCE MAY.", "impression": I}),
    "prose: a wrapped line that is one heading word": (
        f"FINDINGS: The cyst has not changed in our\nimpression\nand stays small.\nIMPRESSION: {I}",
        {"findings": "The cyst has not changed in our\nimpression\nand stays small.", "impression": I},
    ),
    "prose: a wrapped line that ends the sentence": (
        f"FINDINGS: Clear.\nFor the rest see the earlier\nReport.\nIMPRESSION: {I}",
        {"findings": "Clear.\nFor the rest see the earlier\nReport.", "impression": I},
    ),
    "prose: family history": (f"INDICATION: Cough, Family History: asthma.\nFINDINGS: {F}\nIMPRESSION: {I}", {
        **BOTH, "indication": "Cough, Family History: asthma."}),
    "prose: a wrapped line with a colon": (
        f"FINDINGS: We come to one overall\nimpression: the cyst is stable.\nIMPRESSION: {I}",
        {"findings": "We come to one overall\nimpression: the cyst is stable.", "impression": I},
    ),
    "prose: a lower-case word and a colon inside a line": (
        f"FINDINGS: Several findings: a cyst, a stone.\nIMPRESSION: {I}",
        {"findings": "Several findings: a cyst, a stone.", "impression": I},
    ),
    "prose: see findings": ("FINDINGS: Clear.\nIMPRESSION: See the Findings: nothing new.", {
        "findings": "Clear.", "impression": "See the Findings: nothing new."}),
    "prose: history of": (f"FINDINGS: Clear.\nHistory of surgery is noted.\nIMPRESSION: {I}", {
        "findings": "Clear.\nHistory of surgery is noted.", "impression": I}),
    # --- repeated headings
    "two findings are joined": (
        f"FINDINGS: Clear lungs.\nTECHNIQUE: Two views\nFINDINGS: Normal heart.\nIMPRESSION: {I}",
        {"technique": "Two views", "findings": "Clear lungs.\nNormal heart.", "impression": I},
    ),
    "two impressions are joined": (
        "EXAM: Chest\nFINDINGS: Clear.\nIMPRESSION: Chest fine.\nEXAM: Knee\nFINDINGS: Intact.\nIMPRESSION: Knee fine.",
        {"findings": "Clear.\nIntact.", "impression": "Chest fine.\nKnee fine."},
    ),
    # --- not signed as such: wet reads, preliminary reports, addenda
    "wet read in the MIMIC style": (
        " WET READ: ___ ___ 9:15 AM\n  Edema likely.   WET READ VERSION #1\n"
        " __________________________________________\n"
        f"                    FINAL REPORT\n INDICATION: Dyspnea.\n\n FINDINGS:\n\n {F}\n\n IMPRESSION:\n\n {I}",
        {**BOTH, "indication": "Dyspnea."},
    ),
    "a wet read with an impression of its own": (
        f"WET READ: 8 PM\nIMPRESSION: Edema likely.\nFINAL REPORT\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "a wet read that ends at a heading": (f"WET READ: Edema likely.\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "a preliminary report, then the final one": (
        f"PRELIMINARY REPORT\nFINDINGS: Edema.\nFINAL REPORT\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "an addendum after the report": (f"FINDINGS: {F}\nIMPRESSION: {I}\nADDENDUM: Read again. IMPRESSION: Edema.", BOTH),
    "an addendum in title case": (f"Findings: {F}\nImpression: {I}\nAddendum\nSide corrected.", BOTH),
    "an addendum before the report": (f"ADDENDUM: Side corrected.\n\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "an addendum before the report, in the MIMIC style": (
        " ADDENDUM  After a talk with the ward:\n IMPRESSION should read as below.\n"
        f" ______________________________________\n FINAL REPORT\n FINDINGS: {F}\n IMPRESSION: {I}",
        BOTH,
    ),
    "an addendum that says where it ends": (
        f"ADDENDUM\nIMPRESSION: Edema.\nEND OF ADDENDUM\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    "a final banner alone": (f"                FINAL REPORT\n FINDINGS: {F}\n IMPRESSION: {I}", BOTH),
    "a final banner with its exam": (f"FINAL REPORT EXAMINATION: CHEST FINDINGS: {F} IMPRESSION: {I}", BOTH),
    "a final banner at the end": (f"FINDINGS: {F}\nIMPRESSION: {I}\n*** FINAL REPORT ***\n", BOTH),
    # --- MIMIC: an exam name as the heading of the findings
    "exam name as findings": (f" CHEST, TWO VIEWS: {F}\n\n IMPRESSION: {I}", BOTH),
    "portable exam name as findings": (f"PORTABLE AP CHEST RADIOGRAPH:\n{F}\nIMPRESSION: {I}", BOTH),
    "exam name, then findings": (f"CHEST, TWO VIEWS:\nUpright.\nFINDINGS: {F}\nIMPRESSION: {I}", BOTH),
    # --- UK
    "UK: clinical details, report, conclusion": (
        f"Clinical Details:\nFall on ice\n\nReport:\n{F}\n\nConclusion:\n{I}\n\nDr A Example\nConsultant Radiologist",
        {"indication": "Fall on ice", "findings": F, "impression": f"{I}\n\nDr A Example\nConsultant Radiologist"},
    ),
    "UK: a signature on one line": (f"Report: {F}\nConclusion: {I}\nDr A Example, Consultant Radiologist", BOTH),
    # --- signatures
    "electronically signed": (
        f"FINDINGS: {F}\nIMPRESSION: {I}\n\nElectronically signed by: A. Example, MD\n5/5/55", BOTH),
    "signed at the end of the line": (f"FINDINGS: {F} IMPRESSION: {I} Electronically signed by A. Example", BOTH),
    "signed after two spaces": (f"FINDINGS: {F} IMPRESSION: {I}  Dictated and signed by A. Example", BOTH),
    "dictated by": (f"FINDINGS: {F}\nIMPRESSION: {I}\nDictated by: Example\nTranscribed: 1:00", BOTH),
    "attestation": (f"FINDINGS: {F}\nIMPRESSION: {I}\nI have personally reviewed the images and agree.", BOTH),
    "attestation of an attending": (f"FINDINGS: {F}\nIMPRESSION: {I}\nI, Dr. Example, reviewed this.", BOTH),
    "name and degree": (f"FINDINGS: {F}\nIMPRESSION: {I}\nAnn B. Example, M.D.\nRadiology", BOTH),
    "a signature under findings": (f"IMPRESSION: {I}\nFINDINGS: {F}\nReport electronically signed by X", BOTH),
    "attending line": (f"FINDINGS: {F}\nIMPRESSION: {I}\nAttending radiologist: Example", BOTH),
    "prose is no signature": (
        "FINDINGS: Clear.\nIMPRESSION: The film was\nreviewed by the team. Dr. Example was told.",
        {"findings": "Clear.", "impression": "The film was\nreviewed by the team. Dr. Example was told."},
    ),
}  # fmt: skip

PROBLEMS = {
    "nothing": ("", EMPTY),
    "spaces": (" \n\t\n ", EMPTY),
    "no heading": (f"{F}\n\n{I}", NO_HEADINGS),
    "the last paragraph is no impression": ("The lungs are clear.\n\nNormal study.", NO_HEADINGS),
    "heading words in prose alone": ("The findings are those of a normal chest, in my impression.", NO_HEADINGS),
    "a banner alone": (f"INDICATION: Cough.\n\n{F}\n\n{I}", NEITHER),
    "findings and impression": (f"FINDINGS AND IMPRESSION: {F}", COMBINED),
    "findings/impression": (f"FINDINGS/IMPRESSION:\n{F}", COMBINED),
    "findings / impression in title case": (f"Findings / Impression\n{F}", COMBINED),
    "findings & impression": (f"EXAM: Chest. FINDINGS & IMPRESSION: {F}", COMBINED),
    "impression and findings": (f"IMPRESSION AND FINDINGS: {F}", COMBINED),
    "combined, then an impression": (f"FINDINGS AND IMPRESSION: {F}\nIMPRESSION: {I}", COMBINED),
    "preliminary alone": (f"PRELIMINARY REPORT\nFINDINGS: {F}\nIMPRESSION: {I}", PRELIMINARY),
    "wet read alone": ("WET READ: Edema likely.", PRELIMINARY),
}


@pytest.mark.parametrize(("text", "expected"), SPLITS.values(), ids=SPLITS.keys())
def test_the_report_splits_as_written(text: str, expected: dict[str, str]) -> None:
    assert asdict(parse_sections(text)) == asdict(Sections(**expected))


@pytest.mark.parametrize(("text", "problem"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_what_cannot_be_split_says_why_and_guesses_nothing(text: str, problem: str) -> None:
    assert parse_sections(text) == Sections(problem=problem)


def test_combined_counts_for_nothing_where_both_stand_alone_too() -> None:
    split = parse_sections(f"FINDINGS AND IMPRESSION:\nFINDINGS: {F}\nIMPRESSION: {I}")
    assert (split.findings, split.impression, split.problem) == (F, I, None)


@pytest.mark.parametrize("phrase", HEADINGS["findings"] + HEADINGS["impression"])
def test_every_phrase_of_the_table_opens_its_section(phrase: str) -> None:
    split = parse_sections(f"{phrase.title()}:\n{F}")
    assert F in (split.findings, split.impression)


def test_no_phrase_stands_in_the_table_twice() -> None:
    phrases = [phrase for kind in HEADINGS.values() for phrase in kind]
    assert len(phrases) == len(set(phrases))


def _is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(word in rest for word in part)


_PIECES = st.sampled_from(
    [*(p for kind in HEADINGS.values() for p in kind), *QUALIFIERS, "Findings", "impression", "lungs", "Clear", "the",
     ": ", ":", "\n", "\n\n", " ", "  ", ". ", " - ", "**", "# ", "(", ")", "1. ", "_" * 12, "___", "\r\n", "\x0c",
     "Electronically signed by", "Dr A Example, MD", "I have reviewed", "é", "\u2028", "\x00"]
)  # fmt: skip


@given(st.lists(_PIECES, max_size=40).map("".join) | st.text(max_size=200))
def test_any_text_splits_without_error_into_its_own_words_in_order(text: str) -> None:
    split = parse_sections(text)
    whole = re.findall(r"\w+", text)
    for section in (split.findings, split.impression):
        assert section == section.strip()
        assert _is_subsequence(re.findall(r"\w+", section), whole)
    if split.problem:
        assert not split.findings and not split.impression


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_without_a_heading_of_its_kind_no_impression_appears(text: str) -> None:
    if parse_sections(text).impression:
        assert re.search("impression|conclusion|opinion|summary|interpretation", text, re.IGNORECASE)
