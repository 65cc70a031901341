"""The simulated reader: what it does with a draft, and the seconds that its stated rates give."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from demo_reader import ACT_S, DICTATING_WPM, READING_WPM, TYPING_WPM, read

SIGNED = "Small left effusion. No pneumothorax. Follow-up in two weeks advised."
WORDS = 10


def test_what_would_be_signed_word_for_word_is_accepted_and_only_read() -> None:
    one = read(SIGNED, SIGNED)
    assert (one.verdict, one.edits, one.words) == ("accepted", 0, WORDS)
    assert one.seconds == pytest.approx(60 * WORDS / READING_WPM + ACT_S)
    assert one.seconds_without == pytest.approx(60 * WORDS / DICTATING_WPM)


def test_what_is_nearly_right_is_edited_word_by_word() -> None:
    one = read(SIGNED.replace("left", "right"), SIGNED)
    assert (one.verdict, one.edits) == ("edited", 1)
    assert one.seconds == pytest.approx(60 * WORDS / READING_WPM + ACT_S + ACT_S + 60 / TYPING_WPM)


def test_what_takes_longer_to_edit_than_to_dictate_is_rejected_and_costs_its_reading() -> None:
    one = read("Normal chest.", SIGNED)
    assert one.verdict == "rejected"
    assert one.seconds == pytest.approx(60 * 2 / READING_WPM + ACT_S + one.seconds_without)


def test_a_report_without_a_draft_takes_what_it_always_took() -> None:
    one = read(None, SIGNED)
    assert (one.verdict, one.edits, one.seconds) == ("no draft", WORDS, one.seconds_without)
