"""The review app over HTTP: who gets in, who sees what, and what a forged or foreign request comes to."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from command import Run
from review_servers import PASSWORD, Guest, Reviewing, reviewing
from review_studies import make_study
from sqlalchemy import select

from radllama.review.studies import close_study, find_study
from radllama.review.tables import AccountRow, AnswerRow
from radllama.server.audit import AuditEntry

PAGE = "/studies/pilot/pages/1"
ANSWERS = "/api/studies/pilot/pages/1/answers"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reviewing]:
    with reviewing(tmp_path_factory.mktemp("home"), reports=5, raters=45) as one:
        yield one


@pytest.fixture
def seat(server: Reviewing) -> int:
    """A rater's seat that nobody has taken."""
    return server.seat()


@pytest.fixture
def rater(server: Reviewing, seat: int) -> Guest:
    return server.sign_in(server.join(seat))


def sent(**changes: Any) -> dict[str, Any]:
    return {"save": "a1", "place": 1, "question": "relevance", "value": 4, **changes}


def test_without_a_session_every_page_leads_to_signing_in_and_back(server: Reviewing) -> None:
    guest = Guest(server.url)
    answer = guest.get(PAGE)
    assert (answer.status_code, answer.headers["location"]) == (303, f"/login?next={PAGE.replace('/', '%2F')}")
    told = guest.call(ANSWERS, sent(), csrf="")
    assert (told.status_code, told.json()["error"]["code"]) == (401, "signed_out")


def test_an_invitation_lets_one_person_in_once(server: Reviewing, seat: int) -> None:
    path = server.invitation(seat)
    guest, other = Guest(server.url), Guest(server.url)
    assert "You are invited: How good is this impression?" in guest.get(path).text
    joined = guest.post(f"{path}/account", name="Dr. Ada", password=PASSWORD, again=PASSWORD)
    assert joined.status_code == 303
    assert "Begin" in guest.get("/").text
    for replayed in (
        other.get(path),
        other.post(f"{path}/account", name="Mallory", password=PASSWORD, again=PASSWORD),
    ):
        assert replayed.status_code == 400
        assert "This invitation was used already" in replayed.text
    with server.store.read() as session:
        assert session.scalar(select(AccountRow).where(AccountRow.name == "mallory")) is None


@pytest.mark.parametrize(
    ("name", "password", "again", "told"),
    [
        ("Dr. Bob", "short", "short", "a password has 10 to 200 characters"),
        ("Dr. Bob", PASSWORD, PASSWORD + "!", "two passwords differ"),
        ("<b>", PASSWORD, PASSWORD, "a name has 1 to 100 letters"),
        ("TAKEN", PASSWORD, PASSWORD, "this name is taken"),
    ],
)
def test_an_account_that_cannot_be_made_uses_up_no_invitation(
    server: Reviewing, name: str, password: str, again: str, told: str
) -> None:
    with server.store.read() as session:
        taken = session.scalar(select(AccountRow).where(AccountRow.name == "taken"))
    if taken is None:
        server.join(server.seat(), "taken")
    path = server.invitation(45)
    answer = Guest(server.url).post(f"{path}/account", name=name, password=password, again=again)
    assert answer.status_code == 400
    assert told in answer.text.replace("&#39;", "'").lower() or told in answer.text.lower()
    assert "You are invited" in Guest(server.url).get(path).text


def test_a_foreign_expired_replaced_or_invented_invitation_is_told(
    server: Reviewing, rater: Guest, tmp_path: Path
) -> None:
    replaced = server.invitation(45)
    current = server.invitation(45)
    expired = server.invitation(None, hours=-1)
    for path, told in (
        (replaced, "not in force any more"),
        (expired, "not in force any more"),
        ("/invitation/zzz", "none of ours"),
    ):
        assert told in Guest(server.url).get(path).text
    # Somebody who takes part already follows what was sent to somebody else.
    answer = rater.post(f"{current}/join", csrf=rater.csrf())
    assert answer.status_code == 400
    assert "you take part in this study already" in answer.text.lower()
    assert "You are invited" in Guest(server.url).get(current).text


def test_the_cookie_is_out_of_reach_and_the_session_ends(server: Reviewing, seat: int) -> None:
    name = server.join(seat)
    guest = Guest(server.url)
    cookie = guest.post("/login", name=name.upper(), password=PASSWORD).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "path=/" in cookie
    kept = dict(guest.cookies)
    assert guest.post("/logout", csrf="forged").status_code == 403
    assert guest.get("/").status_code == 200
    assert guest.post("/logout", csrf=guest.csrf()).status_code == 303
    copied = Guest(server.url)
    copied.cookies.update(kept)
    assert copied.get("/").status_code == 303  # a copy of the cookie opens nothing any more


def test_sessions_expire(tmp_path: Path) -> None:
    with reviewing(tmp_path, hours=1e-9) as brief:
        guest = brief.sign_in(brief.join(1))
        assert guest.get("/").status_code == 303


def test_a_wrong_password_is_refused_like_a_name_that_is_none(server: Reviewing, seat: int) -> None:
    name = server.join(seat)
    told = [Guest(server.url).post("/login", name=who, password="not the password") for who in (name, "nobody at all")]
    assert [answer.status_code for answer in told] == [403, 403]
    assert all("do not belong together" in answer.text for answer in told)
    with server.store.read() as session:
        events = list(session.scalars(select(AuditEntry.event)))
    assert events.count("review.login_refused") >= 2


def test_a_lost_password_is_renewed_and_the_old_sessions_end(
    server: Reviewing, seat: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RADLLAMA_HOME", str(server.home))
    name = server.join(seat)
    before = server.sign_in(name)
    made = run("review", "password", name.upper()).out.strip()
    assert before.get("/").status_code == 303
    assert Guest(server.url).post("/login", name=name, password=PASSWORD).status_code == 403
    assert Guest(server.url).post("/login", name=name, password=made).status_code == 303
    assert "no account 'nobody'" in run("review", "password", "nobody").err


def test_guessing_is_slowed_down(tmp_path: Path) -> None:
    with reviewing(tmp_path, limit="2/minute") as limited:
        name = limited.join(1)
        codes = [Guest(limited.url).post("/login", name=name, password="wrong").status_code for _ in range(3)]
        assert codes == [403, 403, 429]  # the name's limit; the address has had three attempts by now
        told = Guest(limited.url).get("/invitation/invented")
        assert (told.status_code, "too many requests" in told.text.lower()) == (400, True)


@pytest.mark.parametrize("next_path", ["//evil.example/x", "https://evil.example", "/\\evil.example"])
def test_signing_in_leads_nowhere_else(server: Reviewing, seat: int, next_path: str) -> None:
    name = server.join(seat)
    answer = Guest(server.url).post("/login", name=name, password=PASSWORD, next=next_path)
    assert answer.headers["location"] == "/"


def test_a_change_needs_the_secret_of_the_page_and_comes_from_no_other_site(server: Reviewing, rater: Guest) -> None:
    for csrf in ("", "forged", Guest(server.url).cookies.get("x") or "0" * 43):
        told = rater.call(ANSWERS, sent(), csrf=csrf)
        assert (told.status_code, told.json()["error"]["code"]) == (403, "csrf")
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}):
        answer = httpx.post(
            server.url + ANSWERS, json=sent(), headers={**headers, "X-CSRF-Token": rater.csrf()}, cookies=rater.cookies
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    assert rater.call(ANSWERS, sent()).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"value": 9},
        {"value": "4"},
        {"value": True},
        {"place": 4},
        {"place": 0},
        {"place": -1},
        {"question": "colour"},
        {"question": "preference", "place": 0, "value": {"4": 1}},
        {"question": "preference", "place": 0, "value": {"1": 9}},
        {"save": ""},
        {"save": "../.."},
        {"extra": 1},
        {"base": "x"},
    ],
)
def test_an_answer_out_of_range_is_told_in_one_line_and_not_kept(
    server: Reviewing, rater: Guest, changes: dict[str, Any]
) -> None:
    with server.store.read() as session:
        before = len(session.scalars(select(AnswerRow)).all())
    told = rater.call(ANSWERS, sent(**changes))
    assert told.status_code in (400, 422)
    assert "\n" not in told.json()["error"]["message"]
    with server.store.read() as session:
        assert len(session.scalars(select(AnswerRow)).all()) == before


def test_a_rater_sees_no_system_no_id_and_nobody_else(server: Reviewing, seat: int) -> None:
    server.join(seat, "Dr. Secret")
    rater = server.sign_in(server.join(server.seat()))
    rater.call(ANSWERS, sent())
    seen = "".join(rater.get(path).text for path in ("/", "/studies/pilot", PAGE))
    for hidden in ("ours", "theirs", "signed</", "Dr. Secret", "r0", "r1", "r2", "r3", "r4"):
        assert not re.search(rf"\b{re.escape(hidden)}", seen), hidden
    for path in ("/studies/pilot/coordinate", "/studies/pilot/progress.csv"):
        assert rater.get(path).status_code == 403
    assert rater.get("/studies/other").status_code == 404
    assert rater.get("/studies/pilot/pages/2").headers["location"] == PAGE  # not reached yet
    assert rater.call("/api/studies/pilot/pages/2/answers", sent()).status_code == 404


def test_a_ranking_says_places_and_never_ids(server: Reviewing, rater: Guest) -> None:
    ranks = {"1": 2, "2": 1, "3": 1}
    told = rater.call(ANSWERS, sent(question="preference", place=0, value=ranks))
    assert told.json()["value"] == ranks
    conflict = rater.call(ANSWERS, sent(question="preference", place=0, value={"1": 1}, save="a2"))
    assert (conflict.status_code, conflict.json()["value"]) == (409, ranks)


def test_a_coordinator_invites_follows_and_closes_but_sees_no_answer(tmp_path: Path) -> None:
    with reviewing(tmp_path, raters=2) as one:
        boss, rater = one.sign_in(one.join(None, "boss")), one.sign_in(one.join(1, "Dr. Ada"))
        assert rater.call(ANSWERS, sent(question="comment", value="Canary of a comment.")).status_code == 200
        path = "/studies/pilot/coordinate"
        page = boss.get(path).text
        assert "Dr. Ada" in page
        assert boss.get(PAGE).status_code == 403
        made = boss.post("/studies/pilot/invitations", csrf=boss.csrf(), seat=2).text
        link = re.search(rf"{one.url}(/invitation/[\w-]+)", made)
        assert link
        assert "You are invited" in Guest(one.url).get(link[1]).text
        assert "has joined already" in boss.post("/studies/pilot/invitations", csrf=boss.csrf(), seat=1).text
        assert "there is no 3" in boss.post("/studies/pilot/invitations", csrf=boss.csrf(), seat=3).text
        table = boss.get("/studies/pilot/progress.csv").text
        assert table.splitlines()[1].startswith("rater-1,not begun,6,0,0,")
        for hidden in ("Canary", "ours", "theirs"):
            assert hidden not in page + table
        assert "type its name" in boss.post("/studies/pilot/close", csrf=boss.csrf(), typed="pilo").text
        assert boss.post("/studies/pilot/close", csrf="x", typed="pilot").status_code == 403
        assert "closed" in boss.post("/studies/pilot/close", csrf=boss.csrf(), typed="pilot").text
        told = rater.call(ANSWERS, sent(save="late"))
        assert (told.status_code, told.json()["error"]["message"]) == (423, "The study is closed.")
        assert "invitation is closed" in Guest(one.url).get(link[1]).text
        with one.store.read() as session:
            events = list(session.scalars(select(AuditEntry.event).order_by(AuditEntry.number)))
        assert {"review.login", "review.answer", "review.invite", "review.close"} <= set(events)
        assert one.audit.verify() == len(events)
        for word in ("Canary", PASSWORD, "Ada", link[1].split("/")[-1]):
            assert word not in one.log.getvalue()


def test_time_and_state_are_kept_and_a_skip_needs_a_reason(server: Reviewing, rater: Guest) -> None:
    base = "/api/studies/pilot/pages/1"
    assert rater.call(f"{base}/seconds", {"spell": "s", "seconds": 12.5}).status_code == 200
    assert rater.call(f"{base}/seconds", {"spell": "s", "seconds": -1.0}).status_code == 400
    told = rater.call(f"{base}/state", {"state": "done"})
    assert (told.status_code, told.json()["error"]["message"][:22]) == (422, "still to be answered: ")
    assert rater.call(f"{base}/state", {"state": "skipped"}).status_code == 422
    answer = rater.call(f"{base}/state", {"state": "skipped", "reason": "I wrote it."})
    assert answer.json() == {"next": "/studies/pilot/pages/2"}
    assert 'data-seconds="12.5"' in rater.get(PAGE).text


def test_somebody_with_an_account_joins_a_second_study(server: Reviewing, rater: Guest, tmp_path: Path) -> None:
    with server.store.read() as session:
        is_there = any(study.name == "second" for study in session.scalars(select(type(find_study(session, "pilot")))))
    if not is_there:
        make_study(server.audit, tmp_path, name="second", raters=1)
    path = server.invitation(1, study="second")
    assert rater.post(f"{path}/join", csrf=rater.csrf()).status_code == 303
    assert rater.get("/").text.count('class="study"') == 2


def test_unknown_and_unfit_requests_are_pages_to_a_browser_and_json_to_a_script(server: Reviewing) -> None:
    guest = Guest(server.url)
    assert "There is nothing at this address" in guest.get("/nowhere").text
    assert guest.get("/api/nowhere").json()["error"]["type"] == "not_found_error"
    assert "missing or too long" in guest.post("/login", name="x").text
    assert httpx.get(server.url, headers={"Host": "evil.example"}).status_code == 421
    assert json.loads(httpx.get(f"{server.url}/healthz").text) == {"status": "ok"}


def test_a_closed_study_shows_a_rater_the_own_answers_and_changes_none(tmp_path: Path) -> None:
    with reviewing(tmp_path, raters=1) as one:
        rater = one.sign_in(one.join(1))
        rater.call(ANSWERS, sent(question="comment", value="My own words."))
        with one.store.write() as session:
            close_study(session, find_study(session, "pilot"))
        page = rater.get(PAGE).text
        assert "The study is closed." in page
        assert "My own words." in page
        assert "rate.js" not in page
