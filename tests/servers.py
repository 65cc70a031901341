"""Real servers for tests: uvicorn on a free loopback port, in a thread, over real worker processes."""

import io
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from backends import load_obeying

from radllama.model import load_base, save_model
from radllama.prompt import make_prompt
from radllama.server.app import create_app
from radllama.server.audit import AuditLog
from radllama.server.batcher import Batcher, Limits
from radllama.server.keys import create_key
from radllama.server.pool import Pool, Spec
from radllama.server.service import People
from radllama.store.store import Store, open_store
from radllama.web.exposure import Exposure
from radllama.web.logs import open_log

CANARY = "zebrafinch"  # stands in what is sent, and must stand in no log
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
    mllp_port: int = 0

    def key(self, name: str, *scopes: str) -> dict[str, str]:
        """The headers of a new key."""
        with self.store.write() as session:
            _, token = create_key(session, name, scopes or ("draft", "feedback"))
        return {"Authorization": f"Bearer {token}"}

    def logged(self) -> list[dict[str, Any]]:
        """The log's lines."""
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@contextmanager
def running(
    home: Path,
    spec: Spec = OBEYING,
    limit: str = "100000/minute",
    people: People | None = None,
    mllp_tls: ssl.SSLContext | None = None,
    **limits: Any,
) -> Iterator[Running]:
    """Serve from here on, with a SQLite store in `home`."""
    store = open_store(None, home)
    audit, pool, told = AuditLog(store, home), Pool(spec), io.StringIO()
    hl7 = socket.create_server(("127.0.0.1", 0))
    app = create_app(
        pool, store, audit, Limits(**limits), limit, log=open_log(told), people=people, mllp=(hl7, mllp_tls)
    )
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = uvicorn.Server(Exposure().configure(app))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        with httpx.Client(base_url=url, timeout=60) as client:
            # The socket listens already: this waits until the model is loaded.
            assert client.get("/healthz").status_code == 200
            yield Running(url, client, store, audit, pool, app.state.service.batcher, told, hl7.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
        hl7.close()
        store.close()


_PROGRAM = "from radllama.cli import main\nif __name__ == '__main__':\n    main()\n"


class Served:
    """A `radllama serve` that is running, or has ended."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        self.home = home
        self.told = home / "stderr"
        program = home / "main.py"
        program.write_text(_PROGRAM)
        environment = {**os.environ, "RADLLAMA_HOME": str(home), "HF_HUB_OFFLINE": "1", **environment}
        with self.told.open("a") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, program, "serve", "--port", "0", *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment,
            )
        self.url = ""

    def wait(self) -> "Served":
        """Wait until it is ready; the port stands in what it says then."""
        until(lambda: " at http" in self.told.read_text() or self.process.poll() is not None)
        self.url = self.told.read_text().split(" at ")[-1].split()[0]
        until(lambda: self.get("/readyz").status_code == 200)
        return self

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60)

    def draft(self, findings: str = f"Heart size is normal. {CANARY}", **options: Any) -> httpx.Response:
        return httpx.post(f"{self.url}/v1/impressions", json={"findings": findings, **options}, timeout=60)

    def workers(self) -> list[int]:
        """Process ids of those that hold the model: the children that listen to nothing but their pipe."""
        own = self.process.pid
        children = Path(f"/proc/{own}/task/{own}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def lines(self) -> list[dict[str, Any]]:
        """The log's lines of JSON."""
        return [json.loads(line) for line in self.told.read_text().splitlines() if line.startswith("{")]

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def close(self) -> None:
        """Kill it if it still runs."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def until(true: Callable[[], bool]) -> None:
    for _ in range(18_000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come true within three minutes")


@pytest.fixture(scope="session")
def served_model(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base as a model folder of ours."""
    network, tokenizer = load_base(str(tiny_base))
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_model(network, tokenizer, make_prompt("plain"), folder)
    return folder


@pytest.fixture
def serve(home: Path, served_model: Path) -> Iterator[Callable[..., Served]]:
    """Start a server of the tiny model with these arguments."""
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        started.append(Served(home, "--model", str(served_model), "--samples", "1", *arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()
