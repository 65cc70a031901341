"""The whole server under requests that nobody would send: no 500, no hang, and no word of them in its traces."""

import resource
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openid_provider import provide
from schemathesis import GenerationMode
from servers import CANARY, Running, Served, running

from radllama.server.assistant import load_assistant
from radllama.server.audit import AuditLog
from radllama.server.openid import Provider
from radllama.server.pool import Spec
from radllama.server.service import People


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home"), deadline_s=20) as one:
        yield one


MODES = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.mark.parametrize("mode", MODES, ids=["allowed", "forbidden"])
def test_what_the_description_allows_and_what_it_forbids_gives_no_500(server: Running, mode: GenerationMode) -> None:
    seen: Counter[int] = Counter()
    described: Any = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for operation in described.get_all_operations():

        @settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.ok().as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            answer = case.call(timeout=30)
            seen[answer.status_code] += 1
            assert answer.status_code < 500
            if answer.status_code >= 400 and case.method != "HEAD":
                assert list(answer.json()) == ["error"]

        with suppress(Unsatisfiable):  # a path that takes nothing forbids nothing
            ask()
    assert seen.total() > 50
    assert server.client.get("/readyz").status_code == 200


SENT: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/impressions", {"json": {"findings": CANARY}}),
    ("POST", "/v1/impressions", {"json": {"findings": f"raise {CANARY}", "indication": CANARY}}),
    ("POST", "/v1/impressions", {"json": {"findings": f"spell {CANARY}", "stream": True}}),
    ("POST", "/v1/impressions", {"json": {"findings": f"raise {CANARY}", "stream": True}}),
    ("POST", "/v1/impressions", {"json": {"findings": "x", CANARY: CANARY}}),
    ("POST", "/v1/impressions", {"content": f'{{"findings": "{CANARY}'}),
    ("POST", f"/v1/impressions?findings={CANARY}", {"json": {"findings": ""}}),
    ("POST", f"/v1/impressions/{CANARY}/verdict", {"json": {"verdict": "accepted", "person": "A"}}),
    ("POST", "/v1/completions", {"json": {"model": "one", "prompt": f"raise {CANARY}"}}),
    ("POST", "/v1/completions", {"json": {"model": CANARY, "prompt": CANARY}}),
    ("POST", "/v1/chat/completions", {"json": {"model": "one", "messages": [{"role": "user", "content": CANARY}]}}),
    ("POST", "/v1/chat/completions", {"json": {"model": "one", "messages": [{"role": CANARY, "content": CANARY}]}}),
    ("GET", f"/{CANARY}?{CANARY}", {"headers": {CANARY: CANARY, "Cookie": CANARY, "Referer": f"http://{CANARY}"}}),
    ("GET", f"/static/{CANARY}", {}),
    ("GET", f"/v1/models/{CANARY}", {"headers": {"Authorization": f"Bearer {CANARY}"}}),
    ("GET", "/healthz", {"headers": {"Host": CANARY}}),
    ("GET", f"/signed-in?code={CANARY}&state={CANARY}", {"headers": {"Cookie": f"radllama-serve-trip={CANARY}"}}),
    ("POST", "/sign-out", {"json": {CANARY: CANARY}, "headers": {"Cookie": f"radllama-serve={CANARY}"}}),
    ("POST", "/v1/impressions", {"json": {"findings": "x", "instruction": CANARY}}),
    ("POST", "/v1/impressions", {"json": {"findings": "x", "turns": [{"role": CANARY, "text": CANARY}]}}),
]


def test_marked_text_sent_through_every_path_is_in_no_trace(
    server: Running, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for method, path, options in SENT:
        answer = server.client.request(method, path, **options)
        if answer.status_code >= 400:
            assert CANARY not in answer.text
        assert not any(CANARY in value for value in answer.headers.values())
    # A worker that dies of it, twice.
    assert server.client.post("/v1/impressions", json={"findings": "die", "indication": CANARY}).status_code == 500
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2]))) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nContent-Length: {CANARY}\r\n\r\n".encode())
        answer_to_no_http = raw.recv(4096).decode()
    assert " 400 " in answer_to_no_http
    assert CANARY not in answer_to_no_http
    assert CANARY not in server.log.getvalue()
    assert CANARY not in server.client.get("/metrics").text
    told = capfd.readouterr()
    assert CANARY not in told.out + told.err
    assert isinstance(server.audit, AuditLog)
    assert server.audit.verify() > 0
    with server.store.read() as session:
        rows = session.connection().exec_driver_sql("SELECT * FROM audit_entries").all()
    assert CANARY not in str(rows)


def test_marked_text_that_was_voted_on_or_signed_in_with_is_in_no_trace(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        provide() as provider,
        running(
            tmp_path,
            Spec(load_assistant, ("mini", "cpu", None, None, 2)),
            people=People(Provider(provider.issuer, "radllama")),
        ) as one,
        httpx.Client(base_url=one.url, follow_redirects=True, timeout=60) as browser,
    ):
        provider.claims = {"name": f"Dr. {CANARY}", "sub": CANARY}
        browser.get("/sign-in")
        csrf = {"X-CSRF-Token": browser.get("/v1/me").json()["csrf"]}
        for body in ({}, {"stream": True}, {"n": 4}, {"style": "numbered"}, {"seed": -1}):
            findings = f"There is a large left pleural effusion, {CANARY}."
            browser.post("/v1/impressions", json={"findings": findings, **body}, headers=csrf)
        provider.claims = {"nonce": CANARY}
        assert browser.get("/sign-in").status_code == 403
        told = one.log.getvalue() + one.client.get("/metrics", headers=one.key("m", "metrics")).text
        assert "draft" in told
        out = capfd.readouterr()
        assert CANARY not in told + out.out + out.err
        with one.store.read() as session:
            rows = session.connection().exec_driver_sql("SELECT * FROM audit_entries").all()
        assert len(rows) > 4
        assert CANARY not in str(rows)


def test_a_server_that_is_fuzzed_for_long_does_not_grow(home: Path) -> None:
    served = Served(home, "--device", "cpu", "--samples", "1", "--workers", "1", "--limit", "1000000/minute").wait()
    try:

        def ask(rounds: int) -> float:
            """Resident megabytes after so many rounds of what is allowed, refused and unknown."""
            with httpx.Client(base_url=served.url, timeout=60) as client:
                for number in range(rounds):
                    for method, path, options in FUZZED:
                        client.request(method, path.replace("N", str(number)), **options)
            pages = int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1])
            return pages * resource.getpagesize() / 1e6

        warm = ask(20)
        assert ask(40) < warm + 4  # a leak of a kilobyte a request would show
    finally:
        served.close()


FUZZED: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/impressions", {"json": {"findings": "..."}}),
    ("POST", "/v1/impressions", {"json": {"findings": "x" * 20_000, "unknown": 1}}),
    ("POST", "/v1/impressions", {"content": b"{" * 20_000}),
    ("POST", "/v1/impressions/N/verdict", {"json": {"verdict": "accepted", "person": "A"}}),
    ("POST", "/v1/chat/completions", {"json": {"model": "N", "messages": []}}),
    ("GET", "/N?N=N", {"headers": {"X-N": "N" * 1000, "Authorization": "Bearer N"}}),
    ("GET", "/v1/models", {"headers": {"Authorization": "Bearer N"}}),
    ("GET", "/metrics", {}),
    ("GET", "/sign-in", {}),
]
