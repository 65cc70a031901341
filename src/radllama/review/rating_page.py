"""What a rater sees: the studies, the pages of one, and a page to judge drafts at. Never a system, never an id."""

from string import ascii_uppercase
from typing import Any

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from radllama.review.accounts import memberships
from radllama.review.book import find_page, find_place, for_form, held_answers, page_seconds, read_report, why_locked
from radllama.review.form import RATED, Form
from radllama.review.pages import PAGES
from radllama.review.site import TheSite, TheVisitor, changing, membership_of, seat_of
from radllama.review.studies import read_study_form
from radllama.review.tables import CandidateRow, PageRow, ReportRow, StudyRow
from radllama.server.audit import Event
from radllama.store.tables import now
from radllama.web.errors import ApiError

router = APIRouter(include_in_schema=False)


@router.get("/")
def show_studies(site: TheSite, visitor: TheVisitor) -> Response:
    """What the visitor takes part in."""
    with site.store.read() as session:
        mine = [
            (member, study, find_place(session, study, member.seat) if member.seat else None)
            for member, study in memberships(session, visitor.account)
        ]
    return PAGES.render("studies.html.j2", visitor=visitor, mine=mine)


@router.get("/studies/{name}")
def show_study(name: str, site: TheSite, visitor: TheVisitor) -> Response:
    """All pages of a rater's, and where to go on."""
    with site.store.read() as session:
        member, study = membership_of(session, visitor, name, "rater")
        place = find_place(session, study, seat_of(member))
        pages = session.scalars(
            select(PageRow)
            .where(PageRow.study_id == study.id, PageRow.seat == seat_of(member))
            .order_by(PageRow.number)
        ).all()
    return PAGES.render("study.html.j2", visitor=visitor, study=study, place=place, pages=pages)


@router.get("/studies/{name}/pages/{number}")
def show_page(name: str, number: int, site: TheSite, visitor: TheVisitor) -> Response:
    """A page to judge drafts at; one that is not reached yet leads to the one that comes first."""
    with site.store.read() as session:
        member, study = membership_of(session, visitor, name, "rater")
        page = find_page(session, study, seat_of(member), number)
        place = find_place(session, study, seat_of(member))
    if page is None:
        raise ApiError(404, "there is no such page")
    if place.next is not None and number > place.next:
        return RedirectResponse(f"/studies/{name}/pages/{place.next}", 303)
    if page.opened_at is None and study.closed_at is None:
        with changing(site) as (session, log):
            session.get_one(PageRow, page.id).opened_at = now()
            log(Event("review.open", visitor.account, facts={"page": page.id}))
    with site.store.read() as session:
        page = session.get_one(PageRow, page.id)
        form = read_study_form(session, study)
        report, drafts = read_report(session, page)
        return PAGES.render(
            "page.html.j2",
            visitor=visitor,
            study=study,
            form=form,
            page=page,
            place=place,
            findings=report.findings,
            is_calibration=report.calibration,
            locked=why_locked(session, study, page),
            seconds=page_seconds(session, page),
            letters=ascii_uppercase,
            **_view(session, study, form, page, report, drafts),
        )


def _view(
    session: Session, study: StudyRow, form: Form, page: PageRow, report: ReportRow, drafts: list[CandidateRow]
) -> dict[str, Any]:
    """The drafts in their places (from 1), with what was answered; of a calibration page also what was expected."""
    held = held_answers(session, page)
    answers = for_form(form, held)
    errors = form.first("errors")
    seen = []
    for number, draft in enumerate(drafts, start=1):
        marks = [
            {"mark": mark, "number": one.number, **one.value}
            for (candidate, question, mark), one in held.items()
            if errors and candidate == draft.id and question == errors.name and one.value is not None
        ]
        mine = {
            item.name: {
                "value": answers.get((str(draft.id), item.name)),
                "number": held[draft.id, item.name, ""].number if (draft.id, item.name, "") in held else 0,
            }
            for item in form.items
            if not item.is_of_page and item.kind != "errors"
        }
        told = page.state == "done" and report.calibration
        seen.append({"place": number, "shown": draft.shown, "marks": marks, "answers": mine, "feedback": None})
        if told:
            seen[-1]["feedback"] = {"why": draft.why, "answers": _compare(form, draft, mine)}
    ranking = form.first("ranking")
    ranks: dict[str, Any] = {"ranks": {}, "number": 0}
    if ranking and (kept := held.get((0, ranking.name, ""))):
        places = {str(draft.id): str(number) for number, draft in enumerate(drafts, start=1)}
        ranks = {
            "ranks": {places[one]: rank for one, rank in (kept.value or {}).items()},
            "number": kept.number,
        }
    return {"drafts": seen, "ranking": ranking if len(drafts) > 1 else None, "ranked": ranks, "rated": RATED}


def _compare(form: Form, draft: CandidateRow, mine: dict[str, Any]) -> list[dict[str, Any]]:
    """Each expected answer beside the rater's own, in the words of the form."""
    rows = []
    for name, expected in (draft.expected or {}).items():
        item = next((one for one in form.items if one.name == name and expected in one.anchors), None)
        if item is None:
            continue
        value = mine[name]["value"]
        rows.append(
            {
                "title": item.title,
                "kind": item.kind,
                "expected": expected,
                "value": value,
                "anchor": item.anchors[expected],
                "own": item.anchors.get(value, ""),
            }
        )
    return rows
