import pytest

from radllama.evaluation.normality import is_normal

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
