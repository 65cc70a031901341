"""What may be said of findings: nothing that they do not say, in words that are theirs."""

import pytest

from radllama.clinical.checks.claims import parse_section
from radllama.drafting.standing import Standing

FINDINGS = (
    "The heart is mildly enlarged. There is a small left pleural effusion with adjacent atelectasis. "
    "Old fracture of the right sixth rib. Right jugular catheter with its tip in the SVC. "
    "A 5 mm nodule in the right upper lobe may be a granuloma. No pneumothorax."
)


@pytest.fixture(scope="module")
def standing() -> Standing:
    return Standing(parse_section(FINDINGS), frozenset({"Pleural Effusion"}))


@pytest.mark.parametrize(
    "text",
    [
        "Small left pleural effusion.",
        "Mild cardiomegaly. Small left effusion with adjacent atelectasis.",
        "No pneumothorax.",
        "Old right rib fracture.",
        "5 mm nodule in the right upper lobe, possibly a granuloma.",
        "Cardiomegaly without acute disease.",
        "No acute cardiopulmonary abnormality.",
        "Effusion on the left, otherwise no change.",
        "Right jugular catheter tip in the SVC.",
    ],
)
def test_what_the_findings_say_may_be_said(standing: Standing, text: str) -> None:
    assert standing.may_be_said(text)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Pulmonary edema.", "not in the findings"),
        ("Small left pleural effusion. Pneumonia.", "one of two not in the findings"),
        ("Right jugular catheter tip in proximal right atrium. No pneumothorax.", "a colleague's patient's catheter"),
        ("Endotracheal tube in place.", "no such tube"),
        ("Pneumothorax.", "denied there"),
        ("Granuloma.", "only doubted there"),
        ("Small right pleural effusion.", "the other side"),
        ("Large left pleural effusion.", "another severity"),
        ("9 mm nodule in the right upper lobe.", "another size"),
        ("Old fracture of the right clavicle.", "another bone"),
        ("Nodule in the right lower lobe.", "another place"),
        ("New left pleural effusion.", "another age"),
        ("Left pleural effusion in the efffield.", "words that are none"),
        ("No pleural effusion.", "denies what is there"),
        ("Small left pleural effusion. No acute cardiopulmonary disease.", "calls all clear beside an effusion"),
        ("", "no words"),
        ("Small left effusion. Small left effusion.", "twice the same"),
        ("As an AI model, I see an effusion.", "no impression"),
    ],
)
def test_what_they_do_not_say_may_not(standing: Standing, text: str, fault: str) -> None:
    assert not standing.may_be_said(text), fault


def test_all_clear_stands_beside_topics_where_colleagues_write_it() -> None:
    text = "Small left pleural effusion. No acute cardiopulmonary disease."
    assert Standing(parse_section(FINDINGS), frozenset()).may_be_said(text)


def test_what_a_text_leaves_out_is_no_reason_against_it(standing: Standing) -> None:
    assert standing.may_be_said("Mild cardiomegaly.")


def test_findings_of_nothing_abnormal_let_nothing_abnormal_stand() -> None:
    standing = Standing(parse_section("The lungs are clear. The heart is normal in size."), frozenset())
    assert standing.topics == {}
    assert standing.may_be_said("No acute disease.")
    assert not standing.may_be_said("Cardiomegaly.")


def test_a_topic_is_named_when_it_is_told_as_surely_as_in_the_findings(standing: Standing) -> None:
    assert standing.names("Mild cardiomegaly.", "Cardiomegaly")
    assert not standing.names("Possible cardiomegaly.", "Cardiomegaly")
    assert standing.names("A nodule, possibly a granuloma.", "Granuloma")
    assert not standing.names("No cardiomegaly.", "Cardiomegaly")


def test_a_word_that_nobody_uses_may_not_be_said() -> None:
    known = {"no", "acute", "disease", "chest"}
    standing = Standing(parse_section(FINDINGS), frozenset(), known.__contains__)
    assert standing.may_be_said("No acute disease.")
    assert standing.may_be_said("No pneumothorax.")
    assert not standing.may_be_said("No acute diseasable.")
