"""Real servers for tests: uvicorn on a free loopback port, in a thread, over real worker processes."""

import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from backends import load_obeying

from radllama.server.app import create_app
from radllama.server.audit import AuditLog
from radllama.server.batcher import Batcher, Limits
from radllama.server.exposure import Exposure
from radllama.server.keys import create_key
from radllama.server.logs import open_log
from radllama.server.pool import Pool, Spec
from radllama.store.store import Store, open_store

OBEYING = Spec(load_obeying, ("one",))


@dataclass
class Running:
    """A server that answers at `url`."""

    url: str
    client: httpx.Client
    store: Store
    audit: AuditLog
    pool: Pool
    batcher: Batcher
    log: io.StringIO

    def key(self, name: str, *scopes: str) -> dict[str, str]:
        """The headers of a new key."""
        with self.store.write() as session:
            _, token = create_key(session, name, scopes or ("draft", "feedback"))
        return {"Authorization": f"Bearer {token}"}

    def logged(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@contextmanager
def running(home: Path, spec: Spec = OBEYING, limit: str = "100000/minute", **limits: Any) -> Iterator[Running]:
    """Serve from here on, with a SQLite store in `home`."""
    store = open_store(None, home)
    audit, pool, told = AuditLog(store, home), Pool(spec), io.StringIO()
    app = create_app(pool, store, audit, Limits(**limits), limit, log=open_log(told))
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(Exposure().configure(app))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            # The socket listens already: this waits until the model is loaded.
            assert client.get("/healthz").status_code == 200
            yield Running(url, client, store, audit, pool, app.state.service.batcher, told)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        store.close()
