"""OpenAI-compatible paths, so that what speaks to any such server speaks to this one."""

import secrets
import time
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Request

from radllama.engines import Token
from radllama.server import work
from radllama.server.access import needs
from radllama.server.api import REFUSALS, ServiceHere
from radllama.server.audit import Event
from radllama.server.jobs import CompletionJob, ModelInfo, Result
from radllama.server.keys import Caller
from radllama.server.logprobs import render_chat, render_text
from radllama.server.openai_schemas import ChatRequest, CompletionRequest
from radllama.server.service import Service
from radllama.server.sse import respond
from radllama.server.stops import StopCutter
from radllama.web.errors import ApiError

router = APIRouter(prefix="/v1", responses=REFUSALS, route_class=work.DraftingRoute)
Tokens = tuple[Token, ...] | None
MayDraft = Annotated[Caller, Depends(needs("draft"))]
_MAX_NEW_TOKENS = 128


class Chunk(Protocol):
    """Lays out one choice of a chunk: text before its end, a finish reason at it."""

    def __call__(
        self, index: int, text: str | None, finish_reason: str | None, first: bool, tokens: Tokens = None
    ) -> dict[str, Any]:
        """`first`: whether it is the choice's first; `tokens`: those of the text, where they were asked for."""
        ...


@router.get("/models")
async def list_models(service: ServiceHere, _: MayDraft) -> dict[str, Any]:
    """The model that is served."""
    return {"object": "list", "data": [_describe_model(work.model_info(service))]}


@router.get("/models/{model}", responses={404: REFUSALS[400]})
async def get_model(model: str, service: ServiceHere, _: MayDraft) -> dict[str, Any]:
    """The model that is served, by its name."""
    return _describe_model(_check_model(model, service))


@router.post("/completions", responses={404: REFUSALS[400]})
async def complete(request: Request, body: CompletionRequest, service: ServiceHere, caller: MayDraft) -> Any:
    """Continue a text as it stands: no template is put around it."""
    info = _check_model(body.model, service)
    job = CompletionJob(
        body.prompt,
        body.max_tokens or _MAX_NEW_TOKENS,
        body.temperature or 0.0,
        body.seed or 0,
        body.n or 1,
        body.stops(),
        body.logprobs,
    )
    head = {"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion", **_made(info)}
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return await respond(request, _chunks(service, caller, job, head, _text_chunk, usage), done="[DONE]")
    result = _check_told(job, await work.do(service, request, job))
    await work.record(service, Event("draft.make", caller.id, head["id"], {"model": info.name}))
    choices = [
        _text_chunk(index, one.text, one.finish_reason, True, one.tokens) for index, one in enumerate(result.choices)
    ]
    return {**head, "choices": choices, "usage": _usage(result)}


@router.post("/chat/completions", responses={404: REFUSALS[400]})
async def chat(request: Request, body: ChatRequest, service: ServiceHere, caller: MayDraft) -> Any:
    """Continue a conversation; with a model tuned for impressions, draft the impression of the user's message."""
    info = _check_model(body.model, service)
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs needs logprobs: true", "invalid_value", "top_logprobs")
    turns = tuple((message.role, message.text()) for message in body.messages)
    if "chat" not in info.abilities and [role for role, _ in turns] != ["user"]:
        raise ApiError(
            400,
            "this model was tuned on findings and impressions alone: send one user message, the findings",
            "unsupported_value",
            "messages",
        )
    limit = body.max_completion_tokens or body.max_tokens or _MAX_NEW_TOKENS
    job = CompletionJob(
        turns,
        limit,
        body.temperature or 0.0,
        body.seed or 0,
        body.n or 1,
        body.stops(),
        (body.top_logprobs or 0) if body.logprobs else None,
    )
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", **_made(info)}
    if body.stream:
        head["object"] = "chat.completion.chunk"
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return await respond(request, _chunks(service, caller, job, head, _chat_chunk, usage), done="[DONE]")
    result = _check_told(job, await work.do(service, request, job))
    await work.record(service, Event("draft.make", caller.id, head["id"], {"model": info.name}))
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": one.text, "refusal": None},
            "logprobs": None if one.tokens is None else render_chat(one.tokens),
            "finish_reason": one.finish_reason,
        }
        for index, one in enumerate(result.choices)
    ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": _usage(result)}


async def _chunks(
    service: Service, caller: Caller, job: CompletionJob, head: dict[str, Any], chunk: Chunk, usage: bool
) -> AsyncGenerator[tuple[None, Any], None]:
    """The first choice as it is written, the others whole once all are done; with log-probabilities, all whole."""
    cutter, begun = StopCutter(job.stop), False
    as_written = job.logprobs is None
    pieces = work.stream(service, job, as_written)
    try:
        async for event in pieces:
            if isinstance(event, str):
                if shown := cutter.feed(event):
                    yield None, {**head, "choices": [chunk(0, shown, None, not begun)]}
                    begun = True
                continue
            result = _check_told(job, event)
            if held := cutter.end():
                yield None, {**head, "choices": [chunk(0, held, None, not begun)]}
            await work.record(service, Event("draft.make", caller.id, head["id"], {"model": head["model"]}))
            for index, one in enumerate(result.choices):
                if index or not as_written:
                    yield None, {**head, "choices": [chunk(index, one.text, None, True, one.tokens)]}
                yield None, {**head, "choices": [chunk(index, None, one.finish_reason, False)]}
            if usage:
                yield None, {**head, "choices": [], "usage": _usage(result)}
    finally:
        await pieces.aclose()


def _text_chunk(
    index: int, text: str | None, finish_reason: str | None, first: bool, tokens: Tokens = None
) -> dict[str, Any]:
    told = None if tokens is None else render_text(tokens)
    return {"index": index, "text": text or "", "logprobs": told, "finish_reason": finish_reason}


def _chat_chunk(
    index: int, text: str | None, finish_reason: str | None, first: bool, tokens: Tokens = None
) -> dict[str, Any]:
    delta = ({"role": "assistant"} if first else {}) | ({} if text is None else {"content": text})
    told = None if tokens is None else render_chat(tokens)
    return {"index": index, "delta": delta, "logprobs": told, "finish_reason": finish_reason}


def _check_told(job: CompletionJob, result: Result) -> Result:
    """The result; an ApiError where log-probabilities were asked for and those of one choice are not known."""
    if job.logprobs is not None and any(one.tokens is None for one in result.choices):
        raise work.no_logprobs()
    return result


def _check_model(name: str, service: Service) -> ModelInfo:
    info = work.model_info(service)
    if name not in (info.name, info.name.split("@")[0]):
        raise ApiError(404, "no such model is served here; /v1/models says which is", "model_not_found", "model")
    return info


def _describe_model(info: ModelInfo) -> dict[str, Any]:
    return {"id": info.name, "object": "model", "created": 0, "owned_by": "radllama"}


def _made(info: ModelInfo) -> dict[str, Any]:
    return {"created": int(time.time()), "model": info.name, "system_fingerprint": info.weights_sha256[:16]}


def _usage(result: Result) -> dict[str, int]:
    return {
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
        "total_tokens": result.prompt_tokens + result.completion_tokens,
    }
