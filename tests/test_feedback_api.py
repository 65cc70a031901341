"""Verdicts over HTTP: a person's named act, kept before it is acknowledged."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import Running, Served, running, until
from sqlalchemy import select

from radllama.server.audit import AuditLog
from radllama.server.feedback import DraftRow, VerdictRow
from radllama.store.store import open_store

CANARY = "zebrafinch"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home")) as one:
        yield one


def draft(server: Running, findings: str = "Clear lungs.", **options: Any) -> dict[str, Any]:
    answer = server.client.post("/v1/impressions", json={"findings": findings, **options})
    assert answer.status_code == 200
    return dict(answer.json())


def judge(server: Running, identity: str, **body: Any) -> httpx.Response:
    return server.client.post(f"/v1/impressions/{identity}/verdict", json={"person": "Dr. Who", **body})


def test_a_draft_is_kept_with_all_that_made_it(server: Running) -> None:
    given = draft(server, "Clear lungs.", indication="Cough.", n=2, style="numbered")
    with server.store.read() as session:
        row = session.get_one(DraftRow, given["id"])
    assert (row.findings, row.indication, row.style, row.caller) == ("Clear lungs.", "Cough.", "numbered", "local")
    assert row.impressions == [given["draft"]["impression"], given["alternatives"][0]["impression"]]
    assert (row.model, row.prompt, row.weights_sha256) == ("one", "plain@0", "0" * 64)


def test_a_verdict_answers_with_the_text_that_leaves(server: Running) -> None:
    given = draft(server)
    answer = judge(server, given["id"], verdict="accepted", seconds=3.5)
    assert answer.status_code == 200
    assert answer.json() == {
        "id": given["id"],
        "verdict": "accepted",
        "person": "Dr. Who",
        "impression": given["draft"]["impression"],
        "edit_distance": 0,
    }
    assert judge(server, given["id"], verdict="accepted").json() == answer.json()
    other = judge(server, given["id"], verdict="rejected", reason="wordy")
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "decided"


def test_edits_and_rejections_are_kept(server: Running) -> None:
    edited = judge(server, draft(server)["id"], verdict="edited", impression="Normal chest.")
    assert edited.json()["impression"] == "Normal chest."
    assert edited.json()["edit_distance"] > 0
    rejected = judge(server, draft(server)["id"], verdict="rejected", reason="omitted", note=CANARY)
    assert (rejected.json()["impression"], rejected.json()["edit_distance"]) == (None, None)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"verdict": "accepted", "person": ""}, "person"),
        ({"verdict": "accepted", "person": "  "}, "person"),
        ({"verdict": "edited"}, "comes with its impression"),
        ({"verdict": "edited", "impression": "  "}, "comes with its impression"),
        ({"verdict": "accepted", "impression": CANARY}, "comes with its impression"),
        ({"verdict": "rejected"}, "comes with a reason"),
        ({"verdict": "rejected", "reason": CANARY}, "reason"),
        ({"verdict": "accepted", "reason": "style"}, "comes with a reason"),
        ({"verdict": CANARY}, "verdict"),
        ({"verdict": "accepted", "seconds": -1}, "seconds"),
    ],
)
def test_an_act_that_is_none_is_refused_without_quoting_it(server: Running, body: dict[str, Any], told: str) -> None:
    answer = judge(server, draft(server)["id"], **body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]
    assert CANARY not in answer.text


def test_a_draft_that_is_not_there_is_not_found(server: Running) -> None:
    answer = judge(server, CANARY, verdict="accepted")
    assert answer.status_code == 404
    assert CANARY not in answer.text


def test_verdicts_are_counted_and_logged_without_their_text(server: Running) -> None:
    before = server.audit.verify()
    judge(server, draft(server, CANARY)["id"], verdict="edited", impression=f"{CANARY} edited")
    assert server.audit.verify() == before + 2
    assert 'radllama_verdicts_total{verdict="edited"}' in server.client.get("/metrics").text
    assert CANARY not in server.log.getvalue()


def test_days_are_shown(server: Running) -> None:
    judge(server, draft(server)["id"], verdict="accepted")
    (today,) = server.client.get("/v1/feedback/drift", params={"days": 1}).json()["days"]
    assert today["accepted"] >= 1
    assert today["drafts"] >= today["accepted"]
    assert server.client.get("/v1/feedback/drift", params={"days": 0}).status_code == 400


def test_only_a_key_with_the_scope_may_judge(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        given = draft(one)
        drafting = one.key("ris", "draft")
        path = f"/v1/impressions/{given['id']}/verdict"
        body = {"verdict": "accepted", "person": "A"}
        assert one.client.post(path, json=body, headers=drafting).status_code == 403
        assert one.client.post(path, json=body, headers=one.key("room", "feedback")).status_code == 200


def test_every_acknowledged_verdict_survives_kill_9(serve: Callable[..., Served], home: Path) -> None:
    served = serve().wait()
    acknowledged: list[str] = []

    def sign() -> None:
        while True:
            try:
                given = served.draft(max_new_tokens=4)
                answer = httpx.post(
                    f"{served.url}/v1/impressions/{given.json()['id']}/verdict",
                    json={"verdict": "accepted", "person": "Dr. Who"},
                )
            except httpx.HTTPError:
                return
            if answer.status_code == 200:
                acknowledged.append(given.json()["id"])

    threads = [threading.Thread(target=sign) for _ in range(4)]
    for thread in threads:
        thread.start()
    until(lambda: len(acknowledged) > 8)
    for worker in served.workers():
        os.kill(worker, signal.SIGKILL)
    until(lambda: len(acknowledged) > 16)
    served.process.kill()
    for thread in threads:
        thread.join()
    store = open_store(None, home)
    with store.read() as session:
        kept = set(session.scalars(select(VerdictRow.draft_id)))
    assert set(acknowledged) <= kept
    assert AuditLog(store, home).verify() >= 2 * len(kept)
    store.close()
