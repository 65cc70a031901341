"""Who is signed in at a browser: sessions in the database, so that every replica knows them, named by a cookie.

The cookie holds a random token, the database its hash: who reads the database can sign in as nobody. What changes
something must bring the session's second secret in a header or a form field, which no page elsewhere can know (CSRF).
"""

import hashlib
import hmac
import secrets
from datetime import datetime, timedelta

from fastapi import Request, Response
from sqlalchemy import String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from radllama.store.tables import Table, UtcTime, now
from radllama.web.errors import ApiError

CSRF_HEADER = "X-CSRF-Token"
_TOKEN_BYTES = 32
_COOKIE = "radllama-{app}"


class WebSession(Table):
    """One signed-in browser. `app` is what it was signed in to: a session of one web app opens no other."""

    __tablename__ = "web_sessions"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    app: Mapped[str] = mapped_column(String(20))
    person: Mapped[str] = mapped_column(String(200))
    name: Mapped[str] = mapped_column(String(200))
    csrf: Mapped[str] = mapped_column(String(64))
    made_at: Mapped[datetime] = mapped_column(UtcTime)
    expires_at: Mapped[datetime] = mapped_column(UtcTime, index=True)


def open_session(database: Session, app: str, person: str, name: str, hours: float) -> tuple[WebSession, str]:
    """A new session of a person (an id that stays) with a name to show, and the token for its cookie.

    What has expired of anybody's is removed on the way.
    """
    database.execute(delete(WebSession).where(WebSession.expires_at <= now()))
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    row = WebSession(
        token_hash=_hash(token),
        app=app,
        person=person,
        name=name,
        csrf=secrets.token_urlsafe(_TOKEN_BYTES),
        made_at=now(),
        expires_at=now() + timedelta(hours=hours),
    )
    database.add(row)
    database.flush()
    return row, token


def find_session(database: Session, app: str, token: str | None) -> WebSession | None:
    """The session that a cookie's token names; None for none, one of another app, or one that has expired."""
    row = database.get(WebSession, _hash(token)) if token else None
    return row if row is not None and row.app == app and row.expires_at > now() else None


def close_session(database: Session, token: str | None) -> None:
    """Sign out: the token opens nothing any more, wherever it was copied to."""
    if token:
        database.execute(delete(WebSession).where(WebSession.token_hash == _hash(token)))


def close_sessions_of(database: Session, app: str, person: str) -> None:
    """Sign a person out everywhere, as when an account is closed."""
    database.execute(delete(WebSession).where(WebSession.app == app, WebSession.person == person))


def check_csrf(row: WebSession, sent: str | None) -> None:
    """Raise ApiError (403) when what was sent with a changing request is not the session's second secret."""
    if not hmac.compare_digest(row.csrf.encode(), (sent or "").encode("utf-8", "surrogateescape")):
        raise ApiError(403, "this page is of another session; load it again", "csrf")


def read_cookie(request: Request, app: str) -> str | None:
    """The token in the request's cookie."""
    return request.cookies.get(_cookie_name(request, app))


def set_cookie(request: Request, response: Response, app: str, token: str, hours: float) -> None:
    """Give the browser its token: out of scripts' reach, sent to no other site, over TLS alone where there is TLS."""
    response.set_cookie(
        _cookie_name(request, app),
        token,
        max_age=int(hours * 3600),
        path="/",
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",  # not strict: who comes back from signing in elsewhere comes from another site
    )


def clear_cookie(request: Request, response: Response, app: str) -> None:
    """Take the cookie back."""
    response.delete_cookie(
        _cookie_name(request, app), path="/", secure=_is_secure(request), httponly=True, samesite="lax"
    )


def _cookie_name(request: Request, app: str) -> str:
    # With this prefix a browser takes the cookie from no subdomain and over no plain connection.
    return ("__Host-" if _is_secure(request) else "") + _COOKIE.format(app=app)


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _hash(token: str) -> str:
    # 256 random bits need no slow hash (see server.keys.hash_token).
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
