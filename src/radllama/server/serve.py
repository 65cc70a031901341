"""Starting, draining and reloading the assistant: what stands around the app."""

import asyncio
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from radllama.console import note
from radllama.errors import InputError
from radllama.heap import share_one_arena
from radllama.home import find_home
from radllama.model import EMBEDDED
from radllama.server.app import create_app
from radllama.server.assistant import load_assistant
from radllama.server.audit import AuditLog
from radllama.server.batcher import Limits
from radllama.server.endpoint import Elsewhere, connect_assistant
from radllama.server.keys import list_keys
from radllama.server.mllp_exposure import MllpExposure
from radllama.server.openid import SECRET_VARIABLE, Provider
from radllama.server.pool import Pool, Spec
from radllama.server.service import People
from radllama.store.store import open_store
from radllama.web.exposure import Exposure
from radllama.web.logs import open_log

_MOST_WORKERS = 4  # where nobody says how many


@dataclass(frozen=True, slots=True)
class OpenId:
    """The provider that people sign in at, what this server is called there, and hours until they must again."""

    issuer: str
    client: str
    hours: float = 12.0

    def load(self) -> People:
        """Raises InputError when the provider cannot be used. The client's secret, if any, is in the environment."""
        secret = os.environ.get(SECRET_VARIABLE, "").strip() or None
        return People(Provider(self.issuer, self.client, secret), self.hours)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `radllama serve` can be told; with `elsewhere` the model is served there."""

    model: str = "mini"
    device: str = "auto"
    engine: str | None = None
    library: Path | None = None
    samples: int | None = None
    elsewhere: Elsewhere | None = None
    openid: OpenId | None = None
    database: str | None = None
    workers: int | None = None
    limit: str = "600/minute"
    limits: Limits = field(default_factory=Limits)
    exposure: Exposure = field(default_factory=Exposure)
    mllp: MllpExposure | None = None


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what was taken on. SIGHUP loads the model anew, beside the old."""
    share_one_arena()
    home, exposure = find_home(), settings.exposure
    store = open_store(settings.database, home)
    try:
        with store.read() as session:
            has_keys = bool(list_keys(session))
        exposure.check(has_keys or settings.openid is not None)
        people = settings.openid.load() if settings.openid else None
        audit = AuditLog(store, home)
        audit.check_secret()
        pool = Pool(_choose_load(settings), settings.workers or _count_workers(settings))
        log = open_log()
        with ExitStack() as opened:
            listening = opened.enter_context(exposure.listen())
            exposure = replace(exposure, port=listening.getsockname()[1])  # port 0 is any that is free
            told, mllp = exposure.told(has_keys, people is not None), None
            if settings.mllp:
                mllp = (opened.enter_context(settings.mllp.listen()), settings.mllp.tls())
                told += f", and listens for HL7 at {settings.mllp.host}:{mllp[0].getsockname()[1]}"
            app = create_app(pool, store, audit, settings.limits, settings.limit, exposure.names, log, people, mllp)
            asyncio.run(_run(pool, app, exposure, listening, log, told))
    finally:
        store.close()


def _choose_load(settings: Settings) -> Spec:
    if settings.elsewhere:
        return Spec(connect_assistant, (settings.elsewhere, settings.library, settings.samples))
    return Spec(load_assistant, (settings.model, settings.device, settings.engine, settings.library, settings.samples))


def _count_workers(settings: Settings) -> int:
    # A vote is drawn on one core, and the embedded model is small; who waits for another server needs no core.
    if settings.elsewhere:
        return _MOST_WORKERS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _MOST_WORKERS) if settings.model == EMBEDDED and settings.device in ("auto", "cpu") else 1


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
