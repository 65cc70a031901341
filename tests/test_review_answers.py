"""Answers: kept once, never changed, never lost, out of nobody else's reach; on both databases."""

import threading
from pathlib import Path
from typing import Any

import pytest
from review_studies import FORM, Rater, make_study, pages_of
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError

from radllama.errors import InputError
from radllama.review.answers import (
    ConflictError,
    LockedError,
    finish_page,
    keep_seconds,
    missing_on,
    skip_page,
    verify_answers,
)
from radllama.review.book import find_place, held_answers, page_seconds
from radllama.review.export import export_study
from radllama.review.form import parse_form
from radllama.review.ratings import read_export, read_study
from radllama.review.studies import change_form, close_study, find_study, read_study_form
from radllama.review.tables import AnswerRow
from radllama.server.audit import AuditLog
from radllama.store.store import Store, open_store


@pytest.fixture
def audit(store: Store, home: Path) -> AuditLog:
    return AuditLog(store, home)


def rows(store: Store) -> list[AnswerRow]:
    with store.read() as session:
        return list(session.scalars(select(AnswerRow).order_by(AnswerRow.id)))


def finish(rater: Rater, number: int) -> None:
    rater.on(number, lambda session, log, study, page: finish_page(session, log, "test", study, FORM, page))


def skip(rater: Rater, number: int, reason: str) -> None:
    rater.on(number, lambda session, log, study, page: skip_page(session, log, "test", study, page, reason))


def look(rater: Rater, number: int, spell: str, seconds: float) -> None:
    rater.on(number, lambda session, log, study, page: keep_seconds(session, page, spell, seconds))


def test_an_act_that_arrives_twice_is_kept_once(audit: AuditLog, store: Store, tmp_path: Path) -> None:
    make_study(audit, tmp_path)
    rater = Rater(audit, 1)
    first = rater.answer(1, 0, "relevance", 4, save="act")
    assert rater.answer(1, 0, "relevance", 4, save="act") == first
    assert rater.answer(1, 0, "relevance", 5, base=first.number).value == 5
    assert rater.answer(1, 0, "relevance", 4, save="act") == first  # late, and still the same act
    assert [row.value for row in rows(store)] == [4, 5]
    assert verify_answers(store, audit) == 2


def test_an_answer_that_does_not_know_the_one_before_it_is_a_conflict(audit: AuditLog, tmp_path: Path) -> None:
    make_study(audit, tmp_path)
    rater = Rater(audit, 1)
    first = rater.answer(1, 0, "comment", "Of one tab.")
    with pytest.raises(ConflictError) as error:
        rater.answer(1, 0, "comment", "Of another tab.")
    assert error.value.held == first


def test_an_answer_can_be_taken_back_and_reopens_a_page_that_needs_it(audit: AuditLog, tmp_path: Path) -> None:
    make_study(audit, tmp_path)
    rater = Rater(audit, 1)
    rater.fill(1)
    draft = rater.drafts(1)[0]
    held = rater.on(1, lambda session, log, study, page: held_answers(session, page))[draft, "harm", ""]
    rater.answer(1, 0, "harm", None, base=held.number)
    assert rater.on(1, lambda session, log, study, page: (page.state, missing_on(session, FORM, page))) == (
        "open",
        ["Potential harm"],
    )
    with pytest.raises(InputError, match="still to be answered: Potential harm"):
        finish(rater, 1)


@pytest.mark.parametrize(
    ("place", "question", "value", "mark", "told"),
    [
        (0, "relevance", 6, "", "relevance: expected one of 1, 2, 3, 4, 5"),
        (0, "colour", 1, "", "no question 'colour'"),
        (None, "relevance", 3, "", "not on the page"),
        (0, "preference", {}, "", "not on the page"),
        (0, "relevance", 3, "m1", "a mark names an error"),
        (0, "errors", {"kind": "omission"}, "", "a mark names an error"),
        (0, "errors", {"kind": "location", "significance": "significant", "start": 0, "end": 99}, "m", "outside"),
        (0, "errors", None, "../..", "named by up to 40 letters"),
    ],
)
def test_what_is_out_of_range_is_refused_and_leaves_nothing(
    audit: AuditLog, store: Store, tmp_path: Path, place: int | None, question: str, value: Any, mark: str, told: str
) -> None:
    make_study(audit, tmp_path, reports=1, raters=1)
    with pytest.raises(InputError, match=told):
        Rater(audit, 1).answer(1, place, question, value, mark)
    assert rows(store) == []


def test_the_database_itself_refuses_to_change_an_answer(audit: AuditLog, store: Store, tmp_path: Path) -> None:
    make_study(audit, tmp_path, reports=1, raters=1)
    Rater(audit, 1).answer(1, 0, "relevance", 4)
    for statement in ("UPDATE review_answers SET form = 9", "DELETE FROM review_answers"):
        with pytest.raises(DBAPIError, match="append-only"), store.write() as session:
            session.execute(text(statement))
    with store.write() as session:  # somebody who owns the database and takes the trigger away
        if session.get_bind().dialect.name == "sqlite":
            session.execute(text("DROP TRIGGER review_answers_no_update"))
        else:
            session.execute(text("DROP TRIGGER review_answers_append_only ON review_answers"))
        session.execute(text("UPDATE review_answers SET value = '5'"))
    with pytest.raises(InputError, match="answer 1 is not what the audit log says"):
        verify_answers(store, audit)


def test_a_page_is_finished_or_skipped_with_a_reason(audit: AuditLog, store: Store, tmp_path: Path) -> None:
    make_study(audit, tmp_path)
    rater = Rater(audit, 1)
    rater.fill(1)
    with pytest.raises(InputError, match="still to be answered: Understandability, Coherence"):
        finish(rater, 2)
    for reason in (" ", "x" * 501):
        with pytest.raises(InputError, match="with a reason"):
            skip(rater, 2, reason)
    skip(rater, 2, "I wrote this report.")
    with store.read() as session:
        place = find_place(session, find_study(session, "pilot"), 1)
        assert (place.pages, place.finished, place.skipped, place.next) == (6, 2, 1, 3)


def test_time_said_twice_counts_once(audit: AuditLog, tmp_path: Path) -> None:
    make_study(audit, tmp_path)
    rater = Rater(audit, 1)
    for spell, seconds in (("a", 3.0), ("a", 8.0), ("a", 5.0), ("b", 2.5)):
        look(rater, 1, spell, seconds)
    assert rater.on(1, lambda s, log, study, page: page_seconds(s, page)) == 10.5
    with pytest.raises(InputError, match="seconds are"):
        look(rater, 1, "a", -1)


def test_expected_answers_and_repeats_lock_what_was_answered_before(
    audit: AuditLog, store: Store, tmp_path: Path
) -> None:
    make_study(audit, tmp_path, reports=6, raters=1, calibration=True, repeat_share=0.5)
    rater = Rater(audit, 1)
    rater.fill(1)
    with pytest.raises(LockedError, match="expected answers"):
        rater.answer(1, 0, "comment", "After the fact.")
    with store.read() as session:
        again = next(page for page in pages_of(session, 1) if page.repeat)
        first = next(p for p in pages_of(session, 1) if p.report_id == again.report_id and not p.repeat)
    rater.fill(first.number)
    rater.answer(first.number, 0, "comment", "Still open.")
    rater.on(again.number, lambda s, log, study, page: setattr(page, "opened_at", study.created_at))
    with pytest.raises(LockedError, match="final"):
        rater.answer(first.number, 1, "comment", "Too late.")


def test_a_new_form_leaves_answers_as_they_were(audit: AuditLog, store: Store, tmp_path: Path) -> None:
    make_study(audit, tmp_path, reports=2, raters=1)
    rater = Rater(audit, 1)
    rater.fill(1, value=5)
    harsher = parse_form(FORM.source.replace("      5: Not a word too many or too few\n", ""))
    with audit.transaction() as (session, _):
        assert change_form(session, find_study(session, "pilot"), harsher) == 2
    again = Rater(audit, 1, form=harsher)
    assert again.on(1, lambda s, log, study, page: (page.state, missing_on(s, harsher, page))) == (
        "done",
        ["Conciseness"],
    )
    with pytest.raises(InputError, match="conciseness: expected one of 1, 2, 3, 4"):
        again.answer(2, 0, "conciseness", 5)
    again.answer(2, 0, "conciseness", 4)
    kept = [(row.value, row.form) for row in rows(store) if row.question == "conciseness"]
    assert kept == [(5, 1), (5, 1), (5, 1), (4, 2)]
    with store.read() as session:
        study = find_study(session, "pilot")
        assert read_study_form(session, study, 1).source == FORM.source
    other = parse_form("title: t\nquestions:\n- {name: harm, title: Harm, kind: comment}")
    with pytest.raises(InputError, match="harm: a question keeps its kind"), audit.transaction() as (session, _):
        change_form(session, find_study(session, "pilot"), other)


def test_a_closed_study_takes_no_answers_and_alone_is_unblinded(audit: AuditLog, store: Store, tmp_path: Path) -> None:
    make_study(audit, tmp_path, reports=2, raters=1, calibration=True)
    rater, out = Rater(audit, 1), tmp_path / "out"
    for number in (1, 2):
        rater.fill(number)
    rater.answer(2, 1, "comment", "Short.")
    rater.answer(2, 2, "errors", {"kind": "severity", "significance": "significant", "start": 0, "end": 3}, "m1")
    gone = rater.answer(
        2, 2, "errors", {"kind": "omission", "significance": "significant", "start": None, "end": None}, "m2"
    )
    rater.answer(2, 2, "errors", None, "m2", base=gone.number)
    with store.read() as session:
        export_study(session, find_study(session, "pilot"), out)
    assert not read_study(out).systems
    assert {path.name for path in out.iterdir()} == {"study.json", "form-1.yaml"}
    assert "ours" not in (out / "study.json").read_text()
    with audit.transaction() as (session, _):
        close_study(session, find_study(session, "pilot"))
    for act in (lambda: rater.answer(3, 0, "relevance", 1), lambda: finish(rater, 3)):
        with pytest.raises(LockedError, match="closed"):
            act()
    with store.read() as session:
        export_study(session, find_study(session, "pilot"), out)
    export = read_export(out)
    assert export.study.systems == ("ours", "theirs", "signed")
    assert export.study.human == "signed"
    assert len(export.candidates) == 6
    assert len(export.ratings) == 3 * 7
    assert {row.system for row in export.ratings} == {"ours", "theirs", "signed"}
    (done, not_done) = export.visits
    assert (done.state, not_done.state) == ("done", "open")
    (mark,) = export.errors
    assert (mark.kind, mark.system) == ("severity", done.systems[2])
    (ranking,) = export.rankings
    assert [ranking.ranks[system] for system in done.systems] == [1, 2, 3]
    (remark,) = export.remarks
    assert (remark.kind, remark.text, remark.system) == ("comment", "Short.", done.systems[1])
    assert {row.report for row in export.practice} == {"calibration-1"}
    with pytest.raises(InputError, match="was closed on"), audit.transaction() as (session, _):
        close_study(session, find_study(session, "pilot"))


def test_twenty_raters_who_save_at_once_lose_and_double_nothing(database: str, home: Path, tmp_path: Path) -> None:
    store = open_store(database, home)
    audit = AuditLog(store, home)
    make_study(audit, tmp_path, reports=2, raters=20)
    scales = [item.name for item in FORM.items if item.kind == "scale"]
    acknowledged: dict[tuple[int, str], int] = {}
    failures: list[BaseException] = []

    def rate(seat: int) -> None:
        try:
            rater = Rater(audit, seat)
            for number, question in enumerate(scales, start=1):
                value = 1 + (seat + number) % 5
                for _ in range(2):  # each act is sent twice, as after an answer that was lost on the way
                    rater.answer(1, 0, question, value, save=f"save-{number}")
                acknowledged[seat, question] = value
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=rate, args=(seat,)) for seat in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(acknowledged) == 100
    with store.read() as session:
        seats = {page.id: page.seat for seat in range(1, 21) for page in pages_of(session, seat)}
    kept = [(seats[row.page_id], row.question, row.value) for row in rows(store)]
    assert sorted(kept) == sorted((*key, value) for key, value in acknowledged.items())
    assert verify_answers(store, audit) == 100
    store.close()
