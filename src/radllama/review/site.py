"""What every path of the review app works with, and who asks: sessions, their limits, and where a request is from."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from fastapi import Depends, Request
from sqlalchemy.orm import Session

from radllama.review.accounts import find_membership
from radllama.review.tables import MemberRow, StudyRow
from radllama.server.audit import AuditLog
from radllama.server.limiter import Limiter
from radllama.server.openid import Provider
from radllama.store.store import Store
from radllama.web.errors import ApiError
from radllama.web.sessions import CSRF_HEADER, WebSession, check_csrf, find_session, read_cookie

APP = "review"


@dataclass(frozen=True, slots=True)
class Site:
    """One running review app. `hours` is how long a session lasts, `provider` where people may sign in, too."""

    store: Store
    audit: AuditLog
    log: Any
    hours: float = 12.0
    saves: Limiter = field(default_factory=lambda: Limiter("600/minute"))
    # Signing in and invitations: by the name that is tried, and by the address it is tried from.
    attempts: Limiter = field(default_factory=lambda: Limiter("10/minute"))
    addresses: Limiter = field(default_factory=lambda: Limiter("60/minute"))
    provider: Provider | None = None
    # One writer at a time in any case: here they queue, where SQLite would have each of them try again and again.
    writing: Lock = field(default_factory=Lock)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is signed in."""

    account: str
    name: str
    session: WebSession


class SignInError(Exception):
    """Nobody is signed in at this browser, or not any more."""


def site_of(request: Request) -> Site:
    """The site of the app that got this request."""
    site: Site = request.app.state.site
    return site


TheSite = Annotated[Site, Depends(site_of)]


def check_origin(request: Request) -> None:
    """Raise ApiError (403) for a change that a page elsewhere asks for: the browser says where it comes from."""
    if request.method in ("GET", "HEAD"):
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site not in (None, "same-origin", "none") or (
        # A proxy may change the scheme that is seen here, never the name.
        site is None and origin is not None and urlsplit(origin).netloc != request.headers.get("host")
    ):
        raise ApiError(403, "this was asked for by another site", "foreign_origin")


def find_visitor(request: Request, site: TheSite) -> Visitor | None:
    """Who is signed in, if anybody is."""
    token = read_cookie(request, APP)
    if not token:
        return None
    with site.store.read() as session:
        row = find_session(session, APP, token)
    if row is None:
        return None
    request.state.caller = row.person
    return Visitor(row.person, row.name, row)


def need_visitor(request: Request, visitor: Annotated[Visitor | None, Depends(find_visitor)]) -> Visitor:
    """Who is signed in. Raises SignInError for nobody."""
    if visitor is None:
        raise SignInError
    return visitor


TheVisitor = Annotated[Visitor, Depends(need_visitor)]


def need_changer(request: Request, visitor: TheVisitor, site: TheSite) -> Visitor:
    """Who is signed in, asks from a page of ours (by its header) and within the limit. Raises ApiError."""
    check_csrf(visitor.session, request.headers.get(CSRF_HEADER))
    limit(site.saves, visitor.account)
    return visitor


TheChanger = Annotated[Visitor, Depends(need_changer)]


def limit(limiter: Limiter, caller: str) -> None:
    """Count a request of a caller's. Raises ApiError (429) above the limit."""
    wait_s = limiter.take(caller)
    if wait_s is not None:
        raise ApiError(429, "too many requests; wait a moment", "rate_limit_exceeded", retry_after_s=wait_s)


def limit_attempts(site: Site, request: Request, name: str) -> None:
    """Count an attempt to get in. Raises ApiError (429) above the limits."""
    limit(site.addresses, request.client.host if request.client else "")
    limit(site.attempts, name)


def membership_of(session: Session, visitor: Visitor, study: str, role: str) -> tuple[MemberRow, StudyRow]:
    """What a visitor is in a study. Raises ApiError: 404 for a study that is none or none of theirs, 403 for a role."""
    found = find_membership(session, visitor.account, study)
    if found is None:
        raise ApiError(404, "there is no such study among yours")
    if found[0].role != role:
        raise ApiError(403, f"this is for a {role} of the study")
    return found


def seat_of(member: MemberRow) -> int:
    """A rater's place in the design."""
    assert member.seat is not None  # a rater has one: `accounts.accept`
    return member.seat


@contextmanager
def changing(site: Site) -> Iterator[tuple[Session, Any]]:
    """A transaction and its audit log: on the disk when the block ends."""
    with site.writing, site.audit.transaction() as opened:
        yield opened


def sign_in_path(request: Request) -> str:
    """Where to sign in, to come back to where one was."""
    return f"/login?next={quote(request.url.path, safe='')}" if request.method == "GET" else "/login"


def safe_path(path: str) -> str:
    """The path when it leads into this site, else the first page."""
    # "//host" and "/\\host" lead elsewhere.
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() else "/"
