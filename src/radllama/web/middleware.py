"""Around every request: who is answered at all, how much is read, what is logged and measured, which headers go out.

Plain ASGI, so that a stream is passed on as it comes and a hang-up reaches whoever waits.
"""

import secrets
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from radllama.web.errors import ApiError, Tell, tell_plainly
from radllama.web.trace import describe

Measure = Callable[[str, int, float], None]  # a route, its status, seconds from arrival to answer
BODY_BYTES = 512 * 1024
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})  # this machine's names for itself
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}


class Watch:
    """Logs and measures each request by its route (never its URL), and answers what nothing else has caught."""

    def __init__(
        self,
        app: ASGIApp,
        log: Any,
        measure: Measure = lambda path, status, seconds: None,
        tell: Tell = tell_plainly,
    ) -> None:
        self._app, self._log, self._measure, self._tell = app, log, measure, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, identity = time.perf_counter(), 0, secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = identity

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                ours = {**_HEADERS, "X-Request-Id": identity}
                message["headers"] = [*message["headers"], *((k.lower().encode(), v.encode()) for k, v in ours.items())]
            await send(message)

        error: Exception | None = None
        try:
            await self._app(scope, receive, watched)
        except Exception as caught:
            error = caught
            if not status:
                told = ApiError(500, f"an error of the server's own; its log has it as request {identity}")
                await self._tell(scope["path"], told)(scope, receive, watched)
        seconds = time.perf_counter() - started
        path = getattr(scope.get("route"), "path", "none")
        self._measure(path, status or 499, seconds)
        # 499: the client hung up before there was an answer.
        facts = {"request": identity, "method": _known_method(scope), "path": path, "status": status or 499}
        facts |= {"ms": round(seconds * 1000, 1), "caller": scope["state"].get("caller", "")}
        if error:
            self._log.error("request", **facts, error=describe(error))
        else:
            self._log.info("request", **facts)


class Gate:
    """Refuses a foreign Host (a page elsewhere that points its own name at this machine) and a body without end."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str] | None, tell: Tell = tell_plainly) -> None:
        self._app, self._hosts, self._tell = app, hosts, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._hosts is not None and _host(headers.get(b"host", b"")) not in self._hosts:
            unknown = ApiError(421, "this server is not known by that name; see --allow-host")
            await self._tell(scope["path"], unknown)(scope, receive, send)
            return
        too_large = self._tell(scope["path"], ApiError(413, f"the body is larger than {BODY_BYTES} bytes"))
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > BODY_BYTES:
            await too_large(scope, receive, send)
            return
        body, more = b"", True
        while more:  # a body that declares no length shows it only as it comes
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > BODY_BYTES:
                await too_large(scope, receive, send)
                return
        read = False

        async def again() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)


def _host(header: bytes) -> str:
    name = header.decode("latin-1").lower()
    return name[: name.index("]") + 1] if name.startswith("[") and "]" in name else name.split(":")[0]


def _known_method(scope: Scope) -> str:
    return (
        scope["method"] if scope["method"] in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
    )
