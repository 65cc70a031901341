"""The hospital's OpenID provider says who somebody is; an invitation alone says what they take part in."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openid_provider import IdentityProvider, provide
from review_servers import Guest, Reviewing, reviewing

from radllama.server.openid import Provider


@pytest.fixture
def identity() -> Iterator[IdentityProvider]:
    with provide() as one:
        yield one


@pytest.fixture
def server(identity: IdentityProvider, tmp_path: Path) -> Iterator[Reviewing]:
    with reviewing(tmp_path, raters=3, provider=Provider(identity.issuer, "radllama")) as one:
        yield one


def travel(server: Reviewing, guest: Guest, path: str) -> httpx.Response:
    """To the provider and back; the answer that the browser ends at."""
    away = guest.get(f"/sign-in?next={path}").headers["location"]
    back = httpx.get(away).headers["location"]
    return guest.get(back.removeprefix(server.url))


def test_who_was_invited_joins_with_the_hospitals_account_and_comes_back_with_it(server: Reviewing) -> None:
    invitation = server.invitation(1)
    guest = Guest(server.url)
    assert "Join with the hospital's account" in guest.get(invitation).text
    assert travel(server, guest, invitation).headers["location"] == "/"
    assert "Dr. Ada" in guest.get("/").text
    assert "used already" in Guest(server.url).get(invitation).text
    again = Guest(server.url)
    assert travel(server, again, "/studies/pilot").headers["location"] == "/studies/pilot"
    assert again.get("/studies/pilot").status_code == 200


def test_who_was_not_invited_gets_no_account(server: Reviewing) -> None:
    guest = Guest(server.url)
    refused = travel(server, guest, "/")
    assert (refused.status_code, "follow the invitation" in refused.text) == (403, True)
    foreign = travel(server, guest, "/invitation/invented")
    assert (foreign.status_code, "none of ours" in foreign.text) == (403, True)
    assert guest.get("/").status_code == 303


def test_a_name_that_is_taken_is_told_apart(server: Reviewing, identity: IdentityProvider) -> None:
    server.join(1, "Dr. Ada")
    identity.claims = {"sub": "43", "name": "Dr.  <Ada>"}
    guest = Guest(server.url)
    assert travel(server, guest, server.invitation(2)).status_code == 303
    assert "Dr. Ada 2" in guest.get("/").text


def test_an_answer_that_this_browser_did_not_ask_for_opens_nothing(
    server: Reviewing, identity: IdentityProvider
) -> None:
    invitation = server.invitation(1)
    away = Guest(server.url).get(f"/sign-in?next={invitation}").headers["location"]
    back = httpx.get(away).headers["location"].removeprefix(server.url)
    victim = Guest(server.url)
    assert "this browser did not ask" in victim.get(back).text.lower()
    identity.claims = {"aud": "another"}
    assert "does not verify" in travel(server, victim, invitation).text
    identity.refuses = True
    assert "did not let you in" in travel(server, victim, invitation).text
    assert "You are invited" in victim.get(invitation).text  # nothing of it used the invitation up


def test_without_a_provider_there_is_no_way_to_one(tmp_path: Path) -> None:
    with reviewing(tmp_path) as one:
        assert Guest(one.url).get("/sign-in").status_code == 404
        assert "hospital" not in Guest(one.url).get("/login").text
