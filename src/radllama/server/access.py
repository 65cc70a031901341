"""Who may ask for what, and how often."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from radllama.server.keys import Caller, find_caller
from radllama.server.people import find_person
from radllama.server.service import Service, service_of
from radllama.web.errors import ApiError

_bearer = HTTPBearer(auto_error=False, description="A key of `radllama keys create`.")


def needs(scope: str) -> Callable[..., Awaitable[Caller]]:
    """A dependency: the caller, who must hold `scope` and be within the limit."""

    async def check(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
        service: Annotated[Service, Depends(service_of)],
    ) -> Caller:
        token = credentials.credentials if credentials else None
        # In one thread: the key and, over PostgreSQL, the limit are asked of the database.
        return await run_in_threadpool(_admit, service, request, token, scope)

    return check


def _admit(service: Service, request: Request, token: str | None, scope: str) -> Caller:
    caller = _find(service, request, token)
    if caller is None:
        service.metrics.refused.labels("key").inc()
        told = "sign in at /sign-in, or send" if service.people else "send"
        raise ApiError(401, f"{told} a key that is in use: Authorization: Bearer KEY", "invalid_api_key")
    request.state.caller = caller.id
    if scope not in caller.scopes:
        service.metrics.refused.labels("scope").inc()
        raise ApiError(403, f"this key may not do that; it lacks the scope {scope}", "missing_scope")
    wait_s = service.limiter.take(caller.id)
    if wait_s is not None:
        service.metrics.refused.labels("rate").inc()
        raise ApiError(429, "too many requests with this key", "rate_limit_exceeded", retry_after_s=wait_s + 1)
    return caller


def _find(service: Service, request: Request, token: str | None) -> Caller | None:
    with service.store.read() as session:
        if service.people is None:
            return find_caller(session, token)
        # Where people sign in, nobody is let in for being on this machine.
        return find_caller(session, token) if token else find_person(session, request)
