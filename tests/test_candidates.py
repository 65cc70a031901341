"""Candidates that are completed with what they leave out."""

import pytest

from radllama.clinical.checks.claims import parse_section
from radllama.drafting.candidates import bare_phrase, complete, own_sentences, sentences_naming
from radllama.library.habits import topics_in

EFFUSION, HEART = "Pleural Effusion", "Cardiomegaly"
SENTENCES = {EFFUSION: ["Small left effusion.", "Left effusion."], HEART: ["Cardiomegaly."]}


def names(text: str, topic: str) -> bool:
    return topic in topics_in(text)


def test_what_is_missing_is_set_before_behind_and_in_place_of_a_text() -> None:
    assert list(complete(["No pneumothorax."], [HEART], SENTENCES, names)) == [
        "Cardiomegaly. No pneumothorax.",
        "No pneumothorax. Cardiomegaly.",
        "Cardiomegaly.",
    ]


def test_a_text_that_lacks_nothing_is_left_as_it_is() -> None:
    assert list(complete(["Cardiomegaly, no effusion.", "Stable cardiomegaly."], [HEART], SENTENCES, names)) == []


def test_without_a_text_the_sentences_stand_alone() -> None:
    assert set(complete([], ["Pleural Effusion"], {"Pleural Effusion": ["Left effusion."]}, names)) == {
        "Left effusion."
    }


def test_only_what_is_missing_is_added() -> None:
    made = list(complete(["Small left effusion."], [EFFUSION, HEART], SENTENCES, names))
    assert made[0] == "Cardiomegaly. Small left effusion."
    assert "Cardiomegaly." in made


def test_every_wording_is_tried() -> None:
    made = set(complete(["Clear."], [EFFUSION, HEART], SENTENCES, names))
    assert {"Small left effusion. Cardiomegaly.", "Left effusion. Cardiomegaly."} <= made
    assert len(made) == 6


def test_a_sentence_that_names_two_topics_serves_both() -> None:
    both = {EFFUSION: ["Cardiomegaly and left effusion."], HEART: ["Cardiomegaly."]}
    assert set(complete([""], [EFFUSION, HEART], both, names)) == {"Cardiomegaly and left effusion."}


def test_a_list_becomes_sentences_before_it_is_completed() -> None:
    made = list(complete(["1. No pneumothorax. 2. Clear lungs."], [HEART], SENTENCES, names))
    assert made[0] == "Cardiomegaly. No pneumothorax. Clear lungs."


def test_many_topics_with_many_wordings_do_not_explode() -> None:
    topics = ["Pleural Effusion", "Cardiomegaly", "Pneumothorax", "Edema", "Fracture"]
    words = ["effusion", "cardiomegaly", "pneumothorax", "edema", "fracture"]
    many = {topic: [f"{size} {word}." for size in "ABCDEFGH"] for topic, word in zip(topics, words, strict=True)}
    assert len(list(complete([f"Clear {number}." for number in range(50)], topics, many, names))) <= 6 * 3 * 40


def test_the_findings_own_sentences_come_in_short_and_in_order() -> None:
    findings = parse_section("There is a small effusion. Heart is normal. No edema. An effusion is seen on the left.")
    assert own_sentences(findings, EFFUSION) == ["Small effusion.", "Effusion on the left."]
    assert own_sentences(findings, "Edema") == []


def test_colleagues_sentences_are_those_that_name_the_topic() -> None:
    impressions = ["1. Cardiomegaly. 2. No effusion. 3. Left effusion", "No acute disease.", "Possible effusion."]
    assert list(sentences_naming(EFFUSION, impressions)) == ["Left effusion.", "Possible effusion."]


@pytest.mark.parametrize(
    ("findings", "topic", "phrase"),
    [
        ("There is a small left pleural effusion with a meniscus.", EFFUSION, "Small left pleural effusion."),
        ("Again seen is scarring in the right apex.", "Lung Scar", "Right scarring."),
        ("The heart is mildly enlarged.", HEART, "Cardiomegaly."),
        ("Possible effusion. Moderate effusion on the right.", EFFUSION, "Moderate right effusion."),
        ("No effusion.", EFFUSION, ""),
        ("The left costophrenic angle is blunted.", "Blunting", ""),
        ("Tortuous aorta.", "Aortic Abnormality", ""),
        ("There is a fracture of the left sixth rib.", "Fracture", ""),
        ("Increased interstitial markings.", "Lung Opacity", "Lung opacity."),
    ],
)
def test_a_bare_phrase_keeps_what_it_is_its_side_and_severity(findings: str, topic: str, phrase: str) -> None:
    assert bare_phrase(parse_section(findings), topic) == phrase
