"""What a coordinator does: see how far raters are, invite them, close the study. Answers and systems stay unseen."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from radllama.errors import InputError
from radllama.review.accounts import INVITATION_HOURS, invite
from radllama.review.export import rater_code
from radllama.review.pages import PAGES
from radllama.review.progress import read_progress, render_csv
from radllama.review.site import Site, TheSite, TheVisitor, Visitor, changing, limit, membership_of
from radllama.review.studies import close_study, find_study
from radllama.server.audit import Event
from radllama.web.sessions import check_csrf

router = APIRouter(include_in_schema=False)
Field = Annotated[str, Form(max_length=300)]


@router.get("/studies/{name}/coordinate")
def show_progress(name: str, site: TheSite, visitor: TheVisitor) -> Response:
    """How far every rater is."""
    return _page(site, visitor, name)


@router.get("/studies/{name}/progress.csv")
def download_progress(name: str, site: TheSite, visitor: TheVisitor) -> Response:
    """The same as a table, by rater code."""
    with site.store.read() as session:
        _, study = membership_of(session, visitor, name, "coordinator")
        table = render_csv(read_progress(session, study))
    headers = {"Content-Disposition": f'attachment; filename="{name}-progress.csv"'}
    return Response(table, media_type="text/csv", headers=headers)


@router.post("/studies/{name}/invitations")
def post_invitation(
    request: Request, name: str, site: TheSite, visitor: TheVisitor, csrf: Field, seat: Annotated[int, Form()]
) -> Response:
    """Make a link for a rater's seat, or (0) for another coordinator; shown once."""
    check_csrf(visitor.session, csrf)
    limit(site.saves, visitor.account)
    try:
        with changing(site) as (session, log):
            _, study = membership_of(session, visitor, name, "coordinator")
            token = invite(session, study, seat or None)
            log(Event("review.invite", visitor.account, facts={"study": study.id, "seat": seat}))
    except InputError as error:
        return _page(site, visitor, name, problem=f"{error}.")
    link = f"{request.base_url}invitation/{token}"
    return _page(site, visitor, name, link=link, whose=rater_code(seat) if seat else "a coordinator")


@router.post("/studies/{name}/close")
def post_close(name: str, site: TheSite, visitor: TheVisitor, csrf: Field, typed: Field) -> Response:
    """Close the study for good, when its name was typed."""
    check_csrf(visitor.session, csrf)
    try:
        if typed.strip() != name:
            raise InputError("to close the study, type its name as it stands above")
        with changing(site) as (session, log):
            _, study = membership_of(session, visitor, name, "coordinator")
            close_study(session, study)
            log(Event("review.close", visitor.account, facts={"study": study.id}))
    except InputError as error:
        return _page(site, visitor, name, problem=f"{error}.")
    return _page(site, visitor, name)


def _page(site: Site, visitor: Visitor, name: str, problem: str = "", link: str = "", whose: str = "") -> Response:
    with site.store.read() as session:
        membership_of(session, visitor, name, "coordinator")
        progress = read_progress(session, find_study(session, name))
    return PAGES.render(
        "coordinate.html.j2",
        400 if problem else 200,
        visitor=visitor,
        progress=progress,
        problem=problem[:1].upper() + problem[1:],
        link=link,
        whose=whose,
        days=round(INVITATION_HOURS / 24),
    )
