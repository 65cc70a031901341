"""What a page of drafts sends while it is filled in: answers, time, and that it is done or skipped."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from radllama.errors import InputError
from radllama.review.answers import (
    ConflictError,
    LockedError,
    Save,
    finish_page,
    keep_answer,
    keep_seconds,
    skip_page,
)
from radllama.review.book import Held, find_page, find_place
from radllama.review.site import TheChanger, TheSite, TheVisitor, Visitor, changing, membership_of, seat_of
from radllama.review.studies import read_study_form
from radllama.review.tables import MemberRow, PageRow, ReportRow, SpellRow, StudyRow
from radllama.web.errors import ApiError

router = APIRouter(prefix="/api", include_in_schema=False)


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class AnswerSent(_Sent):
    """An answer: `place` is that of the draft on the page, from 1; 0 for what is asked once a page."""

    save: str = Field(min_length=1, max_length=40)
    place: int = Field(ge=0, le=100)
    question: str = Field(max_length=60)
    mark: str = Field(default="", max_length=40)
    value: Any = None
    base: int = Field(default=0, ge=0)


class SecondsSent(_Sent):
    """How long this page has been looked at since it was loaded."""

    spell: str = Field(min_length=1, max_length=40)
    seconds: float = Field(ge=0, le=86_400)


class StateSent(_Sent):
    """Done, or skipped for a reason."""

    state: Literal["done", "skipped"]
    reason: str = Field(default="", max_length=500)


@router.get("/session")
def show_session(visitor: TheVisitor) -> dict[str, str]:
    """Who is signed in, and the secret that this page must send: after signing in again it is another one."""
    return {"account": visitor.account, "csrf": visitor.session.csrf}


@router.post("/studies/{name}/pages/{number}/answers")
def post_answer(name: str, number: int, sent: AnswerSent, site: TheSite, visitor: TheChanger) -> JSONResponse:
    """Keep an answer. What is acknowledged is on the disk. 409 tells what another tab has answered meanwhile."""
    with _told(), changing(site) as (session, log):
        _, study, page = _find(session, visitor, name, number)
        form = read_study_form(session, study)
        value = sent.value
        if sent.place > len(page.candidates):
            raise InputError("this draft is not on the page")
        if sent.place == 0 and isinstance(value, dict):
            value = _by_candidate(page, value)
        candidate = page.candidates[sent.place - 1] if sent.place else 0
        act = Save(sent.save, candidate, sent.question, sent.mark, value, sent.base)
        try:
            held = keep_answer(session, log, site.audit, visitor.account, study, form, page, act)
        except ConflictError as error:
            return JSONResponse(_render(page, error.held), 409)
        answer = _render(page, held)
    return JSONResponse(answer)


@router.post("/studies/{name}/pages/{number}/seconds")
def post_seconds(name: str, number: int, sent: SecondsSent, site: TheSite, visitor: TheChanger) -> dict[str, bool]:
    """Keep how long the page was looked at."""
    with _told(), site.writing, site.store.write(lock=SpellRow.__tablename__) as session:
        _, _, page = _find(session, visitor, name, number)
        keep_seconds(session, page, sent.spell, sent.seconds)
    return {"kept": True}


@router.post("/studies/{name}/pages/{number}/state")
def post_state(name: str, number: int, sent: StateSent, site: TheSite, visitor: TheChanger) -> dict[str, str]:
    """Call the page done, or skip it; tells where to go on."""
    with _told(), changing(site) as (session, log):
        member, study, page = _find(session, visitor, name, number)
        if sent.state == "skipped":
            skip_page(session, log, visitor.account, study, page, sent.reason)
        else:
            finish_page(session, log, visitor.account, study, read_study_form(session, study), page)
        session.flush()
        if sent.state == "done" and session.get_one(ReportRow, page.report_id).calibration:
            return {"next": f"/studies/{name}/pages/{number}"}  # which now shows what was expected
        is_last = find_page(session, study, seat_of(member), number + 1) is None
    return {"next": f"/studies/{name}" if is_last else f"/studies/{name}/pages/{number + 1}"}


@contextmanager
def _told() -> Iterator[None]:
    """Answer what is wrong with a request in one line."""
    try:
        yield
    except InputError as error:
        raise ApiError(422, str(error), "invalid_value") from None
    except LockedError as error:
        raise ApiError(423, str(error), "locked") from None


def _find(session: Session, visitor: Visitor, name: str, number: int) -> tuple[MemberRow, StudyRow, PageRow]:
    member, study = membership_of(session, visitor, name, "rater")
    page = find_page(session, study, seat_of(member), number)
    place = find_place(session, study, seat_of(member))
    if page is None or (place.next is not None and number > place.next):
        raise ApiError(404, "this page has not been reached")
    return member, study, page


def _by_candidate(page: PageRow, ranks: dict[Any, Any]) -> dict[str, Any]:
    places = {str(place): str(candidate) for place, candidate in enumerate(page.candidates, start=1)}
    return {places.get(str(place), "none"): rank for place, rank in ranks.items()}


def _render(page: PageRow, held: Held) -> dict[str, Any]:
    value = held.value
    if isinstance(value, dict) and "kind" not in value:  # a ranking: ids of candidates are in order of their systems
        places = {str(candidate): str(place) for place, candidate in enumerate(page.candidates, start=1)}
        value = {places[one]: rank for one, rank in value.items()}
    return {"number": held.number, "value": value}
