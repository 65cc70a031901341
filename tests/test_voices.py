"""Where the sentences of a draft come from."""

from radllama.drafting.voices import find_voices
from radllama.library import Neighbour

FINDINGS = "There is a small left effusion. The heart is enlarged."


def test_each_sentence_is_counted_word_for_word() -> None:
    draft = "1. Small left effusion.\n2. Cardiomegaly. Clear lungs."
    said = ["Cardiomegaly. Small left effusion.", "cardiomegaly", "Small right effusion."]
    near = [Neighbour("a", 0.9, "", "Cardiomegaly."), Neighbour("b", 0.8, "", "1. Cardiomegaly. 2. No effusion.")]
    voices = find_voices(FINDINGS, draft, said, near)
    assert [draft[slice(*one.impression)].strip("12. \n") for one in voices] == [
        "Small left effusion",
        "Cardiomegaly",
        "Clear lungs",
    ]
    assert [(one.samples, one.neighbours, one.findings) for one in voices] == [
        (1, (), True),
        (2, ("a", "b"), False),
        (0, (), False),
    ]


def test_a_draft_without_sentences_has_no_voices() -> None:
    assert find_voices(FINDINGS, "", ["x"], []) == []
