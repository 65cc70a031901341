"""Getting in by the hospital's OpenID provider: it says who somebody is; an invitation says what they take part in."""

import hmac

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import select
from sqlalchemy.orm import Session

from radllama.errors import InputError
from radllama.review.accounts import accept, create_account, fold_name
from radllama.review.pages import PAGES
from radllama.review.sign_in import log_joined, sign_in
from radllama.review.site import Site, TheSite, changing, limit, safe_path
from radllama.review.tables import AccountRow
from radllama.server.openid import Person, Provider, SignInError, Trip
from radllama.web.errors import ApiError
from radllama.web.sessions import clear_cookie, read_cookie, set_cookie

router = APIRouter(include_in_schema=False)
_TRIP, _NEXT = "review-trip", "review-next"  # cookies of a browser on its way to the provider and back
_TRIP_HOURS = 0.2
_INVITATION = "/invitation/"


@router.get("/sign-in")
def begin(request: Request, site: TheSite, next: str = "/") -> Response:
    """Send the browser to the provider."""
    limit(site.addresses, request.client.host if request.client else "")
    trip = Trip.begin()
    answer = RedirectResponse(_provider(site).address(trip, _redirect_uri(request)), 303)
    set_cookie(request, answer, _TRIP, trip.pack(), _TRIP_HOURS)
    set_cookie(request, answer, _NEXT, safe_path(next).encode().hex(), _TRIP_HOURS)
    return answer


@router.get("/signed-in")
def come_back(request: Request, site: TheSite, code: str = "", state: str = "") -> Response:
    """Where the provider sends the browser back to."""
    provider, trip = _provider(site), Trip.unpack(read_cookie(request, _TRIP))
    try:
        if trip is None or not hmac.compare_digest(trip.state.encode(), state.encode("utf-8", "surrogateescape")):
            raise SignInError("this browser did not ask to sign in, or took too long")
        if not code:
            raise SignInError("the provider did not let you in")
        person = provider.finish(trip, code, _redirect_uri(request))
        account, path = _find_or_join(site, person, _read_next(request))
        answer: Response = RedirectResponse(path, 303)
        sign_in(site, request, answer, account)
    except (SignInError, InputError) as error:
        site.log.warning("sign_in", error=str(error))
        answer = PAGES.render("error.html.j2", 403, visitor=None, told=str(error))
    for name in (_TRIP, _NEXT):
        clear_cookie(request, answer, name)
    return answer


def _find_or_join(site: Site, person: Person, path: str) -> tuple[AccountRow, str]:
    """The person's account and where to go on; who has none is let in by the invitation that they came from."""
    with changing(site) as (session, log):
        account = session.scalar(select(AccountRow).where(AccountRow.subject == person.id))
        if account is not None:
            return account, path
        if not path.startswith(_INVITATION):
            raise SignInError("you take part in no study yet; follow the invitation that you were sent")
        account = create_account(session, _free_name(session, person.name), subject=person.id)
        log_joined(log, account, accept(session, path.removeprefix(_INVITATION), account))
        return account, "/"


def _free_name(session: Session, name: str) -> str:
    """The provider's name for a person, less what no name here has, and told apart from one that is taken."""
    plain = " ".join("".join(one if one.isalnum() or one in " .@+'-_" else " " for one in name).split())[:90] or "rater"
    plain = plain if plain[0].isalnum() else f"r {plain}"
    number, free = 1, plain
    while session.scalar(select(AccountRow.id).where(AccountRow.name == fold_name(free))):
        number += 1
        free = f"{plain} {number}"
    return free


def _read_next(request: Request) -> str:
    try:
        return safe_path(bytes.fromhex(read_cookie(request, _NEXT) or "2f").decode())
    except ValueError:
        return "/"


def _provider(site: Site) -> Provider:
    if site.provider is None:
        raise ApiError(404, "people do not sign in at a provider here; see radllama review serve --openid")
    return site.provider


def _redirect_uri(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}/signed-in"
