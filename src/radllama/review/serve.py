"""Serving studies: what stands around the app."""

import asyncio
import os
import signal
from dataclasses import dataclass, field, replace
from typing import Any

import uvicorn

from radllama.console import note
from radllama.heap import share_one_arena
from radllama.home import find_home
from radllama.review.app import create_app
from radllama.review.site import Site
from radllama.review.studies import list_studies
from radllama.server.audit import AuditLog
from radllama.server.openid import SECRET_VARIABLE, Provider
from radllama.store.store import open_store
from radllama.web.exposure import Exposure
from radllama.web.logs import open_log


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that `radllama review serve` can be told."""

    database: str | None = None
    hours: float = 12.0
    openid: str | None = None
    openid_client: str = "radllama"
    exposure: Exposure = field(default_factory=lambda: Exposure(port=8010))


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    share_one_arena()
    home, exposure = find_home(), settings.exposure
    store = open_store(settings.database, home)
    try:
        with store.read() as session:
            studies = len([one for one in list_studies(session) if one.closed_at is None])
        exposure.check(has_keys=True)  # nobody gets in without an account
        audit = AuditLog(store, home)
        audit.check_secret()
        secret = os.environ.get(SECRET_VARIABLE, "").strip() or None
        provider = Provider(settings.openid, settings.openid_client, secret) if settings.openid else None
        app = create_app(Site(store, audit, open_log(), settings.hours, provider=provider), exposure.names)
        with exposure.listen() as listening:
            exposure = replace(exposure, port=listening.getsockname()[1])
            note(f"radllama serves {studies} open {'study' if studies == 1 else 'studies'} at {exposure.url}")
            asyncio.run(_run(app, exposure, listening))
    finally:
        store.close()


async def _run(app: Any, exposure: Exposure, listening: Any) -> None:
    # uvicorn drains at SIGTERM and then raises it once more: by then all is done, and the exit a good one.
    signal.signal(signal.SIGTERM, lambda *_: None)
    await uvicorn.Server(exposure.configure(app)).serve(sockets=[listening])
