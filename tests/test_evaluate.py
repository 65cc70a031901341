import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from radllama.errors import InputError
from radllama.evaluation.evaluate import evaluate
from radllama.evaluation.metrics import METRICS
from radllama.evaluation.tables import render_table
from radllama.files import read_jsonl, write_jsonl
from radllama.run import read_run

# Findings and impressions of a hospital that does not exist.
TRAIN = [
    ("Both kidneys are of regular size. No stone.", "Normal kidneys."),
    ("Both kidneys are of regular size, no stone.", "Normal kidneys."),
    ("Stone of 4 mm in the lower calyx of the left kidney.", "Left kidney stone, 4 mm."),
    ("The bladder wall is thickened on all sides.", "Thick bladder wall."),
]
TEST = [
    ("Both kidneys are of regular size. No stone!", "Normal kidneys."),
    ("Stone of 7 mm in the lower calyx of the right kidney. No dilatation.", "Right kidney stone, 7 mm."),
    ("The bladder wall is thickened. There is a stone. It is large. It moves about.", "Bladder stone, thick wall."),
    ("Kidneys of regular size. Bladder empty.", "No stone."),
]


def make_dataset(folder: Path, pairs: list[tuple[str, str]] = TRAIN) -> Path:
    folder.mkdir()
    rows = [
        {"id": f"train-{at}", "findings": findings, "impression": impression}
        for at, (findings, impression) in enumerate(pairs)
    ]
    write_jsonl(folder / "train.jsonl", rows)
    return folder


def make_drafts(path: Path, *drafts: str | None, **changes: Any) -> Path:
    rows = [
        {"id": str(at), "findings": findings, "reference": reference, "draft": draft, "model": "mini", **changes}
        for at, ((findings, reference), draft) in enumerate(zip(TEST, drafts, strict=False))
    ]
    write_jsonl(path, rows)
    return path


GOOD = ("Normal kidneys.", "Right kidney stone.", "", "No stone.")


@pytest.fixture
def scores(tmp_path: Path) -> dict[str, Any]:
    drafts = make_drafts(tmp_path / "drafts.jsonl", *GOOD)
    return evaluate(drafts, tmp_path / "out", train=make_dataset(tmp_path / "data"), resamples=100)


def test_the_scores_of_the_system_stand_at_the_top(scores: dict[str, Any]) -> None:
    # By hand: 1, 2 x 3 / (5 + 3), 0 for the empty draft, 1.
    assert scores["overall"]["rouge1"] == pytest.approx((1 + 6 / 8 + 0 + 1) / 4)
    assert scores["overall"]["exact_match"] == 0.5
    assert scores["overall"]["length_ratio"] == pytest.approx((1 + 3 / 5 + 0 + 1) / 4)
    assert scores["overall"]["n"] == 4
    assert scores["system"] == "mini"


def test_the_trivial_rows_are_scored_on_the_same_reports(scores: dict[str, Any]) -> None:
    trivial = scores["trivial"]
    assert list(trivial) == ["constant", "lead", "nearest", "consensus"]
    # Constant "Normal kidneys.": 1, 0 of (2 + 5), 0, 0.
    assert trivial["constant"]["overall"]["rouge1"] == pytest.approx(1 / 4)
    # Nearest: "Normal kidneys.", "Left kidney stone, 4 mm.", "Thick bladder wall.", "Normal kidneys."
    assert trivial["nearest"]["overall"]["rouge1"] == pytest.approx((1 + 2 * 3 / 10 + 2 * 3 / 7 + 0) / 4)
    # Lead: three sentences, here all but the last of the third report.
    assert trivial["lead"]["overall"]["n"] == 4
    assert trivial["lead"]["overall"]["length_ratio"] == pytest.approx((8 / 2 + 14 / 5 + 12 / 4 + 6 / 2) / 4)


def test_the_strata_are_scored(scores: dict[str, Any]) -> None:
    sizes = {name: part["n"] for name, part in scores["strata"].items()}
    assert sizes == {
        **{"normal": 2, "abnormal": 2, "findings_seen": 1, "findings_unseen": 3},
        **{"length_q1": 1, "length_q2": 1, "length_q3": 1, "length_q4": 1},
    }
    assert scores["strata"]["normal"]["rouge1"] == 1
    assert scores["trivial"]["nearest"]["strata"]["findings_seen"]["rouge1"] == 1


def test_the_folder_holds_what_was_returned(tmp_path: Path, scores: dict[str, Any]) -> None:
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} == {"scores.json", "per_report.jsonl", "report.html", "run.json"}
    assert json.loads((out / "scores.json").read_text()) == scores


def test_the_means_can_be_had_from_the_reports(tmp_path: Path, scores: dict[str, Any]) -> None:
    rows = [row for _, row in read_jsonl(tmp_path / "out" / "per_report.jsonl")]
    assert [row["id"] for row in rows] == ["0", "1", "2", "3"]
    for metric in METRICS:
        assert sum(row[metric] for row in rows) / 4 == pytest.approx(scores["overall"][metric])
        for name, row_scores in scores["trivial"].items():
            mean = sum(row["trivial"][name][metric] for row in rows) / 4
            assert mean == pytest.approx(row_scores["overall"][metric])
    assert [row["empty"] for row in rows] == [False, False, True, False]
    assert rows[0]["strata"] == ["normal", "findings_seen", "length_q2"]


def test_only_the_page_holds_report_text(tmp_path: Path, scores: dict[str, Any]) -> None:
    out = tmp_path / "out"
    for name in ("scores.json", "per_report.jsonl", "run.json"):
        assert "kidney" not in (out / name).read_text()
    assert "kidney" in (out / "report.html").read_text()
    assert "kidney" not in render_table(scores)


def test_the_run_file_says_what_was_scored(tmp_path: Path, scores: dict[str, Any]) -> None:
    run = read_run(tmp_path / "out")
    assert run is not None
    assert run["command"] == "evaluate"
    assert run["settings"]["train"] == str(tmp_path / "data")
    assert (run["scored"], run["empty_drafts"], run["missing_references"]) == (4, 1, 0)
    assert len(run["drafts_sha256"]) == len(run["train_sha256"]) == 64


def test_scoring_twice_gives_the_same_files(tmp_path: Path, scores: dict[str, Any]) -> None:
    evaluate(tmp_path / "drafts.jsonl", tmp_path / "again", train=tmp_path / "data", resamples=100)
    for name in ("scores.json", "per_report.jsonl", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_without_training_data_what_needs_it_is_absent_and_said_to_be(tmp_path: Path) -> None:
    scores = evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "out", resamples=50)
    assert list(scores["trivial"]) == ["lead"]
    assert "findings_seen" not in scores["strata"]
    sentence = "No training data was given (--train)"
    assert sentence in " ".join(scores["notes"])
    assert sentence in render_table(scores)
    assert sentence in (tmp_path / "out" / "report.html").read_text()


def test_without_findings_what_needs_them_is_absent_and_said_to_be(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "d.jsonl",
        [{"id": str(at), "reference": reference, "draft": "No stone."} for at, (_, reference) in enumerate(TEST)],
    )
    data = make_dataset(tmp_path / "data")
    scores = evaluate(tmp_path / "d.jsonl", tmp_path / "out", train=data, resamples=50)
    assert list(scores["trivial"]) == ["constant"]
    assert set(scores["strata"]) == {"normal", "abnormal"}
    assert "4 of 4 drafts do not tell their findings" in " ".join(scores["notes"])
    assert "Findings</summary>" not in (tmp_path / "out" / "report.html").read_text()


def test_drafts_alone_can_be_scored(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d.jsonl", [{"id": "1", "reference": "Stone.", "draft": "Stone."}])
    scores = evaluate(tmp_path / "d.jsonl", tmp_path / "out", resamples=50)
    assert scores["trivial"] == {}
    assert scores["overall"]["ci95"]["rouge1"] == [1, 1]
    assert render_table(scores)


def test_empty_drafts_score_zero_and_are_counted(tmp_path: Path) -> None:
    scores = evaluate(make_drafts(tmp_path / "d.jsonl", "", None, " ", "..."), tmp_path / "out", resamples=50)
    assert scores["empty_drafts"] == scores["overall"]["empty_drafts"] == 4
    assert {scores["overall"][metric] for metric in METRICS} == {0}
    assert "NaN" not in (tmp_path / "out" / "scores.json").read_text()


def test_drafts_without_a_reference_are_counted_and_left_out(tmp_path: Path) -> None:
    path = make_drafts(tmp_path / "d.jsonl", *GOOD)
    with path.open("a") as file:
        file.write(json.dumps({"id": "x", "findings": "Gallstone.", "reference": None, "draft": "Stone."}))
    scores = evaluate(path, tmp_path / "out", resamples=50)
    assert (scores["overall"]["n"], scores["missing_references"]) == (4, 1)


def test_a_table_of_another_system_is_scored_alike(tmp_path: Path) -> None:
    ours = evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "one", resamples=50)
    lines = ["id,findings,reference,draft"]
    for at, ((findings, reference), draft) in enumerate(zip(TEST, GOOD, strict=True)):
        lines.append(f'{at},"{findings}","{reference}","{draft}"')
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    theirs = evaluate(tmp_path / "theirs.csv", tmp_path / "two", resamples=50)
    assert theirs["system"] == "theirs"
    assert theirs["overall"] == ours["overall"]
    assert theirs["strata"] == ours["strata"]


def test_drafts_of_training_reports_are_refused(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data")
    write_jsonl(tmp_path / "d.jsonl", [{"id": "train-2", "reference": "Stone.", "draft": "Stone."}])
    with pytest.raises(InputError, match=r"1 of its reports stand in .*train-2.*scores on training reports flatter"):
        evaluate(tmp_path / "d.jsonl", tmp_path / "out", train=data)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, ""])
def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data" / "train.jsonl").write_text(content)
    with pytest.raises(InputError, match=r"no dataset|no reports in it"):
        evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "out", train=tmp_path / "data")


def test_an_output_that_is_a_file_is_refused_before_any_scoring(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from radllama.errors import InputError
from radllama.evaluation.evaluate import evaluate
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    evaluate(Path("d.jsonl"), Path("out"), resamples=50)
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("limit_bytes", [100, 8000])
def test_a_disk_that_fills_up_leaves_no_run_file_and_a_clear_line(tmp_path: Path, limit_bytes: int) -> None:
    make_drafts(tmp_path / "d.jsonl", *GOOD)
    evaluate(tmp_path / "d.jsonl", tmp_path / "out", resamples=50)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(limit_bytes)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("out: cannot be written (File too large)")
    assert read_run(tmp_path / "out") is None
    # The last whole files stand; nothing is half-written.
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["overall"]["n"] == 4
    assert not list((tmp_path / "out").glob(".*"))


def test_letters_that_rouge_does_not_read_are_noted(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "d.jsonl",
        [{"id": "1", "reference": "Ödem.", "draft": "Ödem."}, {"id": "2", "reference": "5 µ – stone", "draft": "a"}],
    )
    notes = evaluate(tmp_path / "d.jsonl", tmp_path / "out", resamples=50)["notes"]
    assert "2 references have letters other than a-z" in " ".join(notes)


def test_the_worst_drafts_come_first_and_of_equals_the_longer_reference(tmp_path: Path) -> None:
    evaluate(make_drafts(tmp_path / "d.jsonl", "", "", "Bladder stone.", "No stone."), tmp_path / "out", resamples=50)
    worst = (tmp_path / "out" / "report.html").read_text().split("worst drafts")[1].split("drawn at random")[0]
    places = [worst.index(f"Report {identity}<") for identity in ("1", "0", "2", "3")]
    assert places == sorted(places)


def test_the_page_shows_hostile_report_text_as_text(tmp_path: Path) -> None:
    hostile = "<script>alert('x')</script> stone & \"quote\""
    rows = [{"id": "1", "findings": hostile, "reference": hostile, "draft": hostile + " more", "model": hostile}]
    write_jsonl(tmp_path / "d.jsonl", rows)
    evaluate(tmp_path / "d.jsonl", tmp_path / "out", resamples=50)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_three_hundred_drafts_take_seconds(tmp_path: Path) -> None:
    pairs = [(f"Stone of {at} mm in the kidney. No dilatation.", f"Kidney stone, {at} mm.") for at in range(600)]
    data = make_dataset(tmp_path / "data", pairs[300:])
    write_jsonl(
        tmp_path / "d.jsonl",
        [
            {"id": str(at), "findings": findings, "reference": impression, "draft": "Kidney stone."}
            for at, (findings, impression) in enumerate(pairs[:300])
        ],
    )
    began = time.monotonic()
    evaluate(tmp_path / "d.jsonl", tmp_path / "out", train=data)
    assert time.monotonic() - began < 20
