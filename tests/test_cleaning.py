"""Cleaning: every rule of the module's docstring, and that none of them changes a word."""

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.dataset.cleaning import clean, clean_section, why_unusable
from radllama.report import Report
from radllama.text import normalise, words

REPORT = Report(id="7", patient_id="p1", findings="The stomach is distended.", impression="Distended stomach.")

# The pieces that the rules are about, in any order: random letters alone would hardly ever meet a rule.
PIECES = st.sampled_from(
    [
        *("heart", "Normal", "1.", "2)", "XXXX", "___", "1.5", ".5", "5", "e\u0301", "Å", "cm"),
        *(" ", "  ", "\n", "\r\n", "\t", "\x00", "\x0b", "\u00a0", "\u2028", "\u200b", "\ufeff", "\u00ad"),
        *(".", "..", ". .", "...", ",", '"', '""', "'", "<", ">", "&", "&amp;", "&lt;", "amp;", "lt;"),
        *("&quot;", "&nbsp;", "<br>", "<BR/>", "b", "br", "/", "\ud83d", "\udc00", "\u0301"),
        *("\u037e", "\u0338", "lt", "&lt"),
    ]
)
SECTIONS = st.one_of(st.lists(PIECES, max_size=14).map("".join), st.text(max_size=40))


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("", ""),
        (" \n\t ", ""),
        ("  The liver is\n  enlarged. \n", "The liver is enlarged."),
        ("The liver\r\nis enlarged.", "The liver is enlarged."),
        ("1. Gallstones.\n2. Small cyst.", "1. Gallstones. 2. Small cyst."),
        ("1) Gallstones.\n - cyst", "1) Gallstones. - cyst"),
        ("\ufeffNormal\u00a0knee.", "Normal knee."),
        ("Nor\u00admal kn\u200bee.", "Normal knee."),
        ("Normal\x00knee\x1f.", "Normal knee."),
        ("Me\u0301nie\u0300re", "Ménière"),
        ("A lone \ud83d half.", "A lone \ufffd half."),
        ("Fracture<BR>of the tibia<br />", "Fracture of the tibia"),
        ("Cyst &lt; 5 mm &amp;amp; stones", "Cyst < 5 mm & stones"),
        ("Cyst &amp;lt; 5 mm", "Cyst < 5 mm"),
        ("Cyst &\u200blt; 5 mm", "Cyst < 5 mm"),
        ("Cyst &lt\u037e 5 mm", "Cyst < 5 mm"),
        ("Cyst <5 mm, stones >2 mm", "Cyst <5 mm, stones >2 mm"),
        ('"Normal ankle."', "Normal ankle."),
        ('" Normal ankle. "', "Normal ankle."),
        ('"Normal ankle.', "Normal ankle."),
        ('Normal ankle."', "Normal ankle."),
        ('"', ""),
        ('""', ""),
        ('A wire of 5"', 'A wire of 5"'),
        ('The "string of pearls" sign', 'The "string of pearls" sign'),
        ('"String" and "beads"', '"String" and "beads"'),
        ("No stones..", "No stones."),
        ("No stones. .", "No stones."),
        ("No stones . . Normal bladder .", "No stones. Normal bladder."),
        ("No stones... and then", "No stones... and then"),
        ("A margin of .5 cm", "A margin of .5 cm"),
        ("Size 1.5. .5 cm", "Size 1.5. .5 cm"),
        ("Compared with XXXX, XXXX. .", "Compared with XXXX, XXXX."),
        ("Seen by ___ on ___.", "Seen by ___ on ___."),
    ],
)
def test_a_section_is_cleaned(raw: str, cleaned: str) -> None:
    assert clean_section(raw) == cleaned


@given(SECTIONS)
def test_cleaning_twice_is_cleaning_once(section: str) -> None:
    once = clean_section(section)
    assert clean_section(once) == once


@given(SECTIONS)
def test_a_cleaned_section_is_one_line_that_a_file_can_hold(section: str) -> None:
    cleaned = clean_section(section)
    assert cleaned == " ".join(cleaned.split())
    assert cleaned.encode("utf-8").decode("utf-8") == cleaned
    assert unicodedata.is_normalized("NFC", cleaned)


@given(st.lists(st.sampled_from(["Mild", "XXXX", "___", "1.", "2)", "0.5", ".5", "cm", ".", "..", '"', "\n", " "])))
def test_cleaning_keeps_every_word_and_its_place(pieces: list[str]) -> None:
    section = " ".join(pieces)
    assert words(clean_section(section)) == words(section)


def test_every_section_is_cleaned_and_nothing_else_is_touched() -> None:
    raw = Report(
        id=" 7 ",
        patient_id=" p ",
        findings=" a..",
        impression=" b ",
        indication="c\n",
        comparison="d  e",
        technique="\tf",
        source="table",
    )
    expected = replace(raw, findings="a.", impression="b", indication="c", comparison="d e", technique="f")
    assert clean(raw) == expected


@pytest.mark.parametrize(
    ("findings", "impression", "reason"),
    [
        ("", "", "neither findings nor impression"),
        ("", "Gallstones.", "no findings"),
        ("The gallbladder holds stones.", "", "no impression"),
        ("...", "Gallstones.", "findings hold no words"),
        ("1. 2.", "Gallstones.", "findings hold no words"),
        ("XXXX.", "Gallstones.", "findings hold no words"),
        ("xxxx XXXXX", "Gallstones.", "findings hold no words"),
        ("The gallbladder holds stones.", "___ ___", "impression holds no words"),
        ("The gallbladder holds stones.", "-", "impression holds no words"),
        ("See impression.", "Gallstones.", "findings hold no text of its own"),
        ("N/A", "Gallstones.", "findings hold no text of its own"),
        ("The gallbladder holds stones.", "As above.", "impression holds no text of its own"),
        ("The gallbladder holds stones.", "NONE", "impression holds no text of its own"),
    ],
)
def test_a_report_that_cannot_be_an_example_says_why(findings: str, impression: str, reason: str) -> None:
    assert why_unusable(replace(REPORT, findings=findings, impression=impression)) == reason


@pytest.mark.parametrize("impression", ["Normal.", "COPD", "None acute.", "See above fracture.", "Xx", "骨折"])
def test_a_short_impression_is_usable(impression: str) -> None:
    usable = impression != "Xx"
    assert (why_unusable(replace(REPORT, impression=impression)) is None) == usable


def test_findings_of_ten_thousand_words_are_usable() -> None:
    assert why_unusable(replace(REPORT, findings="The spleen is normal. " * 2500)) is None


def test_a_phrase_that_stands_for_no_text_is_matched_as_normalised() -> None:
    from radllama.dataset.cleaning import _EMPTY_PHRASES

    assert {normalise(phrase) for phrase in _EMPTY_PHRASES} == _EMPTY_PHRASES
