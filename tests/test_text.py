import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.text import normalise, sentences, words


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", []),
        ("No acute disease", ["No acute disease"]),
        ("Clear lungs. Normal heart.", ["Clear lungs.", "Normal heart."]),
        ("1. Effusion. 2. Edema.", ["1. Effusion.", "2. Edema."]),
        ("A 1.5 cm nodule. Stable.", ["A 1.5 cm nodule.", "Stable."]),
        ("Dr. Grey was told. Stable.", ["Dr. Grey was told.", "Stable."]),
        ("Pneumonia? Follow up.", ["Pneumonia?", "Follow up."]),
        ("First line\nSecond line", ["First line", "Second line"]),
        ("Clear. (See prior.) [1] Done.", ["Clear.", "(See prior.) [1] Done."]),
        ("Seen on p.m. film. Clear.", ["Seen on p.m. film.", "Clear."]),
    ],
)
def test_sentences(text: str, parts: list[str]) -> None:
    assert sentences(text) == parts


@given(st.text(alphabet="abAB12. ?!\n(", max_size=60))
def test_sentences_lose_no_word(text: str) -> None:
    assert " ".join(sentences(text)).split() == text.split()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Heart, size: NORMAL.", ["heart", "size", "normal"]),
        ("1.5 x 2 cm", ["1.5", "x", "2", "cm"]),
        ("patient's X-ray", ["patient's", "x", "ray"]),
        ("Größe 3 cm", ["größe", "3", "cm"]),
        (" ... ", []),
    ],
)
def test_words(text: str, found: list[str]) -> None:
    assert words(text) == found


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing_more(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


def test_case_and_punctuation_do_not_tell_texts_apart() -> None:
    assert normalise("No acute disease.") == normalise(" NO acute  disease ")
    assert normalise("No acute disease.") != normalise("Acute disease.")
