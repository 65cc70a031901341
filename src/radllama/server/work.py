"""Having a job done for a request, for as long as the one who asked is there."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy.exc import SQLAlchemyError

from radllama.server.audit import Event
from radllama.server.batcher import BusyError, LateError
from radllama.server.jobs import ELSEWHERE, IMPOSSIBLE, LOGPROBS, Failure, Job, ModelInfo, Result
from radllama.server.recorder import Write
from radllama.server.service import Service, service_of
from radllama.web.errors import ApiError
from radllama.web.trace import describe

T = TypeVar("T")


class DraftingRoute(APIRoute):
    """Routes whose POST asks for a draft: nobody is read or looked up who finds no place inside."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, behind the door."""
        handle = super().get_route_handler()
        if "POST" not in (self.methods or ()):
            return handle

        async def at_the_door(request: Request) -> Response:
            service = service_of(request)
            try:
                with service.batcher.door():
                    return await handle(request)
            except BusyError as error:
                raise _busy(service, error) from None

        return at_the_door


def model_info(service: Service) -> ModelInfo:
    """The model that is served. Raises ApiError while there is none."""
    if service.batcher.info is None:
        raise _busy(service, BusyError("no model is loaded yet", 2))
    return service.batcher.info


async def do(service: Service, request: Request, job: Job) -> Result:
    """The job's result. Raises ApiError; when the client hangs up, the job's place is free at once."""
    try:
        return _result(service, await while_there(request, service.batcher.do(job)))
    except BusyError as error:
        raise _busy(service, error) from None
    except LateError as error:
        raise _late(service, error) from None


async def stream(service: Service, job: Job, pieces: bool = True) -> AsyncGenerator[str | Result, None]:
    """The job's pieces, if wanted, then its result. Raises ApiError; before the first piece, as a plain answer."""
    events = service.batcher.stream(job, pieces)
    try:
        async for event in events:
            yield event if isinstance(event, str) else _result(service, event)
    except BusyError as error:
        raise _busy(service, error) from None
    except LateError as error:
        raise _late(service, error) from None
    finally:
        await events.aclose()


async def record(service: Service, event: Event, write: Write | None = None) -> Any:
    """Write an audit entry, and rows with it. Raises ApiError when it cannot be: what leaves no trace is not given."""
    try:
        return await service.recorder.record(event, write)
    except SQLAlchemyError as error:
        service.log.error("store", error=describe(error))
        raise ApiError(503, "this cannot be recorded now, so it is not done", retry_after_s=5) from None


def _result(service: Service, outcome: Result | Failure) -> Result:
    if isinstance(outcome, Failure):
        if outcome.kind == IMPOSSIBLE:
            raise ApiError(
                400, outcome.message, "unsupported_value" if outcome.param else "invalid_value", outcome.param
            )
        service.log.error("job", error=outcome.message)
        if outcome.kind == ELSEWHERE and outcome.param in (LOGPROBS, f"top_{LOGPROBS}"):
            raise no_logprobs()
        if outcome.kind == ELSEWHERE:
            raise ApiError(503, "the server that has the model does not answer as it should", retry_after_s=5)
        raise ApiError(500, "an error of the server's own; its log says which")
    service.metrics.tokens.labels("prompt").inc(outcome.prompt_tokens)
    service.metrics.tokens.labels("draft").inc(outcome.completion_tokens)
    return outcome


def no_logprobs() -> ApiError:
    """What is told where log-probabilities were asked for and are not known."""
    return ApiError(400, "this model does not tell the log-probabilities of its tokens", "unsupported_value", LOGPROBS)


def _busy(service: Service, error: BusyError) -> ApiError:
    service.metrics.refused.labels("busy").inc()
    return ApiError(503, f"{error}; try again later", "overloaded", retry_after_s=error.retry_after_s)


def _late(service: Service, error: LateError) -> ApiError:
    service.metrics.refused.labels("late").inc()
    return ApiError(503, f"{error}; try again later", "deadline", retry_after_s=1)


async def while_there(request: Request, awaited: Awaitable[T]) -> T:
    """What is awaited, given up at once when the client hangs up (then an ApiError that nobody will read)."""
    doing = asyncio.ensure_future(awaited)
    leaving = asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ApiError(499, "the client has gone")
        return doing.result()
    finally:
        for task in (doing, leaving):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _hang_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
