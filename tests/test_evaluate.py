import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from radllama.errors import InputError
from radllama.evaluation.evaluate import Scoring, evaluate
from radllama.evaluation.metrics import METRICS
from radllama.evaluation.strata import is_main
from radllama.evaluation.tables import render_table
from radllama.files import read_jsonl, write_jsonl
from radllama.run import read_run, write_run

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
    return evaluate(drafts, tmp_path / "out", Scoring(train=make_dataset(tmp_path / "data"), resamples=100))


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
    sizes = {name: part["n"] for name, part in scores["strata"].items() if is_main(name)}
    assert sizes == {
        **{"normal": 2, "abnormal": 2, "findings_seen": 1, "findings_unseen": 3},
        **{"length_q1": 1, "length_q2": 1, "length_q3": 1, "length_q4": 1},
    }
    assert scores["strata"]["normal"]["rouge1"] == 1
    assert scores["trivial"]["nearest"]["strata"]["findings_seen"]["rouge1"] == 1


CHEST = [
    ("Small left pleural effusion. Degenerative changes.", "Left effusion.", "Left pleural effusion."),
    ("The heart is enlarged. Right effusion.", "Cardiomegaly and effusion.", "Cardiomegaly. Rib fracture."),
    ("Hiatal hernia.", "Hiatal hernia.", "Normal chest."),
    ("Lungs clear.", "Normal chest.", ""),
]


@pytest.fixture
def chest(tmp_path: Path) -> dict[str, Any]:
    rows = [{"id": str(at), "findings": f, "reference": r, "draft": d} for at, (f, r, d) in enumerate(CHEST)]
    write_jsonl(tmp_path / "chest.jsonl", rows)
    data = make_dataset(tmp_path / "chest", [("Lungs clear.", "Normal chest.")] * 3 + [("Effusion.", "Effusion.")])
    return evaluate(tmp_path / "chest.jsonl", tmp_path / "chest_scores", Scoring(train=data, resamples=50))


def test_what_drafts_keep_of_the_findings_is_scored_for_every_row(chest: dict[str, Any]) -> None:
    system, constant = chest["overall"], chest["trivial"]["constant"]["overall"]
    # By hand: 1 of 1, 1 of 2, 0 of 1; the third report of three is answered normal; the fracture is invented.
    assert (system["repeated"], system["denominators"]["repeated"]) == (0.5, 4)
    assert (system["answered_normal"], system["denominators"]["answered_normal"]) == (pytest.approx(1 / 3), 3)
    assert (system["invented"], system["denominators"]["invented"]) == (0.25, 4)
    assert (constant["repeated"], constant["answered_normal"], constant["invented"]) == (0, 1, 0)
    assert chest["trivial"]["lead"]["overall"]["repeated"] == 1
    assert chest["trivial"]["constant"]["difference"]["repeated"]["mean"] == 0.5
    assert chest["strata"]["observation:Pleural Effusion"]["repeated"] == pytest.approx(2 / 3)


def test_each_observation_is_scored_by_itself(chest: dict[str, Any]) -> None:
    observations = chest["overall"]["observations"]
    assert observations["Hernia"]["repeated"] == 0
    assert observations["Cardiomegaly"]["label_f1"] == 1
    assert (observations["Fracture"]["invented"], observations["Fracture"]["repeated"]) == (0.25, None)
    assert observations["Pleural Effusion"]["denominators"]["repeated"] == 2
    # By hand, labels of drafts and references: effusion 2/3, heart 1, fracture 0, No Finding: the hernia is none,
    # the third draft has it and the third reference has not, the fourth reference has it and the empty draft not.
    assert chest["overall"]["label_f1_macro"] == pytest.approx((2 / 3 + 1 + 0 + 0) / 4)
    assert chest["overall"]["label_f1_macro_5"] == pytest.approx((2 / 3 + 1) / 2)


def test_flags_of_every_kind_are_counted_and_the_page_shows_what_was_left_out(
    tmp_path: Path, chest: dict[str, Any]
) -> None:
    assert chest["overall"]["flag_unsupported"] == 0.25
    assert chest["overall"]["flag_side"] == 0
    assert 0.25 <= chest["overall"]["flagged"] <= 1
    assert "Hernia stands in findings and reference" in (tmp_path / "chest_scores" / "report.html").read_text()


def test_a_further_scorer_stands_in_every_row(tmp_path: Path) -> None:
    class Shorter:
        title = "shorter"

        def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
            return [float(len(draft) < len(reference)) for reference, draft in pairs]

    scores = evaluate(
        make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "out", Scoring(scorers=[Shorter()], resamples=50)
    )
    assert scores["overall"]["shorter"] == 0.25  # the empty draft scores 0 unread
    assert scores["trivial"]["lead"]["overall"]["shorter"] == 0
    assert "shorter" in scores["overall"]["ci95"]
    assert "absent: they need models" not in " ".join(scores["notes"])
    assert "shorter" in (tmp_path / "out" / "report.html").read_text()


def test_the_learning_curve_of_a_run_is_shown(tmp_path: Path) -> None:
    run = tmp_path / "run"
    history = [{"step": 10, "loss": 2.5, "rouge1": 0.4}, {"step": 20, "loss": 2.25, "rouge1": 0.5}]
    write_run(run / "run.json", "train", {}, history=history)
    drafts = make_drafts(tmp_path / "d.jsonl", *GOOD)
    evaluate(drafts, tmp_path / "out", Scoring(run=run, resamples=50))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "2.500 at step 10, 2.250 at step 20" in page
    assert 'points="0.00,5.00 100.00,95.00"' in page  # the loss falls
    with pytest.raises(InputError, match="no finished training run"):
        evaluate(drafts, tmp_path / "again", Scoring(run=tmp_path / "out", resamples=50))
    assert not (tmp_path / "again").exists()


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
    evaluate(tmp_path / "drafts.jsonl", tmp_path / "again", Scoring(train=tmp_path / "data", resamples=100))
    for name in ("scores.json", "per_report.jsonl", "report.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()


def test_without_training_data_what_needs_it_is_absent_and_said_to_be(tmp_path: Path) -> None:
    scores = evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "out", Scoring(resamples=50))
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
    scores = evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(train=data, resamples=50))
    assert list(scores["trivial"]) == ["constant"]
    assert set(scores["strata"]) == {"normal", "abnormal"}
    assert "4 of 4 drafts do not tell their findings" in " ".join(scores["notes"])
    assert "Findings</summary>" not in (tmp_path / "out" / "report.html").read_text()


def test_drafts_alone_can_be_scored(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "d.jsonl", [{"id": "1", "reference": "Stone.", "draft": "Stone."}])
    scores = evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(resamples=50))
    assert scores["trivial"] == {}
    assert scores["overall"]["ci95"]["rouge1"] == [1, 1]
    assert render_table(scores)


def test_empty_drafts_score_zero_and_are_counted(tmp_path: Path) -> None:
    scores = evaluate(make_drafts(tmp_path / "d.jsonl", "", None, " ", "..."), tmp_path / "out", Scoring(resamples=50))
    assert scores["empty_drafts"] == scores["overall"]["empty_drafts"] == 4
    assert {scores["overall"][metric] for metric in METRICS} == {0}
    assert "NaN" not in (tmp_path / "out" / "scores.json").read_text()


def test_drafts_without_a_reference_are_counted_and_left_out(tmp_path: Path) -> None:
    path = make_drafts(tmp_path / "d.jsonl", *GOOD)
    with path.open("a") as file:
        file.write(json.dumps({"id": "x", "findings": "Gallstone.", "reference": None, "draft": "Stone."}))
    scores = evaluate(path, tmp_path / "out", Scoring(resamples=50))
    assert (scores["overall"]["n"], scores["missing_references"]) == (4, 1)


def test_a_table_of_another_system_is_scored_alike(tmp_path: Path) -> None:
    ours = evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "one", Scoring(resamples=50))
    lines = ["id,findings,reference,draft"]
    for at, ((findings, reference), draft) in enumerate(zip(TEST, GOOD, strict=True)):
        lines.append(f'{at},"{findings}","{reference}","{draft}"')
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    theirs = evaluate(tmp_path / "theirs.csv", tmp_path / "two", Scoring(resamples=50))
    assert theirs["system"] == "theirs"
    assert theirs["overall"] == ours["overall"]
    assert theirs["strata"] == ours["strata"]


def test_drafts_of_training_reports_are_refused(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data")
    write_jsonl(tmp_path / "d.jsonl", [{"id": "train-2", "reference": "Stone.", "draft": "Stone."}])
    with pytest.raises(InputError, match=r"1 of its reports stand in .*train-2.*scores on training reports flatter"):
        evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(train=data))
    assert not (tmp_path / "out").exists()


def test_another_report_of_the_same_number_is_no_training_report(tmp_path: Path) -> None:
    data = make_dataset(tmp_path / "data")
    row = {"id": "train-2", "reference": "Stone.", "draft": "Stone."}
    write_jsonl(tmp_path / "d.jsonl", [row | {"findings": "Another hospital's finding."}])
    assert evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(train=data, resamples=20))["overall"]["n"] == 1
    write_jsonl(tmp_path / "d.jsonl", [row | {"findings": TRAIN[2][0].upper()}])
    with pytest.raises(InputError, match="scores on training reports flatter"):
        evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(train=data))


@pytest.mark.parametrize("content", [None, ""])
def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path, content: str | None) -> None:
    (tmp_path / "data").mkdir()
    if content is not None:
        (tmp_path / "data" / "train.jsonl").write_text(content)
    with pytest.raises(InputError, match=r"no dataset|no reports in it"):
        evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "out", Scoring(train=tmp_path / "data"))


def test_an_output_that_is_a_file_is_refused_before_any_scoring(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        evaluate(make_drafts(tmp_path / "d.jsonl", *GOOD), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from radllama.errors import InputError
from radllama.evaluation.evaluate import Scoring, evaluate
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
try:
    evaluate(Path("d.jsonl"), Path("out"), Scoring(resamples=50))
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize("limit_bytes", [100, 8000])
def test_a_disk_that_fills_up_leaves_no_run_file_and_a_clear_line(tmp_path: Path, limit_bytes: int) -> None:
    make_drafts(tmp_path / "d.jsonl", *GOOD)
    evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(resamples=50))
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
    notes = evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(resamples=50))["notes"]
    assert "2 references have letters other than a-z" in " ".join(notes)


def test_the_most_harmful_drafts_come_first_and_of_equals_the_longer_reference(tmp_path: Path) -> None:
    drafts = make_drafts(tmp_path / "d.jsonl", "", "", "Bladder stone.", "No stone. Large left pleural effusion.")
    evaluate(drafts, tmp_path / "out", Scoring(resamples=50))
    page = (tmp_path / "out" / "report.html").read_text()
    worst = page.split("most harmful-looking drafts")[1].split("drawn at random")[0]
    # An invented effusion outweighs an empty draft, whatever the words in common.
    places = [worst.index(f"Report {identity}<") for identity in ("3", "1", "0", "2")]
    assert places == sorted(places)
    assert "<b>invented</b> Pleural Effusion stands in the draft alone." in worst


def test_the_page_shows_hostile_report_text_as_text(tmp_path: Path) -> None:
    hostile = "<script>alert('x')</script> stone & \"quote\""
    rows = [{"id": "1", "findings": hostile, "reference": hostile, "draft": hostile + " more", "model": hostile}]
    write_jsonl(tmp_path / "d.jsonl", rows)
    evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(resamples=50))
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
    evaluate(tmp_path / "d.jsonl", tmp_path / "out", Scoring(train=data))
    assert time.monotonic() - began < 20
