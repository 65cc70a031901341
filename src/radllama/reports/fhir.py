"""FHIR R4: DiagnosticReports -> their texts and sections; validated by fhir.resources.

fhir.resources 8 models R4B, in which DiagnosticReport, Observation and Provenance are what they are in R4.
"""

import base64
import binascii
import html
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from radllama.errors import InputError
from radllama.report import Report
from radllama.reports.archive import read_members
from radllama.reports.parts import NO_TEXT, Part, join_parts, section_of
from radllama.reports.sections import PRELIMINARY, Unusable

BROKEN = "not a FHIR R4 DiagnosticReport"
SIGNED = ("final", "amended", "corrected", "appended")
_MEMBER = re.compile(r"\.(json|ndjson)$", re.IGNORECASE)
_BREAKS = {"p", "div", "br", "li", "tr", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "table", "ul", "ol"}
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]{0,15})")
_STATES = (*SIGNED, "registered", "partial", "preliminary", "cancelled", "entered-in-error", "unknown")
Resource = Mapping[str, Any]


def validate_report(resource: Any) -> dict[str, Any]:
    """The DiagnosticReport, when it is one. Raises pydantic's ValidationError, or InputError for what is none."""
    from fhir.resources.R4B.diagnosticreport import DiagnosticReport

    if not isinstance(resource, dict) or resource.get("resourceType") != "DiagnosticReport":
        raise InputError(f"{BROKEN}: resourceType is not DiagnosticReport")
    DiagnosticReport.model_validate(resource)
    if resource.get("status") not in _STATES:
        raise InputError(f"{BROKEN}: status is none of R4's")
    return resource


def parse_parts(report: Resource, others: Mapping[str, Resource]) -> list[Part]:
    """The texts of a report: of presentedForm, else of the Observations that it names, else of its narrative.

    `others`: the Observations that came with it, by the reference that names them.
    """
    texts = [text for form in report.get("presentedForm") or [] if (text := _read_attachment(form))]
    if texts:
        return [Part(None, text) for text in texts]
    contained = {f"#{one.get('id')}": one for one in report.get("contained") or [] if isinstance(one, dict)}
    known = {**others, **contained}
    named = [known.get(str(one.get("reference"))) for one in report.get("result") or [] if isinstance(one, dict)]
    parts = [
        Part(_section_of(one.get("code")), str(one["valueString"]))
        for one in named
        if one and one.get("resourceType") == "Observation" and one.get("valueString")
    ]
    narrative = (report.get("text") or {}).get("div")
    return parts or ([Part(None, strip_html(narrative))] if isinstance(narrative, str) else [])


def read_fhir(path: Path) -> Iterator[Report | Unusable]:
    """Stream the reports of a folder, zip or tar of .json (DiagnosticReport or Bundle) and .ndjson (bulk export).

    The id is the first identifier's value, else the resource's id. Reports that are not final, amended, corrected
    or appended, and what is none, are yielded as Unusable.
    """
    for name, data in read_members(path, _MEMBER, "a folder or archive of FHIR R4 .json or .ndjson files"):
        for number, value in enumerate(_load(name, data), start=1):
            reports, others = collect(value)
            if not reports:
                yield Unusable(f"{name}#{number}", BROKEN)
            for at, report in enumerate(reports, start=1):
                yield _parse_report(report, others, f"{name}#{number}.{at}")


def collect(value: Any) -> tuple[list[Resource], dict[str, Resource]]:
    """(DiagnosticReports, Observations by the references that may name them) of a resource, a Bundle or Parameters."""
    entries: list[tuple[str, Any]] = [("", value)]
    if isinstance(value, dict) and value.get("resourceType") in ("Bundle", "Parameters"):
        listed = value.get("entry" if value["resourceType"] == "Bundle" else "parameter")
        listed = listed if isinstance(listed, list) else []
        entries = [(str(one.get("fullUrl", "")), one.get("resource")) for one in listed if isinstance(one, dict)]
    resources = [(url, one) for url, one in entries if isinstance(one, dict)]
    reports: list[Resource] = [one for _, one in resources if one.get("resourceType") == "DiagnosticReport"]
    others: dict[str, Resource] = {}
    for url, one in resources:
        if one.get("resourceType") == "Observation":
            others |= {f"Observation/{one.get('id')}": one, url: one}
    return reports, others


def strip_html(text: str) -> str:
    """The text of an HTML fragment, a line a block, in linear time, which Python's HTMLParser does not keep."""
    pieces, at = [], 0
    while (start := text.find("<", at)) >= 0:
        pieces.append(text[at:start])
        opened = _TAG.match(text, start)
        tag = opened[2].lower() if opened else ""
        hidden = tag in ("script", "style") and not opened[1] if opened else False
        end_mark = "-->" if text.startswith("<!--", start) else f"</{tag}" if hidden else ">"
        end = text.find(end_mark, start + 1)
        if end < 0:  # no tag: a sign that nobody escaped
            at = start
            break
        if tag in _BREAKS:
            pieces.append("\n")
        at = end + (len(end_mark) if end_mark in (">", "-->") else 0)
    whole = html.unescape("".join([*pieces, text[at:]]))
    return "\n".join(line.strip() for line in whole.splitlines() if line.strip())


def _read_attachment(form: Any) -> str | None:
    """The text of an attachment; None for a PDF or another form, or one that lies elsewhere (it is not fetched)."""
    if not isinstance(form, dict) or not isinstance(form.get("data"), str):
        return None
    kind, _, rest = str(form.get("contentType", "text/plain")).lower().partition(";")
    if kind.strip() not in ("text/plain", "text/html", "application/xhtml+xml"):
        return None
    charset = "latin-1" if "iso-8859-1" in rest else "utf-8"
    try:
        text = base64.b64decode(form["data"], validate=False).decode(charset)
    except (binascii.Error, ValueError):
        return None
    return text if kind.strip() == "text/plain" else strip_html(text)


def _section_of(concept: Any) -> str | None:
    concept = concept if isinstance(concept, dict) else {}
    codings = [one for one in concept.get("coding") or [] if isinstance(one, dict)]
    names = [str(concept.get("text", "")), *(str(one.get("display", "")) for one in codings)]
    return section_of((str(one.get("code", "")) for one in codings), names)


def _load(name: str, data: bytes) -> Iterator[Any]:
    """The JSON values of a file; None for what is none."""
    lines = data.splitlines() if name.lower().endswith(".ndjson") else [data]
    for line in lines:
        if line.strip():
            try:
                yield json.loads(line)
            except (ValueError, RecursionError):
                yield None


def _parse_report(resource: Resource, others: Mapping[str, Resource], name: str) -> Report | Unusable:
    from pydantic import ValidationError

    try:
        report = validate_report(resource)
    except (ValidationError, InputError, RecursionError):
        return Unusable(name, BROKEN)
    values = [one.get("value") for one in report.get("identifier") or []]
    identity = next((str(value) for value in (*values, report.get("id")) if value), name)
    if report["status"] not in SIGNED:
        return Unusable(identity, PRELIMINARY)
    parts = parse_parts(report, others)
    if not parts:
        return Unusable(identity, NO_TEXT)
    sections = join_parts(parts)
    if sections.problem:
        return Unusable(identity, sections.problem)
    patient = (report.get("subject") or {}).get("reference")
    return Report(
        id=identity,
        patient_id=str(patient) if patient else None,
        findings=sections.findings,
        impression=sections.impression or str(report.get("conclusion") or ""),
        indication=sections.indication,
        comparison=sections.comparison,
        technique=sections.technique,
        source="fhir",
    )
