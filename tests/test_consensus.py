"""Drafting by consensus: no model, a file or one, and never a report's own impression."""

import json
from pathlib import Path
from typing import Any

import pytest
from departments import make_department

from radllama.drafting.abstain import TOO_SHORT
from radllama.drafting.consensus import ConsensusDrafter
from radllama.drafting.draft import NO_FINDINGS, NO_NEIGHBOUR, draft_file
from radllama.engines import Sampling
from radllama.errors import InputError
from radllama.files import read_json, read_jsonl, write_jsonl
from radllama.library import Library
from radllama.library.consensus import consensus, weigh
from radllama.report import Report
from radllama.vote import choose

PRIOR = [
    Report("a", None, "The lungs are clear. Heart size is normal.", "No acute disease."),
    Report("b", None, "Lungs are clear. Heart size normal.", "No acute cardiopulmonary disease."),
    Report("c", None, "Clear lungs. Heart size is normal.", "No acute cardiopulmonary disease."),
    Report("d", None, "Large right effusion.", "Right effusion."),
]


@pytest.fixture
def drafter() -> ConsensusDrafter:
    return ConsensusDrafter(Library.build(PRIOR, "bm25"), "lib@12345678", 3)


def rows(path: Path) -> list[dict[str, Any]]:
    return [row for _, row in read_jsonl(path)]


def test_the_impression_that_the_neighbours_share_is_the_draft(drafter: ConsensusDrafter) -> None:
    completion = drafter.draft("Heart size normal. Clear lungs.")
    assert (completion.text, completion.finish_reason) == ("No acute cardiopulmonary disease.", "stop")


def test_the_vote_is_weighted_by_resemblance(drafter: ConsensusDrafter) -> None:
    findings = "Large right effusion. The lungs are clear."
    neighbours = drafter.library.nearest(findings, 3) if drafter.library else []
    impressions = [one.impression for one in neighbours]
    expected = impressions[choose(impressions, impressions, [one.score**4 for one in neighbours])]
    assert drafter.draft(findings).text == expected == "Right effusion."


def test_findings_without_words_are_refused(drafter: ConsensusDrafter) -> None:
    with pytest.raises(InputError, match="the findings hold no words"):
        drafter.draft(" ... ")


def test_a_file_gives_what_single_drafts_give_and_names_the_neighbours(
    drafter: ConsensusDrafter, tmp_path: Path
) -> None:
    reports = [Report(str(number), None, report.findings, "") for number, report in enumerate(PRIOR)]
    write_jsonl(tmp_path / "r.jsonl", (report.to_json() for report in reports))
    draft_file(drafter, tmp_path / "r.jsonl", tmp_path / "d.jsonl", batch_size=3)
    drafts = rows(tmp_path / "d.jsonl")
    assert [row["draft"] for row in drafts] == [drafter.draft(report.findings).text for report in reports]
    assert [row["id"] for row in drafts] == ["0", "1", "2", "3"]
    assert [row["neighbours"][0]["id"] for row in drafts] == ["a", "b", "c", "d"]
    assert list(drafts[0]["neighbours"][0]) == ["id", "score", "impression"]
    assert drafts[3]["neighbours"] == [{"id": "d", "score": 1.0, "impression": "Right effusion."}]
    settings = read_json(tmp_path / "d.run.json")["settings"]
    assert (settings["library"], settings["consensus"]) == ("lib@12345678", 3)


def test_what_cannot_be_drafted_says_why(drafter: ConsensusDrafter, tmp_path: Path) -> None:
    reports = [Report("1", None, "", ""), Report("2", None, "Tibia fracture.", ""), Report("3", None, "Tibia.", "")]
    write_jsonl(tmp_path / "r.jsonl", (report.to_json() for report in reports))
    counts = draft_file(drafter, tmp_path / "r.jsonl", tmp_path / "d.jsonl")
    assert counts == {NO_FINDINGS: 1, NO_NEIGHBOUR: 1, TOO_SHORT: 1}
    assert [(row["draft"], row["finish_reason"]) for row in rows(tmp_path / "d.jsonl")] == [
        ("", NO_FINDINGS),
        ("", NO_NEIGHBOUR),
        ("", TOO_SHORT),
    ]


def test_it_abstains_where_a_model_of_the_same_reports_would() -> None:
    drafter = ConsensusDrafter(Library.build(make_department(240), "bm25"), "lib@1", 5)
    assert drafter.draft("Small left pleural effusion.").text
    with pytest.raises(InputError, match="unlike the reports that the model was tuned on"):
        drafter.draft("Whisk the flour with butter until there is a smooth paste.")


def test_reports_that_stand_in_the_library_are_refused(drafter: ConsensusDrafter, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "r.jsonl", [Report("x", None, "Clear.", "").to_json(), PRIOR[2].to_json()])
    with pytest.raises(InputError, match=r"1 of its reports stand in the library \(the first: id 'c'\)"):
        draft_file(drafter, tmp_path / "r.jsonl", tmp_path / "d.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.jsonl"]


def test_a_file_goes_on_where_it_stopped(drafter: ConsensusDrafter, tmp_path: Path) -> None:
    reports = [Report(str(number), None, PRIOR[number % 4].findings, "") for number in range(10)]
    write_jsonl(tmp_path / "r.jsonl", (report.to_json() for report in reports))
    whole = list(drafter.draft_batches(reports, Sampling(), 4))
    assert [list(batch) for batch in whole] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(drafter.draft_batches(reports, Sampling(), 4, skip=2)) == whole[2:]
    assert json.dumps([draft.to_json() for batch in whole for draft in batch.values()])


def test_no_neighbours_agree_on_nothing() -> None:
    assert consensus([]) == ""
    assert weigh([]) == []
