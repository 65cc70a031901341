import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.clinical.lexicon import OBSERVATIONS, STATES, Finder, load_lexicon
from radllama.clinical.read import Mention, read
from radllama.clinical.segment import find_sentences


def only(text: str, concept: str) -> Mention:
    (mention,) = [mention for mention in read(text).mentions if mention.concept.name == concept]
    return mention


def values(words: tuple[object, ...]) -> list[str]:
    return [word.value for word in words]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("text", "concept", "side"), [
    ("Small left pleural effusion and moderate right atelectasis.", "Pleural Effusion", ["left"]),
    ("Small left pleural effusion and moderate right atelectasis.", "Atelectasis", ["right"]),
    ("Effusion on the right and opacity in the left base.", "Pleural Effusion", ["right"]),
    ("Effusion on the right and opacity in the left base.", "Lung Opacity", ["left"]),
    ("Large right effusion with left basilar opacity.", "Pleural Effusion", ["right"]),
    ("The left effusion has increased.", "Pleural Effusion", ["left"]),
    ("In the left lung there is an opacity.", "Lung Opacity", []),
    ("The left lung is clear. Opacity in the right lower lobe.", "Lung Opacity", ["right"]),
    ("Bilateral effusions.", "Pleural Effusion", ["bilateral"]),
    ("Bibasilar atelectasis.", "Atelectasis", ["bilateral"]),
    ("No right pneumothorax.", "Pneumothorax", ["right"]),
    ("Right-sided PICC.", "Support Device", ["right"]),
    ("Pneumothorax.", "Pneumothorax", []),
])  # fmt: skip
def test_a_side_goes_to_the_mention_it_speaks_of(text: str, concept: str, side: list[str]) -> None:
    assert values(only(text, concept).side) == side


@pytest.mark.parametrize(("text", "concept", "severity"), [
    ("Small left effusion.", "Pleural Effusion", ["small"]),
    ("The effusion is small.", "Pleural Effusion", ["small"]),
    ("Massive effusion.", "Pleural Effusion", ["large"]),
    ("Trace pleural fluid.", "Pleural Effusion", ["trace"]),
    ("Moderately enlarged heart.", "Heart", ["moderate"]),
    ("Moderate cardiomegaly and mild edema.", "Cardiomegaly", ["moderate"]),
    ("Moderate cardiomegaly and mild edema.", "Edema", ["small"]),
    ("Small to moderate pneumothorax.", "Pneumothorax", ["moderate"]),
    ("The lungs are mildly hyperinflated.", "Hyperinflation", ["small"]),
    ("The contour shows moderate left basilar opacity.", "Lung Opacity", ["moderate"]),
    ("Effusion.", "Pleural Effusion", []),
])  # fmt: skip
def test_a_severity_goes_to_the_mention_it_speaks_of(text: str, concept: str, severity: list[str]) -> None:
    assert values(only(text, concept).severity) == severity


@pytest.mark.parametrize(("text", "place"), [
    ("Opacity in the left upper lobe.", ["upper"]),
    ("Left basilar opacity.", ["lower"]),
    ("Opacity in the middle lobe.", ["middle"]),
    ("Opacity at both apices.", ["upper"]),
    ("Retrocardiac opacity.", ["lower"]),
])  # fmt: skip
def test_a_place_is_upper_middle_or_lower(text: str, place: list[str]) -> None:
    assert values(only(text, "Lung Opacity").place) == place


@pytest.mark.parametrize(("text", "change"), [
    ("New left effusion.", ["new"]),
    ("The effusion has increased.", ["worse"]),
    ("Worsening effusion.", ["worse"]),
    ("The effusion is smaller.", ["better"]),
    ("Decreased effusion.", ["better"]),
    ("Stable effusion.", ["same"]),
    ("No change in the effusion.", ["same"]),
    ("The effusion has resolved.", ["resolved"]),
    ("Effusion.", []),
])  # fmt: skip
def test_change_over_time(text: str, change: list[str]) -> None:
    assert values(only(text, "Pleural Effusion").change) == change


@pytest.mark.parametrize(("text", "sizes"), [
    ("A 9 mm nodule.", [(9.0,)]),
    ("The nodule measures 1.5 cm.", [(15.0,)]),
    ("A 14 x 9 mm nodule.", [(14.0, 9.0)]),
    ("Nodule, 1.2 x 0.8 x 2 cm.", [(12.0, 8.0, 20.0)]),
    ("A 7mm nodule.", [(7.0,)]),
    ("A 4-mm nodule.", [(4.0,)]),
    ("A nodule of 3 millimeters.", [(3.0,)]),
    ("Two nodules, 5 mm and 8 mm.", [(5.0,), (8.0,)]),
    ("A nodule at the 5th rib.", []),
])  # fmt: skip
def test_measurements_are_millimetres(text: str, sizes: list[tuple[float, ...]]) -> None:
    assert [size.millimetres for size in read(text).measurements] == sizes
    assert [size.millimetres for size in only(text, "Lung Lesion").measurements] == sizes


def test_a_measurement_of_nothing_known_is_kept_with_the_text() -> None:
    reading = read("The spleen measures 14 cm.")
    assert reading.mentions == ()
    assert [size.millimetres for size in reading.measurements] == [(140.0,)]


@pytest.mark.parametrize(("text", "kinds"), [
    ("Compared to the prior study there is an effusion.", ["explicit"]),
    ("Previous radiographs showed an effusion.", ["explicit"]),
    ("The effusion is unchanged.", ["implied"]),
    ("New effusion.", ["implied"]),
    ("Interval placement of a chest tube.", ["implied"]),
    ("There is an effusion.", []),
    ("Small effusion on the left, large on the right.", []),
])  # fmt: skip
def test_words_about_an_earlier_examination(text: str, kinds: list[str]) -> None:
    assert values(read(text).priors) == kinds


@pytest.mark.parametrize(("text", "asks"), [
    ("Follow-up CT is recommended.", True),
    ("A lateral view may be helpful.", True),
    ("Biopsy should be considered.", True),
    ("CT if clinically indicated.", True),
    ("Recommend chest CT.", True),
    ("Consider CT for further evaluation.", True),
    ("Correlate clinically.", True),
    ("Repeat radiographs in six weeks to confirm resolution.", True),
    ("There is an effusion.", False),
    ("Consider pneumonia.", False),
])  # fmt: skip
def test_recommendations(text: str, asks: bool) -> None:
    assert bool(read(text).recommendations) == asks


def test_a_clear_lung_is_a_statement_with_what_it_denies() -> None:
    lungs = only("The lungs are clear.", "Lungs")
    assert (lungs.value, lungs.concept.observations) == (0, ())
    assert "Consolidation" in lungs.concept.denies


@pytest.mark.parametrize("text", ["The heart.", "The lungs extend to the tenth rib."])
def test_an_organ_without_a_state_says_nothing(text: str) -> None:
    assert [mention.value for mention in read(text).mentions] == [None]


@pytest.mark.parametrize(("text", "count"), [
    ("One. Two. Three.", 3),
    ("1.5 cm nodule.", 1),
    ("Read with Dr. Smith, e.g. the apex.", 1),
    ("No effusion\nNo nodule", 2),
    ("no\neffusion", 1),
    ("One;two; three", 2),
    ("effusion.There is a nodule", 2),
    ("The heart is normal The lungs are clear", 2),
    ("a\n\nb", 2),
    ("1. One\n2. Two", 4),
    ("   ", 0),
    ("", 0),
])  # fmt: skip
def test_sentences_end_where_a_reader_ends_them(text: str, count: int) -> None:
    assert len(find_sentences(text)) == count


@given(st.text(alphabet="aB1.;\n ?-", max_size=80))
def test_sentences_lie_in_order_and_hold_every_letter(text: str) -> None:
    spans = find_sentences(text)
    assert all(one[1] <= two[0] for one, two in pairwise(spans))
    assert "".join(text[start:end] for start, end in spans).replace(" ", "").replace("\n", "") == re.sub(
        r"\s", "", text
    )


@given(st.text(max_size=200))
def test_every_span_of_a_reading_lies_inside_the_text(text: str) -> None:
    reading = read(text)
    spans = [size.span for size in reading.measurements]
    spans += [word.span for word in (*reading.priors, *reading.recommendations)]
    spans += [span for mention in reading.mentions for span in (mention.span, mention.sentence)]
    assert all(0 <= start < end <= len(text) for start, end in spans)


def test_a_reading_is_the_same_wherever_the_sentence_stands() -> None:
    alone, later = read("A 9 mm nodule in the left apex."), read("Clear lungs. A 9 mm nodule in the left apex.")
    shifted = later.mentions[-1]
    assert shifted.span[0] - alone.mentions[0].span[0] == 13
    assert shifted.side[0].span[0] - alone.mentions[0].side[0].span[0] == 13
    assert shifted.measurements[0].span[0] - alone.mentions[0].measurements[0].span[0] == 13


def test_every_observation_but_no_finding_has_a_concept() -> None:
    named = {name for concept in load_lexicon().concepts.values() for name in concept.observations}
    assert named == set(OBSERVATIONS) - {"No Finding"}


def test_no_term_of_the_lexicon_matches_nothing() -> None:
    lexicon = load_lexicon()
    finders = [lexicon.mentions, lexicon.cues, lexicon.states, *lexicon.attributes.values()]
    assert [finder.find(" ") for finder in finders] == [[]] * len(finders)
    assert STATES == ("normal", "large", "borderline", "stable")


def test_of_two_terms_at_one_place_the_longer_wins_and_words_are_whole() -> None:
    finder = Finder([("short", "no"), ("long", "no change")])
    assert [(hit.what, hit.start, hit.end) for hit in finder.find("no  change, no node, not")] == [
        ("long", 0, 10),
        ("short", 12, 14),
    ]
