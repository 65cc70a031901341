"""FHIR R4 answers as JSON values: the draft with its Provenance, what went wrong, and what the server can do."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import radllama

_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_OPERATION = "urn:radllama:operation:draft-impression"


def render_bundle(
    report: Mapping[str, Any], made: Mapping[str, Any], report_uuid: str, provenance_uuid: str, moment: datetime
) -> dict[str, Any]:
    """The given report, preliminary and with a conclusion; its Provenance; and the checks' flags as an outcome.

    `made` is an answer of `POST /v1/impressions`.
    """
    drafted = {**report, "status": "preliminary", "conclusion": made["draft"]["impression"], "issued": _instant(moment)}
    entries: list[dict[str, Any]] = [
        {"fullUrl": f"urn:uuid:{report_uuid}", "resource": drafted},
        {
            "fullUrl": f"urn:uuid:{provenance_uuid}",
            "resource": _provenance(made, f"urn:uuid:{report_uuid}", _instant(moment)),
        },
    ]
    if made["flags"]:
        issues = [_issue("warning", "business-rule", f"{flag['kind']}: {flag['message']}") for flag in made["flags"]]
        entries.append({"resource": {"resourceType": "OperationOutcome", "issue": issues}})
    return {"resourceType": "Bundle", "type": "collection", "timestamp": _instant(moment), "entry": entries}


def render_outcome(severity: str, code: str, told: str) -> dict[str, Any]:
    """An OperationOutcome of one issue."""
    return {"resourceType": "OperationOutcome", "issue": [_issue(severity, code, told)]}


def describe_capabilities(moment: datetime) -> dict[str, Any]:
    """The CapabilityStatement."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _instant(moment),
        "kind": "instance",
        "software": {"name": "radllama", "version": radllama.__version__},
        "implementation": {"description": "Drafts impressions of radiology reports; a radiologist signs"},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [
            {
                "mode": "server",
                "security": {"description": "Authorization: Bearer KEY, of `radllama keys create`"},
                "resource": [
                    {
                        "type": "DiagnosticReport",
                        "operation": [
                            {
                                "name": "draft-impression",
                                "definition": _OPERATION,
                                "documentation": "POST a DiagnosticReport with findings; a Bundle comes back, with the "
                                "report preliminary and its conclusion drafted, and a Provenance naming the model.",
                            }
                        ],
                    }
                ],
            }
        ],
    }


def _provenance(made: Mapping[str, Any], target: str, instant: str) -> dict[str, Any]:
    model = made["model"]
    versions = [("radllama", radllama.__version__), ("prompt", model["prompt"])]
    if model["weights_sha256"]:
        versions.append(("weights SHA-256", model["weights_sha256"]))
    device = {
        "resourceType": "Device",
        "id": "model",
        "deviceName": [{"name": model["name"], "type": "model-name"}],
        "version": [{"type": {"text": kind}, "value": value} for kind, value in versions],
    }
    author = {"coding": [{"system": _PARTICIPANT, "code": "author", "display": "Author"}]}
    return {
        "resourceType": "Provenance",
        "contained": [device],
        "target": [{"reference": target}],
        "recorded": instant,
        "agent": [{"type": author, "who": {"reference": "#model", "display": f"radllama, {model['name']}"}}],
        "entity": [{"role": "source", "what": {"identifier": {"system": "urn:radllama:draft", "value": made["id"]}}}],
    }


def _issue(severity: str, code: str, told: str) -> dict[str, Any]:
    return {"severity": severity, "code": code, "diagnostics": told}


def _instant(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
