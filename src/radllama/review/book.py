"""A rater's pages: which one comes next, what stands on it, and whether it may still be changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from radllama.review.form import Form
from radllama.review.tables import AnswerRow, CandidateRow, PageRow, ReportRow, SpellRow, StudyRow

Key = tuple[int, str, str]  # candidate (0: the page), question, mark


@dataclass(frozen=True, slots=True)
class Held:
    """The answer that holds, and its number: what comes after must say that it knows it."""

    number: int
    value: Any


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rater is: pages of the seat, those finished (done or skipped), the first that is not, seconds spent."""

    pages: int
    finished: int
    skipped: int
    next: int | None
    calibration: int
    seconds: float


def find_page(session: Session, study: StudyRow, seat: int, number: int) -> PageRow | None:
    """A page of a seat by its number."""
    return session.scalar(
        select(PageRow).where(PageRow.study_id == study.id, PageRow.seat == seat, PageRow.number == number)
    )


def find_place(session: Session, study: StudyRow, seat: int) -> Place:
    """How far a seat has come."""
    mine = select(PageRow).where(PageRow.study_id == study.id, PageRow.seat == seat)
    rows = session.execute(
        mine.join(ReportRow, ReportRow.id == PageRow.report_id)
        .with_only_columns(PageRow.number, PageRow.state, ReportRow.calibration)
        .order_by(PageRow.number)
    ).all()
    unfinished = [row.number for row in rows if row.state == "open"]
    seconds = session.scalar(
        select(func.sum(SpellRow.seconds))
        .join(PageRow, PageRow.id == SpellRow.page_id)
        .where(PageRow.study_id == study.id, PageRow.seat == seat)
    )
    return Place(
        pages=len(rows),
        finished=len(rows) - len(unfinished),
        skipped=sum(row.state == "skipped" for row in rows),
        next=unfinished[0] if unfinished else None,
        calibration=sum(row.calibration for row in rows),
        seconds=seconds or 0.0,
    )


def why_locked(session: Session, study: StudyRow, page: PageRow) -> str | None:
    """Why a page takes no answers any more, or None while it does."""
    if study.closed_at is not None:
        return "The study is closed."
    report = session.get_one(ReportRow, page.report_id)
    if report.calibration and page.state == "done":
        return "The expected answers have been shown."
    if not page.repeat:
        again = session.scalar(
            select(PageRow.opened_at).where(
                PageRow.study_id == study.id,
                PageRow.seat == page.seat,
                PageRow.report_id == page.report_id,
                PageRow.repeat == 1,
            )
        )
        if again is not None:  # what was answered first must neither be looked up nor brought in line
            return "Its answers are final."
    return None


def read_report(session: Session, page: PageRow) -> tuple[ReportRow, list[CandidateRow]]:
    """A page's report and its drafts, in the page's order."""
    drafts = {row.id: row for row in session.scalars(select(CandidateRow).where(CandidateRow.id.in_(page.candidates)))}
    return session.get_one(ReportRow, page.report_id), [drafts[one] for one in page.candidates]


def held_answers(session: Session, page: PageRow) -> dict[Key, Held]:
    """What holds on a page: of each answer the last; those taken back are there too, with the value None."""
    rows = session.scalars(select(AnswerRow).where(AnswerRow.page_id == page.id).order_by(AnswerRow.id))
    return {(row.candidate_id, row.question, row.mark): Held(row.id, row.value) for row in rows}


def for_form(form: Form, held: Mapping[Key, Held]) -> dict[tuple[str, str], Any]:
    """Answers by (candidate as text or "", question), for those questions that are asked now; without error marks.

    One that the present form does not offer any more counts as none.
    """
    names = {item.name: item for item in form.items if item.kind != "errors"}
    answers = {}
    for (candidate, question, mark), one in held.items():
        item = names.get(question)
        if item is None or mark or (item.anchors and one.value not in item.anchors):
            continue
        answers[str(candidate) if candidate else "", question] = one.value
    return answers


def page_seconds(session: Session, page: PageRow) -> float:
    """How long a page was in front of its rater."""
    return session.scalar(select(func.sum(SpellRow.seconds)).where(SpellRow.page_id == page.id)) or 0.0
