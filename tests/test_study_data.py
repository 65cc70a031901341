"""The training reports of a cell."""

from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.report import read_reports
from radllama.study.data import Selection, Source, prepare_sources, select, write_selection
from radllama.study.design import Hospital


@pytest.fixture(scope="module")
def source(dataset: Path) -> Source:
    return Source.read("ours", dataset)


def test_a_smaller_selection_is_a_part_of_a_larger_one(source: Source) -> None:
    few, many = (select(Selection((source,), count, seed=2)) for count in (5, 12))
    assert many[:5] == few
    assert select(Selection((source,), 5, seed=3)) != few


def test_a_whole_source_is_taken_as_it_is(source: Source) -> None:
    assert select(Selection((source,), seed=9)) == list(read_reports(source.folder / "train.jsonl"))
    assert Selection((source,), seed=9).name == Selection((source,), seed=1).name


def test_wrong_impressions_are_other_reports_own(source: Source) -> None:
    right = {report.id: report for report in select(Selection((source,), seed=1))}
    faulty = select(Selection((source,), wrong=0.5, seed=1))
    moved = [report for report in faulty if report.impression != right[report.id].impression]
    assert sorted(report.impression for report in faulty) == sorted(report.impression for report in right.values())
    assert 0 < len(moved) <= round(0.5 * len(faulty))
    assert all(report.findings == right[report.id].findings for report in faulty)


def test_missing_impressions_leave_fewer_reports(source: Source) -> None:
    assert len(select(Selection((source,), 20, missing=0.25))) == 15


def test_a_mixture_takes_evenly_and_keeps_ids_apart(source: Source, dataset: Path) -> None:
    other = Source.read("theirs", dataset)
    mixed = select(Selection((source, other), 10))
    names = [report.id.partition(":")[0] for report in mixed]
    assert (names.count("ours"), names.count("theirs")) == (5, 5)
    assert len({report.id for report in mixed}) == 10
    with pytest.raises(InputError, match="from each source one has"):
        select(Selection((source, other), 10_000))


def test_a_selection_is_a_dataset_without_the_development_part(source: Source, tmp_path: Path) -> None:
    folder = write_selection(Selection((source,), 6), tmp_path / "few")
    assert sorted(path.name for path in folder.iterdir()) == ["dataset.json", "run.json", "train.jsonl"]
    before = (folder / "train.jsonl").stat().st_mtime_ns
    assert write_selection(Selection((source,), 6), tmp_path / "few") == folder
    assert (folder / "train.jsonl").stat().st_mtime_ns == before


def test_a_study_makes_its_own_hospital_and_asks_for_the_rest(dataset: Path, tmp_path: Path) -> None:
    named = {"ours": None, "hospital": Hospital(reports=40, seed=1)}
    sources = prepare_sources(named, {"ours": dataset}, tmp_path)
    assert sources["hospital"].reports["train"] + sources["hospital"].reports["valid"] <= 40
    assert prepare_sources(named, {"ours": dataset}, tmp_path) == sources
    with pytest.raises(InputError, match="give the study's dataset 'ours' as --data ours=FOLDER"):
        prepare_sources(named, {}, tmp_path)
    with pytest.raises(InputError, match="no such dataset"):
        prepare_sources(named, {"ours": dataset, "openi": dataset}, tmp_path)
