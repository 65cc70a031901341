import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.evaluation.metrics import METRICS, chrf, exact_match, length_ratio, rouge

REFERENCE = "No acute findings. Small right effusion."


@pytest.mark.parametrize(
    ("draft", "rouge1", "rouge2", "rouge_l"),
    [
        # 6 words in the reference. Worked by hand: F1 = 2 x common / (words in both).
        (REFERENCE, 1, 1, 1),
        ("no acute findings small right effusion", 1, 1, 1),
        ("No acute findings.", 2 * 3 / 9, 2 * 2 / 7, 2 * 3 / 9),
        ("Small right effusion. No acute findings.", 1, 2 * 4 / 10, 2 * 3 / 12),
        ("Small left effusion.", 2 * 2 / 9, 0, 2 * 2 / 9),
        ("effusion effusion effusion", 2 * 1 / 9, 0, 2 * 1 / 9),
        ("Normal chest.", 0, 0, 0),
        ("", 0, 0, 0),
        ("...", 0, 0, 0),
    ],
)
def test_rouge_has_its_known_values(draft: str, rouge1: float, rouge2: float, rouge_l: float) -> None:
    assert METRICS["rouge1"].score(REFERENCE, draft) == pytest.approx(rouge1)
    assert METRICS["rouge2"].score(REFERENCE, draft) == pytest.approx(rouge2)
    assert METRICS["rougeL"].score(REFERENCE, draft) == pytest.approx(rouge_l)


def test_stemmed_rouge_matches_another_form_of_a_word_and_unstemmed_does_not() -> None:
    assert METRICS["rouge1"].score("small effusions", "small effusion") == pytest.approx(0.5)
    assert METRICS["rouge1_stemmed"].score("small effusions", "small effusion") == 1
    assert METRICS["rouge2_stemmed"].score("small effusions", "small effusion") == 1
    assert METRICS["rougeL_stemmed"].score("small effusions", "small effusion") == 1


def test_remembering_tokens_changes_no_score() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    texts = [REFERENCE, "Stable effusions, seen again.", "No acute findings", "Findings: acute.", ""]
    for stemmed in (False, True):
        plain = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stemmed)
        for reference in texts:
            for draft in texts:
                for kind, expected in plain.score(reference, draft).items():
                    assert rouge(kind, stemmed)(reference, draft) == expected.fmeasure


def test_exact_match_looks_at_words_alone() -> None:
    assert exact_match("No acute findings.", "no  acute FINDINGS") == 1
    assert exact_match("No acute findings.", "No acute finding.") == 0
    assert exact_match("No acute findings.", "") == 0


def test_length_ratio_counts_words() -> None:
    assert length_ratio("No acute findings.", "No acute findings.") == 1
    assert length_ratio("No acute findings.", "1.5 cm nodule in the left lung.") == pytest.approx(7 / 3)
    assert length_ratio("No acute findings.", "") == 0


def test_length_ratio_refuses_a_reference_without_words() -> None:
    with pytest.raises(ValueError, match="no words"):
        length_ratio("...", "No acute findings.")


def test_an_empty_draft_scores_zero_in_every_metric() -> None:
    assert [metric.score(REFERENCE, "") for metric in METRICS.values()] == [0] * len(METRICS)


def test_a_perfect_draft_scores_one_in_every_metric() -> None:
    assert [metric.score(REFERENCE, REFERENCE) for metric in METRICS.values()] == [1] * len(METRICS)


def test_chrf_gives_part_of_the_credit_for_another_ending_where_rouge_gives_none() -> None:
    assert rouge("rouge1")("Opacities.", "Opacity.") == 0
    assert 0.3 < chrf("Opacities.", "Opacity.") < 1


def test_chrf_of_a_short_impression_is_the_packages_and_never_nan() -> None:
    from sacrebleu import sentence_chrf

    pairs = [("No edema.", "No edema."), ("No acute disease.", "Acute disease."), ("Normal.", "Stone.")]
    for reference, draft in pairs:
        assert chrf(reference, draft) == pytest.approx(sentence_chrf(draft, [reference]).score / 100)
    assert chrf("No edema.", "No edema.") == pytest.approx(1)
    assert chrf("Normal.", "") == chrf("Normal.", " . ") == 0


def test_the_names_in_the_scores_file_do_not_change() -> None:
    assert list(METRICS) == [
        *("rouge1", "rouge2", "rougeL", "rouge1_stemmed", "rouge2_stemmed", "rougeL_stemmed"),
        *("chrf", "exact_match", "length_ratio"),
    ]


@given(st.lists(st.sampled_from(["no", "acute", "effusion", "left"]), min_size=1), st.text())
def test_every_metric_is_finite_and_percentages_are_within_bounds(reference: list[str], draft: str) -> None:
    for metric in METRICS.values():
        score = metric.score(" ".join(reference), draft)
        assert 0 <= score < float("inf")
        assert score <= 1 or not metric.percent
