"""A study in the database -> plain rows in a folder (see `ratings`); systems are named only once it is closed."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from radllama.files import write_aside
from radllama.review import ratings
from radllama.review.book import Held, held_answers
from radllama.review.form import RATED, Form
from radllama.review.studies import read_study_form
from radllama.review.tables import AnswerRow, CandidateRow, FormRow, PageRow, ReportRow, SpellRow, StudyRow


def export_study(session: Session, study: StudyRow, folder: Path) -> ratings.Study:
    """Write a study's folder; of an open one what was asked, and no row."""
    told = summarise(session, study)
    export = ratings.Export(told)
    if told.closed:
        _fill(session, study, export)
    ratings.write_export(export, folder)
    for form in session.scalars(select(FormRow).where(FormRow.study_id == study.id)):
        with write_aside(folder / f"form-{form.version}.yaml") as file:
            file.write(form.source)
    return told


def summarise(session: Session, study: StudyRow) -> ratings.Study:
    """What was asked of whom."""
    form, closed = read_study_form(session, study), study.closed_at is not None
    errors = form.first("errors")
    return ratings.Study(
        name=study.name,
        title=study.title,
        closed=closed,
        created_at=study.created_at.isoformat(),
        closed_at=study.closed_at.isoformat() if study.closed_at else None,
        seed=study.seed,
        design="full" if study.per_report == study.raters else "balanced",
        raters_per_report=study.per_report,
        repeat_share=study.repeat_share,
        reports=study.reports,
        raters=tuple(rater_code(seat) for seat in range(1, study.raters + 1)),
        form=study.form,
        questions=form.questions(),
        error_kinds=tuple(errors.kinds) if errors else (),
        significances=tuple(errors.significance) if errors else (),
        systems=tuple(study.systems) if closed else (),
        human=study.human if closed else None,
    )


def rater_code(seat: int) -> str:
    """What a rater is called wherever others may read it."""
    return f"rater-{seat}"


def _fill(session: Session, study: StudyRow, export: ratings.Export) -> None:
    forms = {row.version: read_study_form(session, study, row.version) for row in _forms(session, study)}
    reports = {row.id: row for row in session.scalars(select(ReportRow).where(ReportRow.study_id == study.id))}
    mine = select(CandidateRow).join(ReportRow, ReportRow.id == CandidateRow.report_id)
    drafts = {
        row.id: row for row in session.scalars(mine.where(ReportRow.study_id == study.id).order_by(CandidateRow.id))
    }
    for draft in drafts.values():
        report = reports[draft.report_id]
        if not report.calibration:
            export.candidates.append(
                ratings.Candidate(report.key, draft.system, report.findings, report.reference, draft.draft, draft.shown)
            )
    for page in session.scalars(
        select(PageRow).where(PageRow.study_id == study.id).order_by(PageRow.seat, PageRow.number)
    ):
        report, shown = reports[page.report_id], [drafts[one] for one in page.candidates]
        if report.calibration:
            export.practice.extend(_practice(session, page, report, shown))
            continue
        export.visits.append(_visit(session, page, report, shown))
        for row, held in _holding(session, page):
            _add(export, forms[row.form], page, report, drafts, row, held)


def _forms(session: Session, study: StudyRow) -> list[FormRow]:
    return list(session.scalars(select(FormRow).where(FormRow.study_id == study.id)))


def _holding(session: Session, page: PageRow) -> Iterator[tuple[AnswerRow, Held]]:
    """Of each answer the last row, unless it takes the answer back."""
    for held in held_answers(session, page).values():
        if held.value is not None:
            yield session.get_one(AnswerRow, held.number), held


def _add(
    export: ratings.Export,
    form: Form,
    page: PageRow,
    report: ReportRow,
    drafts: Mapping[int, CandidateRow],
    row: AnswerRow,
    held: Held,
) -> None:
    rater, value, kind = rater_code(page.seat), held.value, form.item(row.question).kind
    if kind == "ranking":
        ranks = {drafts[int(one)].system: rank for one, rank in value.items()}
        export.rankings.append(ratings.Ranking(rater, report.key, ranks, page.repeat, row.form))
        return
    system = drafts[row.candidate_id].system
    if kind in RATED:
        position = page.candidates.index(row.candidate_id)
        export.ratings.append(
            ratings.Rating(rater, report.key, system, row.question, value, position, page.repeat, row.form)
        )
    elif kind == "errors":
        export.errors.append(
            ratings.ErrorMark(rater, report.key, system, **_mark(value), repeat=page.repeat, form=row.form)
        )
    else:
        export.remarks.append(ratings.Remark(rater, report.key, system, kind, value, page.repeat, row.form))


def _mark(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in ("kind", "significance", "start", "end")}


def _visit(session: Session, page: PageRow, report: ReportRow, shown: list[CandidateRow]) -> ratings.Visit:
    seconds = session.scalar(select(func.sum(SpellRow.seconds)).where(SpellRow.page_id == page.id)) or 0.0
    systems = tuple(draft.system for draft in shown)
    return ratings.Visit(
        rater_code(page.seat),
        report.key,
        page.number,
        page.repeat,
        systems,
        page.state,
        page.reason,
        round(seconds, 1),
    )


def _practice(
    session: Session, page: PageRow, report: ReportRow, shown: list[CandidateRow]
) -> Iterator[ratings.Practice]:
    held = held_answers(session, page)
    for position, draft in enumerate(shown):
        for question, expected in (draft.expected or {}).items():
            answer = held.get((draft.id, question, ""))
            if answer is not None and answer.value is not None:
                yield ratings.Practice(rater_code(page.seat), report.key, position, question, answer.value, expected)
