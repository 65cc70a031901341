"""The FHIR operation over real sockets: what comes back is FHIR, preliminary, and says what made it."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import CANARY, Running, running
from test_fhir import FINDINGS, attachment, report

from radllama.server import fhir
from radllama.server.messages import list_unread
from radllama.web.middleware import BODY_BYTES

PATH = "/fhir/DiagnosticReport/$draft-impression"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("home"), deadline_s=20) as one:
        yield one


def dictated(findings: str = "Lungs are clear.", **changes: Any) -> dict[str, Any]:
    return report(status="partial", presentedForm=[attachment(findings)], **changes)


def post(server: Running, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return server.client.post(PATH, content=content, headers={"Content-Type": "application/fhir+json"})


def outcome_of(answer: httpx.Response) -> str:
    assert answer.headers["content-type"] == "application/fhir+json"
    assert CANARY not in answer.text
    outcome = OperationOutcome.model_validate(answer.json())
    assert outcome.issue[0].severity == "error"
    return str(outcome.issue[0].diagnostics)


def test_a_report_comes_back_preliminary_with_a_conclusion_and_its_provenance(server: Running) -> None:
    given_report = dictated("FINDINGS: Lungs are clear.")
    answer = post(server, given_report)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/fhir+json"
    Bundle.model_validate(answer.json())
    drafted, provenance = (entry["resource"] for entry in answer.json()["entry"][:2])
    assert drafted["status"] == "preliminary"
    assert drafted["conclusion"].endswith("Lungs are clear.")
    assert {name: drafted[name] for name in ("id", "identifier", "subject", "presentedForm")} == {
        name: given_report[name] for name in ("id", "identifier", "subject", "presentedForm")
    }
    assert provenance["target"][0]["reference"] == answer.json()["entry"][0]["fullUrl"]
    (device,) = provenance["contained"]
    assert device["deviceName"][0]["name"] == "one"
    assert "0" * 64 in [one["value"] for one in device["version"]]
    identity = provenance["entity"][0]["what"]["identifier"]["value"]
    verdict = {"verdict": "accepted", "person": "Dr A"}
    assert server.client.post(f"/v1/impressions/{identity}/verdict", json=verdict).status_code == 200


@pytest.mark.parametrize("kind", ["Bundle", "Parameters"])
def test_observations_may_come_beside_it(server: Running, kind: str) -> None:
    one = report(status="registered", presentedForm=None, result=[{"reference": "Observation/o1"}])
    entries = [{"resource": one}, {"resource": FINDINGS}]
    body = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    if kind == "Parameters":
        body = {"resourceType": "Parameters", "parameter": [{"name": "in", **entry} for entry in entries]}
    answer = post(server, body)
    assert answer.json()["entry"][0]["resource"]["conclusion"].endswith("Clear lungs.")


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (b"{", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        ({"resourceType": "Patient"}, 400, "expected one DiagnosticReport"),
        ([dictated()], 400, "expected one DiagnosticReport"),
        ({"resourceType": "Bundle", "entry": [{"resource": dictated()}] * 2}, 400, "found 2"),
        ({**dictated(), CANARY: 1}, 400, "unknown field"),
        (dictated(code=None), 400, "not a DiagnosticReport of R4"),
        (report(status=CANARY), 400, "status is none of R4's"),
        (report(), 422, "a report that is signed"),
        (report(status="partial", presentedForm=None), 422, "no findings"),
        (dictated(f"INDICATION: {CANARY}"), 422, "no findings"),
        (dictated("x" * 45_000), 422, "at most 40000"),
    ],
)
def test_what_cannot_be_drafted_is_an_outcome_and_kept_for_the_operator(
    server: Running, body: Any, status: int, told: str
) -> None:
    answer = post(server, body)
    assert answer.status_code == status
    assert told in outcome_of(answer)
    with server.store.read() as session:
        row = list_unread(session)[-1]
    assert (row.interface, told in row.reason) == ("fhir", True)
    assert row.body == (body if isinstance(body, bytes) else json.dumps(body).encode())


def test_what_the_model_refuses_or_breaks_on_is_an_outcome(server: Running) -> None:
    assert outcome_of(post(server, dictated("refuse this"))) == "refused"
    broken = post(server, dictated(f"raise {CANARY}"))
    assert (broken.status_code, "the server's own" in outcome_of(broken)) == (500, True)


def test_the_capability_statement_is_one(server: Running) -> None:
    answer = server.client.get("/fhir/metadata")
    CapabilityStatement.model_validate(answer.json())
    assert answer.json()["rest"][0]["resource"][0]["operation"][0]["name"] == "draft-impression"
    assert answer.json()["fhirVersion"] == "4.0.1"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=30)
@given(changes=st.dictionaries(st.sampled_from(["status", "text", "result", "presentedForm", "subject"]), _JSON))
def test_every_answer_is_a_bundle_or_an_outcome(server: Running, changes: dict[str, Any]) -> None:
    answer = post(server, {**dictated(), **changes})
    if answer.status_code == 200:
        Bundle.model_validate(answer.json())
    else:
        assert answer.status_code in (400, 422)
        OperationOutcome.model_validate(answer.json())


def test_nothing_of_a_patient_is_in_the_log_or_the_metrics(server: Running) -> None:
    post(server, dictated(f"Lungs are clear. {CANARY}"))
    post(server, {"resourceType": CANARY})
    for told in (server.log.getvalue(), server.client.get("/metrics").text):
        assert CANARY not in told


def test_a_key_is_needed_once_there_is_one(server: Running) -> None:
    headers = server.key("ris", "draft")
    assert "send a key" in outcome_of(post(server, dictated()))
    assert server.client.post(PATH, json=dictated(), headers=headers).status_code == 200
    assert server.client.get("/fhir/metadata").status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_large_is_told_in_fhir(server: Running, declared: bool) -> None:
    body = b" " * (BODY_BYTES + 1)
    answer = server.client.post(PATH, content=body if declared else iter([body]))
    assert answer.status_code == 413
    assert outcome_of(answer) == f"the body is larger than {BODY_BYTES} bytes"
    assert answer.json()["issue"][0]["code"] == "too-long"


def test_a_foreign_host_is_told_in_fhir(server: Running) -> None:
    answer = server.client.get("/fhir/metadata", headers={"Host": CANARY})
    assert answer.status_code == 421
    assert "not known by that name" in outcome_of(answer)
    assert answer.json()["issue"][0]["code"] == "security"


def test_what_is_not_there_is_told_in_fhir_and_only_below_its_path(server: Running) -> None:
    for method, path, status, code in (
        ("GET", f"/fhir/Patient/{CANARY}", 404, "not-found"),
        ("GET", PATH, 405, "not-supported"),
    ):
        answer = server.client.request(method, path)
        assert answer.status_code == status
        assert outcome_of(answer)
        assert answer.json()["issue"][0]["code"] == code
    assert server.client.get("/fhirs").json()["error"]["type"] == "not_found_error"
    assert server.client.get("/v1/models", headers={"Host": CANARY}).json()["error"]


def test_an_error_of_the_servers_own_is_told_in_fhir(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fhir, "describe_capabilities", lambda _: 1 / 0)
    answer = server.client.get("/fhir/metadata")
    assert answer.status_code == 500
    assert "its log has it as request" in outcome_of(answer)
