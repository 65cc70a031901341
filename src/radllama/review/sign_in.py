"""Getting in: a password, an invitation, and out again."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from radllama.errors import InputError
from radllama.review.accounts import (
    accept,
    check_password,
    create_account,
    find_account,
    hash_password,
    read_invitation,
)
from radllama.review.pages import PAGES
from radllama.review.site import (
    APP,
    Site,
    TheSite,
    TheVisitor,
    Visitor,
    changing,
    find_visitor,
    limit_attempts,
    safe_path,
)
from radllama.review.tables import AccountRow, MemberRow
from radllama.server.audit import Event
from radllama.web.errors import ApiError
from radllama.web.sessions import check_csrf, clear_cookie, close_session, open_session, read_cookie, set_cookie

router = APIRouter(include_in_schema=False)
MaybeVisitor = Annotated[Visitor | None, Depends(find_visitor)]
Field = Annotated[str, Form(max_length=300)]
Optional = Annotated[str, Form(max_length=300)]
_WRONG = "This name and password do not belong together."


@router.get("/login")
def show_login(site: TheSite, visitor: MaybeVisitor, next: str = "/") -> Response:
    """Where one signs in."""
    if visitor is not None:
        return RedirectResponse(safe_path(next), 303)
    return _login_page(site, safe_path(next))


@router.post("/login")
def login(request: Request, site: TheSite, name: Field, password: Field, next: Optional = "/") -> Response:
    """Sign in by name and password."""
    try:
        limit_attempts(site, request, name.strip().casefold())
    except ApiError as error:
        return _login_page(site, safe_path(next), name, f"{error.message.capitalize()}.", 429)
    with site.store.read() as session:
        account = find_account(session, name)
    if not check_password(account, password) or account is None:
        site.audit.append(Event("review.login_refused", "nobody", name.strip().casefold()))
        return _login_page(site, safe_path(next), name, _WRONG, 403)
    answer = RedirectResponse(safe_path(next), 303)
    sign_in(site, request, answer, account)
    return answer


@router.post("/logout")
def logout(request: Request, site: TheSite, visitor: TheVisitor, csrf: Field) -> Response:
    """Sign out at this browser."""
    check_csrf(visitor.session, csrf)
    with changing(site) as (session, log):
        close_session(session, read_cookie(request, APP))
        log(Event("review.logout", visitor.account))
    answer = RedirectResponse("/login", 303)
    clear_cookie(request, answer, APP)
    return answer


@router.get("/invitation/{token}")
def show_invitation(request: Request, token: str, site: TheSite, visitor: MaybeVisitor) -> Response:
    """What an invitation is for, and how to follow it."""
    return _invitation_page(request, site, token, visitor)


@router.post("/invitation/{token}/join")
def join(request: Request, token: str, site: TheSite, visitor: TheVisitor, csrf: Field) -> Response:
    """Follow an invitation with the account that is signed in."""
    check_csrf(visitor.session, csrf)
    try:
        limit_attempts(site, request, visitor.account)
        with changing(site) as (session, log):
            account = session.get_one(AccountRow, visitor.account)
            log_joined(log, account, accept(session, token, account))
    except (InputError, ApiError) as error:
        return _invitation_page(request, site, token, visitor, problem=str(error))
    return RedirectResponse("/", 303)


@router.post("/invitation/{token}/account")
def join_anew(request: Request, token: str, site: TheSite, name: Field, password: Field, again: Field) -> Response:
    """Follow an invitation with a new account."""
    try:
        limit_attempts(site, request, token[:64])
        with site.store.read() as session:
            read_invitation(session, token)  # before a hash is computed for whoever asks
        if password != again:
            raise InputError("the two passwords differ")
        kept = hash_password(password)  # slow, so before the transaction
        with changing(site) as (session, log):
            account = create_account(session, name, kept)
            log_joined(log, account, accept(session, token, account))
    except (InputError, ApiError) as error:
        return _invitation_page(request, site, token, None, name, str(error))
    answer = RedirectResponse("/", 303)
    sign_in(site, request, answer, account)
    return answer


def log_joined(log: Any, account: AccountRow, member: MemberRow) -> None:
    """Log that somebody has joined a study."""
    log(Event("review.join", account.id, facts={"study": member.study_id, "role": member.role, "seat": member.seat}))


def sign_in(site: Site, request: Request, answer: Response, account: AccountRow) -> None:
    """Open a session of an account, and give the browser its cookie with the answer."""
    with changing(site) as (session, log):
        _, token = open_session(session, APP, account.id, account.shown_name, site.hours)
        log(Event("review.login", account.id))
    set_cookie(request, answer, APP, token, site.hours)


def _login_page(site: Site, next: str, name: str = "", problem: str = "", status: int = 200) -> Response:
    values = {"next": next, "typed": name, "problem": problem, "provider": site.provider is not None}
    return PAGES.render("login.html.j2", status, visitor=None, **values)


def _invitation_page(
    request: Request, site: Site, token: str, visitor: Visitor | None, name: str = "", problem: str = ""
) -> Response:
    study, role = None, ""
    try:
        if not problem:
            limit_attempts(site, request, token[:64])
        with site.store.read() as session:
            row, study = read_invitation(session, token)
            role = row.role
    except (InputError, ApiError) as error:
        problem = problem or str(error)
    status = 400 if problem else 200
    return PAGES.render(
        "invitation.html.j2",
        status,
        visitor=visitor,
        token=token,
        study=study,
        role=role,
        provider=site.provider is not None,
        typed=name,
        problem=problem[:1].upper() + problem[1:] + "." if problem else "",
    )
