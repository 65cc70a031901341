import numpy as np
import pytest

from radllama.evaluation.strata import TITLES, is_normal, strata

NORMAL = [
    "Normal chest.",
    "NORMAL CHEST",
    "Negative.",
    "Lungs clear.",
    "No acute disease.",
    "No acute cardiopulmonary process identified on this study.",
    "1. No focal consolidation. 2. No effusion, pneumothorax or edema.",
    "Heart size and mediastinum within normal limits; lungs clear without infiltrate.",
    "There is no fracture or dislocation of the left knee.",
    "Negative for acute bony injury.",
    "Clear lungs with no suspicious mass.",
    "Unremarkable CT of the abdomen and pelvis.",
    "Normal thyroid ultrasound. No follow-up needed.",
    "Stable chest. No new consolidation.",
    "Unchanged examination without acute finding.",
    "No active tuberculosis or significant interval change.",
    "Comparison XXXX. Lungs remain clear.",
    "Chest. No infiltrate. Right hip. No fracture.",
]
ABNORMAL = [
    "Cardiomegaly.",
    "Small left effusion. No pneumothorax.",
    "No pneumothorax. Small left effusion.",
    "No acute disease with stable cardiomegaly.",
    "No edema, mild cardiomegaly.",
    "Emphysema without acute process.",
    "Lungs clear except for a granuloma at the base.",
    "No infiltrate but a large hiatal hernia.",
    "No fracture; joint effusion.",
    "No acute disease 2. Calcified nodule",
    "No acute disease other than scoliosis.",
    "Pneumonia cannot be excluded.",
    "Mass not seen before.",
    "No definite consolidation, recommend follow-up.",
    # These deny nothing and call nothing normal.
    "Chest.",
    "Stable chest.",
    "Unchanged.",
    "No change.",
    "No significant interval change.",
    "Comparison XXXX.",
    "",
    "...",
]


@pytest.mark.parametrize("impression", NORMAL)
def test_an_impression_of_denials_and_normal_statements_is_normal(impression: str) -> None:
    assert is_normal(impression)


@pytest.mark.parametrize("impression", ABNORMAL)
def test_any_other_statement_makes_an_impression_abnormal(impression: str) -> None:
    assert not is_normal(impression)


@pytest.mark.parametrize("abnormal", [text for text in ABNORMAL[:13] if text])
def test_one_abnormal_statement_among_normal_ones_decides(abnormal: str) -> None:
    assert not is_normal(f"Normal chest. {abnormal} Lungs clear.")


def test_every_report_is_normal_or_abnormal() -> None:
    masks = strata(["Normal chest.", "Effusion.", "No edema."], None, None)
    assert masks["normal"].tolist() == [True, False, True]
    assert masks["abnormal"].tolist() == [False, True, False]
    assert set(masks) == {"normal", "abnormal"}


def test_a_stratum_without_reports_is_left_out() -> None:
    assert set(strata(["Normal chest."], None, None)) == {"normal"}


def test_findings_are_seen_when_the_same_words_stand_in_training() -> None:
    findings = ["Lungs CLEAR, heart normal.", "Heart normal. Lungs clear.", "Lungs clear"]
    masks = strata(["Normal."] * 3, findings, ["lungs clear. Heart normal", "Other."])
    assert masks["findings_seen"].tolist() == [True, False, False]
    assert masks["findings_unseen"].tolist() == [False, True, True]


def test_without_training_findings_nothing_is_called_unseen() -> None:
    masks = strata(["Normal."] * 4, ["a", "a b", "a b c", "a b c d"], None)
    assert "findings_seen" not in masks
    assert "findings_unseen" not in masks


def test_quarters_are_of_the_words_in_the_findings() -> None:
    findings = [" ".join(["word"] * length) for length in (8, 1, 2, 7, 3, 6, 4, 5)]
    masks = strata(["Normal."] * 8, findings, None)
    quarters = [[name for name in masks if name.startswith("length") and masks[name][at]] for at in range(8)]
    expected = ["q4", "q1", "q1", "q4", "q2", "q3", "q2", "q3"]
    assert quarters == [[f"length_{quarter}"] for quarter in expected]


def test_findings_of_equal_length_fall_into_one_quarter() -> None:
    masks = strata(["Normal."] * 6, ["one two three"] * 6, None)
    assert [name for name in masks if name.startswith("length")] == ["length_q1"]
    assert masks["length_q1"].all()


def test_the_quarters_part_all_reports() -> None:
    random = np.random.default_rng(0)
    findings = ["word " * int(length) for length in random.integers(0, 30, size=101)]
    masks = strata(["Normal."] * 101, findings, findings[:50])
    quarters = np.array([mask for name, mask in masks.items() if name.startswith("length")])
    assert (quarters.sum(axis=0) == 1).all()


def test_every_stratum_has_a_title() -> None:
    masks = strata(["Normal.", "Effusion."] * 4, list("abcdefgh"), ["a"])
    assert masks.keys() <= TITLES.keys()
