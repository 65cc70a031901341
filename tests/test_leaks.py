"""Leaks: what is counted, and that the fast search finds exactly what comparing all pairs finds."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.dataset.leaks import METHOD, NEAR, NearIndex, TrainIndex
from radllama.report import Report

LONG = (
    "the liver is of normal size and shape with a smooth edge the gallbladder holds three small stones and its "
    "wall is thin the bile ducts are slender the pancreas is partly hidden by gas and the spleen is normal"
)

VOCABULARY = ["lung", "heart", "rib", "cyst", "liver", "is", "no", "small", "clear"]


def report(findings: str, impression: str = "Gallstones.", patient: str | None = None) -> Report:
    return Report(id="x", patient_id=patient, findings=findings, impression=impression)


def grams(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[n : n + 3]) for n in range(max(1, len(words) - 2))} if words else set()


def by_all_pairs(held_out: Sequence[str], train: Sequence[str], near: float) -> list[bool]:
    def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
        return len(one & other) / len(one | other) if one | other else 0.0

    return [any(jaccard(grams(one), grams(other)) >= near for other in train) for one in held_out]


TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=9).map(" ".join), max_size=12)


@given(TEXTS, TEXTS, st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_the_search_finds_what_comparing_all_pairs_finds(held_out: list[str], train: list[str], near: float) -> None:
    assert NearIndex(train, near).hold(held_out) == by_all_pairs(held_out, train, near)


def test_the_search_is_exact_on_reports_made_of_shared_sentences() -> None:
    draw = random.Random(0)
    sentences = [" ".join(draw.choices(VOCABULARY, k=6)) for _ in range(25)]
    train = [" ".join(draw.choices(sentences, k=draw.randint(1, 7))) for _ in range(250)]
    held_out = [" ".join(draw.choices(sentences, k=draw.randint(1, 7))) for _ in range(60)]
    held_out += [text.replace("cyst", "stone", 1) for text in train[:60]]
    found = NearIndex(train, NEAR).hold(held_out)
    assert found == by_all_pairs(held_out, train, NEAR)
    assert 10 < sum(found) < 110


def test_one_changed_word_in_forty_is_near_and_three_are_not() -> None:
    near = NearIndex([LONG], NEAR)
    one = LONG.replace("smooth", "rough")
    assert near.hold([LONG, one, one.replace("thin", "thick").replace("gas", "bowel")]) == [True, True, False]


def test_short_findings_are_near_when_they_are_equal() -> None:
    assert NearIndex(["no stones", "normal"], NEAR).hold(["no stones", "normal", "stones", ""]) == [
        True,
        True,
        False,
        False,
    ]


def test_an_index_of_nothing_holds_nothing() -> None:
    assert NearIndex([], NEAR).hold(["no stones", ""]) == [False, False]


def test_findings_count_as_seen_whatever_their_case_and_punctuation() -> None:
    leaks = TrainIndex([report("No stones. Normal spleen.")]).leaks(
        [report("NO STONES; normal spleen"), report("Normal spleen. No stones.")]
    )
    assert leaks["reports"] == 2
    assert leaks["findings_in_train"] == 1
    assert leaks["findings_nearly_in_train"] == 0


def test_findings_that_are_seen_are_not_counted_as_nearly_seen() -> None:
    leaks = TrainIndex([report(LONG)]).leaks(
        [report(LONG.upper()), report(LONG.replace("three", "four")), report("Nothing of it.")]
    )
    assert (leaks["findings_in_train"], leaks["findings_nearly_in_train"]) == (1, 1)


def test_a_near_text_counts_as_often_as_it_stands_in_the_held_out_part() -> None:
    near = report(LONG.replace("three", "four"))
    assert TrainIndex([report(LONG)]).leaks([near, near])["findings_nearly_in_train"] == 2


def test_a_pair_needs_both_sections_of_one_report() -> None:
    train = [report("No stones.", "Normal."), report("Stones.", "Gallstones.")]
    held_out = [report("no stones", "NORMAL"), report("No stones.", "Gallstones.")]
    leaks = TrainIndex(train).leaks(held_out)
    assert (leaks["findings_in_train"], leaks["pairs_in_train"]) == (2, 1)


def test_patients_are_counted_once_and_only_where_they_are_known() -> None:
    train = [report("a", patient="1"), report("b", patient="2"), report("c")]
    held_out = [report("d", patient="1"), report("e", patient="1"), report("f", patient="3"), report("g")]
    leaks = TrainIndex(train).leaks(held_out)
    assert (leaks["patients"], leaks["patients_in_train"]) == (2, 1)


@pytest.mark.parametrize("held_out", [[], [report("a b c d")]])
def test_a_part_may_be_empty(held_out: list[Report]) -> None:
    assert TrainIndex([]).leaks(held_out)["reports"] == len(held_out)
    assert TrainIndex([report("q r s")]).leaks(held_out)["findings_nearly_in_train"] == 0


def test_the_method_is_told_with_its_limit() -> None:
    assert "3-grams" in METHOD
    assert str(NEAR) in METHOD
