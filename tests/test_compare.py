import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from radllama.cli import main
from radllama.errors import InputError
from radllama.evaluation.compare import compare, render_comparison
from radllama.evaluation.evaluate import Scoring, evaluate
from radllama.evaluation.strata import is_main
from radllama.files import read_json, write_jsonl
from radllama.run import read_run

# Reports of a hospital that does not exist: every third is normal, and each says which it is.
SIDES, SIZES = ("left", "right"), ("small", "large")
REPORTS = [
    ("Both kidneys are of regular size. No stone.", "Normal kidneys.")
    if at % 3 == 0
    else (
        f"Stone of {at} mm in the {SIDES[at % 2]} kidney. Cyst number {at} beside it. It is {SIZES[at % 4 // 2]}.",
        f"{SIDES[at % 2].capitalize()} kidney stone, {at} mm.",
    )
    for at in range(48)
]
RIGHT = [impression for _, impression in REPORTS]
NORMAL = ["Normal kidneys."] * len(REPORTS)
VAGUE = ["Normal kidneys." if at % 3 == 0 else "Kidney stone." for at in range(len(REPORTS))]


def write_drafts(path: Path, drafts: list[str] | list[str | None], **changes: Any) -> Path:
    """Drafts of the first reports, as many as there are drafts."""
    rows = [
        {"id": f"r{at}", "findings": findings, "reference": reference, "draft": draft, "model": path.stem} | changes
        for at, ((findings, reference), draft) in enumerate(zip(REPORTS, drafts, strict=False))
    ]
    write_jsonl(path, rows)
    return path


def change(path: Path, at: int, **values: Any) -> Path:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[at] |= values
    write_jsonl(path, rows)
    return path


def rows_of(comparison: dict[str, Any], **wanted: str) -> list[dict[str, Any]]:
    return [row for row in comparison["comparisons"] if wanted.items() <= row.items()]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    drafts = {"right": RIGHT, "vague": VAGUE, "normal": NORMAL}
    return [write_drafts(tmp_path / f"{name}.jsonl", texts) for name, texts in drafts.items()]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A dataset whose training part has seen the normal findings alone."""
    (tmp_path / "data").mkdir()
    row = {"id": "t1", "findings": REPORTS[0][0], "impression": REPORTS[0][1]}
    write_jsonl(tmp_path / "data" / "train.jsonl", [row])
    return tmp_path / "data"


# What is told


def test_every_pair_is_held_against_each_other_by_every_metric_in_every_stratum(files: list[Path], data: Path) -> None:
    comparison = compare(files, train=data, metrics=["rouge2", "rouge1", "rouge2"], resamples=50)
    keys = [(row["a"] + row["b"], row["metric"], row["stratum"]) for row in comparison["comparisons"]]
    strata = ["overall", *comparison["systems"]["A"]["strata"]]
    assert strata[:5] == ["overall", "normal", "abnormal", "findings_seen", "findings_unseen"]
    assert keys == [(pair, m, s) for pair in ("AB", "AC", "BC") for m in ("rouge2", "rouge1") for s in strata]


def test_a_difference_is_the_first_less_the_second_worked_out_by_hand(files: list[Path]) -> None:
    [overall] = rows_of(compare(files[1:], resamples=50), stratum="overall")
    # "Kidney stone." of five words: 2 x 2 / (2 + 5); "Normal kidneys." shares none. On the 16 normal ones, equal.
    assert overall["difference"] == pytest.approx(32 / 48 * 4 / 7)
    assert overall["n"] == 48
    low, high = overall["ci95"]
    assert low < overall["difference"] < high
    assert overall["verdict"] == "A higher"


def test_what_differs_is_called_higher_and_what_does_not_is_called_so(files: list[Path]) -> None:
    comparison = compare(files, resamples=50)
    verdicts = {(row["a"] + row["b"], row["stratum"]): row["verdict"] for row in comparison["comparisons"]}
    assert verdicts["AB", "abnormal"] == verdicts["AC", "overall"] == "A higher"
    assert verdicts["BC", "abnormal"] == "B higher"
    for pair in ("AB", "AC", "BC"):
        assert verdicts[pair, "normal"] == "not different"


def test_identical_systems_are_not_different(files: list[Path]) -> None:
    comparison = compare([files[0], files[0]], resamples=50)
    for row in comparison["comparisons"]:
        assert (row["difference"], row["ci95"], row["p"], row["p_holm"]) == (0, [0, 0], 1, 1)
        assert row["verdict"] == "not different"


def test_a_difference_by_chance_alone_is_not_called_one(tmp_path: Path) -> None:
    # Two systems that are right by the toss of a coin, 60 times: about one comparison in twenty errs anywhere.
    wrong = 0
    for seed in range(60):
        draw = random.Random(seed)
        paths = [
            write_drafts(tmp_path / f"{name}.jsonl", [draw.choice(["Stone.", text]) for text in RIGHT])
            for name in ("one", "other")
        ]
        comparison = compare(paths, resamples=20, permutations=400, seed=seed)
        wrong += any(row["verdict"] != "not different" for row in comparison["comparisons"])
    assert wrong <= 8


def test_all_p_values_are_corrected_as_one_family(files: list[Path]) -> None:
    rows = compare(files, metrics=["rouge1", "exact_match"], resamples=50)["comparisons"]
    assert len(rows) == 3 * 2 * 5
    smallest = min(row["p"] for row in rows)
    assert next(row["p_holm"] for row in rows if row["p"] == smallest) == pytest.approx(len(rows) * smallest)
    for row in rows:
        assert row["p"] <= row["p_holm"] <= 1
        assert (row["p_holm"] < 0.05) == (row["verdict"] != "not different")


def test_a_correction_for_many_comparisons_leaves_a_clear_difference_to_be_found(tmp_path: Path) -> None:
    # 21 pairs, 6 metrics, 5 strata: 630 tests, of which 10,000 permutations could never show one.
    texts = [RIGHT, *(NORMAL for _ in range(6))]
    paths = [write_drafts(tmp_path / f"{at}.jsonl", drafts) for at, drafts in enumerate(texts)]
    metrics = [f"rouge{kind}{stem}" for kind in "12L" for stem in ("", "_stemmed")]
    comparison = compare(paths, tmp_path / "out", metrics=metrics, resamples=20)
    assert len(comparison["comparisons"]) == 630
    run = read_run(tmp_path / "out")
    assert run is not None and run["settings"]["permutations"] == 126_000
    assert {row["verdict"] for row in rows_of(comparison, a="A", stratum="abnormal")} == {"A higher"}


# The order of things changes nothing


def test_the_order_of_the_files_does_not_change_the_verdict(files: list[Path]) -> None:
    names = {"right": RIGHT, "vague": VAGUE, "normal": NORMAL}

    def by_name(paths: list[Path]) -> dict[tuple[frozenset[str], str], tuple[float, float, str, float]]:
        comparison = compare(paths, resamples=50)
        system = {letter: part["system"] for letter, part in comparison["systems"].items()}
        verdicts = {}
        for row in comparison["comparisons"]:
            said = row["verdict"].split()[0]
            pair = frozenset({system[row["a"]], system[row["b"]]})
            verdict = (row["p"], row["p_holm"], system.get(said, said), round(abs(row["difference"]), 12))
            verdicts[pair, row["stratum"]] = verdict
        return verdicts

    forth = by_name(files)
    assert by_name(files[::-1]) == forth
    assert by_name([files[1], files[0], files[2]]) == forth
    assert {name for pair, _ in forth for name in pair} == set(names)


def test_an_interval_turns_round_with_the_pair(files: list[Path]) -> None:
    forth, back = (compare(pair, resamples=200)["comparisons"] for pair in (files[:2], files[1::-1]))
    for row, turned in zip(forth, back, strict=True):
        assert turned["ci95"] == pytest.approx([-row["ci95"][1], -row["ci95"][0]])


def test_the_order_of_the_reports_in_a_file_changes_nothing(files: list[Path]) -> None:
    before = compare(files, resamples=50)
    for at, path in enumerate(files):
        lines = path.read_text().splitlines(keepends=True)
        random.Random(at).shuffle(lines)
        path.write_text("".join(lines))
    assert compare(files, resamples=50) == before


def test_the_seed_decides_and_comparing_twice_gives_the_same_file(tmp_path: Path, files: list[Path]) -> None:
    for name in ("one", "two"):
        compare(files, tmp_path / name, resamples=50)
    assert (tmp_path / "one" / "compare.json").read_bytes() == (tmp_path / "two" / "compare.json").read_bytes()
    again = compare(files, seed=1, resamples=50)
    assert again["comparisons"] != read_json(tmp_path / "one" / "compare.json")["comparisons"]


# As evaluate


def test_the_systems_score_as_evaluate_scores_them(tmp_path: Path, files: list[Path], data: Path) -> None:
    comparison = compare(files[1:], train=data, resamples=50)
    for letter, path in zip("AB", files[1:], strict=True):
        scores = evaluate(path, tmp_path / "out", Scoring(train=data, resamples=50))
        ours = comparison["systems"][letter]
        assert ours["system"] == scores["system"]
        assert list(ours["strata"]) == [name for name in scores["strata"] if is_main(name)]
        for part, theirs in [(ours["overall"], scores["overall"])] + [
            (ours["strata"][name], scores["strata"][name]) for name in ours["strata"]
        ]:
            assert part.keys() == theirs.keys() - {"observations", "label_f1_macro", "label_f1_macro_5"}
            assert (part["n"], part["empty_drafts"]) == (theirs["n"], theirs["empty_drafts"])
            assert part["rougeL"] == pytest.approx(theirs["rougeL"])


def test_a_table_of_another_system_is_compared_alike(tmp_path: Path, files: list[Path]) -> None:
    lines = ["id,reference,draft", *(f'r{at},"{ref}",Kidney stone.' for at, (_, ref) in enumerate(REPORTS))]
    (tmp_path / "theirs.csv").write_text("\n".join(lines))
    comparison = compare([tmp_path / "theirs.csv", files[0]], resamples=50)
    assert comparison["systems"]["A"]["system"] == "theirs"
    # The findings that one file tells serve both.
    assert "length_q1" in comparison["systems"]["A"]["strata"]


def test_an_empty_draft_scores_zero_and_is_counted(tmp_path: Path) -> None:
    some: list[str | None] = [None, "", " ", *RIGHT[3:]]
    paths = [write_drafts(tmp_path / "a.jsonl", RIGHT), write_drafts(tmp_path / "b.jsonl", some)]
    comparison = compare(paths, resamples=50)
    assert comparison["systems"]["B"]["overall"]["empty_drafts"] == 3
    [overall] = rows_of(comparison, stratum="overall")
    assert overall["difference"] == pytest.approx(3 / 48)


def test_drafts_of_training_reports_are_refused(files: list[Path], data: Path) -> None:
    write_jsonl(data / "train.jsonl", [{"id": "r7", "findings": REPORTS[7][0], "impression": "Stone."}])
    with pytest.raises(InputError, match="scores on training reports flatter"):
        compare(files, train=data)


def test_what_is_absent_is_said(tmp_path: Path, files: list[Path]) -> None:
    assert "No training data was given (--train)" in " ".join(compare(files, resamples=20)["notes"])
    for path in files:
        write_drafts(path, NORMAL, findings=None)
    comparison = compare(files, resamples=20)
    assert list(comparison["systems"]["A"]["strata"]) == ["normal", "abnormal"]
    assert "findings of 48 of 48 reports are not told" in " ".join(comparison["notes"])


# The same reports


def test_files_of_different_reports_are_refused_by_count(tmp_path: Path, files: list[Path]) -> None:
    write_drafts(files[1], VAGUE[:40])
    with pytest.raises(InputError) as caught:
        compare(files, tmp_path / "out")
    assert str(caught.value) == (
        f"not the same reports: of 48 with a reference, {files[1]} lacks 8; add these (a line without a draft counts "
        "as empty), or compare the 40 that all have with --common"
    )
    assert not (tmp_path / "out").exists()


def test_common_reports_are_compared_and_the_others_counted(tmp_path: Path, files: list[Path]) -> None:
    write_drafts(files[1], VAGUE[:40])
    change(files[2], 0, reference=None)
    comparison = compare(files, tmp_path / "out", common=True, resamples=50)
    assert comparison["n"] == 39
    left_out = {letter: part["left_out"] for letter, part in comparison["systems"].items()}
    assert left_out == {"A": 9, "B": 1, "C": 8}
    notes = " ".join(comparison["notes"])
    assert "39 reports are in all files" in notes
    assert "without a reference A 0, B 0, C 1; not in every file A 9, B 1, C 8" in notes
    assert "did not draft what is hard looks better" in notes
    run = read_run(tmp_path / "out")
    assert run is not None and (run["scored"], run["left_out"]) == (39, left_out)


def test_files_without_a_common_report_are_refused(tmp_path: Path, files: list[Path]) -> None:
    write_jsonl(files[1], [{"id": "x", "reference": "Stone.", "draft": "Stone."}])
    with pytest.raises(InputError, match="no report has a draft and a reference in all of them"):
        compare(files, common=True)


@pytest.mark.parametrize("field", ["reference", "findings"])
@pytest.mark.parametrize("file", [0, 1, 2])
def test_reports_that_are_not_the_same_are_refused(files: list[Path], field: str, file: int) -> None:
    change(files[file], 5, **{field: "Gallstone."})
    with pytest.raises(InputError, match=rf"1 reports have not the same {field} in all of them .*'r5'") as caught:
        compare(files)
    assert "Gallstone" not in str(caught.value)


def test_references_that_differ_in_case_space_and_punctuation_are_the_same(files: list[Path]) -> None:
    before = compare(files, resamples=50)["comparisons"]
    for at in range(10):
        change(files[at % 3], at, reference=f" {REPORTS[at][1].lower().replace('.', ' ;')}\n", findings=" ")
    assert compare(files, resamples=50)["comparisons"] == before
    assert compare(files[::-1], resamples=50)["systems"]["C"]["strata"].keys() == {
        row["stratum"] for row in before if row["stratum"] != "overall"
    }


# What is left behind


def test_the_folder_holds_what_was_returned_and_no_report_text(tmp_path: Path, files: list[Path]) -> None:
    comparison = compare(files, tmp_path / "out", resamples=50)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["compare.json", "run.json"]
    assert read_json(tmp_path / "out" / "compare.json") == comparison
    for text in ((tmp_path / "out" / "compare.json").read_text(), render_comparison(comparison)):
        assert "kidney" not in text.lower()


def test_the_run_file_says_what_was_compared(tmp_path: Path, files: list[Path], data: Path) -> None:
    compare(files[:2], tmp_path / "out", train=data, resamples=50)
    run = read_run(tmp_path / "out")
    assert run is not None
    assert run["command"] == "compare"
    assert run["settings"] == {
        **{"drafts": [str(path) for path in files[:2]], "train": str(data), "metrics": ["rouge1"], "common": False},
        **{"seed": 0, "resamples": 50, "permutations": 10_000},
    }
    assert [len(digest) for digest in run["drafts_sha256"]] == [64, 64]
    assert len(run["train_sha256"]) == 64


def test_an_output_that_is_a_file_is_refused(tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="cannot be written"):
        compare(files, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_comparison_that_fails_leaves_no_run_file(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare(files, tmp_path / "out", resamples=20)
    (tmp_path / "out" / "compare.json").unlink()
    (tmp_path / "out" / "compare.json").mkdir()  # nothing can take its place
    with pytest.raises(InputError, match="cannot be written"):
        compare(files, tmp_path / "out", resamples=20)
    assert read_run(tmp_path / "out") is None


def test_nothing_asked_that_is_not_there_is_compared(files: list[Path]) -> None:
    with pytest.raises(InputError, match="no metric 'bleu'; there are repeated, "):
        compare(files, metrics=["rouge1", "bleu"])
    with pytest.raises(InputError, match="give from 2 to 26 drafts files, got 1"):
        compare(files[:1])
    with pytest.raises(InputError, match="give from 2 to 26 drafts files, got 27"):
        compare([files[0]] * 27)


CHEST = [
    ("Small left pleural effusion.", "Left effusion."),
    ("The heart is enlarged.", "Cardiomegaly."),
    ("Lungs clear.", "Normal chest."),
] * 10


def test_shares_are_compared_where_a_report_has_a_say_and_make_no_test_where_none_has(tmp_path: Path) -> None:
    paths = [tmp_path / "copies.jsonl", tmp_path / "normal.jsonl"]
    for path, drafts in zip(paths, ([text for _, text in CHEST], ["Normal chest."] * 30), strict=True):
        pairs = enumerate(zip(CHEST, drafts, strict=True))
        rows = [{"id": str(at), "findings": f, "reference": r, "draft": d} for at, ((f, r), d) in pairs]
        write_jsonl(path, rows)
    comparison = compare(paths, metrics=["repeated", "answered_normal"], resamples=50)
    [overall] = rows_of(comparison, metric="repeated", stratum="overall")
    assert (overall["difference"], overall["verdict"]) == (1, "A higher")
    assert rows_of(comparison, metric="answered_normal", stratum="overall")[0]["verdict"] == "B higher"
    [normal] = rows_of(comparison, metric="repeated", stratum="normal")
    assert (normal["difference"], normal["ci95"], normal["p"], normal["p_holm"]) == (None, None, None, None)
    assert normal["verdict"] == "no such report"
    tested = [row for row in comparison["comparisons"] if row["p"] is not None]
    assert f"corrected for all {len(tested)} tests here" in " ".join(comparison["notes"])
    [line] = [line for line in render_comparison(comparison).splitlines() if line.startswith("normal reference")][:1]
    assert line.split()[2:] == ["10", "-", "-", "-", "-", "-", "no", "such", "report"]
    json.dumps(comparison, allow_nan=False)


# The terminal


@pytest.fixture
def table(files: list[Path], data: Path) -> str:
    return render_comparison(compare(files, train=data, metrics=["rouge1", "length_ratio"], resamples=200))


def test_the_table_shows_the_systems_and_then_each_pair(table: str) -> None:
    lines = table.splitlines()
    assert lines[0] == "Faithfulness to the findings"
    assert [line.split()[:3] for line in lines[13:16]] == [
        ["A", "right", "48"],
        ["B", "vague", "48"],
        ["C", "normal", "48"],
    ]
    titles = [line for line in lines if " against " in line]
    assert titles == [f"{a} against {b}; {m}" for a, b in ("AB", "AC", "BC") for m in ("ROUGE-1 x 100", "length ratio")]


def test_the_table_shows_means_difference_p_and_verdict(table: str) -> None:
    block = table.split("B against C; ROUGE-1 x 100")[1].split("B against C")[0]
    [abnormal] = [line for line in block.splitlines() if line.startswith("abnormal")]
    assert abnormal.split() == [
        *("abnormal", "reference", "32", "57.1", "0.0", "+57.1", "(+57.1", "to", "+57.1)"),
        *("<0.0001", "0.0042", "B", "higher"),
    ]
    [normal] = [line for line in block.splitlines() if line.startswith("normal")]
    assert normal.split()[2:] == [
        *("16", "100.0", "100.0", "+0.0", "(+0.0", "to", "+0.0)", "1.0000", "1.0000", "not", "different")
    ]


def test_a_ratio_is_not_shown_times_100(table: str) -> None:
    block = table.split("A against B; length ratio")[1]
    [abnormal] = [line for line in block.split("against")[0].splitlines() if line.startswith("abnormal")]
    assert abnormal.split()[3:6] == ["1.00", "0.40", "+0.60"]


def test_the_table_is_at_most_120_columns_wide_and_the_notes_stand_below(table: str) -> None:
    tables, notes = table[: table.index("48 reports are in all files")], table.split("\n\n")[-5:]
    assert max(map(len, tables.splitlines())) <= 120
    assert "p (Holm) is corrected for all 42 tests here (pairs x metrics x strata) as one family" in notes[-2]
    assert notes[-1].startswith('"Not different" says that')


def test_systems_of_one_name_are_told_apart_by_their_letters(tmp_path: Path, files: list[Path]) -> None:
    for path in files:
        write_drafts(path, RIGHT, model="a/long/path/to/some/tuned/mini")
    lines = render_comparison(compare(files, resamples=20)).splitlines()
    assert [line.split()[0] for line in lines[6:9]] == ["A", "B", "C"]


def run_cli(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["radllama", "compare", *map(str, arguments)])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_command_prints_the_table_alone_on_stdout(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, files: list[Path], data: Path
) -> None:
    options = ["--train", data, "--out", tmp_path / "out", "--metric", "rouge2", "--metric", "exact_match", "--common"]
    assert run_cli(monkeypatch, *files, *options) == 0
    out, err = capfd.readouterr()
    assert out == render_comparison(read_json(tmp_path / "out" / "compare.json")) + "\n"
    assert err == ""
    run = read_run(tmp_path / "out")
    assert run is not None and run["settings"]["metrics"] == ["rouge2", "exact_match"] and run["settings"]["common"]


def test_the_command_asks_for_rouge1_unless_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], files: list[Path]
) -> None:
    assert run_cli(monkeypatch, *files[:2]) == 0
    out = capfd.readouterr().out
    assert out.count("A against B; ROUGE-1 x 100") == out.count(" against ") == 1


def test_a_mistake_is_one_line_and_help_is_there(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], files: list[Path]
) -> None:
    assert run_cli(monkeypatch, files[0], files[0].with_name("gone.jsonl")) == 2
    out, err = capfd.readouterr()
    assert (out, err) == ("", f"radllama: {files[0].with_name('gone.jsonl')}: no such file\n")
    assert run_cli(monkeypatch, "--help") == 0
    assert "--common" in capfd.readouterr().out


def test_permutations_are_of_reports_and_not_of_their_scores(files: list[Path]) -> None:
    # Both metrics of a pair see the same signs, so a metric alone has the p it has beside another.
    alone = compare(files[:2], metrics=["rougeL"], resamples=20)["comparisons"]
    beside = rows_of(compare(files[:2], metrics=["rouge1", "rougeL"], resamples=20), metric="rougeL")
    assert [row["p"] for row in alone] == [row["p"] for row in beside]
    assert np.all([row["p_holm"] <= other["p_holm"] for row, other in zip(alone, beside, strict=True)])
