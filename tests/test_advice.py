"""Advice: flagged as an invention, unless the department's library shows that it is its custom."""

from pathlib import Path

import pytest
from command import Run

from radllama.clinical.check import check
from radllama.drafting.consensus import ConsensusDrafter
from radllama.drafting.draft import draft_file
from radllama.files import read_jsonl, write_jsonl
from radllama.library import Library
from radllama.library.advice import custom_advice
from radllama.library.folder import build_library
from radllama.report import Report

BROKEN = "Transverse fracture of the distal {bone}. No dislocation."
FINDINGS = BROKEN.format(bone="radius")
ADVICE = "Advise follow-up radiograph in 6 weeks."
OTHER = "Recommend MRI of the brain."


def make_prior(*advised: str, findings: str = FINDINGS) -> list[Report]:
    """One report of a fracture for each advice ("" for none), among others that are clear."""
    fractures = [Report(f"f{at}", f"p{at}", findings, f"Fracture. {told}".strip()) for at, told in enumerate(advised)]
    return fractures + [Report(f"c{at}", None, f"The lungs are clear, view {at}.", "Normal.") for at in range(5)]


def kinds(draft: str, library: Library | None, leave_out: Report | None = None) -> list[str]:
    is_custom = custom_advice(library, FINDINGS, leave_out)
    return [flag.kind for flag in check(FINDINGS, draft, is_custom=is_custom)]


def test_without_a_library_advice_without_ground_is_flagged() -> None:
    assert kinds(f"Fracture. {ADVICE}", None) == ["recommendation"]


def test_what_two_colleagues_advise_of_findings_alike_is_custom() -> None:
    assert kinds(f"Fracture. {ADVICE}", Library.build(make_prior(ADVICE, "", ADVICE), "bm25")) == []
    assert kinds(f"Fracture. {ADVICE}", Library.build(make_prior(ADVICE, "", ""), "bm25")) == ["recommendation"]


def test_other_advice_stays_an_invention() -> None:
    library = Library.build(make_prior(ADVICE, ADVICE, ADVICE), "bm25")
    assert kinds(f"Fracture. {OTHER}", library) == ["recommendation"]
    assert kinds(f"Fracture. {ADVICE} {OTHER}", library) == ["recommendation"]


def test_the_same_advice_in_other_words_is_custom() -> None:
    library = Library.build(make_prior("Follow-up radiographs in 6 weeks are advised.", ADVICE), "bm25")
    assert kinds(f"Fracture. {ADVICE}", library) == []


def test_advice_that_rests_on_findings_makes_no_custom() -> None:
    grounded = "Transverse fracture of the distal radius. No dislocation. A follow-up radiograph is recommended."
    assert kinds(f"Fracture. {ADVICE}", Library.build(make_prior(ADVICE, ADVICE, findings=grounded), "bm25")) == [
        "recommendation"
    ]


def test_a_report_is_no_colleague_of_its_own_nor_is_another_of_its_patient() -> None:
    prior = make_prior(ADVICE, ADVICE)
    library = Library.build(prior, "bm25")
    assert kinds(f"Fracture. {ADVICE}", library, leave_out=prior[0]) == ["recommendation"]
    assert kinds(f"Fracture. {ADVICE}", library, leave_out=Report("x", "p1", FINDINGS, "")) == ["recommendation"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A library in a folder: three fractures with the same advice."""
    write_jsonl(tmp_path / "train.jsonl", (one.to_json() for one in make_prior(ADVICE, ADVICE, ADVICE)))
    build_library(tmp_path, tmp_path / "lib")
    return tmp_path / "lib"


def test_drafts_that_are_made_with_a_library_are_held_against_its_custom(tmp_path: Path) -> None:
    library = Library.build(make_prior(ADVICE, ADVICE, ADVICE), "bm25")
    write_jsonl(tmp_path / "in.jsonl", [Report("new", None, FINDINGS, "").to_json()])
    draft_file(ConsensusDrafter(library, "lib@1", 3), tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    ((_, row),) = read_jsonl(tmp_path / "out.jsonl")
    assert row["draft"].endswith(ADVICE)
    assert row["flags"] == []


def test_a_file_is_checked_with_a_library_or_without(run: Run, folder: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d.jsonl", [{"id": "new", "findings": FINDINGS, "draft": f"Fracture. {ADVICE}"}])
    common = "check", "--in", tmp_path / "d.jsonl", "--out", tmp_path / "flags.jsonl"
    for further, expected in (((), ["recommendation"]), (("--library", folder), [])):
        assert run(*common, *further).code == 0
        ((_, row),) = read_jsonl(tmp_path / "flags.jsonl")
        assert [flag["kind"] for flag in row["flags"]] == expected
