from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.files import write_jsonl
from radllama.report import Report, parse_report, read_reports
from radllama.run import read_run, write_run


def test_a_report_survives_the_way_through_a_file(tmp_path: Path) -> None:
    report = Report("7", "p1", "Clear lungs.", "Normal.", "Cough.", "None.", "PA.", "table")
    write_jsonl(tmp_path / "r.jsonl", [report.to_json()])
    assert list(read_reports(tmp_path / "r.jsonl")) == [report]


def test_the_keys_stand_in_the_order_of_the_contract() -> None:
    keys = list(Report("7", None, "", "").to_json())
    assert keys == ["id", "patient_id", "findings", "impression", "indication", "comparison", "technique", "source"]


def test_sections_may_be_absent_or_null_and_ids_numbers() -> None:
    report = parse_report({"id": 7, "findings": "Clear lungs.", "impression": None, "extra": 1}, "f:1")
    assert report == Report("7", None, "Clear lungs.", "")


@pytest.mark.parametrize("row", [{}, {"id": ""}, {"id": " "}, {"id": None}, {"id": True}, {"id": ["7"]}])
def test_a_report_without_an_id_is_refused(row: dict[str, object]) -> None:
    with pytest.raises(InputError, match='f:1: no "id"'):
        parse_report(row, "f:1")


def test_a_section_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match='"findings" must be text, found a list'):
        parse_report({"id": "1", "findings": ["Clear"]}, "f:1")


def test_two_reports_with_one_id_are_refused_with_both_places(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [{"id": "1"}, {"id": "2"}, {"id": "1"}])
    with pytest.raises(InputError, match=r"r\.jsonl:3: id '1' already stands on line 1"):
        list(read_reports(tmp_path / "r.jsonl"))


def test_a_run_file_says_what_made_it(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
    write_run(tmp_path / "run.json", "draft", {"seed": 3}, reports=5)
    run = read_run(tmp_path)
    assert run is not None
    assert (run["command"], run["settings"], run["reports"]) == ("draft", {"seed": 3}, 5)
    assert {"radllama", "python", "packages", "finished_at"} <= set(run)
