"""Making a study, giving it a new version of its form, closing it for good."""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from radllama.errors import InputError
from radllama.review.design import Design
from radllama.review.form import Form, parse_form
from radllama.review.material import CalibrationReport, Material
from radllama.review.tables import CandidateRow, FormRow, PageRow, ReportRow, StudyRow
from radllama.store.tables import now

# It stands in paths of the web app and in names of files.
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,59}")
_CALIBRATION_SYSTEM = ""


def check_name(name: str) -> None:
    """Raise InputError for what cannot name a study."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"study {name!r}: expected 1 to 60 small letters, digits, or any of . _ -, such as ct-chest-2026"
        )


def create_study(
    session: Session,
    name: str,
    title: str,
    material: Material,
    calibration: Sequence[CalibrationReport],
    design: Design,
    form: Form,
) -> StudyRow:
    """Write a whole study: texts, form, and the page of every rater. Raises InputError for a name that is taken."""
    check_name(name)
    if session.scalar(select(StudyRow.id).where(StudyRow.name == name)):
        raise InputError(f"study {name!r} exists already; a study is never overwritten, so choose another name")
    study = StudyRow(
        name=name,
        title=title.strip() or form.title,
        created_at=now(),
        seed=design.seed,
        per_report=design.per_report,
        raters=len(design.seats),
        reports=design.reports,
        repeat_share=design.repeat_share,
        systems=material.systems,
        human=material.human,
        form=1,
    )
    session.add(study)
    session.flush()
    session.add(FormRow(study_id=study.id, version=1, source=form.source, created_at=study.created_at))
    judged = []
    for report, texts in zip(material.reports, material.texts, strict=True):
        row = ReportRow(
            study_id=study.id,
            calibration=False,
            key=report.id,
            findings=report.findings,
            reference=report.impression,
        )
        drafts = [CandidateRow(system=text.system, draft=text.draft, shown=text.shown, why="") for text in texts]
        judged.append(_add_report(session, row, drafts))
    first = []
    for practice in calibration:
        row = ReportRow(study_id=study.id, calibration=True, key=practice.id, findings=practice.findings, reference="")
        drafts = [
            CandidateRow(
                system=_CALIBRATION_SYSTEM,
                draft=trial.draft,
                shown=trial.draft,
                expected=dict(trial.expected),
                why=trial.why,
            )
            for trial in practice.trials
        ]
        first.append(_add_report(session, row, drafts))
    _add_pages(session, study.id, design, judged, first)
    return study


_Added = tuple[int, list[int]]  # a report's row and those of its drafts


def _add_report(session: Session, row: ReportRow, drafts: Sequence[CandidateRow]) -> _Added:
    session.add(row)
    session.flush()
    for draft in drafts:
        draft.report_id = row.id
        session.add(draft)
        session.flush()  # one by one: ids follow the order of the systems
    return row.id, [draft.id for draft in drafts]


def _add_pages(session: Session, study: int, design: Design, judged: Sequence[_Added], first: Sequence[_Added]) -> None:
    for seat, pages in enumerate(design.seats, start=1):
        # Calibration comes first, and looks the same for everyone.
        sequence = [(report, drafts, 0) for report, drafts in first]
        for page in pages:
            report, drafts = judged[page.report]
            sequence.append((report, [drafts[at] for at in page.order], page.repeat))
        for number, (report, drafts, repeat) in enumerate(sequence, start=1):
            session.add(
                PageRow(
                    study_id=study,
                    seat=seat,
                    number=number,
                    report_id=report,
                    repeat=repeat,
                    candidates=drafts,
                    state="open",
                    reason="",
                )
            )
    session.flush()


def find_study(session: Session, name: str) -> StudyRow:
    """The study of that name. Raises InputError when there is none."""
    study = session.scalar(select(StudyRow).where(StudyRow.name == name))
    if study is None:
        raise InputError(f"no study {name!r}; `radllama review status` lists them")
    return study


def list_studies(session: Session) -> list[StudyRow]:
    """Every study, oldest first."""
    return list(session.scalars(select(StudyRow).order_by(StudyRow.id)))


def read_study_form(session: Session, study: StudyRow, version: int | None = None) -> Form:
    """A study's form: the version that is asked now, or an older one."""
    row = session.get_one(FormRow, (study.id, version or study.form))
    return parse_form(row.source, f"study {study.name}")


def change_form(session: Session, study: StudyRow, form: Form) -> int:
    """Ask by a new version of the form from now on; answers keep theirs. Returns its number.

    Raises InputError for a closed study, or a form that changes what kind of question a name stands for.
    """
    _refuse_closed(study)
    before = {item.name: item.kind for item in read_study_form(session, study).items}
    if changed := [item.name for item in form.items if before.get(item.name, item.kind) != item.kind]:
        raise InputError(f"{', '.join(changed)}: a question keeps its kind; give the new one another name")
    study.form += 1
    session.add(FormRow(study_id=study.id, version=study.form, source=form.source, created_at=now()))
    session.flush()
    return study.form


def close_study(session: Session, study: StudyRow) -> None:
    """Take no more answers; from now on the study may be unblinded. Raises InputError when it is closed already."""
    _refuse_closed(study)
    study.closed_at = now()


def _refuse_closed(study: StudyRow) -> None:
    if study.closed_at is not None:
        raise InputError(f"study {study.name!r} was closed on {study.closed_at:%Y-%m-%d}, and stays so")


def describe_study(study: StudyRow) -> dict[str, Any]:
    """Facts for the audit log: numbers and names of ours."""
    return {"study": study.id, "raters": study.raters, "reports": study.reports, "seed": study.seed}
