import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.evaluation.faithfulness import faithfulness, invented_observations

FINDINGS = "Large left pleural effusion. The heart is enlarged. Calcified granuloma. No pneumothorax."
REFERENCE = "Left effusion and cardiomegaly."

sentences = st.sampled_from(
    [
        *("Left pleural effusion.", "No effusion.", "Cardiomegaly.", "The heart is normal.", "Possible pneumonia."),
        *("Granuloma.", "No acute disease.", "Rib fracture.", "Hiatal hernia.", "Pulmonary edema.", "Clear lungs."),
    ]
)
texts = st.lists(sentences, max_size=5).map(" ".join)


@pytest.mark.parametrize(
    ("draft", "repeated", "normal", "invented"),
    [
        (REFERENCE, (2, 2), (0, 1), (0, 1)),
        ("Pleural effusion.", (1, 2), (0, 1), (0, 1)),
        # The radiologist passed over the granuloma: to repeat it gains nothing, but it is not invented.
        ("Granuloma.", (0, 2), (0, 1), (0, 1)),
        ("Effusion, cardiomegaly and pneumothorax.", (2, 2), (0, 1), (1, 1)),
        ("Rib fracture.", (0, 2), (0, 1), (1, 1)),
        ("No acute disease.", (0, 2), (1, 1), (0, 1)),
        ("No effusion. The heart is normal.", (0, 2), (1, 1), (0, 1)),
        # A possibility repeats nothing that is certain.
        ("Possible effusion.", (0, 2), (1, 1), (0, 1)),
        ("", (0, 2), (1, 1), (0, 1)),
    ],
)
def test_a_draft_is_held_against_findings_and_reference(
    draft: str, repeated: tuple[int, int], normal: tuple[int, int], invented: tuple[int, int]
) -> None:
    assert faithfulness(FINDINGS, REFERENCE, draft) == {
        "repeated": repeated,
        "answered_normal": normal,
        "invented": invented,
    }


def test_where_the_radiologist_repeats_nothing_only_inventing_counts() -> None:
    said = faithfulness("Degenerative changes.", "No acute disease.", "Pneumonia.")
    assert said == {"repeated": (0, 0), "answered_normal": (0, 0), "invented": (1, 1)}


def test_what_the_radiologist_concluded_or_doubted_is_not_invented() -> None:
    assert not invented_observations("Patchy opacity.", "Pneumonia.", "Pneumonia.")
    assert not invented_observations("Opacity, possibly pneumonia.", "Opacity.", "Pneumonia.")
    assert invented_observations("No pneumonia.", "No pneumonia.", "Pneumonia.") == {"Pneumonia"}


def test_without_findings_a_report_has_no_say() -> None:
    assert set(faithfulness(None, REFERENCE, "Rib fracture.").values()) == {(0, 0)}


@given(texts, texts)
def test_the_reference_itself_repeats_all_and_invents_nothing(findings: str, reference: str) -> None:
    said = faithfulness(findings, reference, reference)
    assert said["repeated"][0] == said["repeated"][1]
    assert said["answered_normal"][0] == said["invented"][0] == 0


@given(texts, texts)
def test_copying_all_findings_is_never_unfaithful(findings: str, reference: str) -> None:
    said = faithfulness(findings, reference, findings)
    assert said["repeated"][0] == said["repeated"][1]
    assert said["answered_normal"][0] == said["invented"][0] == 0


@given(texts, texts, texts)
def test_a_share_is_never_more_than_the_whole(findings: str, reference: str, draft: str) -> None:
    said = faithfulness(findings, reference, draft)
    assert all(0 <= above <= below for above, below in said.values())
    # Whoever answers normal repeats nothing.
    assert not (said["answered_normal"][0] and said["repeated"][0])


@given(texts, texts)
def test_an_empty_draft_repeats_nothing_and_answers_normal(findings: str, reference: str) -> None:
    said = faithfulness(findings, reference, "")
    assert said["repeated"][0] == said["invented"][0] == 0
    assert said["answered_normal"][0] == said["answered_normal"][1] == int(said["repeated"][1] > 0)
