"""Drafting with a vote: a real small model, a library, one draft or a file."""

from pathlib import Path
from typing import Any

import pytest
from departments import make_department

from radllama.drafting.abstain import Vocabulary
from radllama.drafting.draft import Drafter, draft_file
from radllama.drafting.election import FROM_FINDINGS, Voting
from radllama.drafting.load import load_drafter
from radllama.drafting.voting import VotingDrafter, load_voting
from radllama.engines import Completion, Sampling
from radllama.errors import InputError
from radllama.files import read_json, read_jsonl, write_jsonl
from radllama.report import Report

FINDINGS = "There is a small left pleural effusion. No pneumothorax."
SAMPLED = Sampling(max_new_tokens=6, temperature=1.0, samples=3, seed=5)


@pytest.fixture(scope="module")
def base(plain_base: Path) -> Drafter:
    return load_drafter(str(plain_base), "cpu")


@pytest.fixture(scope="module")
def drafter(base: Drafter, department_folder: Path) -> VotingDrafter:
    return load_voting(base, Voting(), department_folder)


@pytest.fixture
def reports_file(tmp_path: Path) -> Path:
    reports = [
        Report("x1", None, FINDINGS, "Small left effusion."),
        Report("x2", None, "The heart is enlarged. No effusion.", ""),
        Report("x3", None, "...", ""),
    ]
    write_jsonl(tmp_path / "reports.jsonl", (report.to_json() for report in reports))
    return tmp_path / "reports.jsonl"


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


def test_a_model_that_has_learned_nothing_is_outvoted(drafter: VotingDrafter) -> None:
    completion = drafter.draft(FINDINGS, sampling=SAMPLED)
    assert (completion.text, completion.finish_reason) == ("Small left pleural effusion.", "stop")


def test_a_file_gives_what_single_drafts_give(drafter: VotingDrafter, reports_file: Path, tmp_path: Path) -> None:
    counts = draft_file(drafter, reports_file, tmp_path / "d.jsonl", sampling=SAMPLED)
    drafts = rows(tmp_path / "d.jsonl")
    assert counts == {"stop": 2, "no_findings": 1}
    assert drafts[0]["draft"] == drafter.draft(FINDINGS, sampling=SAMPLED).text
    assert [len(row.get("neighbours", [])) for row in drafts] == [30, 30, 0]
    assert drafts[0]["neighbours"][0].keys() == {"id", "score", "impression"}
    assert drafts[0]["model"] == drafter.name


def test_the_run_file_tells_how_was_voted(drafter: VotingDrafter, reports_file: Path, tmp_path: Path) -> None:
    draft_file(drafter, reports_file, tmp_path / "d.jsonl", sampling=SAMPLED)
    settings = read_json(tmp_path / "d.run.json")["settings"]
    told = {
        "neighbours": 30,
        "mentions": 0.92,
        "reports": 0.97,
        "checks": True,
        "utility": "rouge1",
        "samples": 3,
        "temperature": 1.0,
    }
    assert told.items() <= settings.items()
    assert settings["library"].startswith("lib@")


def test_the_batch_changes_nothing(drafter: VotingDrafter, reports_file: Path, tmp_path: Path) -> None:
    for size in (1, 2):
        draft_file(drafter, reports_file, tmp_path / f"{size}.jsonl", size, SAMPLED)
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_reports_that_stand_in_the_library_are_refused(drafter: VotingDrafter, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [make_department()[3].to_json()])
    with pytest.raises(InputError, match=r"stand in the library \(the first: id '3'\)"):
        draft_file(drafter, tmp_path / "r.jsonl", tmp_path / "d.jsonl", sampling=SAMPLED)


def test_without_a_library_there_are_no_neighbours(base: Drafter, reports_file: Path, tmp_path: Path) -> None:
    draft_file(load_voting(base, Voting(), None), reports_file, tmp_path / "d.jsonl", sampling=SAMPLED)
    assert all("neighbours" not in row for row in rows(tmp_path / "d.jsonl"))


def test_a_candidate_that_was_cut_off_has_no_voice(drafter: VotingDrafter) -> None:
    cut = Completion("Left effusion.", "length")
    alone = load_voting(drafter, Voting(), None)
    assert alone.elect(FINDINGS, [cut]).text == "Small left pleural effusion."
    assert alone.elect(FINDINGS, [Completion("Left effusion.", "stop")]).text == "Left effusion."
    assert alone.elect("Clear lungs.", [cut]).finish_reason == FROM_FINDINGS


def test_errors_are_those_of_the_drafter(drafter: VotingDrafter) -> None:
    with pytest.raises(InputError, match="the findings hold no words"):
        drafter.draft("...", sampling=SAMPLED)


def test_it_abstains_where_the_models_drafter_does(base: Drafter, department_folder: Path) -> None:
    careful = Drafter(base.engine, base.prompt, base.name, Vocabulary(["pleural", "effusion", "small"]))
    voting = load_voting(careful, Voting(), department_folder)
    assert voting.draft("Small pleural effusion.", sampling=SAMPLED).text
    with pytest.raises(InputError, match="unlike"):
        voting.draft("Whisk the flour with butter until smooth.", sampling=SAMPLED)
