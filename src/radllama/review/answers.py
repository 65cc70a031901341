"""Taking answers: each is kept once, never changed, and acknowledged only when it is on the disk.

Whoever calls owns the transaction (`AuditLog.transaction`), which lets one writer in at a time: what is read here is
still so when it is written.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radllama.errors import InputError
from radllama.review.book import Held, for_form, held_answers, why_locked
from radllama.review.form import Form, check_answer, missing_answers
from radllama.review.tables import AnswerRow, CandidateRow, PageRow, SpellRow, StudyRow
from radllama.server.audit import AuditEntry, AuditLog, Event
from radllama.store.store import Store
from radllama.store.tables import now

Log = Callable[[Event], None]
ANSWERED = "review.answer"
_DAY_S = 86_400.0
_ID_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
SKIP_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class Save:
    """One act of a rater's, as the browser sends it.

    `save` is its name for the act, `base` the number of the answer that it replaces (0: the rater saw none).
    """

    save: str
    candidate: int
    question: str
    mark: str
    value: Any
    base: int


class ConflictError(Exception):
    """Another tab has answered meanwhile: `held` is what holds."""

    def __init__(self, held: Held) -> None:
        super().__init__("another page has answered meanwhile")
        self.held = held


class LockedError(Exception):
    """The page takes no answers any more."""


def keep_answer(
    session: Session, log: Log, audit: AuditLog, actor: str, study: StudyRow, form: Form, page: PageRow, sent: Save
) -> Held:
    """Keep one answer; the same `save` again keeps nothing more.

    Raises InputError for one out of range, LockedError, ConflictError.
    """
    again = session.scalar(select(AnswerRow).where(AnswerRow.page_id == page.id, AnswerRow.save == sent.save))
    if again is not None:
        return Held(again.id, again.value)
    if reason := why_locked(session, study, page):
        raise LockedError(reason)
    value = _check(session, form, page, sent)
    held = held_answers(session, page).get((sent.candidate, sent.question, sent.mark))
    if held is not None and held.number != sent.base:
        raise ConflictError(held)
    row = AnswerRow(
        page_id=page.id,
        candidate_id=sent.candidate,
        question=sent.question,
        mark=sent.mark,
        value=value,
        form=study.form,
        save=sent.save,
        at=now(),
    )
    session.add(row)
    session.flush()
    log(Event(ANSWERED, actor, facts={"answer": row.id, "page": page.id, "content": _content(audit, row)}))
    page.changed_at = row.at
    if page.state == "done" and missing_on(session, form, page):  # an answer that was needed has been taken back
        page.state = "open"
    return Held(row.id, value)


def _check(session: Session, form: Form, page: PageRow, sent: Save) -> Any:
    item = form.item(sent.question)
    for name in (sent.save, sent.mark):
        if len(name) > 40 or not _ID_CHARACTERS.issuperset(name):
            raise InputError("a save and a mark are named by up to 40 letters, digits, - and _")
    if not sent.save:
        raise InputError("every save needs a name")
    if bool(sent.mark) != (item.kind == "errors"):
        raise InputError(f"{item.name}: a mark names an error, and nothing else")
    if item.is_of_page != (sent.candidate == 0) or (sent.candidate and sent.candidate not in page.candidates):
        raise InputError(f"{item.name}: this draft is not on the page")
    shown = session.get_one(CandidateRow, sent.candidate).shown if sent.candidate else ""
    return check_answer(item, sent.value, shown, [str(one) for one in page.candidates])


def missing_on(session: Session, form: Form, page: PageRow) -> list[str]:
    """The titles of required questions that a page has no answer to."""
    session.flush()
    return missing_answers(form, for_form(form, held_answers(session, page)), [str(one) for one in page.candidates])


def finish_page(session: Session, log: Log, actor: str, study: StudyRow, form: Form, page: PageRow) -> None:
    """Call a page done. Raises InputError that names what is missing, LockedError."""
    if page.state == "done":
        return
    if reason := why_locked(session, study, page):
        raise LockedError(reason)
    if missing := missing_on(session, form, page):
        raise InputError(f"still to be answered: {', '.join(missing)}")
    _set_state(log, actor, page, "done", "")


def skip_page(session: Session, log: Log, actor: str, study: StudyRow, page: PageRow, reason: str) -> None:
    """Leave a page out, for a reason in words. Raises InputError without one, LockedError."""
    reason = reason.strip()
    if not reason or len(reason) > SKIP_CHARACTERS:
        raise InputError(f"a page is skipped with a reason of up to {SKIP_CHARACTERS} characters")
    if locked := why_locked(session, study, page):
        raise LockedError(locked)
    _set_state(log, actor, page, "skipped", reason)


def _set_state(log: Log, actor: str, page: PageRow, state: str, reason: str) -> None:
    page.state, page.reason, page.changed_at = state, reason, now()
    log(Event(f"review.{state}", actor, facts={"page": page.id}))


def keep_seconds(session: Session, page: PageRow, spell: str, seconds: float) -> None:
    """Keep how long a page has been looked at in one go; said again, or late and less, it adds nothing."""
    if not spell or len(spell) > 40 or not _ID_CHARACTERS.issuperset(spell):
        raise InputError("a spell is named by up to 40 letters, digits, - and _")
    if not 0 <= seconds <= _DAY_S:
        raise InputError("seconds are 0 to those of a day")
    row = session.get(SpellRow, (page.id, spell))
    if row is None:
        session.add(SpellRow(page_id=page.id, spell=spell, seconds=seconds))
    elif row.seconds < seconds:
        row.seconds = seconds


def _content(audit: AuditLog, row: AnswerRow) -> str:
    fields = [row.page_id, row.candidate_id, row.question, row.mark, row.value, row.form, row.save, row.at.isoformat()]
    return audit.hash_subject(json.dumps(fields, sort_keys=True, ensure_ascii=False))


def verify_answers(store: Store, audit: AuditLog) -> int:
    """Check the audit log, and every answer against it; returns how many answers there are.

    Raises InputError that names the first break.
    """
    audit.verify()
    with store.read() as session:
        entries = session.scalars(select(AuditEntry.facts).where(AuditEntry.event == ANSWERED))
        logged = {held["answer"]: held["content"] for held in map(json.loads, entries)}
        count = 0
        for row in session.scalars(select(AnswerRow).order_by(AnswerRow.id)):
            count += 1
            if logged.get(row.id) != _content(audit, row):
                raise InputError(f"answer {row.id} is not what the audit log says was answered")
    if count != len(logged):
        raise InputError(f"{len(logged)} answers were logged, but {count} are there")
    return count
