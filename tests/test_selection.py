"""Which sentences an impression takes up: found in signed reports, learned, and kept as numbers."""

from dataclasses import asdict, replace

import pytest
from departments import make_department

from radllama.errors import InputError
from radllama.report import Report
from radllama.selection import (
    Selection,
    asserting_sentences,
    find_rest,
    find_taken_up,
    learn_selection,
    parse_selection,
    tell,
)

FINDINGS = "The heart is enlarged. Calcified granuloma in the right lung. No pneumothorax. Small left effusion."


@pytest.fixture(scope="module")
def selection() -> Selection:
    learned = learn_selection(make_department(), least=0.4)
    assert learned is not None
    return learned


def found(impression: str) -> list[str]:
    return [FINDINGS[start:end] for start, end in find_taken_up(FINDINGS, impression)]


def test_a_sentence_is_taken_up_when_the_impression_names_what_it_asserts() -> None:
    assert found("Small left pleural effusion. Cardiomegaly.") == ["The heart is enlarged.", "Small left effusion."]


def test_what_the_impression_denies_is_not_taken_up() -> None:
    assert found("No acute disease. No effusion. No pneumothorax.") == []


def test_an_impression_in_related_words_takes_up_too() -> None:
    findings = "Patchy opacity in the left base. No effusion."
    assert find_taken_up(findings, "Left basilar consolidation.") == [(0, 32)]


def test_only_sentences_that_assert_or_doubt_can_be_taken_up() -> None:
    spans = asserting_sentences(FINDINGS)
    assert [FINDINGS[start:end] for start, end in spans] == [
        "The heart is enlarged.",
        "Calcified granuloma in the right lung.",
        "Small left effusion.",
    ]


def test_sentences_are_told_as_an_impression_puts_them_each_once() -> None:
    findings = "There is a small effusion. Clear. Small effusion. There is mild edema."
    assert tell(findings, find_taken_up(findings, "Effusion. Edema.")) == "Small effusion. Mild edema."
    assert tell(findings, []) == ""


@pytest.mark.parametrize(
    ("impression", "rest"),
    [
        ("1. Small effusion. 2. No pneumothorax.", "No pneumothorax."),
        ("Small effusion. Follow-up in two weeks.", "Follow-up in two weeks."),
        ("Small effusion without acute infiltrate.", "No acute infiltrate."),
        ("Small effusion. Old granuloma.", "Old granuloma."),
        ("Small effusion. Left rib fracture.", ""),
        ("Small effusion.", ""),
    ],
)
def test_the_rest_is_what_was_not_told_and_stands_in_the_findings(impression: str, rest: str) -> None:
    assert find_rest(FINDINGS, impression, [asserting_sentences(FINDINGS)[-1]]) == rest


def test_it_learns_what_is_taken_up_and_what_is_passed_over(selection: Selection) -> None:
    chosen = [FINDINGS[start:end] for start, end in selection.choose(FINDINGS)]
    assert "Small left effusion." in chosen
    assert "Calcified granuloma in the right lung." not in chosen


def test_a_lower_bound_chooses_more(selection: Selection) -> None:
    assert len(replace(selection, least=0.01).choose(FINDINGS)) == 3
    assert replace(selection, least=0.999).choose(FINDINGS) == []


def test_the_same_reports_teach_the_same(selection: Selection) -> None:
    assert learn_selection(make_department(), least=0.4) == selection


def test_reports_that_take_up_nothing_teach_nothing() -> None:
    normal = Report("1", None, "The lungs are clear.", "Normal chest.")
    assert learn_selection([normal], 0.4) is None
    assert learn_selection([replace(normal, findings="Small effusion.")] * 20, 0.4) is None
    assert learn_selection([], 0.4) is None


def test_it_is_read_back_as_it_was(selection: Selection) -> None:
    assert parse_selection(asdict(selection), "selection.json") == selection


@pytest.mark.parametrize("value", [None, [], {}, {"weights": 1, "bias": 0, "least": 0.3}, {"weights": {}, "bias": {}}])
def test_a_broken_one_is_told(value: object) -> None:
    with pytest.raises(InputError, match=r"selection\.json: not a selection"):
        parse_selection(value, "selection.json")
