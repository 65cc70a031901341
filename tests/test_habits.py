"""What a department repeats, learned from its reports and kept as numbers."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from radllama.clinical.checks.claims import parse_section
from radllama.errors import InputError
from radllama.library import Library
from radllama.library.habits import Habits, any_of, asserted_in, learn_habits, read_habits, topics_in, write_habits
from radllama.report import Report


def likely(habits: Habits, department: Library, findings: str) -> dict[str, float]:
    return habits.probabilities(parse_section(findings), department.score(findings))


def test_what_is_always_repeated_is_likely_and_what_hardly_ever_is_not(habits: Habits, department: Library) -> None:
    found = likely(habits, department, "There is a small left pleural effusion. Calcified granuloma in the right lung.")
    assert found["Pleural Effusion"] > 0.9
    assert found["Granuloma"] < 0.2
    assert 0.5 < likely(habits, department, "The heart is enlarged.")["Cardiomegaly"] < 0.95


def test_only_what_the_findings_assert_or_doubt_is_judged(habits: Habits, department: Library) -> None:
    assert likely(habits, department, "No pleural effusion. The heart is normal in size.") == {}
    assert set(likely(habits, department, "Possible effusion. A pacemaker is in place.")) == {"Pleural Effusion"}


def test_a_topic_that_no_report_mentions_is_judged_too(habits: Habits, department: Library) -> None:
    found = likely(habits, department, "Small apical pneumothorax.")
    assert 0 < found["Pneumothorax"] < 1


def test_what_must_be_repeated_covers_what_is_asked_for(habits: Habits, department: Library) -> None:
    repeated = told = 0
    for report in department.reports:
        topics = topics_in(report.findings) & topics_in(report.impression)
        must = habits.must_repeat(likely(habits, department, report.findings), mentions=0.9, reports=0.0)
        repeated, told = repeated + len(topics), told + len(topics & set(must))
    assert told / repeated >= 0.85


def test_more_coverage_asks_for_more_the_likeliest_first(habits: Habits) -> None:
    found = {"Granuloma": 0.01, "Pleural Effusion": 0.99, "Cardiomegaly": 0.7}
    assert set(habits.must_repeat(found, 0.0, 0.0)) <= {"Pleural Effusion"}
    assert habits.must_repeat(found, 0.9, 0.0)[0] == "Pleural Effusion"
    everything = habits.must_repeat(found, 1.0, 1.0)
    assert everything[:2] == ["Pleural Effusion", "Cardiomegaly"]


def test_where_nothing_is_likely_enough_but_something_probably_returns_the_likeliest_is_asked_for(
    habits: Habits,
) -> None:
    unlikely = replace(habits, mention_quantiles=[0.5] * 101, report_quantiles=[0.6] * 101)
    assert unlikely.must_repeat({"Granuloma": 0.3, "Cardiomegaly": 0.45}, 0.9, 0.97) == ["Cardiomegaly"]
    assert unlikely.must_repeat({"Granuloma": 0.3, "Cardiomegaly": 0.2}, 0.9, 0.97) == []
    assert unlikely.must_repeat({"Granuloma": 0.3, "Cardiomegaly": 0.6}, 0.9, 0.97) == ["Cardiomegaly"]
    assert unlikely.must_repeat({}, 0.9, 0.97) == []


def test_the_probability_of_any_is_that_of_not_none() -> None:
    assert any_of([0.5, 0.5]) == pytest.approx(0.75)
    assert any_of([]) == 0
    assert any_of([1.0, 0.2]) == 1


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_beyond_all_is_refused(habits: Habits, share: float) -> None:
    with pytest.raises(ValueError, match=r"a share lies in 0\.\.1"):
        habits.must_repeat({"Granuloma": 0.1}, share, 0.5)


def test_topics_beside_which_nothing_is_called_clear_are_learned(habits: Habits) -> None:
    assert habits.never_all_clear == {"Pleural Effusion"}


def test_the_precedents_are_the_reports_that_mention_a_topic(habits: Habits, department: Library) -> None:
    held = habits.precedents["Granuloma"]
    assert held.reports.tolist() == [
        number for number, report in enumerate(department.reports) if "granuloma" in report.findings
    ]
    repeated = [department.reports[number].impression for number in held.reports[held.repeated]]
    assert repeated
    assert all("granuloma" in impression for impression in repeated)


def test_the_nearest_precedents_come_first(habits: Habits, department: Library) -> None:
    findings = "There is a large right pleural effusion."
    scores = department.score(findings)
    numbers = habits.precedents_for("Pleural Effusion", scores, 5)
    assert len(numbers) == 5
    assert [scores[number] for number in numbers] == sorted((scores[number] for number in numbers), reverse=True)
    assert "large right" in department.reports[numbers[0]].findings
    assert habits.precedents_for("Pneumothorax", scores, 5) == []


def test_too_few_reports_teach_nothing(department: Library) -> None:
    assert learn_habits(Library.build(department.reports[:20], "bm25")) is None
    normal = [Report(str(number), None, "The lungs are clear.", "Normal.") for number in range(80)]
    assert learn_habits(Library.build(normal, "bm25")) is None


def test_reports_that_repeat_everything_teach_nothing() -> None:
    same = [Report(str(number), None, "Left effusion.", "Left effusion.") for number in range(80)]
    assert learn_habits(Library.build(same, "bm25")) is None


def test_the_same_reports_teach_the_same(department: Library, habits: Habits) -> None:
    again = learn_habits(department)
    assert again is not None
    assert (again.weights, again.bias) == (habits.weights, habits.bias)
    assert (again.mention_quantiles, again.report_quantiles) == (habits.mention_quantiles, habits.report_quantiles)


def test_reports_of_unknown_patients_are_each_their_own(department: Library) -> None:
    assert (
        learn_habits(Library.build([replace(one, patient_id=None) for one in department.reports], "bm25")) is not None
    )


def test_habits_are_read_as_they_were_written(habits: Habits, department: Library, tmp_path: Path) -> None:
    write_habits(habits, tmp_path / "habits.json")
    read = read_habits(tmp_path / "habits.json")
    assert read is not None
    for report in department.reports[:20]:
        assert likely(read, department, report.findings) == likely(habits, department, report.findings)
    assert read.never_all_clear == habits.never_all_clear
    assert (read.mention_quantiles, read.report_quantiles) == (habits.mention_quantiles, habits.report_quantiles)


def test_no_habits_are_kept_as_none(tmp_path: Path) -> None:
    write_habits(None, tmp_path / "habits.json")
    assert read_habits(tmp_path / "habits.json") is None


def test_the_file_holds_words_and_numbers_and_no_sentence(habits: Habits, tmp_path: Path) -> None:
    write_habits(habits, tmp_path / "habits.json")
    value = json.loads((tmp_path / "habits.json").read_text())
    names = [name for name in value["weights"] if name.startswith("word ")]
    assert names
    assert all(len(name.split()) == 2 for name in names)


@pytest.mark.parametrize("text", ["{}", "[]", '{"weights": {"a": "x"}, "bias": 1}', '"text"'])
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "habits.json").write_text(text)
    with pytest.raises(InputError, match="written by another version; build the library again"):
        read_habits(tmp_path / "habits.json")


def test_what_a_text_names_and_what_it_asserts() -> None:
    text = "Cardiomegaly. Possible effusion. No edema. A pacemaker is in place. Low lung volumes."
    assert topics_in(text) == {"Cardiomegaly", "Pleural Effusion"}
    assert asserted_in(text) == {"Cardiomegaly"}
