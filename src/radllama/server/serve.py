"""Starting, draining and reloading the assistant: what stands around the app."""

import asyncio
import signal
import socket
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from radllama.console import note
from radllama.errors import InputError
from radllama.home import find_home
from radllama.server.app import create_app
from radllama.server.assistant import load_assistant
from radllama.server.audit import AuditLog
from radllama.server.batcher import Limits
from radllama.server.endpoint import Elsewhere, connect_assistant
from radllama.server.keys import list_keys
from radllama.server.pool import Pool, Spec
from radllama.store.store import open_store
from radllama.web.exposure import Exposure
from radllama.web.logs import open_log


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `radllama serve` can be told; with `elsewhere` the model is served there."""

    model: str = "mini"
    device: str = "auto"
    engine: str | None = None
    library: Path | None = None
    samples: int | None = None
    elsewhere: Elsewhere | None = None
    database: str | None = None
    workers: int = 1
    limit: str = "600/minute"
    limits: Limits = field(default_factory=Limits)
    exposure: Exposure = field(default_factory=Exposure)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what was taken on. SIGHUP loads the model anew, beside the old."""
    home, exposure = find_home(), settings.exposure
    store = open_store(settings.database, home)
    try:
        with store.read() as session:
            has_keys = bool(list_keys(session))
        exposure.check(has_keys)
        audit = AuditLog(store, home)
        pool = Pool(_choose_load(settings), settings.workers)
        log = open_log()
        app = create_app(pool, store, audit, settings.limits, settings.limit, exposure.names, log)
        with exposure.listen() as listening:
            exposure = replace(exposure, port=listening.getsockname()[1])  # port 0 is any that is free
            asyncio.run(_run(pool, app, exposure, listening, log, exposure.told(has_keys)))
    finally:
        store.close()


def _choose_load(settings: Settings) -> Spec:
    if settings.elsewhere:
        return Spec(connect_assistant, (settings.elsewhere, settings.library, settings.samples))
    return Spec(load_assistant, (settings.model, settings.device, settings.engine, settings.library, settings.samples))


async def _run(pool: Pool, app: Any, exposure: Exposure, listening: socket.socket, log: Any, told: str) -> None:
    await pool.start()  # before the server: a model that cannot be loaded is told as a mistake, not as a crash
    # uvicorn drains at SIGTERM and then raises it once more: by then all is done, and the exit a good one.
    signal.signal(signal.SIGTERM, lambda *_: None)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, partial(_reload, pool, log))
    if pool.info:
        note(f"drafts: {pool.info.way}")
    note(f"radllama serves {pool.info.name if pool.info else ''} at {told}")
    await uvicorn.Server(exposure.configure(app)).serve(sockets=[listening])


def _reload(pool: Pool, log: Any) -> None:
    async def swap() -> None:
        try:
            info = await pool.swap(pool.spec)
        except InputError as error:
            log.error("reload", error=str(error))
        else:
            log.info("reload", model=info.name, weights_sha256=info.weights_sha256)

    pool.run(swap())
