"""Datasets: the same reports give the same bytes, every drop is counted, and a failure loses nothing."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest

import radllama.dataset.build
from radllama.dataset.build import build_dataset, read_card, read_split, render_card
from radllama.dataset.splits import choose_split
from radllama.errors import InputError
from radllama.files import hash_file
from radllama.report import Report

ORGANS = ["liver", "spleen", "pancreas", "bladder", "left kidney", "right kidney", "thyroid", "uterus", "prostate"]


def row(number: int, **values: str) -> dict[str, str]:
    """A synthetic report under an OpenI number; no two have the same findings."""
    organ = ORGANS[number % len(ORGANS)]
    return {
        "uid": str(number),
        "indication": "Flank pain.",
        "comparison": "None.",
        "findings": f"The {organ} holds a round cyst of {number} mm.  It has a thin wall.",
        "impression": f"Simple cyst of the {organ}.",
        **values,
    }


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    columns = ["uid", "MeSH", "Problems", "image", "indication", "comparison", "findings", "impression"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_xml(folder: Path, rows: list[dict[str, str]]) -> Path:
    folder.mkdir()
    for values in rows:
        sections = "".join(
            f'<AbstractText Label="{name.upper()}">{escape(values[name])}</AbstractText>'
            for name in ("comparison", "indication", "findings", "impression")
        )
        text = f'<eCitation><pmcId id="{values["uid"]}"/><Abstract>{sections}</Abstract></eCitation>'
        (folder / f"{values['uid']}.xml").write_text(text, encoding="utf-8")
    return folder


def write_table(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(values) + "\n" for values in rows), encoding="utf-8")
    return path


def contents(folder: Path, but: tuple[str, ...] = ()) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name not in but}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "reports.csv", [row(number) for number in range(1, 121)])


def test_a_dataset_has_a_file_for_each_part_and_describes_itself(source: Path, tmp_path: Path) -> None:
    card = build_dataset("openi", source, tmp_path / "d")
    assert set(contents(tmp_path / "d")) == {
        *("train.jsonl", "valid.jsonl", "test.jsonl", "dataset.json", "run.json"),
    }
    assert read_card(tmp_path / "d") == card
    assert card["source"] == "openi"
    assert card["split"]["name"] == "random:0"
    assert card["read"] == sum(card["reports"].values()) == 120
    assert card["dropped"] == {}
    assert card["phi"] == {}
    for part, count in card["reports"].items():
        assert len(list(read_split(tmp_path / "d", part))) == count
        assert card["files"][f"{part}.jsonl"] == hash_file(tmp_path / "d" / f"{part}.jsonl")


def test_the_rows_are_cleaned_reports(source: Path, tmp_path: Path) -> None:
    build_dataset("openi", source, tmp_path / "d")
    reports = [report for part in ("train", "valid", "test") for report in read_split(tmp_path / "d", part)]
    assert sorted(int(report.id) for report in reports) == list(range(1, 121))
    assert next(report for report in reports if report.id == "9") == Report(
        id="9",
        patient_id=None,
        findings="The liver holds a round cyst of 9 mm. It has a thin wall.",
        impression="Simple cyst of the liver.",
        indication="Flank pain.",
        comparison="None.",
        source="openi",
    )


def test_csv_and_xml_of_the_same_reports_give_the_same_bytes(tmp_path: Path) -> None:
    numbers = [number for number in range(1, 200) if number % 7]
    rows = [row(number) for number in numbers]
    rows[3]["findings"] += " Fat & fluid <5 HU, seen\nin “both” phases é. ."
    rows[4]["impression"] = ""
    from_csv = write_csv(tmp_path / "a.csv", rows)
    from_xml = write_xml(tmp_path / "xml", rows[::-1])
    card = build_dataset("openi", from_csv, tmp_path / "one", "impressiongpt")
    assert build_dataset("openi", from_xml, tmp_path / "two", "impressiongpt") == card
    assert contents(tmp_path / "one", ("run.json",)) == contents(tmp_path / "two", ("run.json",))
    assert card["dropped"].keys() == {"no impression", "not in split impressiongpt"}


def test_the_order_of_the_source_does_not_matter(tmp_path: Path) -> None:
    rows = [row(number) for number in range(1, 121)]
    build_dataset("openi", write_csv(tmp_path / "a.csv", rows), tmp_path / "one")
    build_dataset("openi", write_csv(tmp_path / "b.csv", rows[50:] + rows[:50]), tmp_path / "two")
    assert contents(tmp_path / "one", ("run.json",)) == contents(tmp_path / "two", ("run.json",))


def test_rows_stand_in_natural_order_of_their_ids(tmp_path: Path) -> None:
    ids = ["b2", "10", "9", "b10", "a", "09", "1-2", "1-10", "", "b"]
    rows = [
        {"id": i, "patient_id": "p", "findings": f"Cyst {n}.", "impression": "Cyst."} for n, i in enumerate(ids) if i
    ]
    card = build_dataset("table", write_table(tmp_path / "t.jsonl", rows), tmp_path / "d", seed_with("p", "train"))
    assert card["reports"]["train"] == len(rows)
    found = [report.id for report in read_split(tmp_path / "d", "train")]
    assert found == ["1-2", "1-10", "09", "9", "10", "a", "b", "b2", "b10"]


def seed_with(patient: str, part: str) -> str:
    names = (f"random:{seed}" for seed in range(100))
    return next(n for n in names if choose_split("table", n, Path("x")).part_of("", patient) == part)


def test_impressiongpt_without_its_test_reports_has_no_test_file(tmp_path: Path) -> None:
    parts = choose_split("openi", "impressiongpt", tmp_path)
    numbers = [n for n in range(1, 400) if parts.part_of(str(n), None) in ("train", "valid")]
    source = write_csv(tmp_path / "r.csv", [row(n) for n in numbers] + [row(11), row(3, findings="")])
    card = build_dataset("openi", source, tmp_path / "d", "impressiongpt")
    assert card["reports"]["test"] == 1
    source = write_csv(tmp_path / "r.csv", [row(n) for n in numbers])
    card = build_dataset("openi", source, tmp_path / "d", "impressiongpt")
    assert card["reports"]["train"] + card["reports"]["valid"] == len(numbers)
    assert card["split"]["absent"]["test"] == 576
    assert not (tmp_path / "d" / "test.jsonl").exists()
    with pytest.raises(InputError, match="has no split 'test'; it has train, valid"):
        read_split(tmp_path / "d", "test")


def test_every_dropped_report_is_counted_by_its_reason(tmp_path: Path) -> None:
    listed = choose_split("openi", "impressiongpt", tmp_path)
    outside = [n for n in range(1, 200) if listed.part_of(str(n), None) is None][:3]
    inside = [n for n in range(1, 200) if listed.part_of(str(n), None) == "train"]
    bad = [
        row(inside[0], findings=""),
        row(inside[1], findings=" "),
        row(inside[2], impression=""),
        row(inside[3], findings="", impression=""),
        row(inside[4], findings="XXXX."),
        row(inside[5], impression="See findings."),
        *(row(number) for number in outside),
    ]
    source = write_csv(tmp_path / "r.csv", [*bad, *(row(n) for n in inside[6:])])
    card = build_dataset("openi", source, tmp_path / "d", "impressiongpt")
    assert list(card["dropped"].items()) == [
        ("not in split impressiongpt", 3),
        ("no findings", 2),
        ("findings hold no words", 1),
        ("impression holds no text of its own", 1),
        ("neither findings nor impression", 1),
        ("no impression", 1),
    ]
    assert card["read"] == sum(card["reports"].values()) + sum(card["dropped"].values())
    assert "dropped  9: not in split impressiongpt 3, no findings 2" in render_card(card)


def test_a_report_that_the_reader_could_not_split_is_counted_too(tmp_path: Path) -> None:
    rows = [
        {"id": f"r{n}", "report": f"FINDINGS: A cyst of {n} mm.\n\nIMPRESSION: Cyst.", "patient_id": "p"}
        for n in range(5)
    ]
    rows.append({"id": "x", "report": "A cyst without any heading.", "patient_id": "p"})
    path = write_table(tmp_path / "t.jsonl", rows)
    card = build_dataset("table", path, tmp_path / "d", seed_with("p", "train"))
    assert card["reports"]["train"] == 5
    assert sum(card["dropped"].values()) == 1
    assert card["read"] == 6


def test_the_parts_share_no_patient(tmp_path: Path) -> None:
    rows = [
        {"Nr": f"r{n}", "Pat": f"p{n // 3}", "Befund": f"Cyst of {n} mm.", "impression": "Cyst."} for n in range(300)
    ]
    path = write_table(tmp_path / "t.jsonl", rows)
    columns = {"Nr": "id", "Pat": "patient_id", "Befund": "findings"}
    card = build_dataset("table", path, tmp_path / "d", "random:4", columns)
    assert card["reports"].keys() == card["words"].keys()
    assert all(leaks["patients"] and not leaks["patients_in_train"] for leaks in card["leaks"]["parts"].values())
    assert "patients 0 of" in render_card(card)


def test_the_card_tells_lengths_leaks_and_identifiers_and_never_the_text(tmp_path: Path) -> None:
    rows = [row(number, findings="The liver holds a cyst.") for number in range(1, 41)]
    rows += [row(number, findings="normal liver " * 5000) for number in (41,)]
    rows += [row(number, impression="Called to Dr. Zweig on 3/14/2015.") for number in range(42, 72)]
    card = build_dataset("openi", write_csv(tmp_path / "r.csv", rows), tmp_path / "d")
    lengths = [card["words"][part]["findings"] for part in card["words"]]
    assert max(values["max"] for values in lengths) == 10_000
    assert list(lengths[0]) == ["5", "25", "50", "75", "95", "99", "max"]
    assert lengths[0]["5"] == 5
    assert all(leaks["findings_in_train"] > 0 for leaks in card["leaks"]["parts"].values())
    assert "Jaccard" in card["leaks"]["method"]
    assert card["phi"]["name"]["reports"] == card["phi"]["date"]["reports"] == 30
    assert card["phi"]["name"]["ids"] == [str(number) for number in range(42, 62)]
    told = render_card(card) + json.dumps(card)
    assert "Zweig" not in told
    assert "3/14" not in told
    assert "WARNING  what looks like: name, in 30 reports: 42, 43" in told
    assert "61 and 10 more" in told


def test_a_card_without_findings_of_the_scan_says_that_the_scan_is_no_proof(source: Path, tmp_path: Path) -> None:
    shown = render_card(build_dataset("openi", source, tmp_path / "d"))
    assert "the scan cannot know all" in shown
    assert "WARNING" not in shown
    assert "absent" not in shown
    assert "dropped  0\n" in shown


def test_the_run_file_holds_what_the_card_must_not(source: Path, tmp_path: Path) -> None:
    build_dataset("openi", source, tmp_path / "d")
    run = json.loads((tmp_path / "d" / "run.json").read_text(encoding="utf-8"))
    assert run["settings"]["path"] == str(source)
    assert run["settings"]["split"] == "random:0"
    assert run["source_sha256"] == hash_file(source)
    assert run["dataset_sha256"] == hash_file(tmp_path / "d" / "dataset.json")
    assert str(tmp_path) not in (tmp_path / "d" / "dataset.json").read_text(encoding="utf-8")


def test_building_again_replaces_the_old_dataset(source: Path, tmp_path: Path) -> None:
    build_dataset("openi", source, tmp_path / "d")
    card = build_dataset("openi", source, tmp_path / "d", "random:1")
    assert read_card(tmp_path / "d") == card
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")] == []


def test_an_empty_folder_is_filled_also_the_current_one(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d").mkdir()
    monkeypatch.chdir(tmp_path / "d")
    build_dataset("openi", source, Path())
    assert (tmp_path / "d" / "dataset.json").exists()


def test_a_folder_of_something_else_is_never_replaced(source: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "thesis.txt").write_text("a year of work", encoding="utf-8")
    with pytest.raises(InputError, match="holds something that is not a dataset"):
        build_dataset("openi", source, tmp_path / "d")
    assert (tmp_path / "d" / "thesis.txt").exists()


def test_a_dataset_beside_which_something_was_put_is_not_replaced(source: Path, tmp_path: Path) -> None:
    build_dataset("openi", source, tmp_path / "d")
    (tmp_path / "d" / "run").mkdir()
    with pytest.raises(InputError, match=r"beside the old dataset holds 'run', which would be lost"):
        build_dataset("openi", source, tmp_path / "d")


def test_a_file_is_no_place_for_a_dataset(source: Path, tmp_path: Path) -> None:
    (tmp_path / "d").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="is a file"):
        build_dataset("openi", source, tmp_path / "d")


def test_a_dataset_is_not_written_over_its_own_source(source: Path, tmp_path: Path) -> None:
    build_dataset("openi", source, tmp_path / "d")
    before = contents(tmp_path / "d")
    with pytest.raises(InputError, match="holds the source itself"):
        build_dataset("table", tmp_path / "d" / "train.jsonl", tmp_path / "d")
    assert contents(tmp_path / "d") == before


@pytest.mark.parametrize("second", [{}, {"impression": "Another one."}, {"findings": ""}])
def test_two_reports_with_one_id_are_named_with_both_places(tmp_path: Path, second: dict[str, str]) -> None:
    source = write_csv(tmp_path / "r.csv", [row(1), row(5), row(2), row(5, **second)])
    with pytest.raises(InputError) as error:
        build_dataset("openi", source, tmp_path / "d")
    assert "two reports have the id '5', number 2 and number 4 of the source" in str(error.value)
    assert "cyst" not in str(error.value)
    assert not (tmp_path / "d").exists()


def test_an_id_with_control_characters_is_refused(tmp_path: Path) -> None:
    rows = [{"id": "a\nb", "findings": "A cyst.", "impression": "Cyst."}]
    with pytest.raises(InputError, match="the id of report number 1 holds control characters"):
        build_dataset("table", write_table(tmp_path / "t.jsonl", rows), tmp_path / "d")


def test_no_report_for_train_is_an_error_with_the_reasons(tmp_path: Path) -> None:
    source = write_csv(tmp_path / "r.csv", [row(1, findings=""), row(2, findings=""), row(3, impression="")])
    with pytest.raises(InputError) as error:
        build_dataset("openi", source, tmp_path / "d")
    assert "no report left for train of 3 read (no findings 2, no impression 1)" in str(error.value)
    assert not (tmp_path / "d").exists()


def test_a_wrong_split_name_is_told_before_anything_is_read(tmp_path: Path) -> None:
    source = tmp_path / "r.csv"
    source.write_bytes(b"\xff not a table")
    with pytest.raises(InputError, match="split 'wgsum' is not known"):
        build_dataset("openi", source, tmp_path / "d", "wgsum")


def test_a_reader_that_is_interrupted_leaves_the_old_dataset(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_dataset("openi", source, tmp_path / "d")
    before = contents(tmp_path / "d")

    def interrupted(*_: object) -> Iterator[Report]:
        yield Report(id="1", patient_id=None, findings="A cyst.", impression="Cyst.")
        raise KeyboardInterrupt

    monkeypatch.setattr(radllama.dataset.build, "read_source", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build_dataset("openi", source, tmp_path / "d")
    assert contents(tmp_path / "d") == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"reports.csv", "d"}


def test_a_stop_between_the_two_renames_brings_the_old_dataset_back(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_dataset("openi", source, tmp_path / "d")
    before = contents(tmp_path / "d")
    rename = Path.rename

    def stopped(self: Path, target: Path) -> Path:
        if self.suffix == ".aside":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stopped)
    with pytest.raises(KeyboardInterrupt):
        build_dataset("openi", source, tmp_path / "d", "random:1")
    assert contents(tmp_path / "d") == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"reports.csv", "d"}


FULL_DISK = """
import resource, sys
from pathlib import Path
from radllama.dataset.build import build_dataset
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    build_dataset("openi", Path(sys.argv[1]), Path(sys.argv[2]), "random:1")
except OSError as error:
    sys.exit(f"refused: {error.strerror}")
"""


@pytest.mark.parametrize("limit", [0, 100, 9000])
def test_a_disk_that_takes_no_more_leaves_the_old_dataset(source: Path, tmp_path: Path, limit: int) -> None:
    build_dataset("openi", source, tmp_path / "d")
    before = contents(tmp_path / "d")
    assert (tmp_path / "d" / "train.jsonl").stat().st_size > 9000
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(source), str(tmp_path / "d"), str(limit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (1, "refused: File too large\n")
    assert contents(tmp_path / "d") == before
    assert {entry.name for entry in tmp_path.iterdir()} == {"reports.csv", "d"}


def test_a_folder_without_a_card_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a dataset \(no dataset.json\)"):
        read_split(tmp_path, "train")
    (tmp_path / "dataset.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="not a dataset's card"):
        read_card(tmp_path)


def test_a_part_of_another_name_is_refused_at_once(source: Path, tmp_path: Path) -> None:
    build_dataset("openi", source, tmp_path / "d")
    with pytest.raises(InputError, match="has no split 'dev'; it has train, valid, test"):
        read_split(tmp_path / "d", "dev")
