import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from radllama.cli import main
from radllama.errors import InputError
from radllama.evaluation.evaluate import Scoring, evaluate
from radllama.evaluation.measures import MEASURES
from radllama.evaluation.sources import evaluate_sources, parse_sets, render_sources
from radllama.files import write_jsonl
from radllama.run import read_run

# Two hospitals that do not exist: what the system was tuned for, and one that words things otherwise.
FINDINGS = ["Small left pleural effusion.", "The heart is enlarged.", "Lungs clear.", "Hiatal hernia."]
HERE = ["Left effusion.", "Cardiomegaly.", "Normal chest.", "Hiatal hernia."]
THERE = ["Fluid in the left pleural space.", "Cardiac enlargement.", "Unremarkable study.", "Hernia of the hiatus."]


def write_drafts(path: Path, references: list[str], drafts: list[str], count: int = 24) -> Path:
    rng = random.Random(path.stem)
    picks = [rng.randrange(4) for _ in range(count)]
    rows = [
        {
            "id": f"{path.stem}-{at}",
            "findings": FINDINGS[pick],
            "reference": references[pick],
            "draft": drafts[pick],
            "model": "tuned",
        }
        for at, pick in enumerate(picks)
    ]
    write_jsonl(path, rows)
    return path


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, Path]:
    forgetful = [*HERE[:3], "Normal chest."]
    return {
        "home": write_drafts(tmp_path / "home.jsonl", HERE, HERE),
        "away": write_drafts(tmp_path / "away.jsonl", THERE, forgetful, 16),
    }


@pytest.fixture
def table(tmp_path: Path, sets: dict[str, Path]) -> dict[str, Any]:
    return evaluate_sources(sets, tmp_path / "out", Scoring(resamples=100))


def test_each_set_has_the_scores_that_it_has_alone(
    tmp_path: Path, sets: dict[str, Path], table: dict[str, Any]
) -> None:
    for name, path in sets.items():
        alone = evaluate(path, tmp_path / "alone", Scoring(resamples=100))
        assert table["sets"][name]["overall"] == alone["overall"]
        assert table["sets"][name]["strata"] == alone["strata"]
        assert json.loads((tmp_path / "out" / name / "scores.json").read_text()) == alone
        assert (tmp_path / "out" / name / "report.html").is_file()


def test_the_drop_is_home_less_the_other_for_every_measure(table: dict[str, Any]) -> None:
    home, away = (table["sets"][name] for name in ("home", "away"))
    assert table["home"] == "home"
    assert home["drop"] is None
    assert list(away["drop"]) == list(MEASURES)
    for measure in MEASURES:
        both = (home["overall"][measure], away["overall"][measure])
        if None not in both:
            drop = away["drop"][measure]
            assert drop["mean"] == pytest.approx(both[0] - both[1])
            assert drop["ci95"][0] <= drop["ci95"][1]
    assert away["drop"]["rouge1"]["ci95"][0] > 0
    assert away["drop"]["repeated"]["mean"] > 0


def test_a_set_against_itself_under_another_name_does_not_drop(tmp_path: Path, sets: dict[str, Path]) -> None:
    other = write_drafts(tmp_path / "other.jsonl", THERE, HERE, 40)
    away = evaluate_sources({"a": other, "b": other}, tmp_path / "same", Scoring(resamples=200))["sets"]["b"]
    low, high = away["drop"]["rouge1"]["ci95"]
    assert away["drop"]["rouge1"]["mean"] == 0
    assert low < 0 < high  # not paired: two draws of the same reports differ


def test_the_folder_holds_what_was_returned_and_is_finished_last(tmp_path: Path, table: dict[str, Any]) -> None:
    assert json.loads((tmp_path / "out" / "scores.json").read_text()) == table
    run = read_run(tmp_path / "out")
    assert run is not None
    assert run["scored"] == {"home": 24, "away": 16}


def test_the_page_shows_the_drop_and_no_report_text(tmp_path: Path, table: dict[str, Any]) -> None:
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What it loses away from home" in page
    assert "worse</span>" in page
    assert "<script" not in page and "http" not in page
    assert "pleural" not in page


def test_the_terminal_shows_the_sets_their_drop_and_the_trivial_rows(table: dict[str, Any]) -> None:
    text = render_sources(table)
    blocks = text.split("\n\n")
    assert blocks[0] == "tuned on 2 test sets, in percent"
    assert [line.split()[0] for line in blocks[1].splitlines()[1:]] == ["home", "away"]
    assert [line.split()[0] for line in blocks[3].splitlines()[1:]] == ["away"]
    assert blocks[5].splitlines()[0].split() == ["system", "lead"]
    assert "pleural" not in text


def test_a_path_alone_is_called_by_its_file_and_a_name_may_be_given(tmp_path: Path) -> None:
    assert parse_sets(["a/openi.jsonl", "ours=b/x.csv"]) == {"openi": Path("a/openi.jsonl"), "ours": Path("b/x.csv")}
    odd = tmp_path / "seed=1.jsonl"
    odd.touch()
    assert parse_sets([str(odd)]) == {"seed=1": odd}


@pytest.mark.parametrize("arguments", [["a/x.jsonl", "b/x.jsonl"], ["../up=a.jsonl"], ["=a.jsonl"], ["..=a.jsonl"]])
def test_names_that_are_doubled_or_no_folder_are_refused(arguments: list[str]) -> None:
    with pytest.raises(InputError, match="NAME=PATH"):
        parse_sets(arguments)


def test_a_set_that_cannot_be_scored_leaves_no_finished_run(tmp_path: Path, sets: dict[str, Path]) -> None:
    with pytest.raises(InputError, match="no such file"):
        evaluate_sources({**sets, "gone": tmp_path / "gone.jsonl"}, tmp_path / "out", Scoring(resamples=50))
    assert read_run(tmp_path / "out") is None


def test_the_command_line_takes_one_set_or_several(
    tmp_path: Path, sets: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["radllama", "evaluate", "--drafts", f"ours={sets['home']}", "--drafts", str(sets["away"])]
    monkeypatch.setattr(sys, "argv", [*arguments, "--out", str(tmp_path / "cli")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert "What it loses against ours" in capsys.readouterr().out
    assert (tmp_path / "cli" / "away" / "per_report.jsonl").is_file()
