"""The web app, of collaborators that are passed in; nothing is loaded when this is imported."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from fastapi import FastAPI

import radllama
from radllama.server import api, feedback_api, fhir, openai_api
from radllama.server import people as people_api
from radllama.server.audit import AuditLog, Event
from radllama.server.batcher import Batcher, Limits
from radllama.server.metrics import Metrics
from radllama.server.mllp import MllpServer
from radllama.server.pages import add_pages
from radllama.server.pool import Pool
from radllama.server.recorder import Recorder
from radllama.server.service import People, Service
from radllama.server.shared_limiter import open_limiter
from radllama.store.store import Store
from radllama.web.errors import add_error_handlers, tell_plainly
from radllama.web.exposure import DRAIN_S
from radllama.web.logs import open_log
from radllama.web.middleware import LOOPBACK, Gate, Watch


def create_app(
    pool: Pool,
    store: Store,
    audit: AuditLog,
    limits: Limits | None = None,
    limit: str = "600/minute",
    hosts: frozenset[str] | None = LOOPBACK,
    log: Any = None,
    people: People | None = None,
    mllp: tuple[socket.socket, ssl.SSLContext | None] | None = None,
) -> FastAPI:
    """The assistant as an ASGI app. It starts `pool` with itself and ends it, after what was taken on is done.

    `limit` is what a key may ask for, `hosts` the names this server answers to (None: any), `people` where people sign
    in (None: they give their names themselves), `mllp` a bound socket for HL7 messages and what encrypts it.
    """
    batcher = Batcher(pool, limits)
    log = log or open_log()
    limiter = open_limiter(limit, store, log)
    service = Service(batcher, store, Recorder(audit), limiter, Metrics(batcher), log, people)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        info = pool.info or await pool.start()
        facts = {"model": info.name, "prompt": info.prompt, "weights_sha256": info.weights_sha256}
        await service.recorder.record(Event("serve.start", "server", facts=facts))
        service.log.info("ready", **facts, workers=len(pool.workers))
        hl7 = MllpServer(app)
        if mllp:
            await hl7.start(*mllp)
        try:
            yield
        finally:
            await hl7.close()
            await batcher.drain(DRAIN_S)
            await pool.close()
            await service.recorder.record(Event("serve.stop", "server"))
            service.recorder.close()
            service.log.info("stopped")

    # FastAPI's own pages of documentation come from a CDN, which a hospital's browser cannot reach.
    app = FastAPI(title="radllama", version=radllama.__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.service = service
    # Without the extra "interfaces" there is no FHIR, and nobody who expects its errors.
    has_fhir = bool(find_spec("fhir"))
    tell = fhir.tell_error if has_fhir else tell_plainly
    add_error_handlers(app, tell)
    app.include_router(api.router)
    app.include_router(feedback_api.router)
    app.include_router(openai_api.router)
    app.include_router(people_api.router)
    if has_fhir:
        app.include_router(fhir.router)
    add_pages(app)
    app.add_middleware(Gate, hosts=hosts, tell=tell)
    app.add_middleware(Watch, log=service.log, measure=service.metrics.measure, tell=tell)
    return app
