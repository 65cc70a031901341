"""Tables: four formats, one result; columns by name or by map; every fault named with its line."""

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports import Unusable, read_source
from radllama.reports.sections import EMPTY, NO_HEADINGS
from radllama.reports.table import read_table

ROWS: list[dict[str, Any]] = [
    {"id": "a1", "patient_id": "p1", "findings": "Clear lungs, normal heart.", "impression": "Normal."},
    {"id": "a2", "patient_id": "", "findings": 'A "vague" opacity.\nLeft.', "impression": ""},
]
REPORTS = [
    Report("a1", "p1", "Clear lungs, normal heart.", "Normal.", source="table"),
    Report("a2", None, 'A "vague" opacity.\nLeft.', "", source="table"),
]
FULL_TEXT = "INDICATION: Fall.\nFINDINGS: No fracture.\nIMPRESSION: Normal wrist."


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        delimiter = "," if path.suffix == ".csv" else "\t"
        lines = [list(rows[0])] + [['"' + str(cell).replace('"', '""') + '"' for cell in row.values()] for row in rows]
        path.write_text("".join(delimiter.join(line) + "\n" for line in lines))
    return path


def refusal(path: Path, column_map: dict[str, str] | None = None) -> str:
    with pytest.raises(InputError) as caught:
        list(read_table(path, column_map))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_text(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.fixture(params=["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tmp_path / str(request.param)


def test_every_format_gives_the_same_reports(table: Path) -> None:
    assert list(read_source("table", write(table, ROWS))) == REPORTS


def test_columns_are_mapped_by_name(table: Path) -> None:
    names = {"id": "Accession", "findings": "Body", "impression": "Schluss"}
    write(table, [{names.get(key, key): value for key, value in row.items()} for row in ROWS])
    column_map = {new: old for old, new in names.items()}
    assert list(read_table(table, column_map)) == REPORTS  # patient_id carries our name and needs no entry


def test_a_mapped_column_wins_over_one_with_the_name_of_the_field(table: Path) -> None:
    write(table, [{"id": "x", "key": "k1", "findings": "F", "impression": "I"}])
    assert [report.id for report in read_table(table, {"key": "id"})] == ["k1"]


def test_a_full_text_column_is_split_into_sections(table: Path) -> None:
    write(table, [{"id": "1", "full": FULL_TEXT}, {"id": "2", "full": "Nothing to see."}, {"id": "3", "full": ""}])
    assert list(read_table(table, {"full": "report"})) == [
        Report("1", None, "No fracture.", "Normal wrist.", "Fall.", source="table"),
        Unusable("2", NO_HEADINGS),
        Unusable("3", EMPTY),
    ]


def test_section_columns_win_over_a_full_text_unless_it_is_mapped(table: Path) -> None:
    write(table, [{"id": "1", "findings": "F", "impression": "I", "report": FULL_TEXT, "text": FULL_TEXT}])
    (by_name,) = read_table(table)
    (mapped,) = read_table(table, {"text": "report"})
    assert isinstance(by_name, Report) and by_name.findings == "F"
    assert isinstance(mapped, Report) and mapped.findings == "No fracture."


def test_full_text_and_sections_cannot_both_be_mapped(table: Path) -> None:
    write(table, [{"id": "1", "a": "F", "b": "I"}])
    assert "not both (findings)" in refusal(table, {"a": "findings", "b": "report"})


def test_a_column_that_is_not_there_is_named_with_those_that_are(table: Path) -> None:
    write(table, [{"id": "1", "findings": "F", "impression": "I"}])
    assert "no column 'Befund'; the columns are 'id', 'findings', 'impression'" in refusal(
        table, {"Befund": "findings"}
    )


@pytest.mark.parametrize("missing", ["id", "findings", "impression"])
def test_a_field_without_a_column_is_named(table: Path, missing: str) -> None:
    row = {"id": "1", "findings": "F", "impression": "I", "other": "-"}
    del row[missing]
    message = refusal(write(table, [row]))
    assert f"no column for {missing}; the columns are" in message and "--map" in message


def test_a_map_to_a_field_that_does_not_exist_lists_the_fields(table: Path) -> None:
    write(table, ROWS)
    assert "no field 'summary'; the fields are id, patient_id, findings" in refusal(table, {"impression": "summary"})


def test_two_columns_for_one_field_are_refused(table: Path) -> None:
    write(table, ROWS)
    message = refusal(table, {"id": "findings", "impression": "findings"})
    assert "'findings' is already mapped from 'id'" in message


def test_a_row_without_id_is_named_by_its_place(table: Path) -> None:
    write(table, [ROWS[0], {**ROWS[0], "id": ""}])
    place = {".jsonl": ":2:", ".parquet": ": row 2:"}.get(table.suffix, ":3:")
    assert refusal(table).startswith(f"{table}{place} no id in column 'id'")


@pytest.mark.parametrize("content", ["", "\n\n"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    assert "the file is empty; expected" in refusal(write_text(tmp_path / name, content))


def test_a_header_without_rows_is_refused(tmp_path: Path) -> None:
    assert "no rows" in refusal(write_text(tmp_path / "a.csv", "id,findings,impression\n"))


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", b"\xef\xbb\xbfid,findings,impression\r\n1,F\xc3\xa9,I\r\n")
    assert list(read_table(path)) == [Report("1", None, "Fé", "I", source="table")]


def test_latin_1_is_refused_at_its_line_with_the_way_to_convert_it(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "id,findings,impression\n1,ok,ok\n2,na\xefve,x\n".encode("latin-1"))
    message = refusal(path)
    assert message.startswith(f"{path}:3: byte 0xEF is not UTF-8") and "iconv -f WINDOWS-1252 -t UTF-8" in message
    assert "na" not in message.removeprefix(str(path)).split()  # no text of the row


def test_utf_16_is_named_as_such(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "id,findings,impression\n1,F,I\n".encode("utf-16"))
    assert "the file is UTF-16" in refusal(path)


def test_latin_1_in_jsonl_is_refused_at_its_line(tmp_path: Path) -> None:
    rows = '{"id": "1", "findings": "ok", "impression": "na\xefve"}\n'
    assert ":1: not a line of JSON" in refusal(write_text(tmp_path / "a.jsonl", rows.encode("latin-1")))


@pytest.mark.parametrize("row", ["2,F", "2,F,I,more"])
def test_too_few_or_too_many_cells_are_refused_at_their_line(tmp_path: Path, row: str) -> None:
    path = write_text(tmp_path / "a.csv", f'id,findings,impression\n1,"two\nlines",I\n{row}\n')
    assert refusal(path).startswith(f"{path}:4: {row.count(',') + 1} cells where the header has 3")


@pytest.mark.parametrize("row", ['2,"F,I', '2,"F" x,I', "2,F\rF,I"], ids=["open quote", "after a quote", "lone CR"])
def test_a_row_that_is_no_csv_is_refused_where_it_starts(tmp_path: Path, row: str) -> None:
    path = write_text(tmp_path / "a.csv", f"id,findings,impression\n1,F,I\n{row}\n3,F,I\n")
    assert refusal(path).startswith(f"{path}:3: not a row of a table")


def test_blank_lines_are_skipped_and_lines_still_counted(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "\nid,findings,impression\n\n1,F,I\n\n,F,I\n")
    assert refusal(path).startswith(f"{path}:6: no id")


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.csv", "id,findings,findings,impression\n1,F,G,I\n")
    assert ":1: two columns have the same name" in refusal(path)


def test_findings_of_ten_thousand_words_are_read_whole(table: Path) -> None:
    long = " ".join(["opacity"] * 10_000)
    write(table, [{"id": "1", "findings": long, "impression": "I"}])
    assert list(read_table(table)) == [Report("1", None, long, "I", source="table")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_whole_numbers_are_ids_and_empty_values_empty_text(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"id": 7, "patient_id": 8, "findings": "F", "impression": None}])
    assert list(read_table(path)) == [Report("7", "8", "F", "", source="table")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
@pytest.mark.parametrize(("column", "value"), [("id", 7.0), ("findings", 3), ("id", True)])
def test_values_that_are_not_text_are_refused(tmp_path: Path, name: str, column: str, value: object) -> None:
    path = write(tmp_path / name, [{"id": "1", "findings": "F", "impression": "I", column: value}])
    assert f"column {column!r} must be text, found a {type(value).__name__}" in refusal(path)


def test_an_empty_number_in_a_text_column_is_empty_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [{"id": "1", "findings": "F", "impression": "I", "comparison": float("nan")}])
    assert list(read_table(path)) == [Report("1", None, "F", "I", source="table")]


def test_a_key_that_only_later_lines_have_is_a_column(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [{"id": "1", "findings": "F"}, {"id": "2", "findings": "G", "impression": "I"}])
    assert [report.impression for report in read_table(path) if isinstance(report, Report)] == ["", "I"]


def test_columns_of_parquet_that_are_not_asked_for_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [{"id": "1", "findings": "F", "impression": "I", "image": b"\x00" * 1000}])
    assert list(read_table(path)) == [Report("1", None, "F", "I", source="table")]


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    assert "not a Parquet file" in refusal(write_text(tmp_path / "a.parquet", "id,findings\n"))
    assert "not a Parquet file" in refusal(write_text(tmp_path / "b.parquet", ""))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'radllama[parquet]'" in refusal(path)


def test_other_files_and_folders_are_refused(tmp_path: Path) -> None:
    assert "unknown kind of table '.xlsx'" in refusal(write_text(tmp_path / "a.xlsx", "PK"))
    assert "is a folder" in refusal(tmp_path)
    assert "no such file" in refusal(tmp_path / "absent.csv")
