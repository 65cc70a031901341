"""Our own paths: impressions, and what keeps an eye on the server."""

import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from radllama.server import work
from radllama.server.access import needs
from radllama.server.audit import Event
from radllama.server.feedback import DraftRow
from radllama.server.jobs import ImpressionJob, ModelInfo, Result
from radllama.server.keys import Caller
from radllama.server.schemas import (
    Alternative,
    AssistantResponse,
    Draft,
    ErrorResponse,
    ImpressionRequest,
    ImpressionResponse,
    ModelUsed,
    Neighbour,
    SentenceLink,
    SentenceVoices,
    Timing,
)
from radllama.server.service import Service, service_of
from radllama.server.sse import respond
from radllama.store.tables import now
from radllama.web.errors import ApiError

REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorResponse, "description": "The request cannot be used as it is."},
    401: {"model": ErrorResponse, "description": "No key, or none in use."},
    403: {"model": ErrorResponse, "description": "The key lacks a scope."},
    413: {"model": ErrorResponse, "description": "The body is too large."},
    429: {"model": ErrorResponse, "description": "Too many requests with this key; see Retry-After."},
    503: {"model": ErrorResponse, "description": "No place, no model, or too late; see Retry-After."},
}
ServiceHere = Annotated[Service, Depends(service_of)]
router = APIRouter(responses=REFUSALS, route_class=work.DraftingRoute)


@router.post("/v1/impressions", response_model=ImpressionResponse)
async def draft_impression(
    request: Request,
    body: ImpressionRequest,
    service: ServiceHere,
    caller: Annotated[Caller, Depends(needs("draft"))],
) -> Any:
    """Draft the impression of these findings, and say what speaks for and against it."""
    arrived, identity = time.perf_counter(), f"imp-{secrets.token_hex(12)}"
    info = work.model_info(service)
    if (body.instruction or body.turns) and "chat" not in info.abilities:
        raise ApiError(
            400,
            "this model was tuned on findings and impressions alone: it takes no instruction and no conversation",
            "unsupported_value",
            "instruction" if body.instruction else "turns",
        )
    job = ImpressionJob(
        body.findings,
        body.indication,
        body.comparison,
        body.technique,
        body.style,
        body.n,
        body.neighbours,
        body.max_new_tokens,
        body.seed,
        info.samples,
        body.instruction,
        tuple((turn.role, turn.text) for turn in body.turns),
    )
    if job.is_personal:  # nothing votes on what was asked for in somebody's own words
        info = replace(info, samples=1, library="")

    async def finish(result: Result) -> ImpressionResponse:
        answer = _answer(identity, result, info, (time.perf_counter() - arrived) * 1000)
        await _record(service, caller, body, answer)
        return answer

    if not body.stream:
        return await finish(await work.do(service, request, job))

    async def events() -> AsyncGenerator[tuple[str | None, Any], None]:
        pieces = work.stream(service, job)
        try:
            async for event in pieces:
                if isinstance(event, str):
                    yield "piece", event
                else:
                    yield "impression", (await finish(event)).model_dump(mode="json")
        finally:
            await pieces.aclose()

    return await respond(request, events())


@router.get("/v1/assistant", response_model=AssistantResponse, dependencies=[Depends(needs("draft"))])
async def describe_assistant(service: ServiceHere) -> AssistantResponse:
    """What is served, and what it can do; nothing is offered that would not work."""
    info = work.model_info(service)
    return AssistantResponse(
        model=info.name,
        prompt=info.prompt,
        weights_sha256=info.weights_sha256,
        abilities=sorted(info.abilities),
        way=info.way,
        samples=info.samples,
        library=info.library,
    )


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "alive"}


@router.get("/readyz")
async def readyz(service: ServiceHere) -> dict[str, str]:
    """Whether a request would be taken on: a model is loaded, the database answers, nothing is shutting down."""
    if service.batcher.draining:
        raise ApiError(503, "the server is shutting down", retry_after_s=5)
    info = work.model_info(service)
    if not service.batcher.pool.is_alive:
        raise ApiError(503, "no worker has the model now", retry_after_s=5)
    try:
        await run_in_threadpool(service.store.check)
    except Exception:
        raise ApiError(503, "the database does not answer", retry_after_s=5) from None
    return {"status": "ready", "model": info.name}


@router.get("/metrics", response_class=Response, dependencies=[Depends(needs("metrics"))])
async def metrics(service: ServiceHere) -> Response:
    """What Prometheus scrapes."""
    return Response(service.metrics.render(), media_type="text/plain; version=0.0.4")


def _answer(identity: str, result: Result, info: ModelInfo, total_ms: float) -> ImpressionResponse:
    first, *others = [
        Alternative(
            impression=one.text,
            finish_reason=one.finish_reason,
            links=[SentenceLink(**each) for each in one.links],
            flags=list(one.flags),
            voices=[SentenceVoices(**each) for each in one.voices],
        )
        for one in result.choices
    ]
    return ImpressionResponse(
        id=identity,
        draft=Draft(impression=first.impression, finish_reason=first.finish_reason),
        alternatives=others,
        links=first.links,
        flags=first.flags,
        voices=first.voices,
        neighbours=[Neighbour(**one) for one in result.neighbours],
        model=ModelUsed(
            name=info.name,
            weights_sha256=info.weights_sha256,
            prompt=info.prompt,
            samples=info.samples,
            library=info.library,
        ),
        timing=Timing(total_ms=round(total_ms, 1)),
    )


async def _record(service: Service, caller: Caller, asked: ImpressionRequest, answer: ImpressionResponse) -> None:
    row = DraftRow(
        id=answer.id,
        made_at=now(),
        caller=caller.id,
        findings=asked.findings,
        indication=asked.indication,
        comparison=asked.comparison,
        technique=asked.technique,
        impressions=[one.impression for one in (answer.draft, *answer.alternatives)],
        flags=[flag["kind"] for flag in answer.flags],
        style=asked.style,
        model=answer.model.name,
        prompt=answer.model.prompt,
        weights_sha256=answer.model.weights_sha256,
        latency_ms=answer.timing.total_ms,
        settings={
            "samples": answer.model.samples,
            "library": answer.model.library,
            "seed": asked.seed,
            "max_new_tokens": asked.max_new_tokens,
        },
        asked=[{"role": "user", "text": asked.instruction}] * bool(asked.instruction)
        + [turn.model_dump() for turn in asked.turns],
    )
    facts: dict[str, int | str] = {
        "model": answer.model.name,
        "prompt": answer.model.prompt,
        "flags": len(answer.flags),
    }
    await work.record(service, Event("draft.make", caller.id, answer.id, facts), lambda session: session.add(row))
    service.metrics.drafts.inc()
    for flag in answer.flags:
        service.metrics.flags.labels(flag["kind"]).inc()
