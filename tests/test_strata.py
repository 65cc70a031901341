from typing import Any

import numpy as np
import pytest

from radllama.evaluation.drafts import Case
from radllama.evaluation.strata import RARE, is_main, rare_observations, strata, title
from radllama.report import Report


def cases(references: list[str], findings: list[str] | None = None, sources: list[str] | None = None) -> list[Case]:
    return [
        Case(str(at), findings[at] if findings else None, reference, "", sources[at] if sources else None)
        for at, reference in enumerate(references)
    ]


def report(findings: str, impression: str = "Normal.") -> Report:
    return Report(id="1", patient_id=None, findings=findings, impression=impression)


def main_strata(*arguments: Any) -> dict[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    return {name: mask for name, mask in strata(*arguments).items() if is_main(name)}


def test_every_report_is_normal_or_abnormal() -> None:
    masks = main_strata(cases(["Normal chest.", "Effusion.", "No edema."]), None)
    assert masks["normal"].tolist() == [True, False, True]
    assert masks["abnormal"].tolist() == [False, True, False]
    assert set(masks) == {"normal", "abnormal"}


def test_a_stratum_without_reports_is_left_out() -> None:
    assert set(strata(cases(["Normal chest."]), None)) == {"normal"}


def test_findings_are_seen_when_the_same_words_stand_in_training() -> None:
    findings = ["Lungs CLEAR, heart normal.", "Heart normal. Lungs clear.", "Lungs clear"]
    train = [report("lungs clear. Heart normal"), report("Other.")]
    masks = strata(cases(["Normal."] * 3, findings), train)
    assert masks["findings_seen"].tolist() == [True, False, False]
    assert masks["findings_unseen"].tolist() == [False, True, True]


def test_without_training_reports_nothing_is_called_unseen_or_rare() -> None:
    masks = strata(cases(["Hernia."] * 4, ["a", "a b", "a b c", "a b c d"]), None)
    assert not {"findings_seen", "findings_unseen", "rare_observation"} & set(masks)


def test_without_all_findings_what_needs_them_is_absent() -> None:
    some = [*cases(["Normal."] * 2, ["Lungs clear.", "Heart normal."]), Case("x", None, "Normal.", "")]
    assert set(strata(some, [report("Lungs clear.")])) == {"normal"}


def test_quarters_are_of_the_words_in_the_findings() -> None:
    findings = [" ".join(["word"] * length) for length in (8, 1, 2, 7, 3, 6, 4, 5)]
    masks = strata(cases(["Normal."] * 8, findings), None)
    quarters = [[name for name in masks if name.startswith("length") and masks[name][at]] for at in range(8)]
    expected = ["q4", "q1", "q1", "q4", "q2", "q3", "q2", "q3"]
    assert quarters == [[f"length_{quarter}"] for quarter in expected]


def test_findings_of_equal_length_fall_into_one_quarter() -> None:
    masks = strata(cases(["Normal."] * 6, ["one two three"] * 6), None)
    assert [name for name in masks if name.startswith("length")] == ["length_q1"]
    assert masks["length_q1"].all()


def test_the_quarters_part_all_reports() -> None:
    random = np.random.default_rng(0)
    findings = ["word " * int(length) for length in random.integers(0, 30, size=101)]
    masks = strata(cases(["Normal."] * 101, findings), [report(text) for text in findings[:50]])
    quarters = np.array([mask for name, mask in masks.items() if name.startswith("length")])
    assert (quarters.sum(axis=0) == 1).all()


def test_a_report_shows_what_its_findings_or_its_impression_assert() -> None:
    masks = strata(
        cases(
            ["Cardiomegaly.", "Normal.", "No effusion.", "Hernia."],
            ["Heart is large.", "Left effusion.", "No effusion.", "Scoliosis."],
        ),
        None,
    )
    shown = {name: mask.tolist() for name, mask in masks.items() if name.startswith("observation:")}
    assert shown == {
        "observation:Cardiomegaly": [True, False, False, False],
        "observation:Pleural Effusion": [False, True, False, False],
        "observation:Spinal Curvature": [False, False, False, True],
        "observation:Hernia": [False, False, False, True],
    }


def test_what_few_training_reports_show_is_rare() -> None:
    train = [report("Left effusion.")] * 2 + [report("Clear.", "Hernia.")] + [report("Lungs clear.")] * 97
    assert RARE == 0.02
    assert "Pleural Effusion" not in rare_observations(train)
    assert {"Hernia", "Pneumothorax"} <= rare_observations(train)
    masks = strata(cases(["Effusion.", "Hernia.", "Normal."], ["Left effusion.", "Hernia.", "Clear."]), train)
    assert masks["rare_observation"].tolist() == [False, True, False]


def test_sources_are_strata_where_there_are_several() -> None:
    masks = strata(cases(["Normal."] * 3, sources=["openi", "ours", "openi"]), None)
    assert masks["source:openi"].tolist() == [True, False, True]
    assert masks["source:ours"].tolist() == [False, True, False]
    assert not [name for name in strata(cases(["Normal."], sources=["openi"]), None) if name.startswith("source")]


def test_every_stratum_has_a_title_and_those_by_observation_or_source_are_not_main() -> None:
    findings = ["Left effusion.", "Clear.", "Hernia.", "a b", "c d e", "f g h i"]
    masks = strata(cases(["Normal.", "Effusion."] * 3, findings, ["x", "y"] * 3), [report("Clear.")])
    assert all(title(name) for name in masks)
    assert title("observation:Pleural Effusion") == "shows Pleural Effusion"
    assert title("source:x") == "source x"
    further = [name for name in masks if not is_main(name)]
    assert {name.split(":")[0] for name in further} == {"observation", "source"}
    with pytest.raises(KeyError):
        title("no such stratum")
