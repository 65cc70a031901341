"""The vote: the candidate most like the voters, with ROUGE as rouge-score counts it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from radllama.vote import UTILITIES, best_first, choose, expected_utility, rouge_matrix

WORDS = st.sampled_from(["No", "acute", "disease.", "effusion,", "left", "the", "1.", "x-ray", "Größe", "--"])
TEXTS = st.lists(st.lists(WORDS, max_size=8).map(" ".join), min_size=1, max_size=5)


@given(TEXTS, TEXTS)
def test_the_matrix_holds_what_rouge_score_counts(candidates: list[str], voters: list[str]) -> None:
    scorer = RougeScorer(["rouge1", "rouge2"])
    for name, utility in UTILITIES.items():
        expected = [[scorer.score(voter, text)[name].fmeasure for voter in voters] for text in candidates]
        np.testing.assert_allclose(utility(candidates, voters), expected, atol=1e-6)


def test_a_word_counts_as_often_as_both_have_it() -> None:
    [[score]] = rouge_matrix(["no no no effusion"], ["no no effusion seen"])
    assert score == pytest.approx(2 * 3 / 8)


def test_texts_without_words_agree_with_nothing() -> None:
    assert rouge_matrix(["", "..."], ["", "No effusion."]).tolist() == [[0, 0], [0, 0]]


def test_the_candidate_that_most_voters_are_like_is_chosen() -> None:
    voters = ["No acute disease.", "No acute disease.", "No acute process.", "Large effusion."]
    assert choose(voters, voters, [1, 1, 1, 1]) == 0
    assert choose(voters, voters, [1, 1, 1, 9]) == 3


def test_a_candidate_that_no_voter_said_can_win() -> None:
    candidates = ["Normal chest.", "Effusion. No pneumothorax.", "Effusion."]
    assert choose(candidates, ["Effusion.", "No pneumothorax."], [1, 1]) == 1


def test_of_equals_the_first_is_chosen() -> None:
    assert choose(["left", "right"], ["left", "right"], [1, 1]) == 0
    assert choose(["right", "left"], ["left", "right"], [1, 1]) == 0


def test_the_best_come_first_and_of_equals_those_that_stand_first() -> None:
    scores = np.array([0.25, 0.5, 0.5 + 1e-12, -1.0, 0.5 - 1e-12])
    assert list(best_first(scores)) == [1, 2, 4, 0, 3]
    assert list(best_first(np.zeros(0))) == []


def test_voters_that_say_the_same_count_together() -> None:
    texts = ["a b", "a c", "d"]
    split = expected_utility(texts, ["a b", "d", "a b"], [1, 2, 3])
    np.testing.assert_allclose(split, expected_utility(texts, ["a b", "d"], [4, 2]))
    # 4 of 6 say "a b", of which "a c" has half.
    np.testing.assert_allclose(split, [4 / 6, 2 / 6, 2 / 6])


def test_candidates_that_stand_twice_keep_their_places() -> None:
    scores = expected_utility(["a", "b", "a"], ["a"], [1])
    assert scores.tolist() == [1, 0, 1]


def test_only_the_ratio_of_weights_matters() -> None:
    texts = ["a b", "b c", "c d d"]
    np.testing.assert_allclose(
        expected_utility(texts, texts, [1, 2, 3]), expected_utility(texts, texts, [0.1, 0.2, 0.3])
    )


def test_another_utility_can_be_plugged_in() -> None:
    def shorter(candidates: object, voters: object) -> np.ndarray:
        assert isinstance(candidates, list)
        assert isinstance(voters, list)
        return np.array([[-float(len(one)) for _ in voters] for one in candidates])

    assert choose(["long text", "short"], ["any"], [1], shorter) == 1


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, 1, 1]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="each voter needs a weight"):
        choose(["a"], ["a", "b"], weights)
