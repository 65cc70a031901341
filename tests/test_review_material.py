"""What a study is made of: complete or refused, and levelled so that layout tells nobody who wrote what."""

from pathlib import Path
from typing import Any

import pytest

from radllama.errors import InputError
from radllama.files import write_jsonl
from radllama.review.blinding import NOTHING, is_all_capitals, show_text
from radllama.review.form import parse_form, read_form
from radllama.review.material import describe_material, gather, parse_systems, read_calibration

REPORTS = [{"id": f"r{n}", "findings": "Clear lungs.", "impression": f"Normal chest {n}."} for n in range(5)]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with reports and the drafts of two systems."""
    write_jsonl(tmp_path / "test.jsonl", REPORTS)
    write_jsonl(tmp_path / "a.jsonl", ({"id": one["id"], "draft": "1. normal"} for one in REPORTS))
    (tmp_path / "b.csv").write_text(
        "id,draft\n" + "".join(f"{one['id']},NORMAL CHEST TODAY AGAIN HERE\n" for one in REPORTS)
    )
    return tmp_path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("IMPRESSION:\n1. Small effusion.\n2. no pneumothorax", "Small effusion.\nNo pneumothorax."),
        ("- Small effusion\n* Normal heart", "Small effusion.\nNormal heart."),
        ("Small effusion.  Normal   heart.", "Small effusion.\nNormal heart."),
        ("1. 6 mm nodule. 2. Stable.", "6 mm nodule.\nStable."),
        ("Small left\npleural effusion of\n12 mm.", "Small left pleural effusion of 12 mm."),
        ("Nodules <6 mm and >3 mm.", "Nodules <6 mm and >3 mm."),
        ("2.5 cm mass since XXXX, see [**2101-1-1**]", "2.5 cm mass since ___, see ___."),
        ("CT chest is advised.", "CT chest is advised."),
        ("", NOTHING),
        (" 1. ", NOTHING),
    ],
)
def test_layout_is_levelled_and_no_word_changed(text: str, shown: str) -> None:
    assert show_text(text) == shown
    assert shown == NOTHING or show_text(shown) == shown


def test_capitals_throughout_are_told() -> None:
    assert is_all_capitals("NO ACUTE CARDIOPULMONARY DISEASE.")
    assert not is_all_capitals("No acute cardiopulmonary disease. CT.")


def test_the_signed_impression_takes_part_as_one_of_the_candidates(files: Path) -> None:
    systems = parse_systems([f"a={files}/a.jsonl", f"b={files}/b.csv"], human_reference=True)
    material = gather(files / "test.jsonl", systems, human_reference=True)
    assert material.systems == ["a", "b", "signed"]
    assert [text.shown for text in material.texts[3]] == [
        "Normal.",
        "NORMAL CHEST TODAY AGAIN HERE.",
        "Normal chest 3.",
    ]
    told = dict(describe_material(material))
    assert told["b"].endswith("5 all in capitals, which raters will notice")


def test_a_sample_is_drawn_by_the_seed(files: Path) -> None:
    systems = {"a": files / "a.jsonl"}
    drawn = [[one.id for one in gather(files / "test.jsonl", systems, False, 3, seed).reports] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]
    with pytest.raises(InputError, match="has 5 reports"):
        gather(files / "test.jsonl", systems, False, 6)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a=x", "a=y"], "another system's name already"),
        (["a=x", "A=y"], "another system's name already"),
        (["Signed=x"], "the signed impression's name already"),
        (["x.jsonl"], "expected NAME=FILE"),
        (["=x"], "expected NAME=FILE"),
        ([], "at least one --system"),
        (["a\x07=x"], "printable"),
    ],
)
def test_systems_that_cannot_be_told_apart_are_refused(arguments: list[str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_systems(arguments, human_reference=True)


def test_a_draft_file_that_lacks_reports_is_refused_by_their_ids(files: Path) -> None:
    write_jsonl(files / "a.jsonl", [{"id": "r0", "draft": "Normal."}])
    with pytest.raises(InputError, match=r"no draft of a's for 4 of 5 reports \(r1, r2, r3 and 1 more\)"):
        gather(files / "test.jsonl", {"a": files / "a.jsonl"}, False)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"id": "r0", "draft": "x"}] * 2, r"a\.jsonl:2: a second draft of report 'r0'"),
        ([{"id": "r0"}], 'no "draft"'),
        ([{"id": "r0", "draft": 3}], "must be text"),
        ([], "no drafts in it"),
    ],
)
def test_a_draft_file_that_is_none_is_refused(files: Path, rows: list[dict[str, Any]], told: str) -> None:
    write_jsonl(files / "a.jsonl", rows)
    with pytest.raises(InputError, match=told):
        gather(files / "test.jsonl", {"a": files / "a.jsonl"}, False)


def test_reports_without_their_sections_are_refused(files: Path) -> None:
    write_jsonl(files / "test.jsonl", [{**REPORTS[0], "impression": ""}, *REPORTS[1:]])
    gather(files / "test.jsonl", {"a": files / "a.jsonl"}, False)
    with pytest.raises(InputError, match="no signed impression to take part for 1 of 5"):
        gather(files / "test.jsonl", {"a": files / "a.jsonl"}, True)
    write_jsonl(files / "test.jsonl", [{**REPORTS[0], "findings": " "}])
    with pytest.raises(InputError, match="no findings for 1 of 1"):
        gather(files / "test.jsonl", {"a": files / "a.jsonl"}, False)


def test_an_empty_draft_is_shown_as_such_and_counted(files: Path) -> None:
    write_jsonl(files / "a.jsonl", ({"id": one["id"], "draft": None} for one in REPORTS))
    material = gather(files / "test.jsonl", {"a": files / "a.jsonl"}, False)
    assert "5 empty" in dict(describe_material(material))["a"]


def test_the_calibration_set_that_ships_fits_the_form_that_ships() -> None:
    assert len(read_calibration(None, read_form())) == 3
    (one, *_) = read_calibration(None, parse_form("title: t\nquestions:\n- {name: a, title: A, kind: comment}"))
    assert one.trials[0].expected == {}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("[]", "expected a list"),
        (
            "- {id: a, findings: Clear., drafts: [{impression: Fine., why: So., answers: {relevance: 9}}]}",
            "expected one of",
        ),
        ("- {id: a, findings: Clear., drafts: [{impression: Fine., why: So., answers: {colour: 1}}]}", "no question"),
        ("- {id: a, findings: Clear., drafts: [{impression: Fine., answers: {}}]}", "does not say why"),
        ("- {id: a, drafts: [{impression: Fine., answers: {}}]}", "no findings"),
        ("- [", "not YAML"),
    ],
)
def test_a_calibration_set_that_does_not_fit_is_refused(source: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(source)
    with pytest.raises(InputError, match=told):
        read_calibration(tmp_path / "c.yaml", read_form())
