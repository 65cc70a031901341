import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.clinical.check import FLAG_KINDS, Checker, check

NORMAL = "The heart size is normal. The lungs are clear. No pleural effusion or pneumothorax."
EFFUSION = "Heart size is normal. There is a small left pleural effusion. The right lung is clear. No pneumothorax."


def kinds(findings: str, draft: str) -> list[str]:
    return [flag.kind for flag in check(findings, draft)]


@pytest.mark.parametrize(("kind", "findings", "draft"), [
    ("side", EFFUSION, "Small right pleural effusion."),
    ("negation", EFFUSION, "No pleural effusion."),
    ("negation", NORMAL, "Pleural effusion."),
    ("measurement", "There is a 9 mm nodule in the right apex.", "A 19 mm nodule in the right apex."),
    ("measurement", "There is a nodule in the right apex.", "A 7 mm nodule in the right apex."),
    ("severity", EFFUSION, "Large left pleural effusion."),
    ("unsupported", "Heart size is normal. The lungs are clear.", "Left apical pneumothorax."),
    ("omitted", EFFUSION, "No pneumothorax."),
    ("prior", EFFUSION, "Small left pleural effusion, unchanged from the prior study."),
    ("recommendation", EFFUSION, "Small left pleural effusion. Recommend chest CT."),
    ("malformed", EFFUSION, "Small left pleural effusion. Small left pleural effusion."),
    ("malformed", EFFUSION, "Small left pleural effusion and"),
])  # fmt: skip
def test_a_fault_raises_a_flag_of_its_kind(kind: str, findings: str, draft: str) -> None:
    assert kinds(findings, draft) == [kind]


@pytest.mark.parametrize(("findings", "draft"), [
    (NORMAL, "No acute cardiopulmonary abnormality."),
    (NORMAL, "Normal chest."),
    (EFFUSION, "Small left pleural effusion."),
    (EFFUSION, "Trace left effusion. No pneumothorax."),
    ("There is a 1.4 cm nodule in the right apex.", "14 mm right apical nodule."),
])  # fmt: skip
def test_an_impression_that_agrees_raises_none(findings: str, draft: str) -> None:
    assert kinds(findings, draft) == []


def test_findings_are_read_once_for_many_drafts() -> None:
    checker = Checker(EFFUSION)
    flags = [[flag.kind for flag in checker.check(draft)] for draft in ("Left effusion.", "Right effusion.")]
    assert flags == [[], ["side"]]


@given(st.text(), st.text())
def test_any_two_texts_can_be_checked_and_spans_lie_within_them(findings: str, draft: str) -> None:
    for flag in check(findings, draft):
        assert flag.kind in FLAG_KINDS
        for span, text in ((flag.draft_span, draft), (flag.findings_span, findings)):
            assert span is None or 0 <= span[0] < span[1] <= len(text)
