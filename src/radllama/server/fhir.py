"""FHIR R4: a DiagnosticReport with findings comes in and goes back preliminary, with a conclusion and Provenance."""

import json
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from radllama.errors import InputError
from radllama.interfaces.fhir_answers import describe_capabilities, render_bundle, render_outcome
from radllama.reports.fhir import SIGNED, collect, parse_parts, validate_report
from radllama.reports.parts import join_dictated
from radllama.server import work
from radllama.server.access import needs
from radllama.server.api import ServiceHere, draft_impression
from radllama.server.audit import Event
from radllama.server.keys import Caller
from radllama.server.messages import keep_unread
from radllama.server.schemas import ImpressionRequest
from radllama.store.tables import now
from radllama.web.errors import ApiError, describe_problem

MEDIA_TYPE = "application/fhir+json"
_PREFIX = "/fhir"
_CODES = {
    401: "login",
    403: "forbidden",
    404: "not-found",
    405: "not-supported",
    413: "too-long",
    421: "security",
    422: "business-rule",
    429: "throttled",
    500: "exception",
}


class FhirResponse(JSONResponse):
    """A resource."""

    media_type = MEDIA_TYPE


def tell_error(path: str, error: ApiError) -> Response:
    """The answer to an error: below /fhir an OperationOutcome, whatever found the error out."""
    if not path.startswith(f"{_PREFIX}/"):
        return error.response()
    code = _CODES.get(error.status, "invalid" if error.status < 500 else "transient")
    return FhirResponse(render_outcome("error", code, error.message), error.status, error.headers)


# It describes itself by its CapabilityStatement, as FHIR servers do, and not in the OpenAPI description.
router = APIRouter(prefix=_PREFIX, include_in_schema=False, route_class=work.DraftingRoute)


@router.get("/metadata")
async def metadata() -> Response:
    """What this server can do, as a CapabilityStatement."""
    return FhirResponse(describe_capabilities(now()))


@router.post("/DiagnosticReport/$draft-impression")
async def draft(request: Request, service: ServiceHere, caller: Annotated[Caller, Depends(needs("draft"))]) -> Response:
    """Draft the conclusion of a DiagnosticReport (alone, or with its Observations in a Bundle or Parameters)."""
    raw = await request.body()
    try:
        report, body = await run_in_threadpool(_read, raw)  # its first use loads the models of FHIR
    except ApiError as error:
        reason = error.message
        event = Event("message.unread", caller.id, facts={"interface": "fhir", "bytes": len(raw)})
        await work.record(service, event, lambda session: keep_unread(session, "fhir", caller.id, reason, raw))
        raise
    made = await draft_impression(request, body, service, caller)
    return FhirResponse(render_bundle(report, made.model_dump(), str(uuid.uuid4()), str(uuid.uuid4()), now()))


def _read(raw: bytes) -> tuple[dict[str, Any], ImpressionRequest]:
    """The report, and what is asked of the model. Raises ApiError, which quotes nothing of it."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        raise ApiError(400, "the body is not JSON") from None
    reports, others = collect(value)
    if len(reports) != 1:
        raise ApiError(400, f"expected one DiagnosticReport, alone or in a Bundle or Parameters; found {len(reports)}")
    try:
        report = validate_report(reports[0])
    except InputError as error:
        raise ApiError(400, str(error)) from None
    except (ValidationError, RecursionError) as error:
        problem = describe_problem(error.errors()[0])[1] if isinstance(error, ValidationError) else "nested too deep"
        raise ApiError(400, f"not a DiagnosticReport of R4: {problem}") from None
    if report["status"] in (*SIGNED, "cancelled", "entered-in-error"):
        raise ApiError(422, "status: a report that is signed or withdrawn gets no draft; send registered or partial")
    sections = join_dictated(parse_parts(report, others))
    if not sections.findings.strip():
        raise ApiError(422, "no findings: expected them in presentedForm (text or HTML), Observations or text")
    try:
        return report, ImpressionRequest(
            findings=sections.findings,
            indication=sections.indication,
            comparison=sections.comparison,
            technique=sections.technique,
        )
    except ValidationError as error:
        raise ApiError(422, describe_problem(error.errors()[0])[1]) from None
