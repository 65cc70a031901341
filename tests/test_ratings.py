"""The export of a study: rows come back as they were, and an open study gives none away."""

from dataclasses import replace
from pathlib import Path

import pytest

from radllama.errors import InputError
from radllama.review.ratings import (
    FILES,
    Candidate,
    ErrorMark,
    Export,
    Practice,
    Question,
    Ranking,
    Rating,
    Remark,
    Study,
    Visit,
    read_export,
    read_study,
    write_export,
)

QUESTION = Question("relevance", "Relevance", "scale", (1, 2), ("beside the point", "to the point"), True)
STUDY = Study(
    name="pilot",
    title="A pilot",
    closed=True,
    created_at="2026-03-01T08:00:00+00:00",
    closed_at="2026-03-02T08:00:00+00:00",
    seed=7,
    design="full",
    raters_per_report=1,
    repeat_share=0.0,
    reports=1,
    raters=("rater-1",),
    form=1,
    questions=(QUESTION,),
    error_kinds=("location",),
    significances=("minor",),
    systems=("ours", "signed"),
    human="signed",
)
EXPORT = Export(
    STUDY,
    [Candidate("r1", "ours", "Clear lungs.", "Normal.", "normal chest.", "Normal chest.")],
    [Rating("rater-1", "r1", "ours", "relevance", 2, 0, 0, 1)],
    [ErrorMark("rater-1", "r1", "ours", "location", "minor", 0, 6, 0, 1)],
    [Ranking("rater-1", "r1", {"ours": 2, "signed": 1}, 0, 1)],
    [Remark("rater-1", "r1", "ours", "comment", "Short.", 0, 1)],
    [Visit("rater-1", "r1", 1, 0, ("signed", "ours"), "done", "", 31.5)],
    [Practice("rater-1", "c1", 0, "relevance", 1, 2)],
)


def test_an_export_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_export(EXPORT, tmp_path)
    assert read_export(tmp_path) == EXPORT


def test_an_open_study_is_told_without_its_rows_and_not_unblinded(tmp_path: Path) -> None:
    write_export(EXPORT, tmp_path)
    hidden = replace(STUDY, closed=False, closed_at=None, systems=(), human=None)
    write_export(replace(EXPORT, study=hidden), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    assert read_study(tmp_path) == hidden
    with pytest.raises(InputError, match="still open, so it stays blinded; close it first"):
        read_export(tmp_path)


def test_a_folder_that_is_no_export_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no study\.json in it"):
        read_study(tmp_path)
    (tmp_path / "study.json").write_text('{"name": "x"}')
    with pytest.raises(InputError, match="not a study"):
        read_study(tmp_path)


def test_a_row_of_another_shape_is_named(tmp_path: Path) -> None:
    write_export(EXPORT, tmp_path)
    (tmp_path / FILES[Rating]).write_text('{"rater": "rater-1"}')
    with pytest.raises(InputError, match=r"ratings\.jsonl:1: expected exactly form, position"):
        read_export(tmp_path)
