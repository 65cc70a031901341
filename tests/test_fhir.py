"""FHIR R4 DiagnosticReports -> texts and reports."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports import Unusable, read_source
from radllama.reports.fhir import collect, parse_parts, strip_html, validate_report
from radllama.reports.parts import join_parts

TEXT = "INDICATION: Cough.\nFINDINGS: Heart & lungs are normal.\nIMPRESSION: Normal chest."


def attachment(text: str, kind: str = "text/plain", encoding: str = "utf-8") -> dict[str, str]:
    return {"contentType": kind, "data": base64.b64encode(text.encode(encoding)).decode()}


def report(**changes: Any) -> dict[str, Any]:
    whole = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "identifier": [{"system": "urn:ris", "value": "F7"}],
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "36643-5", "display": "XR Chest 2 Views"}]},
        "subject": {"reference": "Patient/p1"},
        "presentedForm": [attachment(TEXT)],
    }
    return {name: value for name, value in {**whole, **changes}.items() if value is not None}


def observation(code: dict[str, Any], text: str, identity: str = "o1") -> dict[str, Any]:
    return {"resourceType": "Observation", "id": identity, "status": "final", "code": code, "valueString": text}


FINDINGS = observation({"coding": [{"system": "http://loinc.org", "code": "59776-5"}]}, "Clear lungs.")


def findings_of(resource: dict[str, Any], others: dict[str, Any] | None = None) -> str:
    return join_parts(parse_parts(validate_report(resource), others or {})).findings


def test_findings_come_from_the_presented_form() -> None:
    assert findings_of(report()) == "Heart & lungs are normal."


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "application/xhtml+xml"])
def test_a_presented_form_may_be_html(kind: str) -> None:
    html = "<html><style>p{}</style><p><b>FINDINGS:</b> Größe &lt; 3 &amp; normal.</p><p>IMPRESSION: Normal.</p></html>"
    assert findings_of(report(presentedForm=[attachment(html, kind)])) == "Größe < 3 & normal."


def test_findings_come_from_contained_observations() -> None:
    one = report(presentedForm=None, contained=[FINDINGS], result=[{"reference": "#o1"}])
    assert findings_of(one) == "Clear lungs."


def test_findings_come_from_observations_beside_it_known_by_name() -> None:
    beside = observation({"text": "Findings"}, "Clear lungs.")
    for reference in ("Observation/o1", "urn:uuid:1"):
        value = {
            "resourceType": "Bundle",
            "type": "collection",
            "entry": [
                {"resource": report(presentedForm=None, result=[{"reference": reference}])},
                {"fullUrl": "urn:uuid:1", "resource": beside},
            ],
        }
        reports, others = collect(value)
        assert join_parts(parse_parts(reports[0], others)).findings == "Clear lungs."


def test_findings_come_from_the_narrative_where_there_is_nothing_else() -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><p>FINDINGS: Clear lungs.</p><p>IMPRESSION: Normal.</p></div>'
    assert findings_of(report(presentedForm=None, text={"status": "generated", "div": div})) == "Clear lungs."


def test_a_pdf_and_a_form_elsewhere_are_not_read() -> None:
    forms = [attachment("%PDF", "application/pdf"), {"contentType": "text/plain", "url": "http://elsewhere/x"}]
    assert parse_parts(validate_report(report(presentedForm=forms)), {}) == []


@pytest.mark.parametrize(
    "resource",
    [None, [], {}, {"resourceType": "Patient"}, report(status="signed"), report(code=None, foo=1), report(result=3)],
)
def test_what_is_no_diagnostic_report_is_refused(resource: Any) -> None:
    with pytest.raises((InputError, ValueError)):
        validate_report(resource)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
_FIELDS = [
    "status",
    "code",
    "text",
    "presentedForm",
    "result",
    "contained",
    "subject",
    "identifier",
    "conclusion",
    "id",
]


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=4), _JSON)
def test_no_json_crashes_the_reader(changes: dict[str, Any], other: Any) -> None:
    reports, others = collect({"resourceType": "Bundle", "entry": [{"resource": report(**changes)}, other]})
    for one in reports:
        try:
            parse_parts(validate_report(one), others)
        except (InputError, ValueError):
            continue


@given(st.text())
def test_no_text_crashes_the_stripping_of_html(text: str) -> None:
    assert isinstance(strip_html(text), str)


def test_hostile_html_is_read_in_linear_memory() -> None:
    for piece in ("<p>", "<", "&", "<!--", "<a b='", "&#", "<![CDATA["):
        assert len(strip_html(piece * 20_000)) <= 200_000


# As a report source


def test_json_bundles_and_ndjson_become_reports(tmp_path: Path) -> None:
    second = report(identifier=[{"value": "F8"}])
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": second}]}
    lines = [json.dumps(report(identifier=None, id=f"r{i}")) for i in (3, 4)]
    (tmp_path / "1.json").write_text(json.dumps(report()))
    (tmp_path / "2.json").write_text(json.dumps(bundle))
    (tmp_path / "3.ndjson").write_text("\n".join(lines) + "\n")
    found = list(read_source("fhir", tmp_path))
    assert [one.id for one in found] == ["F7", "F8", "r3", "r4"]
    assert isinstance(found[0], Report)
    assert (found[0].patient_id, found[0].impression, found[0].source) == ("Patient/p1", "Normal chest.", "fhir")


def test_the_conclusion_is_the_impression_of_a_report_without_one(tmp_path: Path) -> None:
    one = report(presentedForm=[attachment("FINDINGS: Clear lungs.")], conclusion="Normal chest.")
    (tmp_path / "1.json").write_text(json.dumps(one))
    (found,) = read_source("fhir", tmp_path)
    assert isinstance(found, Report)
    assert (found.findings, found.impression) == ("Clear lungs.", "Normal chest.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not a FHIR R4 DiagnosticReport"),
        ("[" * 100_000, "not a FHIR R4 DiagnosticReport"),
        (json.dumps(report(status="preliminary")), "preliminary report only"),
        (json.dumps(report(presentedForm=None)), "no text"),
        (json.dumps(report(presentedForm=[attachment("Lungs are clear.")])), "no section headings"),
        (json.dumps(report(unknown=1)), "not a FHIR R4 DiagnosticReport"),
    ],
)
def test_what_is_no_final_report_is_counted_and_not_read(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "1.json").write_text(text)
    (one,) = read_source("fhir", tmp_path)
    assert isinstance(one, Unusable)
    assert one.reason == reason
