import pytest

from radllama.clinical.observations import observation_names, observe


@pytest.mark.parametrize(
    ("text", "asserted"),
    [
        ("Small left pleural effusion.", {"Pleural Effusion"}),
        ("The heart is enlarged. No effusion.", {"Cardiomegaly"}),
        ("Calcified granuloma in the right lung.", {"Granuloma"}),
        ("Degenerative changes of the spine, hiatal hernia.", {"Degenerative Change", "Hernia"}),
        ("Emphysema. Scoliosis.", {"Emphysema", "Spinal Curvature"}),
        ("No acute cardiopulmonary abnormality.", set()),
        ("The lungs are clear, the heart is normal.", set()),
        ("Endotracheal tube in place.", set()),
        ("Low lung volumes.", set()),
        ("", set()),
    ],
)
def test_observations_that_are_plainly_there_are_asserted(text: str, asserted: set[str]) -> None:
    assert observe(text).asserted == asserted


def test_what_may_be_there_is_doubted() -> None:
    assert observe("Possible pneumonia.").doubted == {"Pneumonia"}
    assert not observe("Possible pneumonia.").asserted


def test_what_is_asserted_anywhere_is_not_doubted() -> None:
    observed = observe("Right effusion. Possible left effusion.")
    assert observed.asserted == {"Pleural Effusion"}
    assert not observed.doubted


def test_the_names_are_chexperts_and_the_further_findings_and_nothing_else() -> None:
    names = observation_names()
    assert names[:2] == ("Enlarged Cardiomediastinum", "Cardiomegaly")
    assert {"Granuloma", "Hernia", "Degenerative Change"} < set(names)
    assert not {"No Finding", "Support Devices", "Heart", "Lungs", "Low Volumes", "Surgical Material"} & set(names)
    assert len(set(names)) == len(names)
