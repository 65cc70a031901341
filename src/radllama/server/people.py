"""People at browsers: to the provider and back, who is signed in, and out again."""

import hashlib
import hmac
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from radllama.server import work
from radllama.server.audit import Event
from radllama.server.keys import Caller
from radllama.server.openid import Person, Provider, SignInError, Trip
from radllama.server.service import Service, service_of
from radllama.web.errors import ApiError
from radllama.web.pages import Pages
from radllama.web.sessions import (
    CSRF_HEADER,
    WebSession,
    check_csrf,
    clear_cookie,
    close_session,
    find_session,
    open_session,
    read_cookie,
    set_cookie,
)

APP = "serve"
_TRIP = "serve-trip"  # the cookie of a browser on its way to the provider and back
_TRIP_HOURS = 0.2
_PERSONS_SCOPES = frozenset({"draft", "feedback"})
ServiceHere = Annotated[Service, Depends(service_of)]
_pages = Pages("radllama.web", Path(__file__).parent)
router = APIRouter(include_in_schema=False)


def find_person(database: Session, request: Request) -> Caller | None:
    """The signed-in person that a request comes from; None for nobody.

    Raises ApiError (403) for a request that changes something and does not come from a page of this session.
    """
    row = find_session(database, APP, read_cookie(request, APP))
    if row is None:
        return None
    if request.method not in ("GET", "HEAD"):
        check_csrf(row, request.headers.get(CSRF_HEADER))
    # What logs and tables name them by: an id that stays and is no name.
    identity = f"p-{hashlib.sha256(row.person.encode()).hexdigest()[:12]}"
    return Caller(identity, row.name, _PERSONS_SCOPES, person=row.name)


@router.get("/sign-in")
def sign_in(request: Request, service: ServiceHere) -> Response:
    """Send the browser to the provider."""
    provider, trip = _provider(service), Trip.begin()
    answer = RedirectResponse(provider.address(trip, _redirect_uri(request)), 303)
    set_cookie(request, answer, _TRIP, trip.pack(), _TRIP_HOURS)
    return answer


@router.get("/signed-in")
async def come_back(request: Request, service: ServiceHere, code: str = "", state: str = "") -> Response:
    """Where the provider sends the browser back to."""
    provider, trip = _provider(service), Trip.unpack(read_cookie(request, _TRIP))
    try:
        if trip is None or not hmac.compare_digest(trip.state.encode(), state.encode("utf-8", "surrogateescape")):
            raise SignInError("this browser did not ask for it, or took too long")
        if not code:
            raise SignInError("the provider did not let you in")
        person = await run_in_threadpool(provider.finish, trip, code, _redirect_uri(request))
    except SignInError as error:
        service.metrics.refused.labels("sign_in").inc()
        service.log.warning("sign_in", error=str(error))
        page = _pages.render("refused.html.j2", 403, told=str(error), again="/sign-in")
        clear_cookie(request, page, _TRIP)
        return page
    token = await _open(service, person)
    answer = RedirectResponse("/", 303)
    clear_cookie(request, answer, _TRIP)
    set_cookie(request, answer, APP, token, service.people.hours if service.people else 0)
    return answer


@router.get("/v1/me")
async def describe_me(request: Request, service: ServiceHere) -> dict[str, Any]:
    """Who is signed in at this browser, what its changes must bring along, and whether people can sign in at all."""
    row = await run_in_threadpool(_find, service, request)
    return {
        "can_sign_in": service.people is not None,
        "person": row.name if row else None,
        "csrf": row.csrf if row else None,
    }


@router.post("/sign-out")
async def sign_out(request: Request, service: ServiceHere) -> dict[str, bool]:
    """End this browser's session, wherever its cookie was copied to."""
    row = await run_in_threadpool(_find, service, request)
    if row is None:
        return {"signed_out": True}
    check_csrf(row, request.headers.get(CSRF_HEADER))
    token = read_cookie(request, APP)
    await work.record(service, Event("person.sign_out", "server", row.person), lambda s: close_session(s, token))
    return {"signed_out": True}


async def _open(service: Service, person: Person) -> str:
    hours = service.people.hours if service.people else 0.0

    def write(database: Session) -> str:
        return open_session(database, APP, person.id, person.name, hours)[1]

    token: str = await work.record(service, Event("person.sign_in", "server", person.id), write)
    return token


def _find(service: Service, request: Request) -> WebSession | None:
    with service.store.read() as database:
        return find_session(database, APP, read_cookie(request, APP))


def _provider(service: Service) -> Provider:
    if service.people is None:
        raise ApiError(404, "people do not sign in here; see radllama serve --openid", "not_found")
    return service.people.provider


def _redirect_uri(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}/signed-in"
