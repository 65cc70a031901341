from pathlib import Path
from typing import Any

import numpy as np
import pytest
from panels import QUESTIONS
from review_servers import reviewing

from radllama.review.export import export_study
from radllama.review.material import gather
from radllama.review.ratings import read_export
from radllama.review.rehearsal import Panel
from radllama.review.studies import close_study, find_study, read_study_form

PANEL = Panel(biases=(-0.4, 0.5), seed=3)


def test_what_raters_meant_is_what_the_analysis_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "scripts"))
    from simulated_raters import Known, SimulatedRater, key_of, merit

    with reviewing(tmp_path, reports=3, raters=2, repeat_share=0.4) as server:
        systems = {"ours": tmp_path / "a.jsonl", "theirs": tmp_path / "b.jsonl"}
        material = gather(tmp_path / "test.jsonl", systems, human_reference=True)
        known: dict[tuple[str, str], Any] = {}
        for at, (report, texts) in enumerate(zip(material.reports, material.texts, strict=True)):
            for place, text in enumerate(texts):
                worth = merit(report.findings, report.impression, text.shown)
                known[key_of(report.findings, text.shown)] = Known(at, place, worth, report.impression)
        for place in range(2):
            rater = SimulatedRater(server.url, PANEL, place, known)
            rater.join(server.invitation(place + 1))
            assert rater.judge_all("pilot") == 4  # three reports, and one of them again
            rater.leave()
        with server.store.write() as session:
            study = find_study(session, "pilot")
            questions = read_study_form(session, study).questions()
            close_study(session, study)
        with server.store.read() as session:
            export_study(session, find_study(session, "pilot"), tmp_path / "export")
    export = read_export(tmp_path / "export")
    findings = {(one.report, one.system): (one.findings, one.shown) for one in export.candidates}
    assert len(export.ratings) == 2 * 4 * 3 * len(questions)
    for rating in export.ratings:
        draft = known[key_of(*findings[rating.report, rating.system])]
        place = int(rating.rater[-1]) - 1
        meant = PANEL.judge(questions, draft.worth, place, draft.report, draft.system, rating.repeat)
        assert rating.value == meant[rating.question]
    assert len(export.rankings) == 8 and {visit.state for visit in export.visits} == {"done"}
    assert export.errors and all(visit.seconds > 30 for visit in export.visits)


def test_a_rater_judges_a_draft_the_same_way_whenever_asked_and_otherwise_when_it_comes_again() -> None:
    judged = [PANEL.judge(QUESTIONS, 3.0, 0, 5, 1, repeat) for repeat in (0, 0, 1)]
    assert judged[0] == judged[1] != judged[2]


def test_the_expected_answer_is_the_mean_of_many() -> None:
    question, wide = QUESTIONS[0], Panel(biases=(-0.5, 0.5), taste_sd=0.5, noise_sd=0.8)
    judged = [[wide.judge([question], 4.2, rater, at, 0)[question.name] for at in range(2000)] for rater in (0, 1)]
    answers = np.array(judged, dtype=np.float64)
    expected = wide.expected(question, np.array([4.2]))[0]
    assert np.mean(answers, axis=1) == pytest.approx(expected, abs=0.06)
