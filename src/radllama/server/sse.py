"""Server-sent events: lines of JSON as they come; an error before the first is a plain answer."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from fastapi import Request
from fastapi.responses import StreamingResponse

from radllama.server.work import while_there
from radllama.web.errors import ApiError


async def respond(
    request: Request, events: AsyncGenerator[tuple[str | None, Any], None], done: str | None = None
) -> StreamingResponse:
    """Answer with (name or None, JSON value) events as they come, then with the bare data `done`.

    Raises what `events` raises before its first; an ApiError after that becomes an event of its own.
    """
    first = await while_there(request, anext(events))

    async def body() -> AsyncIterator[str]:
        try:
            yield _render(*first)
            async for event in events:
                yield _render(*event)
            if done is not None:
                yield f"data: {done}\n\n"
        except ApiError as error:
            yield _render("error", error.render())
        finally:
            await events.aclose()

    # A proxy that collects the pieces before it passes them on would undo the stream.
    return StreamingResponse(body(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _render(name: str | None, value: Any) -> str:
    line = f"event: {name}\n" if name else ""
    return f"{line}data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n"
