"""The form: complete, or refused with everything that is wrong with it; answers in range, or refused."""

from typing import Any

import pytest

from radllama.errors import InputError
from radllama.review.form import check_answer, missing_answers, parse_form, read_form, required_count

FORM = read_form()
SHOWN = "Small left effusion."


def test_the_default_form_asks_what_the_study_needs_with_an_anchor_a_step() -> None:
    scales = [one for one in FORM.items if one.kind == "scale"]
    assert [one.name for one in scales] == [
        "understandability", "coherence", "relevance", "conciseness", "clinical_utility",
    ]  # fmt: skip
    assert all(list(one.anchors) == [1, 2, 3, 4, 5] for one in scales)
    assert list(FORM.item("harm").anchors) == ["none", "mild", "severe"]
    assert not FORM.item("harm").higher_is_better
    assert list(FORM.item("signing").anchors) == ["as_it_is", "small_edits", "rewrite"]
    assert len(FORM.item("errors").kinds) == 10
    assert {one.kind for one in FORM.items} == {"scale", "choice", "errors", "ranking", "comment", "correction"}
    assert required_count(FORM, 3) == 3 * 7 + 1
    assert [one.name for one in FORM.questions()][-1] == "signing"


def test_everything_wrong_with_a_form_is_told_at_once() -> None:
    with pytest.raises(InputError) as error:
        parse_form(
            """
            title: Ours
            questions:
              - {name: clear, title: Clear, kind: scale, anchors: {1: no, 2: , 4: "yes"}}
              - {name: clear, kind: choice, anchors: {good: fine}}
              - {name: Late, title: Late, kind: scale}
              - {name: late, title: Late, kind: guess}
              - {name: marks, title: Marks, kind: errors, kinds: {side: Side}}
              - {name: better, title: Better, kind: ranking, anchors: {1: x}}
              - {name: best, title: Best, kind: ranking}
              - words
            """,
            "ours.yaml",
        )
    for told in (
        "ours.yaml: clear: 1 has no anchor",
        "clear: 2 has no anchor",
        "clear: no anchor for step 3",
        "two questions are called clear",
        "clear has no title",
        "clear needs anchors",
        "question 3 needs a name of small letters",
        "late has no kind out of scale, choice",
        "marks needs significance",
        "better has anchors, which a ranking has not",
        "best is a second question of the kind ranking",
        "question 8 is no mapping",
    ):
        assert told in str(error.value)


@pytest.mark.parametrize("source", ["", "title: x", "- a", "title: x\nquestions: []", "title: [", "questions: 3"])
def test_what_is_no_form_is_told(source: str) -> None:
    with pytest.raises(InputError, match="form"):
        parse_form(source)


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("relevance", 5),
        ("harm", "mild"),
        ("comment", "Too long."),
        ("errors", {"kind": "location", "significance": "significant", "start": 6, "end": 10}),
        ("errors", {"kind": "omission", "significance": "significant", "start": None, "end": None}),
        ("preference", {"a": 1, "b": 2}),
        ("preference", {"a": 1, "b": 1}),
        ("relevance", None),
    ],
)
def test_an_answer_in_range_is_kept_as_it_is(question: str, value: Any) -> None:
    assert check_answer(FORM.item(question), value, SHOWN, ["a", "b"]) == value


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("relevance", 0),
        ("relevance", 6),
        ("relevance", "5"),
        ("relevance", True),
        ("relevance", 4.0),
        ("relevance", [5]),
        ("harm", "fatal"),
        ("harm", 1),
        ("comment", 3),
        ("comment", "x" * 8001),
        ("comment", "\ud800"),
        ("errors", {"kind": "location", "significance": "significant", "start": 6}),
        ("errors", {"kind": "typo", "significance": "significant", "start": 6, "end": 10}),
        ("errors", {"kind": ["location"], "significance": "significant", "start": 6, "end": 10}),
        ("errors", {"kind": "location", "significance": "grave", "start": 6, "end": 10}),
        ("errors", {"kind": "location", "significance": "significant", "start": 6, "end": 100}),
        ("errors", {"kind": "location", "significance": "significant", "start": 10, "end": 6}),
        ("errors", {"kind": "location", "significance": "significant", "start": None, "end": 6}),
        ("preference", {"a": 3}),
        ("preference", {"c": 1}),
        ("preference", [1, 2]),
        ("preference", {"a": True}),
    ],
)
def test_an_answer_out_of_range_is_refused(question: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"^{question}: expected|the place is outside"):
        check_answer(FORM.item(question), value, SHOWN, ["a", "b"])


def test_a_page_says_what_it_still_asks_for() -> None:
    answers: dict[tuple[str, str], Any] = {
        ("a", one.name): next(iter(one.anchors)) for one in FORM.items if one.anchors
    }
    assert missing_answers(FORM, answers, ["a"]) == []
    missing = missing_answers(FORM, answers, ["a", "b"])
    assert missing[0] == "Understandability"
    assert missing[-1] == "Which would you rather sign?"
    assert len(missing) == 8
