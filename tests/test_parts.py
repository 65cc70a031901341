"""Parts under codes or names -> sections: labelled parts are believed, the rest is split at headings."""

import pytest

from radllama.reports.parts import Part, join_dictated, join_parts, section_of
from radllama.reports.sections import NO_HEADINGS


@pytest.mark.parametrize(
    ("codes", "names", "section"),
    [
        (["59776-5"], [], "findings"),
        (["19005-8"], [], "impression"),
        (["121072"], [], "impression"),
        (["71046", "GDT"], [], "findings"),
        (["71046", "IMP"], [], "impression"),
        (["local"], ["Clinical History"], "indication"),
        (["local"], ["findings:"], "findings"),
        (["local"], ["Dose report"], None),
        ([], [], None),
    ],
)
def test_a_section_is_known_by_code_or_name(codes: list[str], names: list[str], section: str | None) -> None:
    assert section_of(codes, names) == section


def test_labelled_parts_of_a_section_are_joined_and_others_left_out() -> None:
    parts = [Part("findings", "Heart is normal."), Part(None, "Dose 1 mSv."), Part("findings", "Lungs are clear.")]
    sections = join_parts([*parts, Part("impression", "Normal.")])
    assert (sections.findings, sections.impression) == ("Heart is normal.\nLungs are clear.", "Normal.")


def test_parts_without_labels_are_one_text_with_headings() -> None:
    sections = join_parts([Part(None, "FINDINGS: Lungs are clear."), Part(None, "IMPRESSION: Normal.")])
    assert (sections.findings, sections.impression) == ("Lungs are clear.", "Normal.")


def test_a_text_without_headings_is_findings_only_where_a_draft_is_wanted() -> None:
    parts = [Part(None, "Lungs are clear."), Part(None, " ")]
    assert join_parts(parts).problem == NO_HEADINGS
    assert join_dictated(parts).findings == "Lungs are clear."


def test_a_text_whose_headings_name_no_findings_is_not_taken_for_findings() -> None:
    assert join_dictated([Part("indication", "Cough."), Part(None, "Something.")]).findings == ""
