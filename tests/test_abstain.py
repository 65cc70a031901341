import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.drafting.abstain import (
    TOO_SHORT,
    UNLIKE,
    VOCABULARY_FILE,
    Vocabulary,
    collect_vocabulary,
    read_vocabulary,
    write_vocabulary,
)
from radllama.errors import InputError
from radllama.model import EMBEDDED, model_folder
from radllama.reports.sample import generate

STRANGE = {
    "a recipe": "Chop the onions and garlic. Heat the oil in a large pan over medium heat and cook until soft. There "
    "is no need to stir. Add the tomatoes and a small amount of water, and let it simmer for an hour.",
    "lorem ipsum": "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt.",
    "German": "Herz normal groß, Lunge beidseits frei. Kein Pleuraerguss, kein Pneumothorax. Keine Infiltrate.",
    "French": "Le coeur est de taille normale. Les poumons sont clairs. Pas d'épanchement ni de pneumothorax.",
    "news": "The central bank left interest rates unchanged on Tuesday, citing stable prices and a small increase in "
    "unemployment. There is no evidence of a new recession in the region.",
    "a letter": "Dear doctor, thank you for seeing this pleasant patient, who complains of pain in the left knee.",
    "a program": "def main(): import sys; return sum(int(value) for value in sys.argv)",
}
REPORTS = {
    "a normal chest": "The heart is normal in size. The lungs are clear. No effusion.",
    "a short chest": "Clear lungs.",
    "a sick chest": "Layering right effusion with compressive atelectasis, 14 mm apical pneumothorax after biopsy.",
    "a knee": "Horizontal tear of the medial meniscus. Small joint effusion. The cruciate ligaments are intact.",
    "a liver": "The liver is homogeneous. No gallstone and no biliary dilatation.",
}


@pytest.fixture(scope="module")
def mini() -> Vocabulary:
    return read_vocabulary(model_folder(EMBEDDED))


@pytest.mark.parametrize("name", STRANGE)
def test_mini_abstains_from_what_is_no_report(mini: Vocabulary, name: str) -> None:
    assert mini.why_abstain(STRANGE[name]) == UNLIKE


@pytest.mark.parametrize("name", REPORTS)
def test_mini_drafts_from_reports(mini: Vocabulary, name: str) -> None:
    assert mini.why_abstain(REPORTS[name]) is None


def test_mini_drafts_from_every_body_part_of_the_sample_hospital(mini: Vocabulary) -> None:
    reasons = [mini.why_abstain(report.findings) for report in generate(600) if report.findings]
    assert len(reasons) > 300
    assert set(reasons) == {None}


@pytest.mark.parametrize("findings", ["", " \n", "...", "Normal.", "Please"])
def test_a_single_word_is_too_short_for_any_model(mini: Vocabulary, findings: str) -> None:
    assert mini.why_abstain(findings) == Vocabulary().why_abstain(findings) == TOO_SHORT


def test_a_model_without_vocabulary_abstains_only_without_a_word_of_radiology() -> None:
    unknown = Vocabulary()
    assert unknown.why_abstain("Whisk the butter, sugar and flour until fluffy.") == UNLIKE
    assert unknown.why_abstain("Clear lungs and a happy dog on a sunny beach.") is None


def test_words_of_few_reports_are_left_out_since_they_may_be_names() -> None:
    reports = ["The lungs are clear."] * 196 + ["Seen by Zebrowski, lungs hazy."] * 4
    assert collect_vocabulary(reports) == ["clear", "lungs"]


def test_few_reports_have_no_vocabulary() -> None:
    assert collect_vocabulary(["The lungs are clear."] * 199) == []
    assert collect_vocabulary([]) == []


def test_a_vocabulary_is_what_was_written_beside_the_model(tmp_path: Path) -> None:
    write_vocabulary(["Grumblewort spreads lungward."] * 250, tmp_path)
    assert json.loads((tmp_path / VOCABULARY_FILE).read_text()) == ["grumblewort", "lungward", "spreads"]
    assert read_vocabulary(tmp_path).why_abstain("Grumblewort spreads.") is None
    assert read_vocabulary(tmp_path).why_abstain("Thistledown spreads everywhere, alas.") == UNLIKE


def test_a_folder_without_vocabulary_and_a_hub_name_have_none(tmp_path: Path) -> None:
    for folder in (tmp_path, None):
        assert read_vocabulary(folder).why_abstain("The dog lies on the lung.") is None


@pytest.mark.parametrize("content", ['{"words": []}', "[1, 2]", "["])
def test_a_broken_vocabulary_is_told_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / VOCABULARY_FILE).write_text(content)
    with pytest.raises(InputError, match=VOCABULARY_FILE):
        read_vocabulary(tmp_path)


@given(st.text())
def test_any_text_gets_a_reason_or_none(findings: str) -> None:
    for vocabulary in (Vocabulary(), Vocabulary(["lungs"])):
        assert vocabulary.why_abstain(findings) in (None, TOO_SHORT, UNLIKE)
