import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.consensus import choose, expected_utility, word_f1


def test_word_f1_counts_shared_words_as_often_as_both_have_them() -> None:
    # By hand: 2 shared of 3 and 4 words.
    assert word_f1("No acute disease.", "no no acute change") == pytest.approx(2 * 2 / 7)
    assert word_f1("", "disease") == word_f1("", "") == 0


def test_the_candidate_that_shares_most_with_the_others_is_chosen() -> None:
    assert choose(["left effusion", "no acute disease", "small left effusion", "left effusion seen"], [1] * 4) == (
        "left effusion"
    )


def test_a_candidate_that_many_share_counts_for_each_of_them() -> None:
    assert choose(["a b c", "a b d", "e", "e", "e"], [1] * 5) == "e"


def test_weights_decide_who_is_heard() -> None:
    assert choose(["e", "a b", "a b"], [5, 1, 1]) == "e"
    assert choose(["e", "a b", "a b"], [0, 1, 1]) == "a b"


def test_expected_utility_is_the_weighted_mean() -> None:
    # By hand: "a" shares all with itself and 2/3 with "a b".
    assert expected_utility(["a", "a b"], [3, 1]) == pytest.approx(
        {"a": 0.75 + 0.25 * 2 / 3, "a b": 0.75 * 2 / 3 + 0.25}
    )


def test_of_equals_the_first_is_chosen() -> None:
    assert choose(["b", "a"], [1, 1]) == "b"


def test_another_utility_may_decide() -> None:
    assert choose(["aa", "b", "cc"], [1, 1, 1], lambda one, other: float(len(one) == len(other))) == "aa"


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0]])
def test_weights_that_weigh_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        choose(["a", "b"], weights)


@given(st.lists(st.tuples(st.text("ab ", max_size=6), st.floats(0.1, 1)), min_size=1, max_size=8))
def test_expected_utilities_lie_between_none_and_all(weighted: list[tuple[str, float]]) -> None:
    candidates, weights = zip(*weighted, strict=True)
    expected = expected_utility(candidates, weights)
    assert set(expected) == set(candidates)
    assert all(-1e-9 <= value <= 1 + 1e-9 for value in expected.values())
