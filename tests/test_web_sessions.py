"""Sessions: a cookie that opens one app for a while, known to every replica, and of no use to another site."""

from datetime import timedelta

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from sqlalchemy import select

from radllama.store.store import Store
from radllama.store.tables import now
from radllama.web.errors import ApiError
from radllama.web.sessions import (
    WebSession,
    check_csrf,
    clear_cookie,
    close_session,
    close_sessions_of,
    find_session,
    open_session,
    read_cookie,
    set_cookie,
)


def sign_in(store: Store, app: str = "serve", person: str = "issuer|1", hours: float = 1.0) -> str:
    with store.write() as database:
        return open_session(database, app, person, "Dr. Who", hours)[1]


def found(store: Store, app: str, token: str | None) -> str | None:
    with store.read() as database:
        row = find_session(database, app, token)
        return row.name if row else None


def test_a_token_opens_its_own_app_and_no_other(store: Store) -> None:
    token = sign_in(store)
    assert found(store, "serve", token) == "Dr. Who"
    assert found(store, "review", token) is None
    assert found(store, "serve", token + "x") is None
    assert found(store, "serve", None) is None


def test_the_database_holds_nothing_that_could_be_sent(store: Store) -> None:
    token = sign_in(store)
    with store.read() as database:
        assert token not in str(database.connection().exec_driver_sql("SELECT * FROM web_sessions").all())


def test_a_session_ends_by_itself_and_is_then_removed(store: Store) -> None:
    token = sign_in(store, hours=1)
    with store.write() as database:
        database.scalars(select(WebSession)).one().expires_at = now() - timedelta(seconds=1)
    assert found(store, "serve", token) is None
    sign_in(store, person="issuer|2")
    with store.read() as database:
        assert [row.person for row in database.scalars(select(WebSession))] == ["issuer|2"]


def test_who_signs_out_is_out_wherever_the_token_was_copied_to(store: Store) -> None:
    here, there = sign_in(store), sign_in(store)
    with store.write() as database:
        close_session(database, here)
    assert (found(store, "serve", here), found(store, "serve", there)) == (None, "Dr. Who")
    with store.write() as database:
        close_sessions_of(database, "serve", "issuer|1")
    assert found(store, "serve", there) is None


def test_a_change_needs_the_sessions_second_secret(store: Store) -> None:
    with store.write() as database:
        row, token = open_session(database, "serve", "issuer|1", "Dr. Who", 1)
    check_csrf(row, row.csrf)
    for sent in (None, "", token, row.csrf[:-1], "é"):
        with pytest.raises(ApiError) as caught:
            check_csrf(row, sent)
        assert caught.value.status == 403


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_cookie_is_out_of_scripts_reach_and_of_other_sites(scheme: str) -> None:
    app = FastAPI()

    @app.get("/in")
    def enter(request: Request, response: Response) -> None:
        set_cookie(request, response, "serve", "token", 2)

    @app.get("/out")
    def leave(request: Request, response: Response) -> None:
        clear_cookie(request, response, "serve")

    @app.get("/who")
    def who(request: Request) -> str | None:
        return read_cookie(request, "serve")

    client = TestClient(app, base_url=f"{scheme}://hospital.example")
    given = client.get("/in").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=lax", "Path=/", "Max-Age=7200"} <= set(given.split("; "))
    assert ("Secure" in given) == given.startswith("__Host-") == (scheme == "https")
    assert "Domain" not in given
    assert client.get("/who").json() == "token"
    client.get("/out")
    assert client.get("/who").json() is None
