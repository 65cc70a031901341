import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browsers import CHROMIUM, browser  # noqa: F401  (a fixture)
from command import Run, make_run
from panels import QUESTIONS, SIGNED, merits, simulate

from radllama.errors import InputError
from radllama.files import read_jsonl, write_jsonl
from radllama.review.agreement.answers import Resampling
from radllama.review.analysis.analyse import analyse
from radllama.review.analysis.comparisons import compare_question, correct, signed_rank_p
from radllama.review.analysis.correlation import spearman
from radllama.review.analysis.frame import Cube
from radllama.review.analysis.model import NO_VARIATION, TOO_FEW, Fit, fit_model
from radllama.review.analysis.preference import fit_strengths
from radllama.review.latent import to_steps
from radllama.review.ratings import Export, Rating, write_export
from radllama.review.rehearsal import Panel
from radllama.run import read_run
from radllama.stats import Array

SYSTEMS = (SIGNED, "tuned", "nearest")
MEANS = (3.5, 3.2, 2.5)
PANEL = Panel(biases=(-0.3, 0.0, 0.1, 0.4), leanings={"relevance": -0.2})
UTILITY = next(question for question in QUESTIONS if question.name == "clinical_utility")


def no_nan(value: Any) -> None:
    json.dumps(value, allow_nan=False)


@pytest.fixture(scope="module")
def merit() -> Array:
    return merits(90, MEANS)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, merit: Array) -> Path:
    folder = tmp_path_factory.mktemp("analysis")
    analyse(simulate(merit, SYSTEMS, PANEL, repeat_every=3), folder, resamples=500)
    return folder


@pytest.fixture(scope="module")
def analysis(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "analysis.json").read_text())
    return found


def test_means_and_differences_are_those_that_were_put_in(analysis: dict[str, Any], merit: Array) -> None:
    for question in QUESTIONS[:3]:
        truth = PANEL.expected(question, merit).mean(axis=(0, 2))
        found = [analysis["systems"][question.name][system] for system in SYSTEMS]
        assert [part["mean"] for part in found] == pytest.approx(truth, abs=0.1)
        for row in analysis["comparisons"]:
            if row["question"] == question.name:
                apart = truth[SYSTEMS.index(row["a"])] - truth[SYSTEMS.index(row["b"])]
                assert row["difference"] == pytest.approx(apart, abs=0.12)
                assert row["model"]["difference"] == pytest.approx(row["difference"], abs=1e-6)
                # A third of a step is more than this study can be sure to see.
                assert row["verdict"] == f"{row['a']} better" or apart < 0.4


def test_each_raters_bias_is_found(analysis: dict[str, Any]) -> None:
    # The panel's mean bias cannot be told from quality; and the ends of the scale take a little of each bias.
    truth = np.array(PANEL.biases) - np.mean(PANEL.biases)
    for question in QUESTIONS[:3]:
        found = [effect["difference"] for effect in analysis["leniency"][question.name].values()]
        assert found == pytest.approx(truth, abs=0.12)


def test_agreement_between_and_within_raters_is_that_of_the_variances_put_in(
    analysis: dict[str, Any], merit: Array
) -> None:
    drafts, rounding = merit.var(ddof=1), 1 / 12
    taste, noise, bias = PANEL.taste_sd**2, PANEL.noise_sd**2, np.var(PANEL.biases, ddof=1)
    between = drafts / (drafts + bias + taste + noise + rounding)
    within = (drafts + taste + bias) / (drafts + taste + bias + noise + rounding)
    for question in QUESTIONS[:3]:
        found = analysis["agreement"][question.name]
        assert found["icc1"]["value"] == pytest.approx(between, abs=0.06)
        assert found["alpha"]["value"] == pytest.approx(between, abs=0.08)
        assert found["icck"]["value"] == pytest.approx(
            drafts / (drafts + (bias + taste + noise + rounding) / 4), abs=0.05
        )
        assert analysis["within_raters"][question.name]["icc1"]["value"] == pytest.approx(within, abs=0.06)
        assert analysis["within_raters"][question.name]["pairs"] == 30 * 3 * 4


def test_preference_errors_and_measures_follow_merit(analysis: dict[str, Any]) -> None:
    values = [analysis["strengths"]["systems"][system]["value"] for system in SYSTEMS]
    assert values == sorted(values, reverse=True) and sum(values) == pytest.approx(0)
    rates = [analysis["errors"][system]["rate"]["mean"] for system in SYSTEMS]
    assert rates == sorted(rates)
    assert analysis["correlations"]["rouge1"]["clinical_utility"]["rho"] > 0.4
    assert analysis["correlations"]["flags"]["clinical_utility"]["rho"] < -0.2
    assert analysis["correlations"]["rouge1"]["clinical_utility"]["drafts"] == 180  # not the signed ones


def test_counts_are_those_of_the_study(analysis: dict[str, Any]) -> None:
    assert analysis["counts"]["judgements"] == 90 * 3 * 4
    assert analysis["counts"]["answers"] == 90 * 3 * 4 * len(QUESTIONS)
    assert analysis["pages"]["done"] == 90 * 4 and analysis["pages"]["repeated"] == 30 * 4
    tested = [row for row in analysis["comparisons"] if row["p"] is not None]
    assert len(tested) == 3 * (len(QUESTIONS) + 1)  # every pair by every question and by preference


def test_what_is_written_can_be_read(out: Path, analysis: dict[str, Any]) -> None:
    no_nan(analysis)
    rows = {
        name: [row for _, row in read_jsonl(out / f"{name}.jsonl")] for name in ("answers", "drafts", "comparisons")
    }
    assert [len(part) for part in rows.values()] == [120 * 3 * 4, 90 * 3, len(analysis["comparisons"])]
    for name, part in rows.items():
        with (out / f"{name}.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        assert [list(row) for row in table[:1]] == [list(part[0])]
        assert len(table) == len(part)
    assert rows["answers"][0].keys() >= {"rater", "report", "system", "repeat", "clinical_utility", "signing", "errors"}
    assert "pleural" not in (out / "answers.csv").read_text() + (out / "drafts.csv").read_text()
    assert (out / "methods.md").read_text().startswith("**Design.** Impressions of 90 reports from three sources")
    assert read_run(out) is not None


def test_the_page_stands_alone(out: Path) -> None:
    page = (out / "review.html").read_text()
    assert "<script" not in page and not re.findall(r"(?:src|href)=|url\(|@import", page)
    for said in ("Which differ?", "Do the raters agree?", "What is wrong with them?", "For the paper", "rater-4"):
        assert said in page


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_page_is_accessible_and_fits_light_and_dark(out: Path, browser: Any, width: int, scheme: str) -> None:  # noqa: F811
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto((out / "review.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    result = Axe().run(page, options={"runOnly": {"type": "tag", "values": tags}, "resultTypes": ["violations"]})
    context.close()
    assert [(one["id"], one["nodes"][0]["html"][:120]) for one in result.response["violations"]] == []


def test_an_analysis_gives_the_same_bytes_again(tmp_path: Path) -> None:
    export = simulate(merits(12, MEANS), SYSTEMS, PANEL)
    for name in ("one", "two"):
        analyse(export, tmp_path / name, resamples=50)
    for file in ("analysis.json", "review.html", "methods.md", "answers.csv", "drafts.jsonl", "comparisons.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_where_systems_do_not_differ_hardly_a_study_says_that_one_does() -> None:
    random, wrong = np.random.default_rng(5), 0
    for _ in range(100):
        drafts = 3 + random.normal(0, 0.4, (25, 1, 1)) + random.normal(0, 0.5, (25, 3, 1))
        rows = []
        for question in QUESTIONS[:3]:
            answers = to_steps(drafts + random.normal(0, 0.6, (25, 3, 4)), 1, 5)
            rows += compare_question(Cube(question, answers, np.full_like(answers, np.nan)), "", SYSTEMS, Resampling(0))
        correct(rows)
        wrong += any(row["verdict"].endswith("better") for row in rows)
    assert wrong <= 11  # of 100 studies of nine tests each, 5 are expected; more than 11 once in two hundred runs


def test_incomplete_blocks_find_the_same(tmp_path: Path, merit: Array) -> None:
    found = analyse(simulate(merit, SYSTEMS, PANEL, per_report=2), tmp_path, resamples=100)
    truth = PANEL.expected(UTILITY, merit).mean(axis=(0, 2))
    for row in found["comparisons"]:
        if row["question"] == UTILITY.name:
            apart = truth[SYSTEMS.index(row["a"])] - truth[SYSTEMS.index(row["b"])]
            assert row["difference"] == pytest.approx(apart, abs=0.2)
    assert found["agreement"][UTILITY.name]["k"] == pytest.approx(2)
    assert "balanced incomplete blocks" in found["methods"] and "Henderson" in found["methods"]
    biases = [effect["difference"] for effect in found["leniency"][UTILITY.name].values()]
    assert biases == pytest.approx(np.array(PANEL.biases) - 0.05, abs=0.2)


def small(**changes: Any) -> Export:
    return simulate(merits(8, MEANS), SYSTEMS, PANEL, **changes)


def only(export: Export, kept: Callable[[Rating], bool]) -> Export:
    return replace(export, ratings=[row for row in export.ratings if kept(row)])


def flat(export: Export) -> Export:
    """Everybody answers the same everywhere."""
    best = {question.name: question.values[0] for question in QUESTIONS}
    return replace(export, ratings=[replace(row, value=best[row.question]) for row in export.ratings])


@pytest.mark.parametrize(
    "export",
    [
        simulate(merits(8, MEANS), SYSTEMS, Panel((0.0,))),
        simulate(merits(8, (3,)), ("tuned",), PANEL, human=None),
        simulate(merits(1, MEANS), SYSTEMS, PANEL),
        simulate(merits(8, MEANS), SYSTEMS, PANEL, per_report=1, repeat_every=0),
        simulate(merits(8, MEANS), SYSTEMS, PANEL, questions=QUESTIONS[3:]),
        simulate(merits(8, MEANS), SYSTEMS, PANEL, questions=QUESTIONS[:1]),
        flat(small()),
        replace(small(), errors=[], rankings=[], remarks=[], visits=[]),
        replace(small(), study=replace(small().study, error_kinds=(), significances=()), errors=[]),
        only(small(), lambda row: (row.rater, row.report) == ("rater-1", "report-000")),
        only(small(), lambda row: row.system != "nearest"),
        replace(small(), candidates=[replace(row, reference="") for row in small().candidates]),
        replace(small(), candidates=[replace(row, draft="", shown="(no impression)") for row in small().candidates]),
    ],
    ids=[
        "one rater", "one system", "one report", "one rater a report", "choices alone", "one question",
        "all answers the same", "ratings alone", "no errors asked", "one page answered", "a system nobody judged",
        "no references", "empty drafts",
    ],
)  # fmt: skip
def test_a_poor_study_is_analysed_as_far_as_it_goes(tmp_path: Path, export: Export) -> None:
    found = analyse(export, tmp_path, resamples=20)
    no_nan(found)
    page = (tmp_path / "review.html").read_text()
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL).lower().replace("finance", "").split()
    assert "None" not in page


def test_where_all_answers_are_the_same_it_says_so(tmp_path: Path) -> None:
    found = analyse(flat(small()), tmp_path, resamples=20)
    assert all(row["verdict"] == "not different" for row in found["comparisons"] if row["question"] != "preference")
    assert found["model"]["coherence"] == {"reason": NO_VARIATION, "variances": None}
    assert found["agreement"]["coherence"]["alpha"]["value"] is None
    assert any(NO_VARIATION in note for note in found["notes"])


def test_a_study_that_nobody_answered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nobody has answered"):
        analyse(replace(small(), ratings=[]), tmp_path)


def test_an_answer_about_an_unknown_system_is_refused(tmp_path: Path) -> None:
    export = small()
    export.ratings.append(replace(export.ratings[0], system="somebody else"))
    with pytest.raises(InputError, match="does not have"):
        analyse(export, tmp_path)


def test_answers_of_skipped_pages_and_of_older_forms_are_left_out_and_counted(tmp_path: Path) -> None:
    export = small(repeat_every=0)
    whole = analyse(export, tmp_path / "whole", resamples=20)["counts"]
    page = ("rater-1", "report-000")
    export.visits[:] = [
        replace(visit, state="skipped", reason="not mine") if (visit.rater, visit.report) == page else visit
        for visit in export.visits
    ]
    export.ratings.append(Rating("rater-2", "report-001", "tuned", "brevity", 3, 0, 0, 1))
    found = analyse(export, tmp_path / "some", resamples=20)
    assert found["counts"]["left_out"] == {
        "answers on skipped pages": 3 * len(QUESTIONS),
        "answers to an older form that asked otherwise": 1,
    }
    assert found["counts"]["answers"] == whole["answers"] - 3 * len(QUESTIONS)
    assert found["pages"]["skip_reasons"] == {"not mine": 1}
    assert any("15 answers on skipped pages" in note for note in found["notes"])


def test_names_are_escaped_on_the_page(tmp_path: Path) -> None:
    evil = "<img src=x>"
    analyse(simulate(merits(8, MEANS), (evil, *SYSTEMS[1:]), PANEL, human=None), tmp_path, resamples=20)
    page = (tmp_path / "review.html").read_text()
    assert "<img" not in page and "&lt;img" in page


def test_the_model_of_complete_answers_has_the_standard_error_of_the_textbook() -> None:
    # Balanced: a difference is that of means, and its variance 2 (draft + rest / raters) / reports.
    random = np.random.default_rng(4)
    values = (
        3 + random.normal(0, 0.4, (80, 1, 1)) + random.normal(0, 0.6, (80, 3, 1)) + random.normal(0, 0.5, (80, 3, 4))
    )
    fit = fit_model(values)
    assert isinstance(fit, Fit)
    effect = fit.differences[0, 1]
    assert effect.value == pytest.approx(values[:, 0].mean() - values[:, 1].mean())
    error = np.sqrt(2 * (fit.variances["draft"] + fit.variances["rest"] / 4) / 80)
    assert effect.ci95[1] - effect.value == pytest.approx(1.96 * error, rel=1e-3)
    assert [fit.variances[part] for part in ("report", "draft", "rest")] == pytest.approx([0.16, 0.36, 0.25], abs=0.08)


def test_a_model_needs_reports() -> None:
    assert fit_model(np.array([[[1.0, 2], [3, 4]], [[2, 2], [5, 3]]])) == TOO_FEW


def test_strengths_are_those_of_the_textbook() -> None:
    # American League 1987, Agresti (1990), table 10.10: Milwaukee, Detroit, Toronto, New York, Boston, Cleveland and
    # Baltimore, the last held at 0.
    wins = [
        [0, 7, 9, 7, 7, 9, 11], [6, 0, 7, 5, 11, 9, 9], [4, 6, 0, 7, 7, 8, 12], [6, 8, 6, 0, 6, 7, 10],
        [6, 2, 6, 7, 0, 7, 12], [4, 4, 5, 6, 6, 0, 6], [2, 4, 1, 3, 1, 7, 0],
    ]  # fmt: skip
    strength = fit_strengths(np.array([wins], dtype=np.float64))[0]
    expected = [1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0]
    assert strength - strength[-1] == pytest.approx(expected, abs=1e-3)
    assert np.isnan(fit_strengths(np.array([[[0.0, 3], [0, 0]]]))).all()  # never beaten: no finite strength


def test_rank_correlation_is_scipys_also_of_rows_drawn_again() -> None:
    from scipy.stats import spearmanr

    random = np.random.default_rng(1)
    values = np.round(random.normal(size=(40, 2)) @ [[1, 0.6], [0, 1]], 0)
    times = random.integers(0, 4, (3, 40)).astype(np.float64)
    assert spearman(values)[0] == pytest.approx(spearmanr(values).statistic)
    for drawn, found in zip(times, spearman(values, times), strict=True):
        assert found == pytest.approx(spearmanr(np.repeat(values, drawn.astype(int), axis=0)).statistic)
    assert np.isnan(spearman(np.column_stack([values[:, 0], np.ones(40)]))[0])


@pytest.mark.parametrize("differences", [[1.5, -0.5, 2, 3, 4, -2.5], [1, -1, 2, 2, 3, -2, 2, 0, 0], [1, 1, 1]])
def test_the_signed_rank_test_is_scipys_exact_one(differences: list[float]) -> None:
    from scipy.stats import PermutationMethod, wilcoxon

    exact = wilcoxon(differences, method=PermutationMethod(n_resamples=np.inf))
    assert signed_rank_p(np.array(differences)) == pytest.approx(exact.pvalue)


def test_the_signed_rank_test_of_many_goes_on_where_the_exact_one_ends() -> None:
    random = np.random.default_rng(2)
    values = random.normal(0.1, 1, 301)
    assert signed_rank_p(values) == pytest.approx(signed_rank_p(values[:300]), rel=0.3)


def test_no_difference_anywhere_is_no_evidence_of_one() -> None:
    assert signed_rank_p(np.zeros(10)) == 1
    assert signed_rank_p(np.array([0.1 + 0.2 - 0.3] * 10)) == 1  # a rounding error is none either


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    return make_run(monkeypatch, capfd)


def test_an_exported_study_is_analysed_on_the_command_line(tmp_path: Path, run: Run) -> None:
    write_export(small(), tmp_path / "export")
    done = run("review", "analyse", tmp_path / "export", "--out", tmp_path / "out", "--resamples", 100)
    assert done.code == 0 and "96 judgements of 8 reports by 4 raters" in done.out and "alpha (95%)" in done.out
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"review.html", "analysis.json", "answers.csv"}


def test_an_open_study_stays_blinded(tmp_path: Path, run: Run) -> None:
    export = small()
    write_export(
        replace(export, study=replace(export.study, closed=False, systems=(), human=None)), tmp_path / "export"
    )
    done = run("review", "analyse", tmp_path / "export", "--out", tmp_path / "out")
    assert done.code == 2 and "still open, so it stays blinded" in done.err
    assert not (tmp_path / "out").exists()
    done = run("review", "analyse", tmp_path, "--out", tmp_path / "out")
    assert done.code == 2 and "no study.json in it" in done.err


def test_a_study_in_the_database_is_analysed_when_it_is_closed_and_not_before(tmp_path: Path, run: Run) -> None:
    write_jsonl(tmp_path / "reports.jsonl", [{"id": "a", "findings": "Clear lungs.", "impression": "Normal chest."}])
    write_jsonl(tmp_path / "drafts.jsonl", [{"id": "a", "draft": "Normal."}])
    database = ("--database", f"sqlite:///{tmp_path}/review.sqlite")
    drafts = ("--reports", tmp_path / "reports.jsonl", "--system", f"tuned={tmp_path / 'drafts.jsonl'}")
    assert run("review", "create", "trial", *drafts, "--raters", 1, *database).code == 0
    done = run("review", "analyse", "trial", "--out", tmp_path / "out", *database)
    assert done.code == 2 and "radllama review close trial" in done.err
    assert run("review", "close", "trial", *database).code == 0
    done = run("review", "analyse", "trial", "--out", tmp_path / "out", *database)
    assert done.code == 2 and "nobody has answered" in done.err
    assert run("review", "analyse", "other", "--out", tmp_path / "out", *database).code == 2
