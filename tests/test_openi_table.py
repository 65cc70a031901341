"""The script behind `make openi`, on a synthetic department: its figures are those of the drafts it made."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from departments import NORMAL, make_department

from radllama.evaluation.compare import compare
from radllama.evaluation.evaluate import Scoring, evaluate
from radllama.files import write_jsonl


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("openi", Path(__file__).parents[1] / "bench" / "openi.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_report_is_drafted_once_by_folds_that_have_not_seen_it(script: ModuleType, tmp_path: Path) -> None:
    reports = make_department(120)
    folds = script.score_folds(reports, tmp_path)
    assert list(folds) == [
        "consensus of 30, TF-IDF",
        "consensus of 30, BM25",
        "neighbours vote, no checks",
        "neighbours vote, checks",
    ]
    for at in range(4):
        lines = (tmp_path / str(at) / "drafts.jsonl").read_text().splitlines()
        assert sorted(int(json.loads(line)["id"]) for line in lines) == list(range(120))
    checked = folds["neighbours vote, checks"]
    assert checked["repeated"] >= folds["consensus of 30, TF-IDF"]["repeated"]
    assert checked["repeated"] >= 85
    assert checked["invented"] == 0


def test_the_table_has_every_row_with_its_figures(script: ModuleType, tmp_path: Path) -> None:
    reports = make_department(30, seed=1)
    write_jsonl(
        tmp_path / "d.jsonl",
        (
            {"id": f"x{one.id}", "findings": one.findings, "reference": one.impression, "draft": one.impression}
            for one in reports
        ),
    )
    write_jsonl(tmp_path / "train.jsonl", (one.to_json() for one in make_department(40)))
    scores = evaluate(tmp_path / "d.jsonl", tmp_path / "scores", Scoring(tmp_path))
    rows = {**scores["trivial"], "perfect": scores}
    point = {"mentions": 0.9, "reports": 0.97, **script.short(scores["overall"])}
    text = script.render("valid", rows, {"perfect": 0.125}, [point], {"perfect": script.short(scores["overall"])})
    for name in (*scores["trivial"], "perfect"):
        assert f"\n| {name} | " in text
    assert "# OpenI, valid part, 30 reports" in text
    assert "| 100.0 (100.0-100.0) |" in text
    assert "| 0.12 |" in text
    assert "\n| 0.9 | 0.97 | 100 | 0 | 0 | 100 | " in text


def test_the_table_ends_with_what_differs(script: ModuleType, tmp_path: Path) -> None:
    reports = make_department(40, seed=1)
    files = []
    for name in ("perfect", "silent"):
        files.append(tmp_path / f"{name}.jsonl")
        drafts = {one.id: one.impression if name == "perfect" else NORMAL for one in reports}
        write_jsonl(
            files[-1],
            (
                {"id": one.id, "findings": one.findings, "reference": one.impression, "draft": drafts[one.id]}
                for one in reports
            ),
        )
    comparison = compare(files, metrics=script.COMPARED, resamples=100, permutations=200)
    text = script.render_differences(comparison, ["perfect", "silent"])
    (line,) = [line for line in text.splitlines() if line.startswith("| silent")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert len(cells) == 1 + len(script.COMPARED)
    assert cells[1 + script.COMPARED.index("repeated")].startswith("+100.0 (+100.0 to +100.0), p ")
