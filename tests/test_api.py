"""Our own paths over real sockets and real worker processes, whose jobs say what they do (see backends.py)."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from servers import CANARY, Running, running, until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home"), deadline_s=20) as one:
        yield one


def post(server: Running, findings: str, **body: Any) -> httpx.Response:
    return server.client.post("/v1/impressions", json={"findings": findings, **body})


def error_of(answer: httpx.Response) -> dict[str, Any]:
    body = answer.json()
    assert list(body) == ["error"]
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert CANARY not in answer.text
    return dict(body["error"])


# Impressions


def test_an_impression_comes_with_what_made_it(server: Running) -> None:
    answer = post(server, "Clear lungs.")
    body = answer.json()
    assert answer.status_code == 200
    assert body["draft"]["impression"].endswith("Clear lungs.")
    assert body["draft"]["finish_reason"] == "stop"
    made_by = {"name": "one", "weights_sha256": "0" * 64, "prompt": "plain@0", "samples": 1, "library": ""}
    assert body["model"] == made_by
    assert body["id"].startswith("imp-")
    assert body["timing"]["total_ms"] > 0
    assert (body["links"], body["flags"], body["neighbours"], body["alternatives"]) == ([], [], [], [])


def test_alternatives_are_what_follows_the_first(server: Running) -> None:
    assert len(post(server, "Clear lungs.", n=3).json()["alternatives"]) == 2


def test_each_draft_is_in_the_audit_log_before_it_is_given(server: Running) -> None:
    before = server.audit.verify()
    post(server, "Clear lungs.")
    assert server.audit.verify() == before + 1


def test_a_stream_has_its_pieces_then_the_whole(server: Running) -> None:
    with server.client.stream(
        "POST", "/v1/impressions", json={"findings": "spell no focal opacity", "stream": True}
    ) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = [block.split("\n") for block in "".join(answer.iter_text()).strip().split("\n\n")]
    assert [event[0] for event in events] == ["event: piece"] * 3 + ["event: impression"]
    assert [json.loads(event[1].removeprefix("data: ")) for event in events[:3]] == ["no ", "focal ", "opacity "]
    assert json.loads(events[3][1].removeprefix("data: "))["draft"]["impression"] == "no focal opacity"


def test_a_failure_before_the_first_piece_is_a_plain_answer(server: Running) -> None:
    answer = post(server, "refuse this", stream=True)
    assert answer.status_code == 400
    assert error_of(answer)["message"] == "refused"


# Bad requests


@pytest.mark.parametrize(
    ("body", "param", "told"),
    [
        ({}, "findings", "Field required"),
        ({"findings": ""}, "findings", "at least 1 character"),
        ({"findings": "x" * 40_001}, "findings", "at most 40000"),
        ({"findings": 5}, "findings", "valid string"),
        ({"findings": f"a\x00{CANARY}"}, "findings", "control character"),
        ({"findings": f"a\ud800{CANARY}"}, "findings", "as a unicode string"),
        ({"findings": "x", "n": 9}, "n", "less than or equal to 8"),
        ({"findings": "x", "n": 0}, "n", "greater than or equal to 1"),
        ({"findings": "x", "style": CANARY}, "style", "'house', 'numbered' or 'short'"),
        ({"findings": "x", "indication": "y" * 8_001}, "indication", "at most 8000"),
        ({"findings": "x", "max_new_tokens": 1025}, "max_new_tokens", "1024"),
        ({"findings": "x", CANARY: 1}, None, "unknown field; it is refused"),
    ],
)
def test_a_request_out_of_bounds_is_told_without_quoting_it(
    server: Running, body: dict[str, Any], param: str | None, told: str
) -> None:
    answer = server.client.post(
        "/v1/impressions", content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    error = error_of(answer)
    assert error["param"] == param
    assert told in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'"' + b"x" * 100 + b'"', b"[" * 100_000])
def test_a_body_that_is_no_request_is_told(server: Running, content: bytes) -> None:
    answer = server.client.post("/v1/impressions", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    error_of(answer)


def test_a_body_without_end_is_not_read(server: Running) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 65_536

    for content in (b" " * 600_000, chunks()):
        answer = server.client.post("/v1/impressions", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413
        assert "larger than 524288 bytes" in error_of(answer)["message"]


def test_paths_and_methods_that_are_not_there_are_told_without_quoting_them(server: Running) -> None:
    for answer, status in [
        (server.client.get(f"/v1/{CANARY}"), 404),
        (server.client.get("/v1/impressions", params={"findings": CANARY}), 405),
        (server.client.patch("/v1/impressions", content=CANARY), 405),
    ]:
        assert answer.status_code == status
        error_of(answer)


def test_a_page_elsewhere_that_points_its_name_here_is_refused(server: Running) -> None:
    for host, status in [("evil.example", 421), ("localhost:1", 200), ("127.0.0.1", 200), ("", 421)]:
        assert server.client.get("/healthz", headers={"Host": host}).status_code == status


def test_no_other_origin_is_let_in(server: Running) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [server.client.options("/v1/impressions", headers=asked), server.client.get("/healthz", headers=asked)]
    assert not [name for answer in answers for name in answer.headers if name.startswith("access-control")]


def test_every_answer_carries_the_headers_that_close_doors(server: Running) -> None:
    for answer in (server.client.get("/healthz"), server.client.get("/none"), post(server, "")):
        assert answer.headers["cache-control"] == "no-store"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert len(answer.headers["x-request-id"]) == 16
        assert "server" not in answer.headers


# What goes wrong inside


def test_a_bug_in_a_worker_is_a_500_that_quotes_nothing_and_is_in_the_log(server: Running) -> None:
    answer = post(server, f"raise {CANARY}")
    assert answer.status_code == 500
    assert error_of(answer)["type"] == "server_error"
    assert any("ValueError at backends.py" in line.get("error", "") for line in server.logged())


def test_a_worker_that_is_killed_fails_no_request(server: Running, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda order=order: answers.append(post(server, order)))
        for order in (f"die once {tmp_path}/mark", "one", "two", "three")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 4


def test_a_bug_of_the_apps_own_is_a_500_that_quotes_nothing(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError(f"a message that quotes {CANARY}")

    monkeypatch.setattr("radllama.server.api._answer", broken)
    answer = post(server, CANARY)
    assert answer.status_code == 500
    assert error_of(answer)["message"].endswith(answer.headers["x-request-id"])
    until(lambda: answer.headers["x-request-id"] in server.log.getvalue())
    mine = [line for line in server.logged() if line.get("request") == answer.headers["x-request-id"]]
    assert [line["error"].split(":")[0] for line in mine] == ["ValueError at test_api.py"]
    assert CANARY not in server.log.getvalue()


def test_what_cannot_be_recorded_is_not_given(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from sqlalchemy.exc import OperationalError

    def down(*_: Any) -> None:
        raise OperationalError("INSERT", {"findings": CANARY}, Exception("disk full"))

    monkeypatch.setattr(server.audit, "transaction", down)
    answer = post(server, "Clear lungs.")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert "cannot be recorded" in error_of(answer)["message"]
    assert CANARY not in server.log.getvalue()


def test_a_client_that_hangs_up_frees_its_place(server: Running) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/impressions", json={"findings": "sleep 15"}, timeout=0.5)
    until(lambda: server.batcher.running == 0)
    assert post(server, "next").status_code == 200


def test_a_reader_that_leaves_a_stream_frees_its_place(server: Running) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{server.url}/v1/impressions", json={"findings": "sleep 15", "stream": True}, timeout=0.5)
    until(lambda: server.batcher.running == 0)


def test_beyond_its_queue_the_server_says_when_to_come_again(tmp_path: Path) -> None:
    with running(tmp_path, queue=1, batch_jobs=1) as small:
        answers: list[httpx.Response] = []
        threads = [threading.Thread(target=lambda: answers.append(post(small, "sleep 1"))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [200, 200, 503, 503, 503, 503]
        for answer in answers:
            if answer.status_code == 503:
                assert int(answer.headers["retry-after"]) >= 1
                assert error_of(answer)["code"] == "overloaded"


def test_who_finds_no_place_is_refused_before_anything_else(tmp_path: Path) -> None:
    with running(tmp_path, queue=1, batch_jobs=1) as small:
        answers: list[httpx.Response] = []
        threads = [threading.Thread(target=lambda: answers.append(post(small, "sleep 1"))) for _ in range(2)]
        threads[0].start()
        until(lambda: small.batcher.running == 1)
        threads[1].start()
        until(lambda: small.batcher.waiting == 1)
        with small.batcher.door():  # the third that is inside
            answer = small.client.post("/v1/chat/completions", content=b"{", headers={"Authorization": "Bearer none"})
            assert (answer.status_code, error_of(answer)["code"]) == (503, "overloaded")
            assert small.client.get("/v1/models").status_code == 200
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in answers] == [200, 200]
        metrics = small.client.get("/metrics").text
        assert 'radllama_requests_total{path="/v1/chat/completions",status="503"} 1.0' in metrics


def test_past_its_deadline_a_request_is_told_so(tmp_path: Path) -> None:
    with running(tmp_path, deadline_s=0.3) as hasty:
        answer = post(hasty, "sleep 20")
        assert answer.status_code == 503
        assert error_of(answer)["code"] == "deadline"
        assert answer.headers["retry-after"] == "1"


# Keys


def test_without_any_key_this_machine_may_do_all_and_with_one_nobody_without(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        assert post(server, "x").status_code == 200
        ris = server.key("ris")
        refused = post(server, "x")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert error_of(refused)["code"] == "invalid_api_key"
        server.client.headers = httpx.Headers(ris)
        assert post(server, "x").status_code == 200
        assert server.client.get("/metrics").status_code == 403
        assert server.client.get("/healthz", headers={"Authorization": ""}).status_code == 200
        monitor = server.key("prometheus", "metrics")
        assert server.client.get("/metrics", headers=monitor).status_code == 200
        forbidden = server.client.post("/v1/impressions", json={"findings": "x"}, headers=monitor)
        assert forbidden.status_code == 403
        assert "lacks the scope draft" in error_of(forbidden)["message"]


def test_a_key_has_a_limit_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path, limit="3/minute") as server:
        one, other = server.key("one"), server.key("other")
        codes = [
            server.client.post("/v1/impressions", json={"findings": "x"}, headers=headers).status_code
            for headers in (one, one, one, one, other)
        ]
        assert codes == [200, 200, 200, 429, 200]
        answer = server.client.post("/v1/impressions", json={"findings": "x"}, headers=one)
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert error_of(answer)["type"] == "rate_limit_error"


# Health and metrics


def test_it_is_alive_and_ready(server: Running) -> None:
    assert server.client.get("/healthz").json() == {"status": "alive"}
    assert server.client.get("/readyz").json() == {"status": "ready", "model": "one"}


def test_without_its_database_it_is_alive_and_not_ready(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    def down() -> None:
        raise OSError(CANARY)

    monkeypatch.setattr(server.store, "check", down)
    assert server.client.get("/healthz").status_code == 200
    answer = server.client.get("/readyz")
    assert answer.status_code == 503
    assert error_of(answer)["message"] == "the database does not answer"


def test_metrics_count_by_path_and_status_and_name_nothing_that_was_sent(server: Running) -> None:
    post(server, CANARY)
    server.client.get(f"/{CANARY}")
    server.client.get("/v1/models", params={CANARY: CANARY})
    text = server.client.get("/metrics").text
    assert 'radllama_requests_total{path="/v1/impressions",status="200"}' in text
    assert 'radllama_requests_total{path="none",status="404"}' in text
    assert "radllama_queue_waiting 0.0" in text
    assert 'radllama_tokens_total{kind="prompt"}' in text
    assert CANARY not in text


def test_the_log_names_routes_and_never_what_was_sent(server: Running) -> None:
    post(server, f"{CANARY} findings")
    server.client.get(f"/v1/models/{CANARY}")
    server.client.request("BREW", f"/{CANARY}", headers={CANARY: CANARY})
    httpx.post(f"{server.url}/v1/impressions", content=b"{", headers={"X": CANARY})
    assert CANARY not in server.log.getvalue()
    assert {"/v1/impressions", "/v1/models/{model}", "none"} <= {line.get("path") for line in server.logged()}


def test_the_description_is_there_and_needs_no_other_server(server: Running) -> None:
    described = server.client.get("/openapi.json").json()
    assert {"/v1/impressions", "/v1/chat/completions", "/readyz"} <= described["paths"].keys()
    assert server.client.get("/docs").status_code in (200, 404)
