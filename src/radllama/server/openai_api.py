"""OpenAI-compatible paths, so that what speaks to any such server speaks to this one."""

import secrets
import time
from collections.abc import AsyncGenerator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request

from radllama.server import work
from radllama.server.access import needs
from radllama.server.api import REFUSALS, ServiceHere
from radllama.server.audit import Event
from radllama.server.jobs import CompletionJob, ModelInfo, Result
from radllama.server.keys import Caller
from radllama.server.openai_schemas import ChatRequest, CompletionRequest
from radllama.server.service import Service
from radllama.server.sse import respond
from radllama.server.stops import StopCutter
from radllama.web.errors import ApiError

router = APIRouter(prefix="/v1", responses=REFUSALS)
MayDraft = Annotated[Caller, Depends(needs("draft"))]
_MAX_NEW_TOKENS = 128

# (index, text or None at the end, finish reason or None before it, whether it is its first) -> a chunk's choice
Chunk = Callable[[int, str | None, str | None, bool], dict[str, Any]]


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
    if body.logprobs is not None:
        raise _no_logprobs("logprobs")
    job = CompletionJob(
        body.prompt,
        body.max_tokens or _MAX_NEW_TOKENS,
        body.temperature or 0.0,
        body.seed or 0,
        body.n or 1,
        body.stops(),
    )
    head = {"id": f"cmpl-{secrets.token_hex(12)}", "object": "text_completion", **_made(info)}
    if body.stream:
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return await respond(request, _chunks(service, caller, job, head, _text_chunk, usage), done="[DONE]")
    result = await work.do(service, request, job)
    await work.record(service, Event("draft.make", caller.id, head["id"], {"model": info.name}))
    choices = [
        {"index": index, "text": one.text, "logprobs": None, "finish_reason": one.finish_reason}
        for index, one in enumerate(result.choices)
    ]
    return {**head, "choices": choices, "usage": _usage(result)}


@router.post("/chat/completions", responses={404: REFUSALS[400]})
async def chat(request: Request, body: ChatRequest, service: ServiceHere, caller: MayDraft) -> Any:
    """Continue a conversation; with a model tuned for impressions, draft the impression of the user's message."""
    info = _check_model(body.model, service)
    if body.logprobs:
        raise _no_logprobs("logprobs")
    turns = tuple((message.role, message.text()) for message in body.messages)
    if "chat" not in info.abilities and [role for role, _ in turns] != ["user"]:
        raise ApiError(
            400,
            "this model was tuned on findings and impressions alone: send one user message, the findings",
            "unsupported_value",
            "messages",
        )
    limit = body.max_completion_tokens or body.max_tokens or _MAX_NEW_TOKENS
    job = CompletionJob(turns, limit, body.temperature or 0.0, body.seed or 0, body.n or 1, body.stops())
    head = {"id": f"chatcmpl-{secrets.token_hex(12)}", **_made(info)}
    if body.stream:
        head["object"] = "chat.completion.chunk"
        usage = bool(body.stream_options and body.stream_options.include_usage)
        return await respond(request, _chunks(service, caller, job, head, _chat_chunk, usage), done="[DONE]")
    result = await work.do(service, request, job)
    await work.record(service, Event("draft.make", caller.id, head["id"], {"model": info.name}))
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": one.text, "refusal": None},
            "logprobs": None,
            "finish_reason": one.finish_reason,
        }
        for index, one in enumerate(result.choices)
    ]
    return {**head, "object": "chat.completion", "choices": choices, "usage": _usage(result)}


async def _chunks(
    service: Service, caller: Caller, job: CompletionJob, head: dict[str, Any], chunk: Chunk, usage: bool
) -> AsyncGenerator[tuple[None, Any], None]:
    """The first choice as it is written, the others whole once all are done."""
    cutter, begun = StopCutter(job.stop), False
    pieces = work.stream(service, job)
    try:
        async for event in pieces:
            if isinstance(event, str):
                if shown := cutter.feed(event):
                    yield None, {**head, "choices": [chunk(0, shown, None, not begun)]}
                    begun = True
                continue
            first, *others = event.choices
            if held := cutter.end():
                yield None, {**head, "choices": [chunk(0, held, None, not begun)]}
            await work.record(service, Event("draft.make", caller.id, head["id"], {"model": head["model"]}))
            yield None, {**head, "choices": [chunk(0, None, first.finish_reason, False)]}
            for index, other in enumerate(others, start=1):
                yield None, {**head, "choices": [chunk(index, other.text, None, True)]}
                yield None, {**head, "choices": [chunk(index, None, other.finish_reason, False)]}
            if usage:
                yield None, {**head, "choices": [], "usage": _usage(event)}
    finally:
        await pieces.aclose()


def _text_chunk(index: int, text: str | None, finish_reason: str | None, _: bool) -> dict[str, Any]:
    return {"index": index, "text": text or "", "logprobs": None, "finish_reason": finish_reason}


def _chat_chunk(index: int, text: str | None, finish_reason: str | None, first: bool) -> dict[str, Any]:
    delta = ({"role": "assistant"} if first else {}) | ({} if text is None else {"content": text})
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


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


def _no_logprobs(param: str) -> ApiError:
    return ApiError(400, "this engine does not tell the log probabilities of tokens", "unsupported_value", param)
