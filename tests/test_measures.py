import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radllama.clinical.check import FLAG_KINDS
from radllama.evaluation.drafts import Case
from radllama.evaluation.measures import FAITHFULNESS, MEASURES, score_drafts

FINDINGS = "Small right pleural effusion. Heart size is normal. No pneumothorax."
CASE = Case("1", FINDINGS, "Small right effusion.", "")
UNKNOWN = Case("2", None, "Small right effusion.", "")

drafts = st.lists(
    st.sampled_from(["Small right effusion.", "Left effusion.", "No acute disease.", "Pneumothorax.", "Zebra!", " "]),
    max_size=4,
).map(" ".join)


def figures(case: Case, draft: str) -> dict[str, tuple[float, float]]:
    values = score_drafts([case], [draft]).values
    return dict(zip(MEASURES, zip(values.numerators[0], values.denominators[0], strict=True), strict=True))


def test_faithfulness_comes_first() -> None:
    assert list(MEASURES)[:3] == list(FAITHFULNESS) == ["repeated", "answered_normal", "invented"]


def test_each_kind_of_flag_is_a_share_of_the_drafts_with_known_findings() -> None:
    said = figures(CASE, "Small left effusion.")
    assert said["flagged"] == said["flag_side"] == (1, 1)
    assert said["flag_measurement"] == (0, 1)
    assert {figures(UNKNOWN, "Small left effusion.")[f"flag_{kind}"] for kind in FLAG_KINDS} == {(0, 0)}


def test_an_empty_draft_scores_nothing_and_is_counted() -> None:
    scored = score_drafts([CASE, UNKNOWN], ["", " . "])
    assert scored.empty.tolist() == [True, True]
    high = [name for name, measure in MEASURES.items() if measure.better == "high"]
    assert {figures(CASE, "")[name][0] for name in high} == {0}


def test_further_scores_stand_last_as_means() -> None:
    scored = score_drafts([CASE, UNKNOWN], ["a", "b"], {"tool": [0.25, 0.75]})
    assert list(scored.measures) == [*MEASURES, "tool"]
    assert scored.values.scores()[scored.column("tool")] == 0.5
    assert scored.reports(np.array([True, False])).values.scores()[-1] == 0.25


def test_a_draft_for_each_case_is_needed() -> None:
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        score_drafts([CASE, CASE], ["a"])
    with pytest.raises(ValueError, match="at least one report"):
        score_drafts([], [])


@settings(max_examples=50)
@given(drafts, st.sampled_from([CASE, UNKNOWN]))
def test_every_measure_of_every_draft_is_a_number_within_its_bounds(draft: str, case: Case) -> None:
    for name, (above, below) in figures(case, draft).items():
        assert np.isfinite([above, below]).all()
        assert above >= 0 and below >= 0
        if MEASURES[name].percent:
            assert above <= max(below, 0) + 1e-9


@settings(max_examples=50)
@given(drafts.filter(lambda draft: "effusion" in draft))
def test_the_reference_itself_scores_best_by_every_measure_of_agreement(reference: str) -> None:
    said = figures(Case("1", FINDINGS, reference, ""), reference)
    for name in ("rouge1", "rougeL", "exact_match", "label_accuracy"):
        assert said[name][0] == pytest.approx(said[name][1])
    assert said["label_f1_micro"][0] == said["label_f1_micro"][1]
    assert said["invented"] == (0, 1)
