"""Links and styles: where an impression's sentences come from, and how they are laid out."""

import pytest

from radllama.clinical.links import link
from radllama.drafting.style import STYLES, render_style

FINDINGS = (
    "Heart size is normal. Small left pleural effusion with adjacent atelectasis. The right lung is clear. "
    "No pneumothorax. Tip of the nasogastric tube in the stomach. Follow the protocol of the burn unit."
)


def linked(impression: str, findings: str = FINDINGS) -> list[tuple[str, list[str]]]:
    """Spans as the texts that they cut out."""
    return [
        (impression[slice(*one.impression)], [findings[slice(*span)] for span in one.findings])
        for one in link(findings, impression)
    ]


EFFUSION = "Small left pleural effusion with adjacent atelectasis."


@pytest.mark.parametrize(
    ("impression", "sources"),
    [
        ("Left effusion.", [EFFUSION]),
        ("Atelectasis at the left base.", [EFFUSION]),
        ("No pneumothorax.", ["No pneumothorax."]),
        ("There is a pneumothorax.", ["No pneumothorax."]),  # a link says where to look, not that it agrees
        ("Burn unit protocol.", ["Follow the protocol of the burn unit."]),
        ("No acute abnormality.", []),
        ("Zebra.", []),
    ],
)
def test_a_sentence_rests_on_what_names_the_same_or_else_shares_its_words(impression: str, sources: list[str]) -> None:
    assert linked(impression) == [(impression, sources)]


def test_every_sentence_is_linked_in_order_and_list_numbers_are_none() -> None:
    assert [text for text, _ in linked("1. Left effusion. 2. No pneumothorax.\n3. Zebra.")] == [
        "Left effusion.",
        "No pneumothorax.",
        "Zebra.",
    ]


def test_one_sentence_may_rest_on_several() -> None:
    findings = "Left effusion. Lungs clear. The effusion is small."
    assert linked("Small effusion.", findings) == [("Small effusion.", ["Left effusion.", "The effusion is small."])]


@pytest.mark.parametrize(("findings", "impression"), [("", ""), ("Clear.", ""), ("", "Clear lungs."), ("...", "!!")])
def test_nothing_rests_on_nothing(findings: str, impression: str) -> None:
    assert all(one.findings == () for one in link(findings, impression))


DRAFT = "1. Small left effusion. 2. No pneumothorax."


@pytest.mark.parametrize(
    ("style", "impression", "expected"),
    [
        ("house", DRAFT, DRAFT),
        ("numbered", DRAFT, "1. Small left effusion.\n2. No pneumothorax."),
        ("numbered", "Small effusion. No pneumothorax.", "1. Small effusion.\n2. No pneumothorax."),
        ("numbered", "Normal chest.", "Normal chest."),
        ("short", DRAFT, "Small left effusion."),
        ("short", "No pneumothorax. No effusion.", "No pneumothorax. No effusion."),
        ("short", "Gallstones. No effusion. Follow up.", "Gallstones. Follow up."),
        ("short", "", ""),
        ("numbered", "", ""),
    ],
)
def test_a_style_lays_out_and_leaves_out_but_writes_nothing(style: str, impression: str, expected: str) -> None:
    assert render_style(impression, style) == expected


def test_styles_are_those_the_api_takes() -> None:
    assert set(STYLES) == {"house", "numbered", "short"}
    with pytest.raises(KeyError):
        render_style("x", "haiku")
