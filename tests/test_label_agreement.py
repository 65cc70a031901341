import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.clinical.label import label
from radllama.clinical.lexicon import OBSERVATIONS
from radllama.evaluation.label_agreement import FIVE, label_agreement, present

texts = st.lists(
    st.sampled_from(
        ["Left effusion.", "No effusion.", "Possible pneumonia.", "Cardiomegaly.", "Clear lungs.", "Hernia."]
    ),
    max_size=4,
).map(" ".join)


def test_what_is_asserted_or_doubted_is_present_and_what_is_denied_is_not() -> None:
    assert present("Left effusion, possible pneumonia. No edema.") == {"Pleural Effusion", "Pneumonia"}


def test_no_finding_is_a_label_of_a_normal_text_and_not_of_an_empty_one() -> None:
    assert present("No acute disease.") == {"No Finding"}
    assert present("") == present("  ") == frozenset()


def test_the_parts_sum_to_f1() -> None:
    # By hand: draft {effusion, fracture}, reference {effusion, cardiomegaly}: 2 TP = 2 of 2 TP + FP + FN = 4.
    parts = label_agreement("Effusion and cardiomegaly.", "Effusion. Rib fracture.")
    assert parts == {"label_f1_micro": (2, 4), "label_f1_micro_5": (2, 3), "label_accuracy": (0, 1)}


def test_the_five_are_those_of_the_competition_and_of_the_fourteen() -> None:
    assert set(OBSERVATIONS) > FIVE
    assert len(FIVE) == 5


@pytest.mark.parametrize("text", ["Left effusion.", "No acute disease.", "Hernia.", ""])
def test_a_text_agrees_with_itself(text: str) -> None:
    parts = label_agreement(text, text)
    assert parts["label_accuracy"] == (1, 1)
    assert parts["label_f1_micro"][0] == parts["label_f1_micro"][1]


@given(texts, texts)
def test_agreement_does_not_ask_which_text_is_the_reference(one: str, other: str) -> None:
    assert label_agreement(one, other) == label_agreement(other, one)


@given(texts)
def test_present_labels_are_those_of_the_labeller(text: str) -> None:
    values = label(text).values
    assert present(text) == {name for name, value in values.items() if value in (1, -1)}
