import csv
import json
from pathlib import Path
from typing import Any

import pytest

from radllama.errors import InputError
from radllama.evaluation.drafts import Case, read_drafts

ROW = {"id": "7", "findings": "Clear lungs.", "reference": "Normal chest.", "draft": "Normal.", "model": "mini"}


def write_lines(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def write_cells(path: Path, *rows: list[str], delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def test_a_line_of_our_own_drafts_is_a_case(tmp_path: Path) -> None:
    line = {**ROW, "prompt": "paper", "seed": 0, "finish_reason": "stop"}
    drafts = read_drafts(write_lines(tmp_path / "d.jsonl", line))
    assert drafts.cases == [Case("7", "Clear lungs.", "Normal chest.", "Normal.")]
    assert (drafts.missing_references, drafts.system) == (0, "mini")


def test_id_reference_and_draft_are_enough(tmp_path: Path) -> None:
    drafts = read_drafts(write_lines(tmp_path / "gpt.jsonl", {"id": 7, "reference": "Normal.", "draft": "Fine."}))
    assert drafts.cases == [Case("7", None, "Normal.", "Fine.")]
    assert drafts.system == "gpt"  # the file's name, when no line says whose drafts these are


def test_every_model_in_the_file_is_named_once(tmp_path: Path) -> None:
    rows = [{**ROW, "id": str(at), "model": model} for at, model in enumerate(["b", "a", "b"])]
    assert read_drafts(write_lines(tmp_path / "d.jsonl", *rows)).system == "b, a"


@pytest.mark.parametrize("change", [{"draft": None}, {"draft": ""}, {"draft": None, "model": None}])
def test_a_null_or_empty_draft_is_kept_as_empty(tmp_path: Path, change: dict[str, Any]) -> None:
    assert read_drafts(write_lines(tmp_path / "d.jsonl", {**ROW, **change})).cases[0].draft == ""


def test_a_missing_draft_is_kept_as_empty(tmp_path: Path) -> None:
    lacking = {"id": "8", "reference": "Effusion."}
    assert [case.draft for case in read_drafts(write_lines(tmp_path / "d.jsonl", ROW, lacking)).cases] == [
        "Normal.",
        "",
    ]


@pytest.mark.parametrize("reference", [None, "", " ", "..."])
def test_a_reference_that_says_nothing_is_counted_and_left_out(tmp_path: Path, reference: str | None) -> None:
    drafts = read_drafts(write_lines(tmp_path / "d.jsonl", ROW, {**ROW, "id": "8", "reference": reference}))
    assert [case.id for case in drafts.cases] == ["7"]
    assert drafts.missing_references == 1


def test_a_missing_reference_is_counted_and_left_out(tmp_path: Path) -> None:
    drafts = read_drafts(write_lines(tmp_path / "d.jsonl", ROW, {"id": "8", "draft": "Normal."}))
    assert drafts.missing_references == 1


@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".CSV", ","), (".tsv", "\t")])
def test_a_table_reads_like_lines(tmp_path: Path, suffix: str, delimiter: str) -> None:
    path = write_cells(
        tmp_path / f"other{suffix}",
        ["", "id", "findings", "reference", "draft", "note"],  # pandas writes a column without a name
        ["0", "7", "Clear,\tlungs.", 'A "normal"\nchest.', "Normal.", "x"],
        ["1", "8", "", "Effusion.", "", ""],
        ["2", "9", "Clear.", "", "Normal.", ""],
        delimiter=delimiter,
    )
    drafts = read_drafts(path)
    assert drafts.cases == [
        Case("7", "Clear,\tlungs.", 'A "normal"\nchest.', "Normal."),
        Case("8", "", "Effusion.", ""),
    ]
    assert (drafts.missing_references, drafts.system) == (1, "other")


def test_a_table_with_a_byte_order_mark_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("\ufeffid,reference,draft\n7,Normal.,Fine.\n", encoding="utf-8")
    assert read_drafts(path).cases == [Case("7", None, "Normal.", "Fine.")]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no drafts in it"),
        ([{"reference": "A.", "draft": "B."}], 'd.jsonl:1: no "id"'),
        ([{**ROW, "id": " "}], 'd.jsonl:1: no "id"'),
        ([{**ROW, "id": True}], 'd.jsonl:1: no "id"'),
        ([ROW, {**ROW, "id": "8"}, {**ROW, "id": 7}], "d.jsonl:3: id '7' already stands on line 1"),
        ([{**ROW, "draft": ["Normal."]}], 'd.jsonl:1: "draft" must be text or null, found a list'),
        ([{**ROW, "reference": 3}], 'd.jsonl:1: "reference" must be text or null, found a int'),
        ([{"id": "7", "reference": "A.", "prediction": "B."}], 'no "draft" in any line (found id, prediction, refer'),
        ([{"id": "7", "impression": "A.", "draft": "B."}], 'no "reference" in any line (found draft, id, impressi'),
        ([{**ROW, "reference": None}, {**ROW, "id": "8", "reference": ""}], "none of 2 drafts has a reference"),
        (["Normal."], "d.jsonl:1: expected a JSON object"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_line(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_drafts(write_lines(tmp_path / "d.jsonl", *rows))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "Normal." not in str(error.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no drafts in it"),
        (b"id,reference,draft\n", "no drafts in it"),
        (b"id,reference,draft\n7,A,B\n8,C,D,E\n", "d.csv:3: more cells than the header"),
        (b"id,reference\n7,A\n", 'no "draft" in any line'),
        (b"reference,draft\nA,B\n", 'd.csv:2: no "id"'),
        (b"id,reference,draft\n7,\xe4,B\n", "byte 21 is not UTF-8"),
        (b'id,reference,draft\n7,"A"x,B\n', "d.csv:2: not a table"),
    ],
)
def test_a_broken_table_is_said_in_one_line(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / "d.csv").write_bytes(raw)
    with pytest.raises(InputError) as error:
        read_drafts(tmp_path / "d.csv")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_missing_file_and_a_folder_are_told_apart(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_drafts(tmp_path / f"absent{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_drafts(tmp_path / f"folder{suffix}")


def test_a_model_with_examples_is_another_system_than_without(tmp_path: Path) -> None:
    def system(prompt: str | None) -> str:
        row = ROW | {"model": "m@1f2e3d4c", "prompt": prompt}
        return read_drafts(write_lines(tmp_path / "d.jsonl", row)).system

    assert system("chat@1a2b3c4d+5") == "m@1f2e3d4c+5"
    assert system("chat@1a2b3c4d") == system("a+b") == system(None) == "m@1f2e3d4c"
