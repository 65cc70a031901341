"""The wording of impressions: what may go, what must stay, and what calls all clear."""

import pytest

from radllama.clinical.checks.claims import parse_section
from radllama.wording import says_all_clear, shorten, strip_list_numbers


@pytest.mark.parametrize(
    ("sentence", "short"),
    [
        ("There is a small left pleural effusion.", "Small left pleural effusion."),
        ("There are bibasilar opacities.", "Bibasilar opacities."),
        ("Again, there is stable cardiomegaly.", "Stable cardiomegaly."),
        ("The heart is enlarged.", "Heart is enlarged."),
        ("A calcified granuloma is again seen in the right base.", "Calcified granuloma in the right base."),
        ("Opacities are present, unchanged.", "Opacities, unchanged."),
        ("There is no pneumothorax.", "No pneumothorax."),
        ("2. There is scarring", "Scarring."),
        ("Also noted is a hiatal hernia;", "Hiatal hernia."),
        ("Patchy airspace disease.", "Patchy airspace disease."),
        ("The opacity is seen to better advantage.", "Opacity to better advantage."),
        ("", ""),
        ("...", ""),
    ],
)
def test_a_sentence_loses_its_scaffolding_alone(sentence: str, short: str) -> None:
    assert shorten(sentence) == short


@pytest.mark.parametrize(
    "sentence",
    [
        "There is no large pleural effusion.",
        "There is a possible small left apical pneumothorax.",
        "The heart is mildly enlarged.",
        "A 4 mm nodule is seen in the right upper lobe.",
        "There are no focal opacities.",
        "There has been interval resolution of the edema.",
    ],
)
def test_what_a_sentence_says_stays(sentence: str) -> None:
    def said(text: str) -> list[tuple[str, int, frozenset[str], frozenset[int]]]:
        return [(one.topic, one.value, one.sides, one.severities) for one in parse_section(text).claims]

    assert said(sentence)
    assert said(shorten(sentence)) == said(sentence)


@pytest.mark.parametrize(
    ("impression", "plain"),
    [
        ("1. Cardiomegaly. 2. No edema.", "Cardiomegaly. No edema."),
        ("1) Cardiomegaly.\n2) No edema.", "Cardiomegaly. No edema."),
        ("Nodule of 4 mm at T12. No change since 2.", "Nodule of 4 mm at T12. No change since"),
        ("Opacity of 1.5 cm.", "Opacity of 1.5 cm."),
        ("No edema.", "No edema."),
    ],
)
def test_a_list_loses_its_numbers(impression: str, plain: str) -> None:
    assert strip_list_numbers(impression) == plain


@pytest.mark.parametrize(
    "impression",
    [
        "No acute cardiopulmonary abnormality.",
        "NO ACUTE DISEASE",
        "Stable cardiomegaly without acute disease.",
        "No evidence of active disease.",
        "There is no radiographic evidence of acute cardiopulmonary disease.",
        "No acute or active process.",
        "Normal chest.",
        "Negative for acute abnormality.",
        "Granuloma; no acute findings.",
    ],
)
def test_all_clear_is_heard(impression: str) -> None:
    assert says_all_clear(impression)


@pytest.mark.parametrize(
    "impression",
    ["No pleural effusion.", "Acute pulmonary edema.", "No acute fracture.", "Clear lungs.", "No change.", ""],
)
def test_a_part_that_is_clear_is_not_all(impression: str) -> None:
    assert not says_all_clear(impression)
