"""People sign in at a real provider: by code and PKCE, by a token that verifies, and act in their own name alone."""

import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey
from openid_provider import IdentityProvider, provide
from servers import Running, running
from sqlalchemy import select, update

from radllama.errors import InputError
from radllama.server.audit import AuditEntry
from radllama.server.feedback import VerdictRow
from radllama.server.openid import Provider, Trip
from radllama.server.service import People
from radllama.store.tables import now
from radllama.web.sessions import WebSession

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with provide() as one:
        yield one


@pytest.fixture
def server(provider: IdentityProvider, tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, people=People(Provider(provider.issuer, "radllama"), hours=2)) as one:
        yield one


@pytest.fixture
def browser(server: Running) -> Iterator[httpx.Client]:
    """It keeps cookies and follows redirects, as browsers do."""
    with httpx.Client(base_url=server.url, follow_redirects=True, timeout=60) as client:
        yield client


def enter(browser: httpx.Client) -> dict[str, str]:
    """Sign in; the header that this session's changes need."""
    assert browser.get("/sign-in").status_code == 200
    me = browser.get("/v1/me").json()
    assert me["person"] == "Dr. Ada"
    return {"X-CSRF-Token": me["csrf"]}


def draft(browser: httpx.Client, headers: dict[str, str]) -> str:
    answer = browser.post("/v1/impressions", json={"findings": "Clear lungs."}, headers=headers)
    assert answer.status_code == 200
    return str(answer.json()["id"])


def test_nobody_comes_in_for_being_on_this_machine(server: Running) -> None:
    answer = server.client.post("/v1/impressions", json={"findings": "Clear lungs."})
    assert answer.status_code == 401
    assert "sign in at /sign-in" in answer.json()["error"]["message"]
    assert server.client.get("/v1/me").json() == {"can_sign_in": True, "person": None, "csrf": None}
    key = server.key("ris")
    assert server.client.post("/v1/impressions", json={"findings": "Clear lungs."}, headers=key).status_code == 200


def test_who_signed_in_drafts_and_decides_in_their_own_name(browser: httpx.Client, server: Running) -> None:
    headers = enter(browser)
    one = draft(browser, headers)
    other = browser.post(
        f"/v1/impressions/{one}/verdict", json={"verdict": "accepted", "person": "Eve"}, headers=headers
    )
    assert other.status_code == 403
    kept = browser.post(f"/v1/impressions/{one}/verdict", json={"verdict": "accepted"}, headers=headers)
    assert (kept.status_code, kept.json()["person"]) == (200, "Dr. Ada")
    with server.store.read() as session:
        row = session.scalars(select(VerdictRow)).one()
        events = list(session.scalars(select(AuditEntry).order_by(AuditEntry.number)))
    assert row.caller.startswith("p-")
    assert "person.sign_in" in [entry.event for entry in events]
    assert '"signed_in":true' in events[-1].facts
    assert server.audit.verify() == len(events)


def test_a_change_needs_what_only_our_own_page_knows(browser: httpx.Client) -> None:
    enter(browser)
    for headers in ({}, {"X-CSRF-Token": "x"}):
        answer = browser.post("/v1/impressions", json={"findings": "Clear lungs."}, headers=headers)
        assert answer.status_code == 403
        assert browser.post("/sign-out", headers=headers).status_code == 403
    assert browser.get("/v1/assistant").status_code == 200  # reading needs none


def test_who_signs_out_is_out_and_so_is_a_copy_of_the_cookie(browser: httpx.Client, server: Running) -> None:
    headers = enter(browser)
    copy = dict(browser.cookies)
    assert browser.post("/sign-out", headers=headers).status_code == 200
    assert httpx.get(f"{server.url}/v1/assistant", cookies=copy).status_code == 401


def test_a_session_ends_by_itself(browser: httpx.Client, server: Running) -> None:
    enter(browser)
    with server.store.write() as session:
        session.execute(update(WebSession).values(expires_at=now() - timedelta(seconds=1)))
    assert browser.get("/v1/assistant").status_code == 401


def test_the_cookies_are_not_for_scripts_and_the_trips_is_taken_back(server: Running) -> None:
    answer = server.client.get("/sign-in")
    given = answer.headers["set-cookie"]
    assert "radllama-serve-trip=" in given
    assert "HttpOnly" in given
    assert "SameSite=lax" in given
    back = httpx.get(answer.headers["location"]).headers["location"]
    landed = server.client.get(back)
    cookies = landed.headers.get_list("set-cookie")
    assert any("radllama-serve-trip=" in one and "Max-Age=0" in one for one in cookies)
    assert any("radllama-serve=" in one and "HttpOnly" in one and "Max-Age=7200" in one for one in cookies)


def refused(browser: httpx.Client) -> str:
    answer = browser.get("/sign-in")
    assert answer.status_code == 403
    assert browser.get("/v1/me").json()["person"] is None
    assert "zebrafinch" not in answer.text
    return answer.text


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "another"},
        {"aud": "another"},
        {"iss": "http://another"},
        {"exp": int(time.time()) - 3600},
        {"azp": "another"},
        {"sub": None},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(
    browser: httpx.Client, provider: IdentityProvider, claims: dict[str, Any]
) -> None:
    provider.claims = claims
    assert "provider" in refused(browser)


def test_a_token_of_another_key_is_refused_and_a_new_key_of_the_providers_is_found(
    browser: httpx.Client, provider: IdentityProvider
) -> None:
    enter(browser)
    provider.key = RSAKey.generate_key(2048, {"kid": "2"})
    browser.cookies.clear()
    refused(browser)
    provider.published = provider.key
    enter(browser)
    provider.key = provider.published = ECKey.generate_key("P-256", {"kid": "3"})
    provider.algorithm = "ES256"
    browser.cookies.clear()
    enter(browser)


def test_who_is_not_let_in_or_did_not_ask_is_told(browser: httpx.Client, provider: IdentityProvider) -> None:
    provider.refuses = True
    assert "The provider did not let you in" in refused(browser)
    for query in ("", "?code=x&state=y", "?code=x"):
        assert browser.get(f"/signed-in{query}").status_code == 403


def test_a_code_is_of_no_use_to_another_browser(server: Running, provider: IdentityProvider) -> None:
    started = httpx.get(f"{server.url}/sign-in")
    back = httpx.get(started.headers["location"]).headers["location"]
    with httpx.Client(base_url=server.url) as thief:
        thief.get("/sign-in")
        assert thief.get(back).status_code == 403


def test_a_client_with_a_secret_shows_it(provider: IdentityProvider) -> None:
    provider.secret = "s3cret"
    for secret, comes_in in (("s3cret", True), ("other", False)):
        ours, trip = Provider(provider.issuer, "radllama", secret), Trip.begin()
        back = httpx.get(ours.address(trip, "http://localhost/signed-in")).headers["location"]
        code = httpx.URL(back).params["code"]
        if comes_in:
            assert ours.finish(trip, code, "http://localhost/signed-in").name == "Dr. Ada"
        else:
            with pytest.raises(Exception, match="did not exchange"):
                ours.finish(trip, code, "http://localhost/signed-in")


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"issuer": "http://another"}, "calls itself another"), ({"jwks_uri": None}, "lacks jwks_uri")],
)
def test_a_provider_that_cannot_be_is_told_at_the_start(
    provider: IdentityProvider, changes: dict[str, Any], told: str
) -> None:
    provider.changes = changes
    with pytest.raises(InputError, match=told):
        Provider(provider.issuer, "radllama")
    with pytest.raises(InputError, match="cannot be reached"):
        Provider("http://127.0.0.1:9", "radllama")


def test_where_nobody_signs_in_the_paths_say_so(tmp_path: Path) -> None:
    with running(tmp_path) as plain:
        assert plain.client.get("/sign-in").status_code == 404
        assert plain.client.get("/v1/me").json()["can_sign_in"] is False
        body = {"verdict": "accepted"}
        one = plain.client.post("/v1/impressions", json={"findings": "Clear lungs."}).json()["id"]
        assert plain.client.post(f"/v1/impressions/{one}/verdict", json=body).status_code == 400


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt-get install chromium)")
def test_in_a_real_browser_one_signs_in_accepts_by_one_key_and_signs_out(server: Running) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = opened.new_page()
        page.goto(server.url)
        page.click("#sign-in")
        page.wait_for_selector("#model:not(:empty)")
        assert page.inner_text("#who") == "Dr. Ada"
        assert page.locator("#name-part").is_hidden()
        page.fill("#findings", "Clear lungs.")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector("#acts:not([hidden])")
        page.keyboard.press("a")
        page.wait_for_selector(".badge.done")
        assert page.inner_text("#state") == "accepted by Dr. Ada"
        page.click("#sign-out")
        page.wait_for_selector("#sign-in:not([hidden])")
        opened.close()
