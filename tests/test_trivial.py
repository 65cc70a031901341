import pytest

from radllama.evaluation import trivial
from radllama.library import Library
from radllama.report import Report


def test_the_constant_is_the_most_frequent_impression() -> None:
    assert trivial.constant(["Fracture.", "Normal knee.", "Effusion.", "Normal knee."]) == "Normal knee."


def test_of_equally_frequent_impressions_the_first_is_taken() -> None:
    assert trivial.constant(["B.", "A.", "A.", "B.", "C."]) == "B."


def test_blanks_around_an_impression_do_not_make_it_another() -> None:
    assert trivial.constant(["A.", "B.", " A. ", "B.\n", "\tA."]) == "A."


def test_a_constant_needs_an_impression() -> None:
    with pytest.raises(ValueError, match="no impressions"):
        trivial.constant([])


def test_lead_is_the_first_three_sentences_word_for_word() -> None:
    findings = "Heart is large. Lungs: clear, 1.5 cm nodule aside. No effusion. Old rib fracture."
    assert trivial.lead(findings) == "Heart is large. Lungs: clear, 1.5 cm nodule aside. No effusion."


def test_lead_of_less_is_all_there_is() -> None:
    assert trivial.lead("No effusion.") == "No effusion."
    assert trivial.lead("") == ""


def test_nearest_copies_the_impression_of_the_most_similar_findings() -> None:
    prior = [
        Report(id="1", patient_id=None, findings="Joint effusion, no fracture.", impression="Effusion."),
        Report(id="2", patient_id=None, findings="Spiral fracture of the shaft.", impression="Shaft fracture."),
    ]
    drafts = trivial.nearest(Library.build(prior), ["Fracture of the shaft, spiral.", "Liver.", "effusion"])
    assert drafts == ["Shaft fracture.", "", "Effusion."]


def test_consensus_is_what_most_neighbours_say_the_nearest_ones_loudest() -> None:
    prior = [
        Report(id=str(at), patient_id=None, findings=findings, impression=impression)
        for at, (findings, impression) in enumerate(
            [
                ("Fracture of the shaft.", "Fracture."),
                ("Fracture of the shaft, oblique.", "Shaft fracture."),
                ("Fracture of the shaft, spiral.", "Shaft fracture."),
                *[("Shaft of a bone.", "Normal bone.")] * 3,
            ]
        )
    ]
    drafts = trivial.consensus(
        Library.build(prior), ["Fracture of the shaft, oblique or spiral.", "Shaft of a bone", "Liver."]
    )
    assert drafts == ["Shaft fracture.", "Normal bone.", ""]


def test_every_row_has_a_title_that_begins_with_its_name() -> None:
    assert all(title.startswith(f"{name}:") for name, title in trivial.TITLES.items())
