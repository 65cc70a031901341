"""The index: scores of a text against many, by hand and against scikit-learn."""

import math
from itertools import pairwise

import numpy as np
import pytest

from radllama.library.index import WEIGHTINGS, Weighting, best, build_index
from radllama.text import words

TEXTS = [
    "The lungs are clear. The heart is normal.",
    "Small left pleural effusion. The heart is normal.",
    "",
    "Large right pleural effusion, pleural thickening.",
    "Old granuloma.",
]


def terms(text: str) -> list[str]:
    tokens = words(text)
    return tokens + [f"{first} {second}" for first, second in pairwise(tokens)]


def random_texts(count: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    vocabulary = ["lung", "heart", "clear", "effusion", "left", "right", "normal", "no", "small", "base"]
    return [" ".join(random.choice(vocabulary, size=random.integers(0, 12))) for _ in range(count)]


def test_tfidf_scores_are_those_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, queries = random_texts(60, seed=0), [*random_texts(20, seed=1), "an unknown small word"]
    vectorizer = TfidfVectorizer(analyzer=terms, sublinear_tf=True)
    expected = (vectorizer.fit_transform(texts) @ vectorizer.transform(queries).T).toarray().T
    index = build_index(texts, "tfidf")
    np.testing.assert_allclose([index.score(query) for query in queries], expected, atol=1e-6)


def test_bm25_scores_are_the_formulas() -> None:
    index = build_index(TEXTS, "bm25")
    lengths = [len(terms(text)) for text in TEXTS]
    mean = sum(lengths) / len(lengths)

    def worth(term: str, text: str) -> float:
        often, held_by = terms(text).count(term), sum(term in terms(other) for other in TEXTS)
        rarity = math.log(1 + (len(TEXTS) - held_by + 0.5) / (held_by + 0.5))
        return rarity * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * len(terms(text)) / mean))

    query = "Pleural effusion, cavity."
    own = sum(worth(term, query) for term in set(terms(query)))
    expected = [sum(worth(term, text) for term in set(terms(query))) / own for text in TEXTS]
    np.testing.assert_allclose(index.score(query), np.minimum(expected, 1), rtol=1e-5)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_scores_lie_between_nothing_shared_and_the_text_itself(weighting: Weighting) -> None:
    texts = [text for text in random_texts(80, seed=2) if text]
    index = build_index(texts, weighting)
    for number, text in enumerate(texts):
        scores = index.score(text)
        assert scores.min() >= 0
        assert scores[number] == pytest.approx(1, abs=1e-5)
        assert scores.max() <= 1
    assert not index.score("tibia").any()


def test_words_that_no_text_holds_lower_a_bm25_score() -> None:
    index = build_index(TEXTS, "bm25")
    assert index.score("Old granuloma in the tibia.")[4] < index.score("Old granuloma.")[4]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_what_is_left_out_scores_nothing_and_the_others_as_before(weighting: Weighting) -> None:
    index = build_index(TEXTS, weighting)
    whole, part = index.score(TEXTS[3]), index.score(TEXTS[3], without=[3])
    assert part[3] == 0
    np.testing.assert_array_equal(np.delete(part, 3), np.delete(whole, 3))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("query", ["", "...", "Tibia."])
def test_a_query_without_a_known_word_finds_nothing(weighting: Weighting, query: str) -> None:
    assert not build_index(TEXTS, weighting).score(query).any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_texts_without_words_are_kept_in_their_place(weighting: Weighting) -> None:
    index = build_index(TEXTS, weighting)
    assert index.size == 5
    assert index.score("effusion")[2] == 0


def test_the_best_are_those_of_a_full_sort() -> None:
    random = np.random.default_rng(1)
    for size, k in ((1, 1), (5, 3), (50, 7), (50, 50), (3, 10)):
        scores = (random.integers(0, 4, size=size) / 4).astype(np.float32)
        expected = [at for at in sorted(range(size), key=lambda at: (-scores[at], at)) if scores[at] > 0][:k]
        assert best(scores, k).tolist() == expected
